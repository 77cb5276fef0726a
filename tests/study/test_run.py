import fcntl
import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray

from study import preflight, run
from study.config import Launch, StudyConfig
from study.copies import push
from study.searches import SEARCHES, planned
from study.store import compare, open_study
from tests.study.commandline import TRIALS, Command
from tests.study.stores import build
from trainables.data.layout import write_dataset

Usage = namedtuple("Usage", "total used free")


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the command refuses, having started nothing."""
    assert run.main(words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    return errors[0]


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dry runs inside the test's process must not start a second Ray; one in a process of its own is real."""
    monkeypatch.setattr(run, "calibrated", lambda config, where, executor: None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search", "capacity_gird"], "unknown search 'capacity_gird'; did you mean capacity_grid?"),
        (["--protocol", "labtop"], "unknown protocol 'labtop'; did you mean laptop?"),
        (["--set", "gama=3"], "unknown key 'gama'; did you mean gamma"),
        (["--set", "gamma=-1"], "gamma=-1.0 is outside [0.0, 1000000000.0]"),
        (["--set", "beta=big"], "beta='big' is not of type float"),
        (["--set", "capacity_max=-2"], "capacity_max=-2.0 is outside"),
        (["--set", "steps=0"], "steps=0 is outside"),
        (["--set", "ramp_steps=4000"], "ramp_steps=4000 exceeds steps=3500; lower it or raise steps"),
        (["--set", "dataset=dsprits"], "dsprites"),
        (["--seeds", "0"], "seeds=0 is outside [1, 10000]"),
        (["--concurrency", "0"], "--concurrency=0 is outside"),
        (["--max-trials", "0"], "--max-trials=0 is outside"),
        (["--max-hours", "0"], "--max-hours=0.0 is outside"),
        (["--max-cost", "5"], "--max-cost=5 needs the --price-per-hour"),
        (["--dry-run", "--max-hours", "0.001"], "a budget of 4 s admits no trial: the first takes about"),
        (["--max-cost", "0.001", "--price-per-hour", "2"], "a budget of 2 s admits no trial"),
        (["--address", "ray://head:10001"], "Ray address ray://head:10001 is a Ray client address"),
        (["--address", "head"], "Ray address head is not host:port"),
        (["--status", "nowhere"], "nowhere is no store"),
        (["--seeds", "two"], "invalid int value: 'two'; --help lists the flags"),
        (["--protocl", "paper"], "unrecognized arguments: --protocl paper"),
        (["--dry-run", "--set", "dataset=dsprits"], "did you mean dsprites"),
        (["--port", "99"], "--port=99 is the dashboard's; give --dashboard STORE too, or leave it out"),
        (["--status", ""], "the path is empty; give a folder"),
        (["--results", ""], "the URL is empty; give one"),
        (["--results", "foo://x"], "foo://x cannot be used (Protocol not known: foo)"),
        (["--set", "gamma=1", "--set", "gamma=2"], "gamma is set twice"),
        (["--dry-run", "--address", "ray://x:1"], "Ray address ray://x:1 is a Ray client address"),
        (["--set", "objective=nowhere_at_all:f"], "nowhere_at_all:f cannot be imported from"),
        (["--dry-run", "--set", "model=examples.dense_vae:DenseVEA"], "has no 'DenseVEA'; did you mean DenseVAE"),
        (["--set", "objective=examples.free_bits"], "unknown objective 'examples.free_bits'"),
        (["--trials-per-gpu", "8"], "--trials-per-gpu=8 on a machine without an NVIDIA GPU"),
        (["--lanes", "8"], "--lanes=8 on a machine without an NVIDIA GPU"),
        (["--lanes", "65", "--pack-on-cpu"], "--lanes=65 is outside"),
        (["--lanes", "8", "--trials-per-gpu", "8"], "--lanes=8 and --trials-per-gpu=8 both share a GPU out; give one"),
        (["--pack-on-cpu"], "--pack-on-cpu trains one pack on this machine; give --lanes N too"),
        (["--executor", "stack"], "unknown executor 'stack'; did you mean stacked"),
        (["--executor", "stacked"], "a study of executor=stacked trains in packs; give --lanes N, on a machine with"),
        (
            [
                "--executor",
                "stacked",
                "--lanes",
                "2",
                "--pack-on-cpu",
                "--set",
                "objective=examples.free_bits:free_bits",
            ],
            "examples.free_bits:free_bits cannot be stacked, only burgess2018-a1 under our objectives; use --executor",
        ),
        (["--sampler", "tpe"], "--sampler belongs to --search tradeoff; leave it out of capacity_grid"),
        (["--stop-futile"], "--stop-futile belongs to --search tradeoff"),
        (["--set", "gamma=10:100"], "search capacity_grid takes values, not the range gamma=10:100; list them, or use"),
        (["--search", "tradeoff", "--set", "gamma=100:10"], "gamma=100:10 is an empty range"),
        (["--search", "tradeoff", "--set", "gamma=1:10", "--set", "gamma=5"], "gamma has a range and is pinned to 5"),
        (
            ["--search", "tradeoff", "--set", "objective=beta_vae", "--set", "gamma=1:9"],
            "no objective of beta_vae reads",
        ),
        (["--search", "tradeoff", "--set", "objective=vae"], "nothing is left to search: every setting is pinned"),
        (
            ["--search", "tradeoff", "--set", "steps=1000"],
            "ramp_steps=3000 exceeds steps=1000; lower it or raise steps",
        ),
        (["--search", "tradeoff", "--target", "migg"], "unknown target 'migg'; did you mean mig"),
        (["--search", "tradeoff", "--sampler", "tpee"], "unknown sampler 'tpee'; did you mean tpe?"),
        (["--search", "tradeoff", "--settings", "0"], "settings=0 is outside"),
        (["--search", "tradeoff", "--max-trials", "1"], "--max-trials=1 admits no setting: each is judged on 2"),
        (
            ["--search", "pilot", "--set", "beta=2"],
            "beta=2: the pilot chooses objective, beta and C_max itself",
        ),
        (["--search", "pilot", "--set", "ramp_steps=10,20"], "ramp_steps=10,...: the pilot chooses"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert said in refused(["--store", str(store), *words], capsys)
    assert not store.exists()


@pytest.mark.parametrize("listens", [False, True], ids=["nobody", "something else"])
def test_an_address_without_ray_behind_it_is_refused(
    listens: bool, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight, "PROBE_SECONDS", 1.0)
    with socket.socket() as other:  # bound, so that nobody else answers here
        other.bind(("127.0.0.1", 0))
        if listens:  # accepts and says nothing, as any other service might
            other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        words = ["--store", str(tmp_path / "s"), "--set", f"dataset={tiny_path}", "--address", address]
        assert f"no Ray cluster answers at address {address} within 1 s" in refused(words, capsys)
    assert not (tmp_path / "s").exists()


def test_an_address_in_the_environment_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert "is a Ray client address" in refused(["--store", str(tmp_path / "s")], capsys)


def test_images_that_the_network_does_not_take_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(40, 32, 32, 3), dtype=np.uint8)
    classes = np.arange(40, dtype=np.uint8)[:, None]
    write_dataset(tmp_path / "small.h5", "small", [images], classes, {"number": range(40)})
    words = ["--store", str(tmp_path / "s"), "--set", f"dataset={tmp_path / 'small.h5'}", "--set", "precision=fp32"]
    assert "images of 32 x 32 pixels do not fit the network" in refused(words, capsys)
    assert not (tmp_path / "s").exists()


def test_a_store_that_cannot_be_written_is_refused(
    tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["--store", str(tmp_path / "file" / "store"), "--set", f"dataset={tiny_path}", "--set", "precision=fp32"]
    assert "cannot be written" in refused(words, capsys)


def test_a_dry_run_refuses_what_a_run_would(
    uninterrupted: tuple[Path, str], tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is a file" in refused(["--dry-run", "--store", str(tiny_path)], capsys)
    words = ["--dry-run", "--store", str(uninterrupted[0]), "--set", "eval_seed=3"]
    assert "holds another study" in refused(words, capsys)


def test_a_dry_run_with_a_mirror_reads_only(
    uninterrupted: tuple[Path, str], tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = tmp_path / "mirror"
    words = ["--store", str(tmp_path / "s"), "--set", f"dataset={tiny_path}", "--results", str(mirror)]
    assert run.main(["--dry-run", *words]) == 0
    assert not mirror.exists()
    push(uninterrupted[0], str(mirror))
    assert "a run would first bring" not in capsys.readouterr().out
    assert run.main(["--dry-run", *words]) == 0
    assert f"a run would first bring {tmp_path / 's'} back from {mirror}" in capsys.readouterr().out
    for more, said in (
        (["--search", "beta_grid"], "holds a study of search 'capacity_grid', not 'beta_grid'"),
        (["--protocol", "paper"], "holds a study of protocol 'laptop', not 'paper'"),
        (["--max-hours", "0"], "--max-hours=0.0 is outside"),
        (["--address", "head"], "is not host:port"),
        (["--set", "model=nowhere_at_all:f"], "cannot be imported"),
    ):
        assert said in refused([*words, *more], capsys)
    assert not (tmp_path / "s").exists()


def test_a_name_that_we_render_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dsprites").mkdir()
    assert run.main(["--dry-run", "--set", "dataset=dsprites"]) == 0
    assert "12 trials" in capsys.readouterr().out


def test_a_full_disk_is_refused(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 10**6))
    words = ["--store", str(tmp_path / "store"), "--set", f"dataset={tiny_path}"]
    assert "has 1 MB free; free some, or use --store on another disk" in refused(words, capsys)


def test_the_dry_run_tells_trials_time_and_disk_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--dry-run", "--store", str(tmp_path / "store")]) == 0
    output = capsys.readouterr().out
    assert "12 trials, 42,000 updates, about" in output
    assert "MB of disk" in output
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("executor", "where", "share"),
    [
        ("loop", Launch(cores=2), 1),
        ("loop", Launch(cores=2, lanes=8, on_cpu=True), 8),
        ("loop", Launch(cores=2, gpus=4, lanes=8), 8),
        ("loop", Launch(cores=2, lanes=8, on_cpu=True, concurrency=2), 2),
        ("stacked", Launch(cores=2, gpus=1, lanes=8), 1),
        ("stacked", Launch(cores=2, lanes=8, imagined=True), 1),
    ],
)
def test_lanes_of_a_loop_train_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str, where: Launch, share: int
) -> None:
    study = StudyConfig("capacity_grid", "laptop", executor=executor).settled("bf16", 100)
    monkeypatch.setattr(run, "measured_speed", lambda existing: 24.0)
    assert run.speed_of(study, open_study(build(tmp_path / "store")), where).steps_per_second == 24 / share
    unknown = run.speed_of(study, None, where).steps_per_second
    assert unknown == (None if where.gpus or where.imagined else 18 / share)


def test_the_list_names_every_search_and_its_price(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--list"]) == 0
    output = capsys.readouterr().out
    assert all(f"{name}: " in output for name in SEARCHES)
    assert output.count(" trials, ") == 2 * len(SEARCHES)  # in both protocols


def test_the_main_command_ends_with_the_table_and_the_page(uninterrupted: tuple[Path, str]) -> None:
    store, output = uninterrupted
    study = open_study(store)
    assert list(study.status().values()) == ["finished"] * TRIALS
    assert study.problems == []
    assert "mig_calibrated" in output
    assert f"report: {store}/report/index.html" in output
    assert (store / "report" / "index.html").stat().st_size > 100_000
    assert "╭" not in output  # Tune's own boxes go to the log
    assert study.provenance[-1]["versions"]["torch"]


def test_the_same_command_again_trains_nothing(
    uninterrupted: tuple[Path, str], tiny_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = Command(tiny_path, uninterrupted[0])
    before = open_study(command.store).attempts()
    code, output = run.main(command.words()), capfd.readouterr().out  # that of the report's process, too
    assert code == 0, output
    assert f"{TRIALS} trials, {TRIALS} not to be run" in output
    assert "to run now" not in output
    assert "mig_calibrated" in output
    assert open_study(command.store).attempts() == before


def test_another_identity_is_refused_with_the_difference(
    uninterrupted: tuple[Path, str], tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = Command(tiny_path, uninterrupted[0]).words(eval_seed="1", probe_rows="50")
    difference = "holds another study: eval_seed was 0, now 1, probe_rows was 60, now 50"
    assert difference in refused(words, capsys)


def test_a_second_driver_is_refused(uninterrupted: tuple[Path, str], tiny_path: Path) -> None:
    with (uninterrupted[0] / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = Command(tiny_path, uninterrupted[0])
        code, output = command.run()
        command.end()
    assert code == 2
    assert "is open in another driver (process " in output


def test_a_corrupt_part_is_named_and_the_rest_is_read(
    uninterrupted: tuple[Path, str], tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], store)
    with run.Store.open(store, open_study(store).identity, {}) as writer:
        writer.add_row("someone", 1, {"step": 1})
        writer.flush()
    part = max((store / "rows").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-7])
    assert run.main(["--status", str(store)]) == 0
    output = capsys.readouterr().out
    assert f"finished {TRIALS}" in output
    assert f"{part} cannot be read" in output
    command = Command(tiny_path, store)
    code, output = command.run()
    command.end()
    assert code == 2
    assert str(part) in output
    assert part.exists()


def test_status_of_a_finished_study(uninterrupted: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--status", str(uninterrupted[0])]) == 0
    assert f"{TRIALS} trials: finished {TRIALS}, running 0, diverged 0, failed 0, waiting 0" in capsys.readouterr().out


@pytest.mark.slow
def test_more_seeds_and_a_wider_grid_extend_the_study(
    uninterrupted: tuple[Path, str], tiny_path: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(uninterrupted[0], store)
    before = open_study(store).attempts()
    command = Command(tiny_path, store)
    code, output = command.run("--seeds", "3", capacity_max="2,3")
    command.end()
    study = open_study(store)
    assert code == 0, output
    assert len(study.status()) == 12
    assert {key: study.attempts()[key] for key in before} == before
    assert [json.loads(entry["study"])["seeds"] for entry in study.plan] == [None, 3]


@pytest.mark.slow
def test_what_was_deleted_of_a_finished_trial_is_made_again(
    uninterrupted: tuple[Path, str], tiny_path: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(uninterrupted[0], store)
    first, second, *_ = sorted(open_study(store).status())
    (store / "arrays" / f"{first}.h5").unlink()
    (store / "checkpoints" / second).unlink()
    status = open_study(store).status()
    assert {key for key, state in status.items() if state == "interrupted"} == {first, second}
    command = Command(tiny_path, store)
    code, output = command.run()
    command.end()
    assert code == 0, output
    assert compare(store, uninterrupted[0]) == []


@pytest.mark.slow
def test_without_its_rows_a_finished_study_makes_its_ends_again(
    uninterrupted: tuple[Path, str], tiny_path: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(uninterrupted[0], store)
    shutil.rmtree(store / "rows")
    command = Command(tiny_path, store)
    code, output = command.run()
    command.end()
    assert code == 0, output
    assert set(open_study(store).status().values()) == {"finished"}
    assert run.main(["--status", str(store)]) == 0  # no row of it has a speed
    ends = open_study(uninterrupted[0]).rows().query("done")[["key", "recon", "tracking"]].reset_index(drop=True)
    again = open_study(store).rows()[["key", "recon", "tracking"]]
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(ends))


@pytest.mark.slow
def test_max_trials_leaves_the_rest_for_the_next_command(command: Command) -> None:
    assert command.run("--max-trials", "1")[0] == 3
    assert len(open_study(command.store).status()) == 1
    assert command.run()[0] == 0
    assert len(open_study(command.store).status()) == TRIALS


@pytest.mark.slow
def test_a_spent_budget_stores_everything_and_the_rest_is_left_over(command: Command) -> None:
    long = {"steps": "6000", "ramp_steps": "3000", "report_every": "50", "batch_size": "1"}
    code, output = command.run("--max-hours", "0.009", "--price-per-hour", "3", **long)
    assert code == 3, output
    assert "the budget of 32 s is spent: every trial goes to its next report and is stored" in output
    assert ", 0.0" in output.splitlines()[1]  # the price of the plan
    study = open_study(command.store)
    assert "interrupted" in study.status().values()
    assert "running" not in study.status().values()
    started = study.rows()["key"].unique().tolist()
    assert all(study.checkpoint(key) for key in started)
    entry = study.provenance[-1]
    assert "at 3 an hour" in entry["actual"]
    assert f"predicted: {entry['predicted']}; took {entry['actual']}" in output


@pytest.mark.slow
def test_a_diverged_trial_is_a_result(command: Command) -> None:
    code, output = command.run(learning_rate="1", gamma="1e9", objective="capacity")
    study = open_study(command.store)
    assert set(study.status().values()) == {"diverged"}
    assert code == 0, output
    assert study.problems == []
    assert command.run(learning_rate="1", gamma="1e9", objective="capacity")[0] == 0
    assert set(open_study(command.store).attempts().values()) == {1}


@pytest.mark.slow
def test_a_running_cluster_is_used_and_left_running(
    command: Command, uninterrupted: tuple[Path, str], local_ray: None
) -> None:
    code, output = command.run("--address", ray.get_runtime_context().gcs_address)
    assert code == 0, output
    assert compare(command.store, uninterrupted[0]) == []
    assert ray.cluster_resources()["CPU"] == 2


@pytest.mark.slow
def test_a_trial_that_raises_every_time_fails_alone_and_is_retried_on_demand(command: Command) -> None:
    command.run("--max-trials", "1")
    study = open_study(command.store)
    victim = list(planned(StudyConfig.from_json(study.plan[-1]["study"])))[1]
    (command.store / "checkpoints" / victim).write_bytes(b"no checkpoint")
    code, output = command.run()
    status = open_study(command.store).status()
    assert code == 1, output
    assert [key for key, state in status.items() if state != "finished"] == [victim]
    assert status[victim] == "failed"
    log = command.store / "logs" / f"{victim}.txt"
    assert str(log) in output
    assert f"checkpoint of trial {victim} cannot be read" in log.read_text()
    assert open_study(command.store).attempts()[victim] == 3
    (command.store / "checkpoints" / victim).unlink()
    assert command.run()[0] == 1  # failed trials are not run again by themselves
    assert command.run("--retry-failed")[0] == 0
    assert open_study(command.store).status()[victim] == "finished"


def test_finished_trials_come_out_again_alone(
    uninterrupted: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--verify-pack", "2", "--store", str(uninterrupted[0])]) == 0
    assert "all equal, bit for bit: last rows, arrays and weights" in capsys.readouterr().out
