import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.config import StudyConfig
from study.lock import has_driver
from study.progress import Front, named, pareto, progress, searched, snapshot
from study.searches import planned
from study.store import StoreError
from tests.study.stores import BETA, CAPACITY, open_store, row, start
from trainables.config import TrialConfig

TARGETS = {"a": 100, "b": 100, "c": 200}


def test_counts_rate_and_eta() -> None:
    now = snapshot(TARGETS, {"a": "finished", "b": "running"}, {"a": 100, "b": 40}, rates=(10.0,))
    assert (now.steps_done, now.steps_total, now.eta_seconds) == (140, 400, (26.0, 26.0))
    assert str(now) == (
        "3 trials: finished 1, running 1, diverged 0, failed 0, waiting 1 |  35% of 400 updates, 10.0/s, 26 s left"
    )


def test_a_diverged_trial_leaves_nothing_to_train() -> None:
    now = snapshot(TARGETS, {"a": "diverged", "b": "failed", "c": "finished"}, {"a": 3}, (5.0,))
    assert now.eta_seconds is None
    assert now.steps_done == now.steps_total


def test_without_a_rate_there_is_no_eta() -> None:
    assert snapshot(TARGETS, {}, {}, (0.0,)).eta_seconds is None


@given(
    status=st.dictionaries(st.sampled_from("abcz"), st.sampled_from(["running", "finished", "failed", "interrupted"])),
    steps=st.dictionaries(st.sampled_from("abcz"), st.integers(0, 500)),
)
def test_progress_never_leaves_its_bounds(status: dict, steps: dict) -> None:
    now = snapshot(TARGETS, status, steps, (1.0,))
    assert 0 <= now.steps_done <= now.steps_total == 400
    assert sum(now.counts.values()) <= now.total == 3


def test_a_study_tells_its_progress_by_its_store_and_whether_a_driver_lives(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "steps": (100,)}, seeds=1)
    plan = list(planned(study).values())
    with open_store(tmp_path / "s") as store:
        store.extend_plan({"study": study.to_json(), "trials": len(plan)})
        key = start(store, plan[0])
        store.add_row(key, 1, row(20))
        store.add_row(key, 1, row(60))
        store.flush()
        assert has_driver(tmp_path / "s")
        now = progress(tmp_path / "s")
        assert (now.total, now.steps_done, now.steps_total) == (2, 60, 200)
        assert (now.counts["running"], now.steps_per_second) == (1, 60 / 4)  # two rows of two seconds each
    assert not has_driver(tmp_path / "s")
    assert not has_driver(tmp_path)
    dead = progress(tmp_path / "s")
    assert dict(dead.counts) == {"interrupted": 1}
    assert dead.eta_seconds is None
    with pytest.raises(StoreError, match="is no store"):
        progress(tmp_path)


def test_a_trial_that_is_made_again_counts_once_in_the_front() -> None:
    front = Front("mig", replicates=2)
    front.add(BETA, {"recon": 100.0, "mig": 0.5})
    front.add(BETA, {"recon": 100.0, "mig": 0.5})
    assert front.lines() == []  # one seed of two
    front.add(dataclasses.replace(BETA, seed=1), {"recon": 110.0, "mig": 0.1})
    assert front.lines() == ["105.0  0.300  beta 4 (2 seeds)"]
    front.add(dataclasses.replace(BETA, beta=1.0), {"recon": 10.0, "mig": float("nan")})
    assert len(front.lines()) == 1


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    def beaten(point: tuple[int, int]) -> bool:
        return any(o[0] <= point[0] and o[1] >= point[1] and o != point for o in points)

    places = pareto(points)
    assert sorted(places) == [place for place, point in enumerate(points) if not beaten(point)]
    assert [points[place] for place in places] == sorted(points[place] for place in places)


def test_settings_are_named_by_what_differs() -> None:
    slow = dataclasses.replace(CAPACITY, learning_rate=1e-5)
    names = searched([BETA, CAPACITY, slow])
    assert named(BETA, names) == "beta 4, learning_rate 0.0005"
    assert named(slow, names) == "gamma 1000, capacity_max 25, ramp_steps 10, learning_rate 1e-05"
    assert "learning_rate" not in named(CAPACITY, searched([BETA, CAPACITY]))


def test_a_beta_that_goes_nowhere_names_no_start() -> None:
    fixed = TrialConfig(objective="beta_vae", beta=4.0)
    annealed = dataclasses.replace(fixed, beta_start=64.0)
    assert named(fixed, searched([fixed])) == "beta 4"
    names = searched([fixed, annealed])
    assert named(fixed, names) == "beta 4"
    assert named(annealed, names) == "beta 4, beta_start 64"


def test_an_annealed_betas_ramp_tells_settings_apart() -> None:
    short, long = (
        TrialConfig(objective="beta_vae", beta=4.0, beta_start=64.0, ramp_steps=ramp) for ramp in (500, 3000)
    )
    names = searched([short, long])
    assert named(short, names) == "beta 4, beta_start 64, ramp_steps 500"
    assert named(long, names) == "beta 4, beta_start 64, ramp_steps 3000"
