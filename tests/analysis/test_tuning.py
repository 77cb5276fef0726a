import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tuning import curves, position_map


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_a_curve_is_the_mean_and_sd_of_the_rows_of_each_value(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    means, factors = rng.normal(size=(rows, 3)).astype(np.float32), rng.integers(0, 4, (rows, 2)).astype(np.uint8)
    found = curves(means, factors, [2, 0], ["shape", "x"])
    assert [[(curve.latent, curve.factor) for curve in line] for line in found] == [
        [(2, "shape"), (2, "x")], [(0, "shape"), (0, "x")],
    ]  # fmt: skip
    for curve in [curve for line in found for curve in line]:
        column = factors[:, ["shape", "x"].index(curve.factor)]
        assert curve.values.tolist() == sorted(set(column.tolist()))
        for value, mean, sd in zip(curve.values, curve.mean, curve.sd, strict=True):
            chosen = means[column == value, curve.latent].astype(float)
            assert (mean, sd) == pytest.approx((chosen.mean(), chosen.std()), abs=1e-6)


def test_the_map_lies_as_the_images_do_and_knows_where_it_knows_nothing() -> None:
    codes, x, y = np.array([1.0, 3.0, 5.0]), np.array([2, 2, 0], np.uint8), np.array([0, 0, 1], np.uint8)
    expected = np.array([[np.nan, np.nan, 2.0], [5.0, np.nan, np.nan]])
    np.testing.assert_array_equal(position_map(codes, x, y), expected)
