import dataclasses
import fcntl
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from study import run, verify
from study.store import Store, open_study
from tests.study.stores import PROVENANCE, build, start
from trainables import alone
from trainables.alone import Ended
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset

EVALUATION = Evaluation(report_every=2, report_rows=20, probe_rows=40)
Made = Mapping[str, Ended]


def configs(dataset: Path) -> list[TrialConfig]:
    return [TrialConfig(steps=4, ramp_steps=2, batch_size=4, seed=seed, dataset=str(dataset)) for seed in range(2)]


def write(path: Path, dataset: Dataset, made: Made, executor: str = "loop", **changes: Any) -> Path:
    """A store of finished trials; `changes` are made to every last row, and to the arrays."""
    identity = {"schema": 1, "search": "capacity_grid", "dataset": dataset.sha256, "executor": executor}
    arrays = changes.pop("arrays", {})
    with Store.open(path, identity | dataclasses.asdict(EVALUATION), PROVENANCE) as store:
        for config in configs(dataset.path):
            key, ended = start(store, config), made[config.key()]
            row = ended.row | {name: change(ended.row[name]) for name, change in changes.items()}
            store.finish(key, 1, row, {**ended.arrays, **arrays}, ended.weights)
    return path


@pytest.fixture(scope="module")
def made(tiny: Dataset) -> Made:
    """What two seeds of one setting come to."""
    ended = {config.key(): alone.train(config, EVALUATION, tiny, "cpu") for config in configs(tiny.path)}
    return {key: found for key, found in ended.items() if found}


@pytest.fixture
def remembered(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training again costs nothing: it comes to the same."""
    monkeypatch.setattr(alone, "train", lambda config, evaluation, dataset, device: made[config.key()])


def verified(store: Path, capsys: pytest.CaptureFixture[str], count: int = 2) -> tuple[int, str, str]:
    code = run.main(["--verify-pack", str(count), "--store", str(store)])
    output, errors = capsys.readouterr()
    return code, output, errors


def test_trials_are_trained_again_bit_for_bit_beside_a_driver_and_nothing_is_written(
    made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "store", tiny, made)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with (path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a driver holds it
        code, output, _ = verified(path, capsys, count=9)
    assert (code, "all equal, bit for bit" in output) == (0, True), output
    assert output.startswith(
        f"2 finished trials of {path} are trained again, alone, on cpu, and compared bit for bit: 8"
    )
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.usefixtures("remembered")
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"recon": lambda value: np.nextafter(value, 0)}, "differs in recon"),
        ({"verdict": lambda value: "fine"}, "differs in verdict"),
        ({"off_plateau": lambda value: not value}, "differs in off_plateau"),
        ({"mig": lambda value: None}, "differs in mig"),
        ({"arrays": {"mean": np.zeros((1, 2), np.float32)}}, "differs in array mean"),
        ({"arrays": {"more": np.zeros(1)}}, "differs in array more"),
    ],
)
def test_one_changed_value_is_named(
    changes: dict[str, Any], named: str, made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "store", tiny, made, **changes)
    code, output, _ = verified(path, capsys)
    assert code == 1
    for key in made:
        assert any(key in line and line.endswith(named) for line in output.splitlines()), output
    assert f"not equal bit for bit: trials {', '.join(verify.chosen(open_study(path), 2))}" in output


@pytest.mark.usefixtures("remembered")
def test_the_weights_and_one_trial_alone(
    made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "store", tiny, made)
    changed, other = made
    (path / "checkpoints" / changed).write_bytes(made[other].weights)
    with h5py.File(path / "arrays" / f"{changed}.h5", "r+") as file:
        file["log_std"][0, 0] += 1  # type: ignore[index]
    code, output, _ = verified(path, capsys)
    assert (code, output.count("differs in array log_std, weights")) == (1, 1)
    assert output.splitlines()[-1] == f"not equal bit for bit: trials {changed}"


@pytest.mark.usefixtures("remembered")
def test_a_stacked_study_is_held_against_its_seeds(
    made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near = write(tmp_path / "near", tiny, made, "stacked", recon=lambda value: value + 1e-3, verdict=lambda value: "no")
    code, output, _ = verified(near, capsys)
    assert code == 0, output
    assert "compared by the spread over seeds (executor=stacked)" in output
    assert "also different: verdict in 2 of 2 trials" in output
    assert "no column is beyond the spread over seeds" in output
    far = write(tmp_path / "far", tiny, made, "stacked", recon=lambda value: value + 1e9)
    code, output, _ = verified(far, capsys)
    assert code == 1, output
    assert output.splitlines()[-1] == "beyond the spread over seeds: recon"
    assert [line.split()[0] for line in output.splitlines() if line.endswith("<- beyond")] == ["recon"]


def test_a_trial_that_diverges_now_is_a_difference(
    made: Made, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alone, "train", lambda *arguments: None)
    for executor in ("loop", "stacked"):
        code, output, _ = verified(write(tmp_path / executor, tiny, made, executor), capsys)
        assert (code, output.count("differs in its end (it diverges)")) == (1, 2)


@pytest.mark.usefixtures("remembered")
def test_bits_of_a_gpu_are_not_asked_of_a_cpu(
    made: Made, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alone.checkpoint, "places", lambda state, whose: {"cuda:0", "cpu"})
    monkeypatch.setattr(alone.torch.cuda, "is_available", lambda: False)
    code, output, _ = verified(write(tmp_path / "store", tiny, made), capsys)
    assert (code, "by the spread over seeds (trained on a GPU, and none is here)" in output) == (0, True)


@pytest.mark.usefixtures("remembered")
def test_without_a_second_seed_nothing_is_flagged(
    made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "store", tiny, made, "stacked", recon=lambda value: value + 1e9)
    shutil.rmtree(path / "checkpoints")
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / next(iter(made))).write_bytes(made[next(iter(made))].weights)
    code, output, _ = verified(path, capsys)
    assert (code, "the spread over seeds is unknown" in output) == (0, True)
    assert "had finished and lost row, arrays or weights: not looked at" in output


def test_ctrl_c_ends_with_130(
    made: Made, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(alone, "train", interrupted)
    code, _, errors = verified(write(tmp_path / "store", tiny, made), capsys)
    assert (code, errors) == (130, "stopped; nothing was written, and the same command starts again\n")


def test_bad_input_is_one_line(made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(store: Path, count: int = 1) -> str:
        code, output, errors = verified(store, capsys, count)
        assert (code, output, errors.count("\n")) == (2, "", 1)
        return errors

    path = write(tmp_path / "store", tiny, made)
    assert "--verify-pack=0 is outside [1, 100000]" in refused(path, 0)
    assert "nowhere is no store" in refused(tmp_path / "nowhere")
    key = next(iter(made))
    shutil.rmtree(path / "arrays")
    assert "has no finished trial, with its arrays and weights, to train again; run the study first" in refused(path)
    here = tmp_path / "moved.h5"
    shutil.copy(tiny.path, here)
    moved = dataclasses.replace(tiny, path=here)
    keys = [config.key() for config in configs(here)]
    store = write(tmp_path / "moved", moved, dict(zip(keys, made.values(), strict=True)))
    here.unlink()
    assert "unknown dataset" in refused(store)
    assert key not in keys


def test_another_dataset_is_refused(
    made: Made, tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "store", dataclasses.replace(tiny, sha256="0" * 64), made)
    code, output, errors = verified(path, capsys)
    assert (code, output) == (2, "")
    assert f"is not the dataset of {path} (sha256 {tiny.sha256[:12]}, not 000000000000)" in errors


def test_the_choice_is_always_the_same_and_grows(tmp_path: Path, made: Made, tiny: Dataset) -> None:
    study = open_study(write(tmp_path / "store", tiny, made))
    assert set(verify.chosen(study, 9)) == set(made)
    assert verify.chosen(study, 2)[:1] == verify.chosen(study, 1)
    (only,) = verify.chosen(open_study(build(tmp_path / "other")), 9)  # the other one has diverged
    assert study.status()[verify.chosen(study, 1)[0]] == "finished"
    assert only
