import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tradeoff.arms import curves_of_both, with_arms
from analysis.tradeoff.rates import RATES, compare, lines, sentences, summary, table, unresolved, with_middle

SLOPE = -20.0
"""Nats of reconstruction that a nat of rate buys."""


def rated(gaps: list[float], noise: float = 0.0, seed: int = 0, count: int = 5) -> pd.DataFrame:
    """Capacity that much above fixed beta in recon at any rate, one gap a seed, over unequal ranges of rate.

    KL is the rate, the sum of I_j half of it, and I(x;z) a quarter.
    """
    rng, rows = np.random.default_rng(seed), []
    for replicate, gap in enumerate(gaps):
        for family, low, high in (("capacity", 2.0, 18.0), ("beta", 4.0 + 0.1 * replicate, 24.0)):
            for place, kl in enumerate(np.linspace(low, high, count)):
                recon = 500 + SLOPE * kl + gap * (family == "capacity") + noise * rng.normal()
                row = {"family": family, "ramp_steps": 9, "seed": replicate, "setting": f"{family} {place}"}
                row |= {"recon": recon, "kl": kl, "info_sum": kl / 2, "info_n": 10_000, "info_resolved": True}
                rows.append(row | {"info_low": kl / 4 - 0.1, "info_high": kl / 4 + 0.1})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("rate", "width"), [("kl", 14), ("info_sum", 7), ("info_mid", 3.5)])
def test_a_planted_gap_is_found_exactly_on_linear_curves_at_every_rate(rate: str, width: float) -> None:
    found = compare(rated([-3.0, -2.0, -1.0]), "capacity", "fixed beta", rate)
    assert [gap.delta for gap in found.gaps] == pytest.approx([-3, -2, -1])
    assert found.gaps[0].area == pytest.approx(-3 * width)
    assert (found.delta.mean, found.effect) == (pytest.approx(-2), pytest.approx(-2))
    assert found.delta.low is not None
    assert found.area.low is not None
    assert found.settings == (5, 5)


def test_a_noisy_gap_is_found_without_bias_and_covered_by_its_interval() -> None:
    draws, means, covered = 50, [], 0
    for draw in range(draws):
        found = compare(rated([4.0] * 5, noise=6.0, seed=draw, count=4), "capacity", "fixed beta")
        assert found.delta.low is not None
        assert found.delta.high is not None
        means.append(found.delta.mean)
        covered += found.delta.low < 4 < found.delta.high
    error = np.std(means, ddof=1) / math.sqrt(draws)
    assert abs(np.mean(means) - 4) < 3 * error < 1.5
    assert 0.85 < covered / draws <= 1  # 95 %: standard error .03


def test_more_settings_do_not_move_the_gap() -> None:
    # The best of twelve noisy settings lies lower than that of four; a mean of all does not.
    few, many = [], []
    for draw in range(25):
        frame, dense = (rated([0.0], 6.0, draw, count) for count in (4, 12))
        mixed = pd.concat([frame.query("family == 'beta'"), dense.query("family == 'capacity'")])
        few.append(compare(frame, "capacity", "fixed beta").delta.mean)
        many.append(compare(mixed, "capacity", "fixed beta").delta.mean)
    assert abs(np.mean(many)) < 2  # sd of one about 3.5, of 30 about .6
    assert abs(np.mean(few)) < 2


def test_dominated_settings_count() -> None:
    frame = rated([0.0])
    worse = frame.loc[(frame["family"] == "capacity") & (frame["kl"] == 10)].assign(recon=900.0, kl=10.1, setting="w")
    assert compare(pd.concat([frame, worse]), "capacity", "fixed beta").delta.mean > 20


def test_a_bracket_that_n_does_not_resolve_gives_a_sentence() -> None:
    frame = rated([1.0, 1.0])
    frame.loc[frame["kl"] > 17, "info_resolved"] = False
    assert unresolved(frame, "kl") == unresolved(frame, "info_sum") == ""
    reason = "I(x;z) is not resolved at n = 10,000 in 6 of 20 trials"
    assert unresolved(frame, "info_mid") == reason
    assert lines(frame, "info_mid") == []
    found = compare(frame, "capacity", "fixed beta", "info_mid")
    assert {gap.reason for gap in found.gaps} == {reason}
    (said,) = sentences([found], "paper")
    assert said == (
        "At equal I(x;z), capacity minus fixed beta: no seed has a gap. "
        f"Without a gap: seeds 0, 1: {reason}."
    )  # fmt: skip
    middle, kl = (with_middle(frame)[name].to_numpy(float) for name in ("info_mid", "kl"))
    assert np.isnan(middle).tolist() == (kl > 17).tolist()
    assert middle[kl <= 17] == pytest.approx(kl[kl <= 17] / 4)
    assert compare(frame, "capacity", "fixed beta", "kl").delta.mean == pytest.approx(1)


def test_other_arms_do_not_unresolve_a_bracket() -> None:
    frame = rated([1.0])
    other = frame.query("family == 'beta'").assign(family="own.loss:it", info_resolved=False)
    both = pd.concat([frame, other])
    assert compare(both, "capacity", "fixed beta", "info_mid").delta.mean == pytest.approx(1)
    assert "in 5 of 10" in compare(both, "capacity", "own.loss:it", "info_mid").gaps[0].reason
    assert lines(both, "info_mid") == []


def test_missing_rates_are_reasons() -> None:
    frame = rated([1.0]).drop(columns=["info_sum", "info_low"])
    reasons = [one.gaps[0].reason for one in summary(frame)]
    assert reasons == [
        "",
        "capacity has no setting with info_sum, under two",
        "I(x;z) is not resolved at n = 10,000 in 10 of 10 trials",
    ]
    holes = rated([1.0, 1.0])
    holes.loc[holes["seed"] == 1, "kl"] = math.nan
    found = compare(holes, "capacity", "fixed beta")
    assert [gap.reason for gap in found.gaps] == ["", "capacity has no setting with kl, under two"]
    assert (found.delta.mean, found.delta.low) == (pytest.approx(1), None)


def test_under_a_nat_of_shared_rate_there_is_no_gap() -> None:
    frame = rated([1.0])
    for shift, reason in ((13.0, ""), (13.5, "the arms share under 1 nat of KL")):
        moved = frame.assign(kl=frame["kl"] + shift * (frame["family"] == "beta"))
        assert compare(moved, "capacity", "fixed beta").gaps[0].reason == reason


def test_one_family_or_no_trial_has_no_comparison() -> None:
    assert summary(rated([1.0]).query("family == 'beta'")) == summary(pd.DataFrame()) == []
    assert lines(pd.DataFrame()) == []
    assert table([]).empty
    with pytest.raises(ValueError, match="no trial is of the arm 'annealed beta'"):
        compare(rated([1.0]), "capacity", "annealed beta")


def test_the_words_have_the_numbers() -> None:
    found = summary(rated([-3.0, -2.0, -1.0]))
    assert [one.along for one in found] == list(RATES.values())
    first, *_ = sentences(found, "paper")
    assert first.startswith(
        "At equal KL, capacity minus fixed beta: -2.00 [-4.48, +0.48] nats of held-out reconstruction (3 seeds, "
        "paired; -2.0 sd over seeds; exploratory). Area between the curves: -27.9 ["
    )
    assert first.endswith("] nats x nats.")
    assert sentences(found, "laptop")[0].endswith("nats x nats. Not tested: a laptop run shows no matched gaps.")
    rows = table(found).to_dict("records")
    assert [row["rate"] for row in rows] == ["KL", "sum of I_j", "I(x;z)"]
    assert [rows[0][name] for name in ("arms", "settings", "seeds", "shared rate", "gap", "effect")] == [
        "capacity - fixed beta", "5 / 5", "3 of 3", "4.2 to 18.0", "-2.00 [-4.48, +0.48]", "-2.0 sd",
    ]  # fmt: skip
    (one,) = sentences(summary(rated([2.0]))[:1], "paper")
    assert "+2.00 nats of held-out reconstruction (one seed; exploratory)" in one


def test_fields_that_vary_beside_the_leading_one_are_named() -> None:
    frame = rated([1.0])
    frame = frame.assign(gamma=np.arange(len(frame), dtype=float))
    assert sentences(summary(frame)[:1], "paper")[0].endswith("no one-parameter families: gamma varies too.")


def test_lines_have_a_curve_a_seed_and_their_mean_over_what_all_seeds_reach() -> None:
    capacity, beta = lines(rated([0.0, 2.0, 4.0]))
    assert (capacity.arm, beta.arm) == ("capacity", "fixed beta")
    assert sorted(capacity.curves) == [0, 1, 2]
    assert beta.mean is not None
    assert capacity.mean is not None
    assert (beta.mean.x[0], beta.mean.x[-1], len(beta.mean.x)) == (4.2, 24, 20)
    assert capacity.mean.y == pytest.approx(502 + SLOPE * capacity.mean.x)
    assert [line.mean for line in lines(rated([0.0]))] == [None, None]


@settings(max_examples=12, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(-50, 50))
def test_order_is_irrelevant_and_a_shift_of_one_arm_shifts_the_gap(random, shift: float) -> None:
    frame = rated([1.0, -2.0], noise=5.0)
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))]
    assert compare(shuffled, "capacity", "fixed beta").gaps == compare(frame, "capacity", "fixed beta").gaps
    moved = frame.assign(recon=frame["recon"] + shift * (frame["family"] == "capacity"))
    both = [compare(one, "capacity", "fixed beta").delta.mean for one in (frame, moved)]
    assert both[1] == pytest.approx(both[0] + shift)
    one, other = curves_of_both(with_arms(shuffled), "capacity", "fixed beta", "recon", "kl")
    assert all((np.diff(curve.x) > 0).all() for side in (one, other) for curve in side.values())
