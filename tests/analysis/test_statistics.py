import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import clustered, holm, iqm, over_seeds, paired_p, seeds_needed, unpaired
from trainables.checks import InputError


def test_one_seed_is_a_point_and_two_are_two_points() -> None:
    assert over_seeds([3.0]).low is None
    two = over_seeds([3.0, 5.0])
    assert (two.mean, two.low, two.high) == (4.0, None, None)
    assert format(two, ".1f") == "4.0 (3.0, 5.0)"
    assert format(over_seeds([3.0]), ".1f") == "3.0"


def test_missing_values_are_left_out_and_none_is_said() -> None:
    assert over_seeds([1.0, float("nan")]).values == (1.0,)
    assert math.isnan(over_seeds([]).mean)
    assert format(over_seeds([float("nan")]), ".1f") == "-"


def test_three_seeds_get_the_t_interval() -> None:
    estimate = over_seeds([1.0, 2.0, 3.0])
    half = 4.302652729749464 * 1 / math.sqrt(3)  # t table, 2 degrees of freedom, 97.5 %
    assert (estimate.low, estimate.high) == pytest.approx((2 - half, 2 + half))


def test_equal_values_have_no_spread() -> None:
    estimate = over_seeds([2.0] * 12)
    assert (estimate.low, estimate.high) == (2.0, 2.0)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.93), (5, 0.93), (10, 0.87)])
def test_intervals_cover_what_they_claim(seeds: int, least: float) -> None:
    rng = np.random.default_rng(0)
    draws = 400 if seeds < 10 else 150
    estimates = [over_seeds(rng.normal(size=seeds).tolist()) for _ in range(draws)]
    covered = [e.low is not None and e.high is not None and e.low < 0 < e.high for e in estimates]
    assert least < np.mean(covered) < 0.995


def test_infinite_values_have_no_interval() -> None:
    for values in ([math.inf, 1.0, 2.0], [math.inf] * 3, [math.inf] * 12):
        estimate = over_seeds(values)
        assert (estimate.mean, estimate.low, estimate.high) == (math.inf, None, None)


def test_clusters_are_resampled_whole_and_cover_what_they_claim() -> None:
    rng, covered, draws = np.random.default_rng(0), 0, 60
    for _ in range(draws):
        centres = rng.normal(size=12)
        clusters = [centre + 0.1 * rng.normal(size=(5, 1)) for centre in centres]
        estimate = clustered(clusters, lambda rows: float(rows.mean()))
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low < 0 < estimate.high
    # Rows alone would give an interval of a third of the width, which covers about half; 60 draws: standard error .03
    assert 0.82 < covered / draws <= 1


def test_few_or_equal_clusters_have_no_interval() -> None:
    rows = [np.array([[float(place)]]) for place in range(9)]
    assert clustered(rows, lambda table: float(table.mean())).low is None
    assert clustered([np.full((2, 1), 3.0)] * 12, lambda table: round(float(table.mean()), 6)).low is None
    assert clustered([], lambda table: 1.0).values == ()
    assert clustered(rows, lambda table: math.nan).values == ()


def test_the_unpaired_interval_is_welchs() -> None:
    ours, theirs = [1.0, 2.0, 4.0, 3.0], [0.0, 5.0, -6.0, 2.0]
    expected = scipy.stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    found = unpaired(ours, theirs)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.mean, found.values) == (2.25, (1.0, -3.0, 10.0, 1.0))


def test_unpaired_keeps_the_rules_of_few_and_of_equal_seeds() -> None:
    assert unpaired([], []).values == ()
    two = unpaired([1.0, 2.0], [0.0, 0.0])
    assert (two.mean, two.low) == (1.5, None)
    equal = unpaired([3.0] * 4, [1.0] * 4)
    assert (equal.low, equal.high) == (2.0, 2.0)


def test_the_paired_p_value_is_that_of_the_t_test_from_ten_seeds_on() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, size=10)
    assert paired_p(differences.tolist()) == pytest.approx(scipy.stats.ttest_1samp(differences, 0)[1])
    assert paired_p((-differences).tolist()) == paired_p(differences.tolist())
    assert paired_p(differences[:9].tolist()) is None
    assert (paired_p([0.5] * 10), paired_p([0.0] * 10)) == (0, 1)


@pytest.mark.parametrize(("given", "adjusted"), [
    ([], []),
    ([0.03], [0.03]),
    ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),  # sorted .01 x 3, .03 x 2, .04 x 1 raised to .06
    ([0.02, 0.02, 0.5], [0.06, 0.06, 0.5]),
    ([0.9, 0.6], [1.0, 1.0]),
])  # fmt: skip
def test_holm_by_hand(given: list[float], adjusted: list[float]) -> None:
    assert holm(given) == pytest.approx(adjusted)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "covers", "draws"), [
    (3, 0.95, 2000), (5, 0.95, 2000), (9, 0.95, 2000),  # the t interval is exact for normal data
    (10, 0.90, 1000), (20, 0.93, 400),  # BCa is not
])  # fmt: skip
def test_each_rule_covers_what_the_docs_say(seeds: int, covers: float, draws: int) -> None:
    rng = np.random.default_rng(1)
    estimates = [over_seeds(rng.normal(size=seeds).tolist()) for _ in range(draws)]
    covered = [e.low is not None and e.high is not None and e.low < 0 < e.high for e in estimates]
    assert np.mean(covered) == pytest.approx(covers, abs=3.5 * math.sqrt(covers * (1 - covers) / draws))


@pytest.mark.parametrize(("seeds", "covers"), [(2, 0.50), (3, 0.75), (5, 0.83), (10, 0.90)])
def test_the_percentile_bootstrap_is_why_there_is_a_rule(seeds: int, covers: float) -> None:
    rng, draws = np.random.default_rng(0), 1000
    samples = rng.normal(size=(draws, seeds))
    means = samples[np.arange(draws)[:, None, None], rng.integers(0, seeds, (draws, 499, seeds))].mean(axis=-1)
    low, high = np.percentile(means, [2.5, 97.5], axis=1)
    covered = ((low <= 0) & (high >= 0)).mean()
    assert covered == pytest.approx(covers, abs=0.01 + 3 * math.sqrt(covers * (1 - covers) / draws))


def test_the_interquartile_mean_by_hand() -> None:
    assert iqm([1.0] * 7) is None
    eight = iqm([8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1e9, math.nan])  # two at either end go: 3, 4, 5, 6 stay
    assert eight is not None
    assert (eight.mean, eight.low, len(eight.values)) == (4.5, None, 8)
    nine = iqm([float(value) for value in (0, 0, 0, 1, 2, 3, 9, 9, 9)])
    assert nine is not None
    assert (nine.mean, nine.low) == (3.0, None)  # 0, 1, 2, 3 and 9: a quarter of nine is two


def test_the_interquartile_mean_has_an_interval_from_ten_seeds_on_where_the_middle_varies() -> None:
    values = np.random.default_rng(0).normal(size=12)
    found = iqm(values.tolist())
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.mean == pytest.approx(float(np.sort(values)[3:9].mean()))
    assert found.low < found.mean < found.high
    for flat in ([0.0] * 10 + [5.0, 9.0], [math.inf, *values.tolist()]):
        assert (found := iqm(flat)) is not None
        assert (found.low, found.high) == (None, None)


@pytest.mark.slow
def test_the_interval_of_the_interquartile_mean_covers_nine_tenths_of_ten_seeds() -> None:
    rng, covered, draws = np.random.default_rng(0), 0, 600
    for _ in range(draws):
        found = iqm(rng.normal(size=10).tolist())
        assert found is not None
        covered += found.low is not None and found.high is not None and found.low < 0 < found.high
    assert covered / draws == pytest.approx(0.93, abs=0.035)  # 600 draws: standard error .01


@given(st.lists(st.floats(-10, 10), min_size=5, max_size=9), st.floats(0.2, 30))
def test_seeds_needed_is_the_least_number_that_reaches_the_width(values: list[float], half_width: float) -> None:
    def half(seeds: int) -> float:
        return float(scipy.stats.t.ppf(0.975, seeds - 1)) * float(np.std(values, ddof=1)) / math.sqrt(seeds)

    found = seeds_needed(values, half_width)
    assert found is not None
    assert half(found) <= half_width * (1 + 1e-9)
    assert found == 3 or half(found - 1) > half_width * (1 - 1e-9)


def test_seeds_needed_takes_five_and_a_width() -> None:
    assert seeds_needed([1.0, 2.0, 3.0, 4.0], 1.0) is None
    assert seeds_needed([1.0, 2.0, 3.0, 4.0, math.nan], 1.0) is None
    assert seeds_needed([1.0, 2.0, 3.0, 4.0, math.inf], 1.0) is None
    assert seeds_needed([2.0] * 5, 1.0) == 3
    assert seeds_needed([0.0, 1.0] * 4, 1e-4) == pytest.approx((1.96 * math.sqrt(2 / 7) / 1e-4) ** 2, rel=1e-3)
    for width in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match=f"half_width={width} is no width above 0; give one"):
            seeds_needed([1.0] * 5, width)


def test_five_seeds_plan_too_few_more_often_than_enough() -> None:
    rng, draws = np.random.default_rng(0), 300
    unit = (np.array([-1.0, -1, 0, 1, 1])).tolist()  # standard deviation 1
    truly = seeds_needed(unit, 0.5)
    assert truly == 18
    planned = [seeds_needed(rng.normal(size=5).tolist(), 0.5) or 0 for _ in range(draws)]
    assert np.mean([plan >= truly for plan in planned]) == pytest.approx(0.43, abs=0.09)  # standard error .03
