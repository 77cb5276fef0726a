"""The adaptive searches: what they may choose from, and the real command line over real Ray at a tiny scale."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study import dashboard, run
from study.config import TARGETS, Adaptive, StudyConfig
from study.journal import NAME, open_journal
from study.protocols import LAPTOP, PROTOCOLS
from study.searches import identity_of, planned, protocol_of
from study.space import Range
from study.store import StoreError, open_study
from study.tradeoff import check_target, space, whole_settings
from tests.study.commandline import ROOT, Command
from tests.study.stores import build
from trainables.checks import InputError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset, open_dataset
from trainables.data.layout import write_dataset
from trainables.metrics.table import metrics_of
from trainables.trainer import Trainer

TINY = {"ramp_steps": "2:12", "capacity_max": "1:3", "gamma": "10:1000", "beta": "0.5:8"}


def study_of(**options: Any) -> StudyConfig:
    pinned = options.pop("pinned", {})
    return StudyConfig("tradeoff", pinned=pinned, adaptive=Adaptive(**options))


@pytest.mark.parametrize("protocol", list(PROTOCOLS.values()), ids=list(PROTOCOLS))
def test_the_protocols_ranges_can_be_trained_at_every_corner(protocol: Any) -> None:
    found = space(StudyConfig("tradeoff", protocol.name), protocol)
    assert found.objectives == ("beta_vae", "capacity")
    assert {name: (bounds.low, bounds.high) for name, bounds in found.ranges.items()} == dict(protocol.ranges)
    assert (found.base.steps, found.base.batch_size) == (protocol.trial.steps, protocol.trial.batch_size)


def test_what_is_pinned_leaves_the_space_and_several_values_are_choices() -> None:
    study = study_of(pinned={"gamma": (100.0,), "latents": (5, 10), "seed": (3, 4)}, ranges={"beta": (1.0, 2.0)})
    found = space(study, LAPTOP)
    assert set(found.ranges) == {"beta", "capacity_max", "ramp_steps"}
    assert found.ranges["beta"] == Range(1.0, 2.0)
    assert found.choices == {"latents": (5, 10)}
    assert found.config("capacity", {"capacity_max": 5.0, "ramp_steps": 1000}).gamma == 100
    assert study.seeds_of(LAPTOP) == (3, 4)


def test_ones_own_objective_has_the_axes_that_are_given() -> None:
    found = space(study_of(pinned={"objective": ("my.loss:f",)}, ranges={"gamma": (1.0, 2.0)}), LAPTOP)
    assert (found.objectives, set(found.ranges)) == (("my.loss:f",), {"gamma"})


def test_the_plan_counts_trials_and_settles_what_a_store_may_hold(tmp_path: Path) -> None:
    study = StudyConfig("tradeoff", adaptive=Adaptive(settings=3), seeds=4)
    assert len(planned(study)) == 12
    begun = open_study(build(tmp_path / "s"))  # two trials
    assert set(begun.configs()) < set(planned(study, begun))
    assert len(planned(study, begun)) == 12
    few = StudyConfig("tradeoff", pinned={"objective": ("beta_vae",), "beta": (1.0, 4.0)}, adaptive=Adaptive())
    assert len(planned(few)) == 4  # the space has no more
    assert len(planned(StudyConfig("tradeoff"))) == LAPTOP.settings * LAPTOP.seeds
    assert StudyConfig.from_json(study.to_json()) == study
    assert protocol_of(study) == LAPTOP


@pytest.mark.parametrize(
    "pinned", [{"steps": (7000,)}, {"latents": (32,)}, {"gamma": (100.0,)}, {"learning_rate": (1e-5,)}, {"seed": (7,)}]
)
def test_what_is_pinned_belongs_to_the_identity(pinned: dict[str, tuple]) -> None:
    usual = identity_of(StudyConfig("tradeoff"), "sha")
    assert identity_of(StudyConfig("tradeoff", pinned=pinned), "sha") != usual
    assert identity_of(StudyConfig("tradeoff", pinned={"dataset": ("/elsewhere/dsprites.h5",)}), "sha") == usual
    assert identity_of(study_of(settings=99), "sha") == usual  # a search may grow


def test_the_price_is_of_the_middle_of_the_space_and_of_both_objectives() -> None:
    found = space(study_of(pinned={"latents": (5, 10, 20)}, ranges={"steps": (3000.0, 30_000.0)}), LAPTOP).typical()
    assert [config.objective for config in found] == ["beta_vae", "capacity"]
    assert {config.steps for config in found} == {16_500}
    assert {config.latents for config in found} == {10}
    assert found[1].gamma == pytest.approx(100, rel=0.01)


def test_a_limit_is_whole_settings() -> None:
    assert [whole_settings(limit, 2) for limit in (None, 2, 5)] == [None, 2, 4]


def test_every_target_is_a_column_of_a_finished_trial(tiny: Dataset) -> None:
    config = TrialConfig(objective="beta_vae", steps=1, batch_size=2)
    report = Trainer(config, Evaluation(probe_rows=150, report_rows=10), tiny).run_to_report()
    usual = [target for target in TARGETS if not target.startswith(("mig_within", "mig_phase"))]
    usual = [target for target in usual if not target.startswith("factor_vae")]  # it takes 64 rows a factor value
    assert [target for target in usual if target not in report.row] == []
    for target in usual:
        check_target(target, tiny, 150)


def test_the_other_targets_are_scores_of_dsprites_own_factors() -> None:
    sizes = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
    factors = np.stack([np.arange(960) % size for size in sizes.values()], axis=1)
    cheap = [metric for metric in metrics_of(factors, list(sizes)) if metric.cheap]
    names = [name for metric in cheap for name in metric.names if name != "gaussian_total_correlation"]
    calibrated = [f"{name}_calibrated" for metric in cheap if metric.has_ceiling for name in metric.names]
    assert set(TARGETS) == {*names, *calibrated, "mig_active", "mig_sampled"}


def test_a_target_that_no_row_has_is_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(40, 64, 64, 1), dtype=np.uint8)
    classes = np.arange(40, dtype=np.uint8)[:, None] % 4
    write_dataset(tmp_path / "four.h5", "four", [images], classes, {"number": range(4)})
    four = open_dataset(tmp_path / "four.h5")
    check_target("mig_calibrated", four, 100)
    with pytest.raises(InputError, match="no row has the target mig_phase: the dataset has no orientation"):
        check_target("mig_phase", four, 100)
    with pytest.raises(InputError, match="no row has the target factor_vae: the FactorVAE score tells factors"):
        check_target("factor_vae", four, 100)
    write_dataset(tmp_path / "none.h5", "none", [images], np.zeros((40, 0), dtype=np.uint8), {})
    with pytest.raises(InputError, match="no row has the target mig: the dataset has no factors"):
        check_target("mig", open_dataset(tmp_path / "none.h5"), 100)


def test_the_dashboard_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "s")
    assert run.main(["--dashboard", str(tmp_path / "s")]) == 2
    assert "has no optuna.journal; only --search tradeoff writes one" in capsys.readouterr().err
    (tmp_path / "s" / "optuna.journal").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert run.main(["--dashboard", str(tmp_path / "s"), "--port", str(port)]) == 2
    assert f"port {port} cannot be used (Address already in use); give another --port" in capsys.readouterr().err
    assert run.main(["--dashboard", str(tmp_path / "s"), "--port", "0"]) == 2
    assert "--port=0 is outside [1, 65535]" in capsys.readouterr().err
    (tmp_path / "s" / "optuna.journal").write_text("no journal\n{}\n")
    assert run.main(["--dashboard", str(tmp_path / "s")]) == 2
    assert "cannot be read as an Optuna journal" in capsys.readouterr().err
    monkeypatch.setattr(dashboard.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"optuna-dashboard is not installed; pip install"):
        dashboard.serve(tmp_path / "s")


@pytest.fixture
def dashboard_url(tmp_path: Path) -> Iterator[str]:
    """The real dashboard on a journal of one finished setting."""
    store = build(tmp_path / "s")
    journal = open_journal(store / "optuna.journal", {"search": "tradeoff"}, "mig")
    study = optuna.load_study(study_name=NAME, storage=journal)
    study.tell(study.ask({"gamma": optuna.distributions.FloatDistribution(1, 9)}), [120.5, 0.25])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, str(ROOT / "study/run.py"), "--dashboard", str(store), "--port", str(port)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield url
    process.send_signal(signal.SIGTERM)
    process.wait()


@pytest.mark.slow
def test_the_real_dashboard_opens_the_journal(dashboard_url: str) -> None:
    with urllib.request.urlopen(f"{dashboard_url}/api/studies", timeout=20) as answer:
        (summary,) = json.load(answer)["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == (NAME, ["minimize", "maximize"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no browser on this machine")
def test_the_dashboards_page_shows_both_targets(dashboard_url: str) -> None:
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=15000", "--dump-dom"]
    page = subprocess.run([*words, f"{dashboard_url}/dashboard/studies/0"], capture_output=True, text=True, timeout=120)
    assert "Pareto Front" in page.stdout
    assert "recon" in page.stdout


def optuna_trials(store: Path) -> list[optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(store / "optuna.journal")))
    return optuna.load_study(study_name=NAME, storage=storage).get_trials()


@pytest.mark.slow
def test_kill_9_of_an_adaptive_search_leaves_one_consistent_study(command: Command) -> None:
    words = ("--search", "tradeoff", "--settings", "4")
    driver = command.start(*words, **TINY)
    command.wait_for(lambda: command.rows() >= 20)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert "RUNNING" in {trial.state.name for trial in optuna_trials(command.store)}
    code, output = command.run(*words, **TINY)
    assert code == 0, output
    trials, study = optuna_trials(command.store), open_study(command.store)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert len({trial.user_attrs["setting"] for trial in trials}) == 4
    table = study.trials()
    assert table["status"].tolist() == ["finished"] * 8
    for trial in trials:
        replicates = table[table["setting"] == trial.user_attrs["setting"]]
        assert trial.values == pytest.approx([np.mean(replicates[name]) for name in ("recon", "mig_calibrated")])
    assert "4 settings: 4 complete; on the front of their means (recon, mig_calibrated):" in output
    before = study.attempts()
    code, output = command.run("--search", "tradeoff", "--settings", "5", **TINY)
    assert code == 0, output
    assert len(optuna_trials(command.store)) == 5
    after = open_study(command.store).attempts()
    assert {key: after[key] for key in before} == before
    code, output = command.run(*words, "--target", "mig", **TINY)
    assert code == 2
    assert "holds another study: target was mig_calibrated, now mig" in output


@pytest.mark.slow
def test_a_diverging_setting_fails_and_its_sibling_is_given_up(command: Command) -> None:
    code, output = command.run(
        "--search", "tradeoff", "--settings", "2", learning_rate="1", gamma="1e9", objective="capacity", beta="1",
        ramp_steps="2:12", capacity_max="1:3", steps="240", report_every="1",
    )  # fmt: skip
    assert code == 0, output
    trials = optuna_trials(command.store)
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL"]
    assert all(trial.user_attrs["reason"].endswith("has diverged") for trial in trials)
    assert set(open_study(command.store).status().values()) <= {"diverged", "stopped", "dropped"}
    assert len(open_study(command.store).status()) == 4


@pytest.mark.slow
def test_futile_settings_are_stopped_inside_the_ramp(command: Command) -> None:
    code, output = command.run(
        "--search", "tradeoff", "--settings", "2", "--stop-futile", objective="capacity", gamma="1e4:1e5", beta="1",
        capacity_max="30", steps="240", ramp_steps="200", report_every="10", learning_rate="1e-6",
    )  # fmt: skip
    assert code == 0, output
    assert [trial.state.name for trial in optuna_trials(command.store)] == ["PRUNED", "PRUNED"]
    study = open_study(command.store)
    assert set(study.status().values()) == {"stopped"}
    assert max(study.steps().values()) < 240
    assert "futile: its nats say nothing of the image" in study.events()["detail"].tolist()


@pytest.mark.slow
def test_the_pilot_ends_with_advice(command: Command) -> None:
    # Nothing is learnt in 24 updates, so the honest advice is none.
    code, output = command.run("--search", "pilot", beta="", gamma="", capacity_max="")
    assert code == 0, output
    assert "advice: none; beta 1 does not reconstruct after 24 updates" in output
    assert set(open_study(command.store).status().values()) == {"finished"}


@pytest.mark.slow
def test_a_dry_run_measures_the_speed_where_trials_would_run(command: Command) -> None:
    code, output = command.run("--dry-run")
    assert code == 0, output
    assert "a speed measured just now on a core of a node that would train, 2 at a time" in output
    assert not command.store.exists()
    with pytest.raises(StoreError):
        open_study(command.store)
