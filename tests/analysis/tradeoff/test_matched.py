import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.frames import load
from analysis.statistics import over_seeds
from analysis.tradeoff.arms import with_arms
from analysis.tradeoff.matched import COMPARISONS, PRODUCT, Comparison, across, compare, summary
from tests.analysis.curves import ARMS, curve, line, planted, points, seeded, study, trials


def compared(frame: pd.DataFrame, protocol: str = "paper") -> Comparison:
    return compare(frame, "a", "b", "score", protocol)


def test_a_planted_gap_is_found_exactly_on_linear_curves_of_unequal_ranges() -> None:
    found = compared(planted([0.1, 0.2, 0.3]))
    assert [gap.delta for gap in found.gaps] == pytest.approx([0.1, 0.2, 0.3])
    assert [(gap.low, gap.high, gap.reason) for gap in found.gaps] == [(95.0 + seed, 180, "") for seed in range(3)]
    assert found.common == (97, 180)
    assert found.delta.mean == pytest.approx(0.2)
    half = scipy.stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    assert (found.delta.low, found.delta.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert found.effect == pytest.approx(2)
    assert found.settings == (4, 4)


def test_twenty_even_points_ends_included() -> None:
    bent = {("a", 0): [(100.0, 0.0), (119.0, 0.0), (138.0, 19.0)], ("b", 0): [(0.0, 0.0), (119.0, 0.0), (120.0, 99.0)]}
    # 100, 100 + 20/19 ... 120: the last point alone lies past 119; a is 1 there, b 99.
    (gap,) = compared(trials(bent)).gaps
    assert (gap.low, gap.high) == (100, 120)
    assert gap.delta == pytest.approx((1 - 99) / 20)


def test_nothing_is_extrapolated_and_ten_nats_are_the_least() -> None:
    frame = trials({
        ("a", 0): curve([100, 150]), ("b", 0): curve([140, 190]),
        ("a", 1): curve([100, 150]), ("b", 1): curve([140.1, 190]),
        ("a", 2): curve([100, 150]), ("b", 2): curve([160, 190]),
    })  # fmt: skip
    kept, narrow, apart = compared(frame).gaps
    assert (kept.delta, kept.reason) == (pytest.approx(0), "")
    for gap in (narrow, apart):
        assert gap.reason == "the arms share under 10 nats of reconstruction"
        assert math.isnan(gap.delta)
    assert (apart.low, apart.high) == (160, 150)
    assert compared(frame).delta.values == (kept.delta,)


def test_seeds_without_a_gap_say_why() -> None:
    frame = trials({
        ("a", 0): curve([100, 150]),
        ("b", 1): curve([100, 150]),
        ("a", 2): curve([100]), ("b", 2): curve([100, 150]),
        ("a", 3): curve([100, 150]), ("b", 3): curve([100, 150], math.nan),
    })  # fmt: skip
    found = compared(frame)
    assert [(gap.seed, gap.reason) for gap in found.gaps] == [
        (0, "b has not finished it"),
        (1, "a has not finished it"),
        (2, "a has one setting with score, under two"),
        (3, "b has no setting with score, under two"),
    ]
    assert found.delta.values == found.unpaired.values == ()
    assert (found.p, found.effect, found.verdict) == (None, None, "not comparable")
    assert compared(frame, "laptop").verdict == "not tested"


def test_one_seed_is_a_point_and_two_are_two_points() -> None:
    one, two = compared(planted([0.1])), compared(planted([0.1, 0.2]))
    assert (one.delta.values, one.delta.low) == (pytest.approx((0.1,)), None)
    assert (two.delta.values, two.delta.low) == (pytest.approx((0.1, 0.2)), None)
    for found in (one, two):
        assert (found.effect, found.p, found.unpaired.low, found.verdict) == (None, None, None, "inconclusive")


def test_the_unpaired_interval_is_welchs_over_the_overlap_common_to_all_seeds() -> None:
    frame = trials({
        ("a", 0): curve([100, 150], 0.1), ("b", 0): curve([90, 140], 0.3),
        ("a", 1): curve([110, 160], 0.3), ("b", 1): curve([90, 150], 0.1),
        ("a", 2): curve([105, 150], 0.8), ("b", 2): curve([90, 160], 0.2),
        ("a", 3): curve([300, 400], 0.8), ("b", 3): curve([90, 160], 0.2),
    })  # fmt: skip
    found = compared(frame)
    assert found.common == (110, 140)  # the fourth seed has no gap and no say
    ours, theirs = ([line(125) + offset for offset in side] for side in ([0.1, 0.3, 0.8], [0.3, 0.1, 0.2]))
    expected = scipy.stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    assert (found.unpaired.low, found.unpaired.high) == pytest.approx((expected.low, expected.high))
    assert found.unpaired.mean == pytest.approx(0.2)


def test_without_a_common_overlap_there_is_no_unpaired_interval() -> None:
    frame = {("a", seed): curve([100 + 20 * seed, 120 + 20 * seed]) for seed in range(3)}
    frame |= {("b", seed): curve([50, 300]) for seed in range(3)}
    found = compared(trials(frame))
    assert len(found.delta.values) == 3
    assert found.unpaired.values == ()


@pytest.mark.slow
def test_the_paired_interval_covers_a_planted_gap() -> None:
    rng, draws, covered, unpaired = np.random.default_rng(0), 400, 0, 0
    for _ in range(draws):
        frame = {}
        for seed in range(5):
            shared, gap = rng.normal(0, 0.3), rng.normal(0.1, 0.05)
            frame[("a", seed)] = [(recon, line(recon) + shared + gap) for recon in (90, 120, 180)]
            frame[("b", seed)] = [(recon, line(recon) + shared) for recon in (100, 130, 160)]
        found = compared(trials(frame))
        assert found.delta.low is not None
        assert found.delta.high is not None
        assert found.unpaired.low is not None
        covered += found.delta.low < 0.1 < found.delta.high
        unpaired += found.unpaired.low < 0
    assert 0.925 < covered / draws < 0.98  # 95 %: standard error .011
    assert unpaired / draws > 0.9  # seeds that move both arms hide the gap from it


def test_dominated_settings_count_inside_the_overlap_and_not_beyond_it() -> None:
    frame = {("a", 0): curve([100, 150], 0.1), ("b", 0): curve([90, 160])}
    beyond = frame | {("a", 0): [*frame["a", 0], (400, -5.0)], ("b", 0): [*frame["b", 0], (50, -3.0)]}
    beyond["a", 0].append((160, line(160) + 0.1))  # the curve bends beyond b's end only
    assert compared(trials(beyond)).delta.mean == pytest.approx(0.1)
    inside = frame | {("a", 0): [*frame["a", 0], (125, -5.0)]}
    assert compared(trials(inside)).delta.mean < -1  # a mean of all settings, no front


@settings(max_examples=50, deadline=None)
@given(points, points, st.randoms(use_true_random=False))
def test_laws_of_the_gap(ours, theirs, random) -> None:
    frame = trials({("a", 0): ours, ("b", 0): theirs})
    found = compared(frame)
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))]
    turned = compare(frame, "b", "a", "score", "paper")
    scaled = compared(frame.assign(score=[3 * score + 7 for score in frame["score"]]))
    moved = compared(frame.assign(recon=frame["recon"] + 32))
    assert compared(shuffled) == found or math.isnan(found.delta.mean)
    assert turned.delta.values == pytest.approx([-value for value in found.delta.values])
    assert scaled.delta.values == pytest.approx([3 * value for value in found.delta.values])
    assert moved.delta.values == pytest.approx(found.delta.values)
    shared = min(max(r for r, _ in ours), max(r for r, _ in theirs)) - max(min(ours)[0], min(theirs)[0])
    assert bool(found.delta.values) == (shared >= 10)


@pytest.mark.parametrize(("mean", "seeds", "protocol", "verdict"), [
    (0.2, 10, "paper", "confirmed"), (-0.2, 10, "paper", "refuted"), (0.01, 10, "paper", "inconclusive"),
    (0.2, 9, "paper", "inconclusive"), (-0.2, 9, "paper", "inconclusive"), (0.2, 10, "laptop", "not tested"),
])  # fmt: skip
def test_verdicts(mean: float, seeds: int, protocol: str, verdict: str) -> None:
    found = compared(planted(seeded(mean, 0.1, seeds)), protocol)
    assert found.verdict == verdict
    assert (found.p is None) == (seeds < 10)
    assert found.effect == pytest.approx(mean / 0.1)


@pytest.mark.parametrize(("adjusted", "verdict"), [(0.04, "confirmed"), (0.06, "inconclusive"), (None, "inconclusive")])
def test_a_secondary_claim_takes_the_adjusted_p_too(adjusted: float | None, verdict: str) -> None:
    found = compared(planted(seeded(0.2, 0.1, 10)))
    assert dataclasses.replace(found, primary=False, adjusted=adjusted).verdict == verdict
    assert dataclasses.replace(found, adjusted=adjusted).verdict == "confirmed"


def test_a_claim_takes_the_interval_and_the_t_test() -> None:
    skewed = compared(planted(seeded(0.08, 0.12, 12)))
    assert skewed.p is not None
    assert skewed.delta.low is not None
    assert skewed.p < 0.05
    assert skewed.delta.low < 0
    assert skewed.verdict == "inconclusive"
    rng, claims, intervals, draws = np.random.default_rng(5), 0, 0, 400
    template = compared(planted([0.0] * 10))
    for _ in range(draws):
        found = dataclasses.replace(template, delta=over_seeds(rng.normal(size=10).tolist()))
        claims += found.verdict != "inconclusive"
        assert found.delta.low is not None
        assert found.delta.high is not None
        intervals += not found.delta.low <= 0 <= found.delta.high
    assert claims / draws < 0.075  # without any gap: 5 %, standard error .011
    assert intervals > 1.5 * claims  # the BCa interval of ten seeds is too narrow to claim by


def test_equal_gaps_have_no_effect_size() -> None:
    frame = {("a", seed): [(100.0, 0.75), (150.0, 0.75)] for seed in range(10)}
    frame |= {("b", seed): [(100.0, 0.5), (150.0, 0.5)] for seed in range(10)}
    found = compared(trials(frame))
    assert (found.effect, found.p, found.delta.low, found.verdict) == (None, 0, 0.25, "confirmed")
    assert (found.unpaired.low, found.unpaired.high) == (0.25, 0.25)


def test_a_summary_has_the_comparisons_of_which_both_arms_are_there() -> None:
    three = summary(study({name: [0.0] * 3 for name in ARMS}), "paper")
    assert [(one.a, one.b) for one in three] == list(COMPARISONS)
    assert [one.primary for one in three] == [True, False, False]
    assert [one.adjusted for one in three] == [None] * 3
    (one,) = summary(study({"capacity": [0.0], "capacity, no ramp": [0.0]}).drop(columns="beta_start"), "paper")
    assert (one.b, one.primary) == ("capacity, no ramp", False)
    assert summary(study({"fixed beta": [0.0], "annealed beta": [0.0]}), "paper") == []
    assert summary(pd.DataFrame(), "paper") == []


def test_a_summary_corrects_for_the_comparisons_that_have_a_p_value() -> None:
    gaps = {"capacity": [0.0] * 12, "fixed beta": seeded(0.12, 0.1, 12), "capacity, no ramp": seeded(0.1, 0.12, 12)}
    first, second, third = summary(study(gaps | {"annealed beta": [0.3] * 4}), "paper")
    p, q = (2 * float(scipy.stats.t.sf(mean / sd * math.sqrt(12), 11)) for mean, sd in ((0.12, 0.1), (0.1, 0.12)))
    assert p < q < 0.05
    assert (first.p, second.p, third.p) == (pytest.approx(p), pytest.approx(q), None)
    assert (first.adjusted, second.adjusted, third.adjusted) == (pytest.approx(2 * p), pytest.approx(q), None)
    assert [one.verdict for one in (first, second, third)] == ["confirmed", "confirmed", "inconclusive"]
    best = [line(200) - offset for offset in gaps["fixed beta"]]
    expected = [(0, sum(score < level.at_least for score in best)) for level in first.levels]
    assert [level.censored for level in first.levels] == expected
    assert expected[-1] > (0, 0)


def test_a_study_on_a_laptop_is_compared_and_not_tested(fake_study: Path) -> None:
    (one,) = summary(load(fake_study).finished, "laptop")
    # Both families lie on one line of slope 1 / 600; the second seed lost the last setting of either.
    assert [(gap.seed, gap.low, gap.high) for gap in one.gaps] == [(0, 136, 196), (1, 137, 125)]
    assert one.gaps[0].delta == pytest.approx(0)
    assert (one.verdict, one.settings, one.crossed) == ("not tested", (3, 3), ())
    assert len(one.levels) == 4


def test_a_study_without_factors_has_reasons_and_no_gaps(fake_study: Path) -> None:
    (one,) = summary(load(fake_study).finished.drop(columns="mig_calibrated"), "paper")
    assert {gap.reason for gap in one.gaps} == {"capacity has no setting with mig_calibrated, under two"}
    assert (one.levels, one.verdict) == ((), "not comparable")


def test_arms_of_several_parameters_are_named(fake_study: Path) -> None:
    finished = load(fake_study).finished
    finished = finished.assign(gamma=[float(seed) for seed in finished["seed"]])
    (one,) = summary(finished, "paper")
    assert one.crossed == ("gamma",)


def test_an_arm_that_no_trial_has_is_refused(fake_study: Path) -> None:
    frame = with_arms(load(fake_study).finished)
    with pytest.raises(ValueError, match="no trial is of the arm 'annealed beta'; name one of"):
        compare(frame, "capacity", "annealed beta", "mig_calibrated", "paper")


def test_across_scores_the_target_keeps_its_p_and_the_others_are_corrected_for_their_number() -> None:
    frame = study({"capacity": [0.0] * 10, "fixed beta": seeded(0.2, 0.2, 10)})
    frame = frame.assign(sap=frame["mig_calibrated"], few=frame["mig_calibrated"].where(frame["seed"] < 4))
    first, *others = across(frame, "paper", ["sap", "mig_calibrated", "few"])
    assert (first.score, first.primary, first.adjusted) == ("mig_calibrated", True, None)
    assert [(one.score, one.primary) for one in others] == [("sap", False), ("few", False)]
    assert (others[0].p, others[0].adjusted) == (first.p, first.p)  # of the two, one has a p
    assert (others[1].p, others[1].adjusted, len(others[1].delta.values)) == (None, None, 4)
    more = across(frame.assign(third=frame["sap"]), "paper", ["sap", "third"])
    assert first.p is not None
    assert [one.adjusted for one in more] == [None, *[pytest.approx(2 * first.p)] * 2]


def test_infom_times_infoe_is_one_of_the_scores_where_both_are_there() -> None:
    frame = study({"capacity": [0.0] * 3, "fixed beta": [0.1] * 3})
    frame = frame.assign(infom=0.5, infoe=[line(recon) * (1 + (family == "capacity")) for recon, family in
                                           zip(frame["recon"], frame["family"], strict=True)])  # fmt: skip
    (*_, product) = across(frame, "paper", [])
    assert product.score == PRODUCT
    assert product.delta.mean == pytest.approx(0.5 * line(150))
    assert [one.score for one in across(frame.drop(columns="infoe"), "paper", [])] == ["mig_calibrated"]
    assert across(frame.query("family == 'beta'"), "paper", []) == across(pd.DataFrame(), "paper", []) == []


def test_any_study_with_the_two_arms_is_compared(fake_study: Path) -> None:
    assert load(fake_study).study.identity["search"] != "headline"
    (one,) = across(load(fake_study).finished, "laptop", ["mig_calibrated"])
    assert one.gaps[0].delta == pytest.approx(0)
