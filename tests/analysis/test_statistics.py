import math

import numpy as np
import pytest

from analysis.statistics import over_seeds


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
