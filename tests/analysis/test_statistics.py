import math

import numpy as np
import pytest
import scipy.stats

from analysis.statistics import clustered, holm, over_seeds, paired_p, unpaired


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
