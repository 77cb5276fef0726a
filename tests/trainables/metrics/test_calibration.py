import math

import numpy as np
import pytest

from trainables.metrics.calibration import Score, calibrate, null, perfect_codes

FACTORS = np.array([[0, 5], [1, 6], [2, 7], [3, 8]])


def agreement(codes, factors):
    """The share of rows whose first code is their first class."""
    return float(np.mean(codes[:, 0] == factors[:, 0]))


def test_calibrated_is_linear_and_never_clipped():
    assert Score(0.5, n=10, null=0.2, ceiling=0.8).calibrated == pytest.approx(0.5)
    assert Score(0.0, n=10, null=0.2, ceiling=0.7).calibrated == pytest.approx(-0.4)
    assert Score(1.0, n=10, null=0.0, ceiling=0.5).calibrated == pytest.approx(2.0)


def test_calibrated_is_missing_where_null_and_ceiling_nearly_meet():
    assert math.isnan(Score(0.3, n=10, null=0.25, ceiling=0.299).calibrated)
    assert Score(0.3, n=10, null=0.25, ceiling=0.301).calibrated == pytest.approx(0.05 / 0.051)
    assert math.isnan(Score(0.3, n=10).calibrated)


def test_each_null_draw_permutes_the_rows_of_all_columns_jointly():
    seen = []
    null(lambda codes, factors: seen.append(factors) or 0.0, FACTORS, FACTORS, draws=8, seed=0)
    assert all(np.array_equal(factors[:, 1], factors[:, 0] + 5) for factors in seen)
    assert all(sorted(factors[:, 0]) == [0, 1, 2, 3] for factors in seen)
    assert len({tuple(factors[:, 0]) for factors in seen}) > 3


def test_the_null_is_fixed_by_its_seed_and_alike_in_law_under_another():
    rows = np.arange(400)[:, None] % 10
    one, again, other = (null(agreement, rows, rows, draws=200, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    # 400 rows that agree by chance one time in ten: standard error of a mean of 200 draws .0011
    assert one.mean() == pytest.approx(0.1, abs=0.005)
    assert other.mean() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(("latents", "kept"), [(1, 1), (2, 2), (4, 2)])
def test_perfect_codes_are_class_indices_then_constants(latents, kept):
    codes = perfect_codes(FACTORS, latents)
    assert codes.shape == (4, latents)
    np.testing.assert_array_equal(codes[:, :kept], FACTORS[:, :kept])
    assert np.ptp(codes[:, kept:], axis=0).tolist() == [0.0] * (latents - kept)


def test_calibrate_gathers_value_null_and_ceiling():
    rows = np.arange(400)[:, None] % 10
    draws = null(agreement, rows, rows, draws=5, seed=3)
    score = calibrate(agreement, rows, perfect_codes(rows, 3), rows, draws=5, seed=3, bins=20)
    assert (score.value, score.ceiling, score.n, score.bins) == (1.0, 1.0, 400, 20)
    assert score.null == pytest.approx(np.mean(draws))
    assert score.null_sd == pytest.approx(np.std(draws, ddof=1))
    assert score.calibrated == 1.0
    assert math.isnan(calibrate(agreement, rows, rows, rows, draws=1, seed=3).null_sd)
