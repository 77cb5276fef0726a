import dataclasses
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.search import Searcher

from study import adapters
from study.adapters import SourceSearcher, SourceStopper, StoreCallback
from study.patience import LOST, MAX_FAILURES, OTHER_SOFTWARE
from study.plan import Budget
from study.source import Grid, Source
from study.store import Store, open_study
from trainables.config import TrialConfig
from trainables.packing.desk import LeaseExpired, PackFailed
from trainables.trial import ARRAYS, DIVERGED, LOG, ROW, STATE

CONFIGS = [TrialConfig(objective="beta_vae", seed=seed, steps=4) for seed in range(2)]


def tune_trial(config: TrialConfig, error_file: Path | None = None) -> Any:
    told = {"trial": dataclasses.asdict(config)}
    return SimpleNamespace(config=told, error_file=error_file, num_failures=0, max_failures=MAX_FAILURES)


@pytest.fixture
def error_file(tmp_path: Path) -> Path:
    """As Tune writes it: every failure is appended."""
    path = tmp_path / "error.txt"
    path.write_text(
        "Failure # 1 (occurred at 12:00)\nray::train()\nKeyError: old\n"
        "Failure # 2 (occurred at 12:01)\nray::train()\n  File x\nValueError: no\nThe trial had printed:\nhello\n"
    )
    return path


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "store", {"schema": 1}, {}) as store:
        yield store


def grid() -> Grid:
    return Grid({config.key(): config for config in CONFIGS}, {})


def callback(store: Store, source: Source | None = None, **options: Any) -> tuple[StoreCallback, list[str]]:
    shown: list[str] = []
    source = source or grid()
    return StoreCallback(store, source, SourceStopper(source), shown.append, **options), shown


class Judge(Source):
    """A source that gives up the first trial at its second report, and drops the second trial with it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.dropped: list[TrialConfig] = []
        self.is_waiting = True

    @property
    def has_more(self) -> bool:
        return True

    @property
    def waiting(self) -> bool:
        return self.is_waiting

    def next(self) -> TrialConfig | None:
        return None

    def planned(self) -> dict[str, TrialConfig]:
        return {config.key(): config for config in CONFIGS}

    def gives_up(self, config: TrialConfig, row: Any) -> str:
        if config == CONFIGS[0] and row["step"] == 2:
            self.dropped = [CONFIGS[1]]
            return "hopeless"
        return ""

    def ended(self, config: TrialConfig, status: str, row: Any) -> None:
        self.heard.append((config.key(), status))

    def take_dropped(self) -> list[TrialConfig]:
        dropped, self.dropped = self.dropped, []
        return dropped


def row(step: int, full: bool = False) -> dict[str, Any]:
    return {"step": step, "recon": 1.0, "seconds": 1.0, "full": full}


def test_the_searcher_hands_out_each_config_once_in_order() -> None:
    source = grid()
    searcher = SourceSearcher(source, SourceStopper(source))
    suggested = [searcher.suggest(str(i)) for i in range(3)]
    assert [TrialConfig(**s["trial"]) for s in suggested[:2]] == CONFIGS
    assert suggested[2] == Searcher.FINISHED


def test_the_searcher_waits_while_its_source_does() -> None:
    source = Judge()
    searcher = SourceSearcher(source, SourceStopper(source))
    assert searcher.suggest("a") is None
    source.is_waiting = False
    assert searcher.suggest("a") == Searcher.FINISHED


def test_a_stopping_study_starts_nothing_and_ends_when_nothing_runs() -> None:
    source = grid()
    stop = SourceStopper(source)
    searcher = SourceSearcher(source, stop)
    assert not stop("a", {})
    stop.running.add("a")
    stop.asked = True
    assert searcher.suggest("b") == Searcher.FINISHED
    assert stop("a", {})
    assert not stop.stop_all()
    stop.running.discard("a")
    assert stop.stop_all()


def test_a_trial_that_its_source_gives_up_is_stopped_with_the_reason_and_its_setting_is_dropped(store: Store) -> None:
    source = Judge()
    watch, _ = callback(store, source)
    trial, key = tune_trial(CONFIGS[0]), CONFIGS[0].key()
    watch.on_trial_start(0, [], trial)
    for step, stops in ((1, False), (2, True)):
        result = {ROW: row(step), LOG: "", "config": trial.config}
        assert watch.stop("id", result) is stops  # Tune asks the stopper first, and then tells the callback
        watch.on_trial_result(0, [], trial, result)
    watch.on_trial_complete(0, [], trial)
    study = open_study(store.path)
    assert study.status() == {key: "stopped", CONFIGS[1].key(): "dropped"}
    assert study.events().query("kind == 'stopped'")["detail"].tolist() == ["hopeless"]
    assert study.configs() == {config.key(): config for config in CONFIGS}
    assert study.steps() == {key: 2}


def test_a_source_hears_how_its_trials_end(store: Store, error_file: Path) -> None:
    source = Judge()
    watch, _ = callback(store, source)
    for seed, end in ((0, {ROW: row(4, True), STATE: b"w", ARRAYS: {"mean": np.ones(3)}, LOG: ""}),
                      (1, {ROW: {}, LOG: "", DIVERGED: 3})):  # fmt: skip
        trial = tune_trial(CONFIGS[seed], error_file)
        watch.on_trial_start(0, [], trial)
        watch.on_trial_result(0, [], trial, end)
        watch.on_trial_complete(0, [], trial)
    failing = tune_trial(dataclasses.replace(CONFIGS[0], seed=7), error_file)
    watch.on_trial_error(0, [], failing)
    keys = [CONFIGS[0].key(), CONFIGS[1].key(), dataclasses.replace(CONFIGS[0], seed=7).key()]
    assert source.heard == list(zip(keys, ["finished", "diverged", "failed"], strict=True))


def test_the_front_and_the_money_are_shown_and_the_front_once(store: Store) -> None:
    watch, _ = callback(store, budget=Budget(price_per_hour=7200.0))
    trial = tune_trial(CONFIGS[0])
    watch.on_trial_start(0, [], trial)
    last = row(4, True) | {"mig_calibrated": 0.25}
    watch.on_trial_result(0, [], trial, {ROW: last, STATE: b"w", ARRAYS: {"mean": np.ones(3)}, LOG: ""})
    now = str(watch.snapshot(watch.began + 10.0))
    assert ", 20.00 so far" in now
    assert "front so far (recon, mig_calibrated):\n  1.0  0.250  beta 1 (1 seed)" in now
    assert "front" not in str(watch.snapshot(watch.began + 11.0))


def test_a_report_is_stored_and_taken_out_of_tunes_copy(store: Store) -> None:
    watch, _ = callback(store)
    trial, key = tune_trial(CONFIGS[0]), CONFIGS[0].key()
    watch.on_trial_start(0, [], trial)
    result = {"done": False, ROW: row(2), STATE: b"state", ARRAYS: None, LOG: "hello\n", "config": {}}
    watch.on_trial_result(0, [], trial, result)
    assert result == {"done": False}
    study = open_study(store.path)
    assert study.checkpoint(key) == b"state"
    assert study.steps() == {key: 2}  # the row is on disk before its checkpoint
    assert study.status() == {key: "running"}
    assert study.configs() == {key: CONFIGS[0]}
    assert store.log_path(key).read_text() == "hello\n"


def test_a_trials_life_of_retry_and_end(store: Store, error_file: Path) -> None:
    watch, shown = callback(store)
    trial, key = tune_trial(CONFIGS[0], error_file), CONFIGS[0].key()
    watch.on_trial_start(0, [], trial)
    watch.on_trial_recover(0, [], trial)
    watch.on_trial_start(0, [], trial)
    watch.on_trial_result(0, [], trial, {ROW: row(4, True), STATE: b"w", ARRAYS: {"mean": np.ones(3)}, LOG: ""})
    watch.on_trial_complete(0, [], trial)
    events = open_study(store.path).events()
    assert events["kind"].tolist() == ["started", "retried", "started", "finished"]
    assert events["attempt"].tolist() == [1, 1, 2, 2]
    assert events["detail"].tolist()[1] == "ValueError: no"
    assert store.log_path(key).read_text().startswith("Failure # 2")
    assert "KeyError" not in store.log_path(key).read_text()
    assert watch.stop.running == set()
    assert shown == []


@pytest.mark.parametrize("said", [PackFailed("OutOfMemoryError: CUDA"), LeaseExpired("trial a has lost its lane")])
def test_what_a_pack_says_is_told_and_not_what_ray_wraps_it_in(store: Store, tmp_path: Path, said: Exception) -> None:
    watch, _ = callback(store)
    failed = tmp_path / "error.txt"
    last = traceback.format_exception_only(said)[-1]
    wrapped = "ray.exceptions.RayTaskError(X): \x1b[36mray::PackServer.report()"
    failed.write_text(f"Failure # 1 (occurred at 12:00)\n{wrapped}\n{last}")
    watch.on_trial_recover(0, [], tune_trial(CONFIGS[0], failed))
    assert open_study(store.path).events()["detail"].tolist()[-1] == last.strip()


def test_failed_diverged_and_interrupted_are_told_apart(store: Store, error_file: Path) -> None:
    watch, shown = callback(store)
    failing, diverging = tune_trial(CONFIGS[0], error_file), tune_trial(CONFIGS[1])
    watch.on_trial_start(0, [], failing)
    watch.on_trial_error(0, [], failing)
    watch.on_trial_start(0, [], diverging)
    watch.on_trial_result(0, [], diverging, {ROW: {}, LOG: "", DIVERGED: 3})
    watch.on_trial_complete(0, [], diverging)
    status = open_study(store.path).status()
    assert status == {CONFIGS[0].key(): "failed", CONFIGS[1].key(): "diverged"}
    assert shown == [f"trial {CONFIGS[0].key()} failed: ValueError: no; see {store.log_path(CONFIGS[0].key())}"]
    watch.on_trial_start(0, [], failing)
    watch.on_trial_complete(0, [], failing)
    assert open_study(store.path).status()[CONFIGS[0].key()] == "interrupted"


def test_a_machine_that_fails_every_trial_does_not_drain_the_study(store: Store, error_file: Path) -> None:
    watch, shown = callback(store)
    for seed in range(2, 11):
        watch.on_trial_error(0, [], tune_trial(dataclasses.replace(CONFIGS[1], seed=seed), error_file))
    assert not watch.stop.asked
    watch.on_trial_error(0, [], tune_trial(dataclasses.replace(CONFIGS[1], seed=11), error_file))
    assert watch.stop.asked
    assert shown[-1].startswith("10 trials have failed, in a row or without a report: stopping")


def test_a_machine_with_other_software_stops_the_study_and_fails_no_trial(store: Store, error_file: Path) -> None:
    watch, shown = callback(store)
    trial = tune_trial(CONFIGS[0], error_file)
    error_file.write_text(f"Failure # 1\nInputError: a-host {OTHER_SOFTWARE} (torch 1, not 2); end it")
    watch.on_trial_start(0, [], trial)
    watch.on_trial_recover(0, [], trial)
    assert watch.stop.asked
    assert shown[0].startswith(f"InputError: a-host {OTHER_SOFTWARE} (torch 1, not 2); end it: stopping; then the same")
    watch.on_trial_error(0, [], trial)
    assert open_study(store.path).status() == {CONFIGS[0].key(): "interrupted"}
    assert watch.stop.running == set()


def test_a_trial_that_is_silent_for_too_long_is_killed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, shown = callback(store)
    killed: list[object] = []
    monkeypatch.setattr(adapters.ray, "kill", killed.append)
    trials = [tune_trial(config) for config in CONFIGS]
    for trial in trials:
        trial.temporary_state = SimpleNamespace(ray_actor=trial.config["trial"]["seed"])
        watch.on_trial_start(0, [], trial)
    watch.patience.hang_seconds = 100.0
    watch.patience.begun(CONFIGS[1].key(), watch.began - 200.0)
    watch.on_step_end(0, trials)
    assert killed == [1]
    assert f"trial {CONFIGS[1].key()} has not reported for 3 min: ended, and tried again" in shown
    watch.on_step_end(0, trials)
    assert killed == [1]  # once: its next attempt begins anew


def test_only_attempts_that_get_no_further_count(store: Store, error_file: Path) -> None:
    watch, _ = callback(store)
    trial = tune_trial(CONFIGS[0], error_file)
    watch.on_trial_start(0, [], trial)
    trial.num_failures = 2
    watch.on_trial_result(0, [], trial, {ROW: row(2), LOG: ""})
    assert trial.max_failures == 2 + MAX_FAILURES
    trial.num_failures = 3
    watch.on_trial_result(0, [], trial, {ROW: row(1), LOG: ""})  # again, from an older checkpoint
    watch.on_trial_result(0, [], trial, {ROW: row(2), LOG: ""})
    assert trial.max_failures == 2 + MAX_FAILURES
    watch.on_trial_recover(0, [], trial)
    assert trial.max_failures == 2 + MAX_FAILURES
    error_file.write_text(f"Failure # 4\nThe actor died because {LOST[0]}.")
    watch.on_trial_recover(0, [], trial)
    assert trial.max_failures == 3 + MAX_FAILURES


def test_a_process_that_dies_before_its_trial_has_started_is_a_failure_of_that_trial_alone(store: Store) -> None:
    watch, _ = callback(store)
    trial, key = tune_trial(CONFIGS[0]), CONFIGS[0].key()
    watch.on_trial_recover(0, [], trial)
    watch.on_trial_error(0, [], trial)
    study = open_study(store.path)
    assert study.status() == {key: "failed"}
    assert study.configs() == {key: CONFIGS[0]}


def test_the_rate_counts_what_this_driver_has_trained(store: Store) -> None:
    watch, _ = callback(store)
    diverging = tune_trial(CONFIGS[0])
    watch.on_trial_start(0, [], diverging)
    watch.on_trial_result(0, [], diverging, {ROW: {}, LOG: "", DIVERGED: 3})
    assert watch.snapshot(watch.began + 5.0).steps_per_second == 0
    other = tune_trial(CONFIGS[1])
    watch.on_trial_start(0, [], other)
    watch.on_trial_result(0, [], other, {ROW: row(2), LOG: ""})
    assert watch.snapshot(watch.began + 10.0).rates == pytest.approx((0.2, 0.2))
    watch.on_trial_result(0, [], other, {ROW: row(4), LOG: ""})
    late = [watch.snapshot(watch.began + 20.0 + later) for later in range(9)]
    assert late[0].rates == pytest.approx((4 / 20, 4 / 20))
    assert late[8].rates == pytest.approx((4 / 28, 0.0))  # the first marks are forgotten: nothing lately
    assert watch.snapshot(None).rates == ()
