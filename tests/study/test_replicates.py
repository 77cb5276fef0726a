"""The adaptive search over a made-up trainer whose recon and score are known functions of the setting."""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from study import replicates
from study.journal import NAME, make_sampler, open_journal
from study.replicates import Known, Replicates
from study.space import Range, Space
from trainables.config import TrialConfig

BASE = TrialConfig(steps=100, ramp_steps=10)
SPACE = Space(
    BASE,
    ("beta_vae", "capacity"),
    {"beta": Range(0.5, 16), "gamma": Range(10, 1000), "capacity_max": Range(3, 15)},
    {},
)
SEEDS = (0, 1)
Trained = Callable[[TrialConfig], tuple[str, dict[str, Any]]]


def trained(config: TrialConfig) -> tuple[str, dict[str, Any]]:
    """More nats reconstruct better and disentangle worse; the seed shifts both."""
    nats = 20 / config.beta if config.family == "beta" else config.capacity_max
    return "finished", {"recon": 200 - 5 * nats + config.seed, "mig_calibrated": 1 / (1 + nats) + 0.1 * config.seed}


@pytest.fixture(autouse=True, scope="module")
def unflushed() -> Iterator[None]:
    """Drivers are killed here, the machine is not: nothing waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


class Harness:
    """Runs a source as Tune would, with what it has seen kept as a store would."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.options = folder, options
        self.status: dict[str, str] = {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.begun: list[str] = []

    def source(self, **options: Any) -> Replicates:
        known = {key: Known(state, self.rows.get(key, {})) for key, state in self.status.items()}
        merged: dict[str, Any] = {"settings": 6, "target": "mig_calibrated"} | self.options | options
        journal = open_journal(self.folder / "optuna.journal", {"search": "tradeoff"}, "mig_calibrated")
        return Replicates(journal, merged.pop("space", SPACE), SEEDS, known=known, reports=self.reports, **merged)

    def run(
        self, trainer: Trained = trained, slots: int = 2, killed_after: int | None = None, **options: Any
    ) -> Replicates:
        """Train until nothing is left, or until the driver is killed after so many results."""
        source, running = self.source(**options), []
        self.drop(source)
        ended = 0
        while True:
            while ended != killed_after and len(running) < slots and (config := source.next()):
                assert config not in running
                self.begun.append(config.key())
                self.status[config.key()] = "running"
                running.append(config)
            if not running or ended == killed_after:
                return source
            config = running.pop(0)
            if self.report(source, config):
                self.status[config.key()] = "stopped"
                self.drop(source)
                continue
            state, row = trainer(config)
            self.status[config.key()], self.rows[config.key()] = state, row
            ended += 1
            if ended != killed_after:  # else killed between the store and the journal
                source.ended(config, state, row)
                self.drop(source)

    def report(self, source: Replicates, config: TrialConfig) -> str:
        """The trial's only report before its end; its setting may have been told meanwhile."""
        return source.gives_up(config, {"step": 1, "verdict": "fine"})

    def drop(self, source: Replicates) -> None:
        self.status |= {config.key(): "dropped" for config in source.take_dropped()}

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        journal = open_journal(self.folder / "optuna.journal", {"search": "tradeoff"}, "mig_calibrated")
        return optuna.load_study(study_name=NAME, storage=journal).get_trials()


def asked_settings(trials: list[optuna.trial.FrozenTrial]) -> list[str]:
    return [trial.user_attrs["setting"] for trial in trials if "setting" in trial.user_attrs]


def test_the_mean_over_replicates_is_told_for_both_targets(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    source = harness.run()
    assert not source.has_more
    trials = harness.trials()
    assert len(trials) == 6
    assert len(harness.begun) == len(set(harness.begun)) == 12
    for trial in trials:
        assert trial.state == TrialState.COMPLETE
        config = TrialConfig(**trial.user_attrs["config"])
        ends = [trained(dataclasses.replace(config, seed=seed))[1] for seed in SEEDS]
        assert trial.values == pytest.approx([sum(e[n] for e in ends) / 2 for n in ("recon", "mig_calibrated")])
        assert trial.user_attrs["seed 1"] == [ends[1]["recon"], ends[1]["mig_calibrated"]]
        assert trial.user_attrs["setting"] == config.setting()
    assert set(source.planned()) == set(harness.begun)


def test_replicates_of_one_setting_run_side_by_side_and_nobody_waits_for_a_batch(tmp_path: Path) -> None:
    source = Harness(tmp_path).source()
    first, second, third = (source.next() for _ in range(3))
    assert first
    assert second
    assert third
    assert first.setting() == second.setting() != third.setting()
    assert (first.seed, second.seed) == SEEDS


def test_the_front_of_the_journal_is_the_front_of_the_means(tmp_path: Path) -> None:
    harness = Harness(tmp_path, settings=12)
    source = harness.run()
    means: dict[str, list[float]] = {}
    for key, config in source.planned().items():
        row = harness.rows[key]
        means.setdefault(config.setting(), [0.0, 0.0])
        means[config.setting()][0] += row["recon"] / 2
        means[config.setting()][1] += row["mig_calibrated"] / 2

    def beaten(point: list[float]) -> bool:
        return any(o[0] <= point[0] and o[1] >= point[1] and o != point for o in means.values())

    front = {setting for setting, point in means.items() if not beaten(point)}
    lines = source.closing()
    assert lines[0] == "12 settings: 12 complete; on the front of their means (recon, mig_calibrated):"
    best = [trial for trial in harness.trials() if trial.user_attrs["setting"] in front]
    assert sorted(lines[1:]) == sorted(f"  {t.values[0]:.1f}  {t.values[1]:.3f}  {t.user_attrs['label']}" for t in best)


@settings(max_examples=15, deadline=None)
@given(
    killed=st.lists(st.integers(1, 9), max_size=3), slots=st.integers(1, 3), sampler=st.sampled_from(["tpe", "nsga2"])
)
def test_kills_leave_one_consistent_study(
    killed: list[int], slots: int, sampler: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    harness = Harness(tmp_path_factory.mktemp("killed"), sampler=sampler)
    for after in killed:
        harness.run(slots=slots, killed_after=after)
    harness.run(slots=slots)
    trials = harness.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert len(set(asked_settings(trials))) == 6
    assert set(harness.status.values()) == {"finished"}
    assert len(harness.status) == 12


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 7), st.booleans()), max_size=4),
    slots=st.integers(1, 3),
    bad=st.dictionaries(st.integers(0, 11), st.sampled_from(["failed", "diverged"]), max_size=4),
)
def test_kills_among_failures_and_retries_lose_nothing(
    runs: list[tuple[int, bool]], slots: int, bad: dict[int, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    harness = Harness(tmp_path_factory.mktemp("retried"), settings=4)
    count = 0

    def unsteady(config: TrialConfig) -> tuple[str, dict[str, Any]]:
        nonlocal count
        count += 1
        return (bad[count], {}) if count in bad else trained(config)

    for after, retry in runs:
        harness.run(unsteady, slots=slots, killed_after=after, retry_failed=retry)
    harness.run(unsteady, slots=slots)
    harness.run(slots=slots, retry_failed=True)  # nothing fails now
    harness.run(slots=slots, retry_failed=True)
    states = [trial.state for trial in harness.trials()]
    assert not {TrialState.RUNNING, TrialState.WAITING} & set(states)
    newest = {trial.user_attrs["setting"]: trial for trial in harness.trials() if "setting" in trial.user_attrs}
    assert len(newest) == 4
    for trial in newest.values():
        config = TrialConfig(**trial.user_attrs["config"])
        statuses = {harness.status[dataclasses.replace(config, seed=seed).key()] for seed in SEEDS}
        assert (trial.state == TrialState.COMPLETE) == (statuses == {"finished"})
        assert trial.state == TrialState.COMPLETE or "diverged" in statuses
    assert "failed" not in harness.status.values()
    source = harness.source(retry_failed=True)
    assert not source.has_more
    assert set(source.planned()) == set(harness.status)
    assert source.closing()[0].startswith("4 settings: ")


def test_with_one_trial_at_a_time_a_killed_search_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, cut = Harness(tmp_path / "whole", settings=9), Harness(tmp_path / "cut", settings=9)
    for harness in (whole, cut):
        harness.folder.mkdir()
    whole.run(slots=1)
    for after in (3, 1, 6):
        cut.run(slots=1, killed_after=after)
    cut.source().study.ask()  # and killed before it had chosen anything
    cut.run(slots=1)
    asked = [trial for trial in cut.trials() if "config" in trial.user_attrs]
    assert len(asked) == len(cut.trials()) - 1
    assert [t.params for t in whole.trials()] == [t.params for t in asked]
    assert [t.values for t in whole.trials()] == [t.values for t in asked]


def test_another_search_seed_is_another_search(tmp_path: Path) -> None:
    one, other = (Harness(tmp_path / name) for name in "ab")
    for seed, harness in enumerate((one, other)):
        harness.folder.mkdir()
        harness.run(search_seed=seed)
    assert asked_settings(one.trials()) != asked_settings(other.trials())


def test_a_diverged_replicate_fails_its_setting_with_the_reason_and_frees_the_others(tmp_path: Path) -> None:
    def diverging(config: TrialConfig) -> tuple[str, dict[str, Any]]:
        return ("diverged", {}) if config.family == "capacity" and config.seed == 0 else trained(config)

    harness = Harness(tmp_path)
    source = harness.run(diverging, slots=1)
    failed = [trial for trial in harness.trials() if trial.state == TrialState.FAIL]
    assert failed
    assert {trial.user_attrs["reason"] for trial in failed} == {"its seed 0 has diverged"}
    assert {trial.state for trial in harness.trials()} == {TrialState.FAIL, TrialState.COMPLETE}
    assert "dropped" in harness.status.values()  # with one slot its seed 1 had not begun
    assert set(harness.status) == set(source.planned())
    assert len(source.planned()) == 12


def test_a_replicate_that_runs_when_its_setting_is_told_ends_at_its_next_report(tmp_path: Path) -> None:
    source = Harness(tmp_path).source()
    first, second = source.next(), source.next()
    assert first
    assert second
    assert source.gives_up(second, {"step": 1, "verdict": "fine"}) == ""
    source.ended(first, "diverged", {})
    assert source.gives_up(second, {"step": 2, "verdict": "fine"}) == "its seed 0 has diverged"
    assert source.take_dropped() == []


@pytest.mark.parametrize(
    "score", [{}, {"mig_calibrated": math.nan}, {"mig_calibrated": None}], ids=["no", "nan", "none"]
)
def test_a_setting_without_the_score_fails_and_none_is_left_running(tmp_path: Path, score: dict[str, Any]) -> None:
    harness = Harness(tmp_path)
    harness.run(lambda config: ("finished", {"recon": 100.0} | score))
    trials = harness.trials()
    assert {trial.state for trial in trials} == {TrialState.FAIL}
    assert {trial.user_attrs["reason"] for trial in trials} == {"a replicate has no mig_calibrated"}


def test_failed_settings_are_tried_again_only_when_asked_and_keep_what_has_finished(tmp_path: Path) -> None:
    def failing(config: TrialConfig) -> tuple[str, dict[str, Any]]:
        return ("failed", {}) if config.seed == 1 else trained(config)

    harness = Harness(tmp_path)
    harness.run(failing)
    assert {trial.state for trial in harness.trials()} == {TrialState.FAIL}
    assert not harness.source().has_more
    begun = len(harness.begun)
    harness.run(retry_failed=True)
    again = harness.begun[begun:]
    assert len(again) == 6
    assert [trial.state for trial in harness.trials()].count(TrialState.COMPLETE) == 6
    assert set(harness.status.values()) == {"finished"}
    assert not harness.source(retry_failed=True).has_more


def first_seed_fails(config: TrialConfig) -> tuple[str, dict[str, Any]]:
    return ("failed", {}) if config.seed == 0 else trained(config)


def test_a_killed_retry_is_gone_on_with_by_the_plain_command(tmp_path: Path) -> None:
    harness = Harness(tmp_path, settings=1)
    harness.run(first_seed_fails, slots=1)
    assert sorted(harness.status.values()) == ["dropped", "failed"]
    again = harness.source(retry_failed=True).next()  # and the driver dies while it trains
    assert again
    harness.status[again.key()] = "running"
    harness.run(slots=1)
    assert set(harness.status.values()) == {"finished"}
    assert [trial.state for trial in harness.trials()] == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_retry_begins_only_settings_that_fit(tmp_path: Path) -> None:
    harness = Harness(tmp_path, settings=2)
    harness.run(first_seed_fails, slots=1)
    begun = len(harness.begun)
    harness.run(slots=1, retry_failed=True, limit=3)
    assert len(harness.begun) - begun == 2
    assert sorted(harness.status.values()) == ["dropped", "failed", "finished", "finished"]


def test_a_limit_begins_only_settings_that_fit(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.run(limit=5)
    assert len(harness.begun) == 4
    assert len(harness.source().planned()) == 12
    harness.run(limit=3, slots=1, killed_after=1)
    harness.run(limit=3)
    harness.run()
    assert len(set(harness.begun)) == 12


def test_a_search_may_grow(tmp_path: Path) -> None:
    harness = Harness(tmp_path, settings=3)
    harness.run()
    assert not harness.source().has_more
    assert harness.source(settings=5).has_more
    harness.run(settings=5)
    assert len(harness.trials()) == 5


def test_a_finite_space_is_tried_to_its_last_setting_and_no_further(tmp_path: Path) -> None:
    choices = {"gamma": (1.0, 10.0, 100.0, 1000.0), "capacity_max": (5.0, 10.0, 20.0)}
    harness = Harness(tmp_path, settings=20, space=Space(BASE, ("capacity",), {}, choices))
    assert len(harness.source().planned()) == 24
    source = harness.run(slots=1)
    complete = [trial for trial in harness.trials() if trial.state == TrialState.COMPLETE]
    assert len({tuple(trial.params.items()) for trial in complete}) == len(complete) == 12
    others = [trial for trial in harness.trials() if trial.state != TrialState.COMPLETE]
    assert {(trial.state, trial.user_attrs["reason"]) for trial in others} <= {
        (TrialState.FAIL, "duplicate of an earlier setting")
    }
    assert len(source.planned()) == 24
    assert source.closing()[-1] == "the space has no other setting: widen a range to try more"
    assert not harness.source().has_more


def test_a_narrow_range_is_a_finite_space_too(tmp_path: Path) -> None:
    narrow = Space(BASE, ("beta_vae", "capacity"), {"beta": Range(1.0, 1.03), "ramp_steps": Range(2, 3)}, {})
    harness = Harness(tmp_path, settings=9, space=narrow)
    harness.run()
    found = {trial.user_attrs["label"] for trial in harness.trials() if trial.state == TrialState.COMPLETE}
    betas = {f"beta_vae, beta {beta}" for beta in ("1", "1.01", "1.02", "1.03")}
    assert found == betas | {"capacity, ramp_steps 2", "capacity, ramp_steps 3"}


class Futile(Harness):
    """Every capacity trial below 10 nats says nothing at any of its reports."""

    def report(self, source: Replicates, config: TrialConfig) -> str:
        for step in (2, 4, 6):
            hopeless = config.family == "capacity" and config.capacity_max < self.options.get("below", 10)
            row = {"step": step, "verdict": "not informative" if hopeless else "fine"}
            self.reports.setdefault(config.key(), []).append(row)
            if reason := source.gives_up(config, row):
                return reason
        return ""


def told(harness: Harness) -> dict[str, str]:
    return {trial.user_attrs["setting"]: trial.state.name for trial in harness.trials()}


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_setting_is_given_up_when_all_its_replicates_are_futile_whatever_the_slots(
    tmp_path: Path, slots: int
) -> None:
    harness = Futile(tmp_path, stop_futile=True, settings=10)
    harness.run(slots=slots)
    for trial in harness.trials():
        config = TrialConfig(**trial.user_attrs["config"])
        hopeless = config.family == "capacity" and config.capacity_max < 10
        assert trial.state == (TrialState.PRUNED if hopeless else TrialState.COMPLETE)
        if hopeless:
            assert trial.user_attrs["reason"] == "futile: its nats say nothing of the image"
            assert harness.status[dataclasses.replace(config, seed=1).key()] == "stopped"
    assert "PRUNED" in told(harness).values()


def test_one_informative_replicate_keeps_its_setting(tmp_path: Path) -> None:
    source = Futile(tmp_path, stop_futile=True).source(space=Space(BASE, ("capacity",), {"gamma": Range(1, 9)}, {}))
    first, second = source.next(), source.next()
    assert first
    assert second
    for step in (2, 4, 6, 8):
        assert source.gives_up(first, {"step": step, "verdict": "not informative"}) == ""
        assert source.gives_up(second, {"step": step, "verdict": "fine" if step == 6 else "not informative"}) == ""
    assert source.gives_up(second, {"step": 9, "verdict": "not informative"}) == ""
    assert source.gives_up(second, {"step": 10, "verdict": "not informative"}).startswith("futile")


def test_futility_remembers_the_reports_of_an_earlier_run(tmp_path: Path) -> None:
    space = Space(BASE, ("capacity",), {"gamma": Range(1, 9)}, {})
    harness = Futile(tmp_path, stop_futile=True, space=space)
    source = harness.source()
    pair = [source.next(), source.next()]
    for config in pair:
        assert config
        harness.reports[config.key()] = [{"step": step, "verdict": "not informative"} for step in (2, 4)]
        harness.status[config.key()] = "running"
    again = harness.source()
    assert [again.next(), again.next()] == pair
    first, second = pair
    assert first
    assert second
    assert again.gives_up(first, {"step": 6, "verdict": "not informative"}) == ""
    assert again.gives_up(second, {"step": 6, "verdict": "not informative"}).startswith("futile")


def test_a_crash_of_a_setting_given_up_is_not_tried_again(tmp_path: Path) -> None:
    space = Space(BASE, ("capacity",), {"gamma": Range(1, 9)}, {})
    harness = Futile(tmp_path, stop_futile=True, space=space, settings=1)
    source = harness.source()
    pair = [source.next(), source.next()]
    for step in (2, 4, 6):
        for config in pair:
            assert config
            source.gives_up(config, {"step": step, "verdict": "not informative"})
            harness.status[config.key()] = "failed" if config.seed else "stopped"
    assert told(harness) == {pair[0].setting(): "PRUNED"}  # type: ignore[union-attr]
    assert not harness.source(retry_failed=True).has_more


def test_where_the_sampler_only_repeats_itself_a_setting_is_drawn_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, seeds = [], iter(range(100))

    def stuck(name: str, seed: int, number: int) -> Any:
        made.append(name)
        return make_sampler("random", 0, next(seeds) if name == "random" else 0)

    monkeypatch.setattr(replicates, "make_sampler", stuck)
    source = Harness(tmp_path).source()
    first = [source.next() for _ in range(4)]
    assert len({config.setting() for config in first if config}) == 2
    assert made == ["tpe"] * (1 + replicates.DUPLICATES) + ["random"] * (len(made) - 1 - replicates.DUPLICATES)


def test_a_replicate_at_its_end_is_not_given_up(tmp_path: Path) -> None:
    space = Space(BASE, ("capacity",), {"gamma": Range(1, 9)}, {})
    source = Futile(tmp_path, stop_futile=True, space=space).source()
    pair = [source.next(), source.next()]
    for step in (2, 4, 6):
        for config in pair:
            assert config
            row = {"step": step, "verdict": "not informative", "done": step == 6}
            assert source.gives_up(config, row) == ""


def test_without_the_flag_nothing_is_futile(tmp_path: Path) -> None:
    harness = Futile(tmp_path)
    harness.run()
    assert set(told(harness).values()) == {"COMPLETE"}


def test_what_the_store_has_lost_of_a_told_setting_is_made_again(tmp_path: Path) -> None:
    harness = Harness(tmp_path, settings=3)
    harness.run()
    told_values = [trial.values for trial in harness.trials()]
    harness.status.clear()  # as with a journal copied from elsewhere
    source = harness.source()
    assert source.take_dropped() == []
    harness.run()
    assert set(harness.status.values()) == {"finished"}
    assert len(harness.status) == 6
    assert [trial.values for trial in harness.trials()] == told_values


def test_before_anything_has_a_mean_the_closing_line_says_so(tmp_path: Path) -> None:
    source = Harness(tmp_path).source()
    assert source.closing() == ["0 settings: none asked for; none has a mean yet"]
    source.next()
    assert source.closing() == ["1 setting: 1 running; none has a mean yet"]


def test_an_ask_that_was_cut_short_is_no_setting(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    source = harness.source()
    source.study.ask()  # and the driver dies
    harness.run()
    first, *others = harness.trials()
    assert (first.state, first.user_attrs["reason"]) == (TrialState.FAIL, "the driver died while it asked")
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 6


def test_what_was_dropped_is_recorded_even_if_the_driver_died_in_between(tmp_path: Path) -> None:
    harness = Harness(tmp_path, settings=1)
    source = harness.source()
    first = source.next()
    assert first
    harness.status[first.key()] = "diverged"
    source.ended(first, "diverged", {})  # and the driver dies before it records what was dropped
    again = harness.source()
    assert again.has_more
    assert [config.seed for config in again.take_dropped()] == [1]
    assert not again.has_more
