import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray
from ray.tune.search import Searcher

from study.adapters import GracefulStop, PlanSearcher, Shelf, StoreCallback
from study.store import Store, open_study
from trainables.config import TrialConfig
from trainables.trial import ARRAYS, DIVERGED, LOG, ROW, STATE

CONFIGS = [TrialConfig(objective="beta_vae", seed=seed, steps=4) for seed in range(2)]


def tune_trial(config: TrialConfig, error_file: Path | None = None) -> Any:
    return SimpleNamespace(config={"trial": dataclasses.asdict(config)}, error_file=error_file)


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


def callback(store: Store) -> tuple[StoreCallback, list[str]]:
    shown: list[str] = []
    return StoreCallback(store, CONFIGS, GracefulStop(), shown.append), shown


def row(step: int, full: bool = False) -> dict[str, Any]:
    return {"step": step, "recon": 1.0, "seconds": 1.0, "full": full}


def test_the_searcher_hands_out_each_config_once_in_order() -> None:
    searcher = PlanSearcher(CONFIGS, GracefulStop())
    suggested = [searcher.suggest(str(i)) for i in range(3)]
    assert [TrialConfig(**s["trial"]) for s in suggested[:2]] == CONFIGS
    assert suggested[2] == Searcher.FINISHED


def test_a_stopping_study_starts_nothing_and_ends_when_nothing_runs() -> None:
    stop = GracefulStop()
    searcher = PlanSearcher(CONFIGS, stop)
    assert not stop("a", {})
    stop.running.add("a")
    stop.asked = True
    assert searcher.suggest("b") == Searcher.FINISHED
    assert stop("a", {})
    assert not stop.stop_all()
    stop.running.discard("a")
    assert stop.stop_all()


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
    assert watch.snapshot(10.0).steps_per_second == 0
    other = tune_trial(CONFIGS[1])
    watch.on_trial_start(0, [], other)
    watch.on_trial_result(0, [], other, {ROW: row(2), LOG: ""})
    assert watch.snapshot(10.0).steps_per_second == 0.2


def test_the_shelf_gives_what_the_store_holds(store: Store, local_ray: None) -> None:
    store.save_checkpoint("k", b"bytes")
    shelf: Any = Shelf.remote(str(store.path))  # type: ignore[attr-defined]
    assert ray.get([shelf.get.remote("k"), shelf.get.remote("other")]) == [b"bytes", None]
