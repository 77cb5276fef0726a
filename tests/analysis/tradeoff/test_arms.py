import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.frames import load
from analysis.tradeoff.arms import Curve, arm, crossed, curves, mixed, reached, settings_of, with_arms
from tests.analysis.curves import points, trials


@pytest.mark.parametrize(("trial", "name"), [
    ({"family": "capacity", "ramp_steps": 1200}, "capacity"),
    ({"family": "capacity", "ramp_steps": 2}, "capacity"),
    ({"family": "capacity", "ramp_steps": 1, "beta_start": None}, "capacity, no ramp"),
    ({"family": "beta", "ramp_steps": 1}, "fixed beta"),
    ({"family": "beta", "ramp_steps": 1200, "beta_start": None}, "fixed beta"),
    ({"family": "beta", "ramp_steps": 1200, "beta_start": math.nan}, "fixed beta"),
    ({"family": "beta", "ramp_steps": 1200, "beta_start": 64.0}, "annealed beta"),
    ({"family": "my.loss:it", "ramp_steps": 1, "beta_start": 64.0}, "my.loss:it"),
])  # fmt: skip
def test_every_trial_has_its_arm(trial: dict[str, Any], name: str) -> None:
    assert arm(trial) == name


def test_arms_of_a_study(fake_study: Path) -> None:
    finished = with_arms(load(fake_study).finished)
    assert finished["arm"].value_counts().to_dict() == {"capacity": 5, "fixed beta": 5}
    assert [settings_of(finished, name) for name in ("capacity", "fixed beta", "annealed beta")] == [3, 3, 0]
    assert crossed(finished, "capacity") == crossed(finished, "fixed beta") == []
    mixed = finished.assign(gamma=np.arange(len(finished), dtype=float), learning_rate=[math.nan] * len(finished))
    assert crossed(mixed, "capacity") == ["gamma"]


def test_a_curve_is_sorted_and_equal_recon_is_the_mean_of_its_scores() -> None:
    (curve,) = curves(trials({("a", 3): [(120, 0.5), (100, 0.1), (120, 0.9), (140, 0.3)]}), "a", "score").values()
    assert curve.x.tolist() == [100, 120, 120, 140]
    assert curve.y.tolist() == [0.1, 0.5, 0.9, 0.3]
    assert curve.at(np.array([100, 110, 120, 130, 140])) == pytest.approx([0.1, 0.4, 0.7, 0.5, 0.3])


def test_settings_without_the_score_take_no_part() -> None:
    frame = trials({("a", 0): [(100, 0.1), (110, math.nan), (120, math.inf), (130, 0.4)], ("a", 1): [(100, math.nan)]})
    found = curves(frame, "a", "score")
    assert found[0].x.tolist() == [100, 130]
    assert len(found[1].x) == 0
    assert [len(curve.x) for curve in curves(frame, "a", "another").values()] == [0, 0]
    none = frame.assign(score=[None if math.isnan(score) else score for score in frame["score"]])
    assert curves(none.astype({"score": object}), "a", "score")[0].x.tolist() == [100, 130]


@given(points, st.floats(0, 1))
def test_interpolation_against_a_plain_twin(pairs: list[tuple[int, int]], share: float) -> None:
    by_recon: dict[int, list[int]] = {}
    for recon, score in pairs:
        by_recon.setdefault(recon, []).append(score)
    known = sorted((recon, sum(scores) / len(scores)) for recon, scores in by_recon.items())
    at = known[0][0] + share * (known[-1][0] - known[0][0])
    left = max((point for point in known if point[0] <= at), default=known[0])
    right = min((point for point in known if point[0] >= at), default=known[-1])
    slope = (right[1] - left[1]) / (right[0] - left[0]) if right[0] > left[0] else 0
    recon, score = np.array(sorted(pairs), float).T
    assert Curve(recon, score).at(np.array([at])) == pytest.approx([left[1] + slope * (at - left[0])], abs=1e-9)


# At 0.2 a needs 110, 112 and 110 nats and b 130, 130 and never; at 0.5 a 150 and 150 in two seeds, b 190 in one.
COSTS = {
    ("a", 0): [(100, 0.1), (110, 0.2), (150, 0.5)],
    ("a", 1): [(100, 0.1), (112, 0.3), (150, 0.5)],
    ("a", 2): [(100, 0.1), (110, 0.2)],
    ("b", 0): [(120, 0.1), (130, 0.2), (190, 0.5)],
    ("b", 1): [(120, 0.1), (130, 0.2)],
    ("b", 2): [(120, 0.1)],
}


def test_matched_disentanglement_counts_the_censored() -> None:
    at_02, at_05, at_09 = reached(trials(COSTS), "a", "b", "score", [0.2, 0.5, 0.9])
    assert (at_02.difference.values, at_02.seeds, at_02.censored) == ((-20, -18), 3, (0, 1))
    assert (at_05.difference.values, at_05.seeds, at_05.censored) == ((-40,), 3, (1, 2))
    assert (at_09.difference.values, at_09.seeds, at_09.censored) == ((), 3, (3, 3))


def test_seeds_of_one_arm_alone_take_no_part_in_matched_disentanglement() -> None:
    more = trials(COSTS | {("a", 7): [(90, 0.9)], ("b", 2): [(120, math.nan)]})
    (level,) = reached(more, "a", "b", "score", [0.2])
    assert (level.seeds, level.censored) == (2, (0, 0))
    assert reached(trials({("a", 0): [(1, 0.5)], ("b", 1): [(1, 0.5)]}), "a", "b", "score") == []


def test_default_levels_lie_inside_what_both_arms_reach_in_half_the_seeds() -> None:
    # Medians over seeds: a from .1 to .5, b from .1 to .2; the four levels divide .1 to .2 into five.
    levels = reached(trials(COSTS), "a", "b", "score")
    assert [level.at_least for level in levels] == pytest.approx([0.12, 0.14, 0.16, 0.18])
    flat = trials({(name, seed): [(100, 0.3), (120, 0.3)] for name in "ab" for seed in range(3)})
    (only,) = reached(flat, "a", "b", "score")
    assert (only.at_least, only.difference.mean, only.censored) == (0.3, 0, (0, 0))


@pytest.mark.slow
@settings(deadline=None)
@given(points, points, st.integers(0, 20), st.integers(0, 20), st.randoms(use_true_random=False))
def test_matched_disentanglement_ignores_dominated_settings_and_order(ours, theirs, worse, less, random) -> None:
    frame = trials({("a", 0): ours, ("b", 0): theirs})
    recon, score = random.choice(ours)
    more = trials({("a", 0): [*ours, (recon + worse, score - less)], ("b", 0): theirs})
    shuffled = more.iloc[random.sample(range(len(more)), len(more))]
    levels = [float(level) for level in range(-8, 9, 2)]
    before, after = (reached(one, "a", "b", "score", levels) for one in (frame, shuffled))
    assert [dataclasses.astuple(level)[2:] for level in before] == [dataclasses.astuple(level)[2:] for level in after]
    for one, other, level in zip(before, after, levels, strict=True):
        reaching = [[recon for recon, score in pairs if score >= level] for pairs in (ours, theirs)]
        plain = (min(reaching[0]) - min(reaching[1]),) if all(reaching) else ()
        assert one.difference.values == other.difference.values == plain


def test_an_arm_that_no_trial_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no trial is of the arm 'c'; name one of a, b"):
        reached(trials(COSTS), "a", "c", "score")


def test_a_beta_that_would_be_annealed_to_itself_is_a_point_of_both_arms() -> None:
    frame = pd.DataFrame(
        {
            "family": "beta",
            "ramp_steps": 100,
            "beta": [4.0, 64.0, 4.0, 64.0],
            "beta_start": [None, None, 64.0, 32.0],
            "setting": list("abcd"),
        }
    )
    told = with_arms(frame)
    assert sorted(told.loc[told["arm"] == "annealed beta", "setting"]) == ["b", "c", "d"]
    assert sorted(told.loc[told["arm"] == "fixed beta", "setting"]) == ["a", "b"]


def test_a_family_of_several_arms_is_named_whatever_the_search() -> None:
    ramps = pd.DataFrame({"family": ["beta", "capacity", "capacity"], "ramp_steps": [9, 1, 1200]})
    arms = "the family capacity has the arms 'capacity, no ramp' and 'capacity'"
    assert mixed(ramps) == f"No front is drawn of families, since they mix arms: {arms}."
    assert mixed(ramps.head(2)) == mixed(pd.DataFrame()) == ""
