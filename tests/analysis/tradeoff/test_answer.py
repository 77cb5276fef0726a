"""What a family pays from end to end, and the sentence that says so."""

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.statistics import over_seeds
from analysis.tradeoff.answer import answer, costs


def trial(family: str, level: float, seed: int, **more: Any) -> dict[str, Any]:
    """Ten nats and .01 of score for each unit of beta or C_max; .1 of score a seed."""
    row = {"family": family, "seed": seed, "recon": 100.0 + 10 * level, "mig_calibrated": 0.01 * level + 0.1 * seed}
    row |= {"beta": level if family == "beta" else 1.0, "capacity_max": level if family == "capacity" else np.nan}
    row |= {"gamma": 100.0 if family == "capacity" else np.nan, "ramp_steps": 9, "beta_start": None} | more
    return row | {"setting": f"{family} {level} {row['gamma']}", "objective": family}


def study(levels: tuple[float, ...] = (1, 4, 16), seeds: int = 3) -> pd.DataFrame:
    both = itertools.product(("beta", "capacity"), levels, range(seeds))
    return pd.DataFrame(trial(family, level, seed) for family, level, seed in both)


def test_the_cost_is_the_change_from_end_to_end() -> None:
    beta, capacity = costs(study())
    assert (beta.arm, beta.field, beta.ends, beta.pairs) == ("fixed beta", "beta", (1, 16), 1)
    assert (capacity.arm, capacity.field) == ("capacity", "capacity_max")
    for cost in (beta, capacity):
        assert cost.recon.values == pytest.approx([150] * 3)
        assert cost.score.values == pytest.approx([0.15] * 3)


def test_seeds_are_paired_and_the_interval_is_theirs() -> None:
    frame, offsets = study((1, 16), 4), [0.3, -0.1, 0.25, 0.0]
    ends = frame["beta"] == 16
    frame.loc[ends, "mig_calibrated"] += [offsets[seed] for seed in frame.loc[ends, "seed"]]
    expected = over_seeds([0.15 + offset for offset in offsets])
    found = costs(frame)[0].score
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))


def test_other_fields_are_held_equal() -> None:
    # At gamma 10 only C_max 2 and 4 are there, at gamma 100 the ends 1 and 4 too: only the latter are a pair.
    rows = [trial("capacity", level, 0, gamma=10.0, recon=999.0) for level in (2, 4)]
    rows += [trial("capacity", level, 0, gamma=100.0) for level in (1, 2, 4)]
    (cost,) = costs(pd.DataFrame(rows))
    assert (cost.pairs, cost.recon.values) == (1, pytest.approx((30,)))
    rows.append(trial("capacity", 1, 0, gamma=10.0, recon=899.0))
    (cost,) = costs(pd.DataFrame(rows))
    assert (cost.pairs, cost.recon.values) == (2, pytest.approx(((30 + 100) / 2,)))


def test_a_seed_that_lacks_a_pair_is_left_out_rather_than_averaged_over_others() -> None:
    rows = [
        trial("capacity", level, seed, gamma=gamma)
        for level, seed, gamma in itertools.product((1, 4), (0, 1), (10.0, 100.0))
        if (level, seed, gamma) != (4, 1, 10.0)
    ]
    (cost,) = costs(pd.DataFrame(rows))
    assert (cost.pairs, len(cost.recon.values), cost.lost) == (1, 2, 0)  # one pair in both seeds, no mixture


def test_a_field_with_one_seed_takes_none_from_the_others() -> None:
    rows = [trial("capacity", level, seed, gamma=100.0) for level in (1, 4) for seed in range(5)]
    rows += [trial("capacity", level, 0, gamma=10.0) for level in (1, 4)]
    rows.append(trial("capacity", 4, 7, gamma=100.0))
    (cost,) = costs(pd.DataFrame(rows))
    assert (cost.pairs, len(cost.recon.values), cost.lost) == (1, 5, 1)
    assert "(5 seeds; 1 seed without both ends left out)" in answer(pd.DataFrame(rows), "paper")


@pytest.mark.parametrize(("frame", "reason"), [
    (study().drop(columns="mig_calibrated"), "no trial has mig_calibrated"),
    (study().assign(mig_calibrated=math.nan), "no trial has mig_calibrated"),
    (study((4,)), "all its trials have beta 4"),
    (study((1, 16)).query("not (beta == 16 and seed < 3)"), "all its trials have beta 1"),
    (study((1, 16)).query("seed == 0 or beta == 1").query("not (seed == 0 and beta == 1 and family == 'beta')"),
     "no seed has beta 1 and 16 with all else equal"),
])  # fmt: skip
def test_what_cannot_be_told_has_its_reason(frame: pd.DataFrame, reason: str) -> None:
    cost = costs(frame)[0]
    assert cost.reason == reason
    assert (cost.recon.values, cost.pairs) == ((), 0)
    assert f"What fixed beta pays is not told: {reason}." in answer(frame, "paper")


def test_the_answer_begins_with_the_comparison() -> None:
    said = answer(study(), "laptop")
    # Both curves are the same: the gap is 0 in every seed.
    assert said.startswith("At equal reconstruction capacity scores +0.000 [+0.000, +0.000] in mig_calibrated against ")
    assert "(3 seeds, paired). Not tested: a laptop run shows no matched gaps." in said
    assert "From beta 1 to 16 fixed beta changes reconstruction by +150.0 [+150.0, +150.0] nats and mig" in said
    assert said.endswith("mig_calibrated by +0.150 [+0.150, +0.150] (3 seeds).")


def test_one_family_and_one_seed_are_said_without_an_interval() -> None:
    said = answer(study(seeds=1).query("family == 'beta'"), "paper")
    assert (
        said
        == "From beta 1 to 16 fixed beta changes reconstruction by +150.0 nats and mig_calibrated by +0.150 (1 seed)."
    )


def test_arms_that_share_no_reconstruction_are_not_compared() -> None:
    apart = study()
    apart.loc[apart["family"] == "beta", "recon"] += 1000
    said = answer(apart, "paper")
    assert said.startswith(
        "At equal reconstruction capacity and fixed beta cannot be compared: the arms share under 10 "
    )


def test_no_trials_and_ones_own_objective_have_no_answer() -> None:
    assert costs(pd.DataFrame()) == []
    assert answer(pd.DataFrame(), "paper") == ""
    assert answer(study().assign(family="my.loss"), "paper") == ""


def test_an_arm_that_is_no_one_parameter_family_is_said_at_once() -> None:
    frame = study()
    crossed = frame.loc[frame["family"] == "capacity"].assign(
        gamma=10.0, setting="other", recon=lambda t: t["recon"] + 1
    )
    said = answer(pd.concat([frame, crossed], ignore_index=True), "paper")
    assert "The arms are no one-parameter families: gamma varies too." in said
    assert "one-parameter" not in answer(frame, "paper")
