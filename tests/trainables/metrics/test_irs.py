import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.trainables.metrics.tables import (
    BAD,
    Codes,
    Factors,
    Table,
    dead,
    duplicated,
    grid,
    merged,
    noise,
    noisy,
    perfect,
    random_factors,
    rotated,
    small_tables,
    warped,
)
from trainables.metrics.calibration import null
from trainables.metrics.inputs import MetricError
from trainables.metrics.irs import measure


def irs(codes: ArrayLike, factors: ArrayLike) -> float:
    return measure(codes, factors)["irs"].value


def plain(codes: Codes, factors: Factors) -> float:
    """The slow twin: latent by latent, factor by factor, class by class."""
    reaches, values = [], []
    for latent in codes.T:
        if len(set(latent)) == 1:
            continue
        reach, robust = max(abs(latent - np.mean(latent))), []
        for column in factors.T:
            if len(set(column)) == 1:
                continue
            groups = [latent[column == value] for value in sorted(set(column))]
            moved = [float(np.percentile(abs(group - np.mean(group)), 99)) for group in groups]
            robust.append(1 - sum(moved) / len(moved) / reach)
        reaches.append(reach)
        values.append(reach * max(robust))
    return float(sum(values) / sum(reaches))


@settings(max_examples=60, deadline=None)
@given(small_tables())
def test_irs_agrees_with_the_plain_definition(table: Table) -> None:
    codes, factors = table
    codes[:, 0] += np.arange(len(codes))  # one latent moves
    assume(all(np.bincount(column).max() > 1 for column in factors.T))
    assert irs(codes, factors) == pytest.approx(plain(codes, factors), abs=1e-9)


def test_irs_agrees_with_the_plain_definition_on_unlike_sizes() -> None:
    factors = random_factors(rows=2000)
    codes = noisy(rotated(perfect(factors), 2, 3, degrees=30), 0.2)
    assert irs(codes, factors) == pytest.approx(plain(codes, factors), abs=1e-9)


def test_the_result_says_what_it_was_read_from() -> None:
    factors = np.column_stack([grid(4, 5), np.zeros(20, int)])
    result = measure(dead(perfect(factors)[:, :2])[:, [2, 0, 1]], factors)["irs"]
    assert result.matrix is not None
    # x moves over its whole reach where only y is held; a dead latent has 0, a constant factor nothing
    np.testing.assert_allclose(result.matrix[1:], [[1, 0, np.nan], [0, 1, np.nan]], atol=1e-12)
    np.testing.assert_array_equal(result.matrix[0, :2], 0)
    assert (result.n, result.value, result.missing) == (20, pytest.approx(1), "")


def test_a_perfect_code_scores_one_whatever_the_sizes() -> None:
    assert irs(perfect(grid(4, 5, 10)), grid(4, 5, 10)) == pytest.approx(1)
    factors = random_factors()
    assert irs(perfect(factors), factors) == pytest.approx(1)
    assert irs(warped(perfect(factors)), factors) == pytest.approx(1)


def test_irs_is_blind_to_duplicated_dead_and_missing_latents() -> None:
    factors = grid(4, 5, 3)
    codes = perfect(factors)
    assert irs(duplicated(codes), factors) == pytest.approx(1)
    assert irs(dead(codes, 3), factors) == pytest.approx(1)
    assert irs(codes[:, :1], factors) == pytest.approx(1)
    mixed = rotated(codes)
    assert irs(dead(mixed), factors) == pytest.approx(irs(mixed, factors), abs=1e-12)


def test_a_rotation_costs_half() -> None:
    # (x - y) / sqrt 2 with x held moves by the reach of y, half of its own.
    assert irs(rotated(perfect(grid(4, 4))), grid(4, 4)) == pytest.approx(0.5)


def test_a_merged_latent_moves_with_its_finer_factor() -> None:
    # 0 to 19 with its coarse factor held: 2 steps of a reach of 9.5. The other latent scores 1; weights are reaches.
    reaches = np.array([9.5 / math.sqrt((20**2 - 1) / 12), 4.5 / math.sqrt((10**2 - 1) / 12)])
    expected = np.average([1 - 2 / 9.5, 1], weights=reaches)
    assert irs(merged(grid(4, 5, 10)), grid(4, 5, 10)) == pytest.approx(expected)


def test_a_wider_latent_weighs_more() -> None:
    factors = grid(4, 4, 2)
    codes = rotated(perfect(factors))[:, [0, 2]]  # robustness 1/2 and 1
    for stretch in (0.1, 1.0, 10.0):
        scaled = codes / np.abs(codes).max(axis=0) * [stretch, 1]
        assert irs(scaled, factors) == pytest.approx((0.5 * stretch + 1) / (stretch + 1))


def test_a_monotone_warp_of_an_imperfect_code_is_seen() -> None:
    factor = np.array([0, 0, 1, 1])[:, None]
    codes = np.array([-3.0, -1, 1, 3])[:, None]
    assert irs(codes, factor) == pytest.approx(1 - 1 / 3)  # groups of 1 about 2, reach 3
    assert irs(warped(codes), factor) == pytest.approx(1 - 13 / 27)  # groups of 13 about 14, reach 27


def test_an_outlier_in_a_hundred_is_no_deviation_but_it_is_a_reach() -> None:
    codes = np.concatenate([np.zeros(199), [10], np.full(200, 4.0)])[:, None]
    factor = np.repeat([0, 1], 200)[:, None]
    # class 0 has the mean .05, from which all but one stay .05 away; the whole has the mean 2.025
    assert irs(codes, factor) == pytest.approx(1 - 0.05 / 2 / (10 - 2.025))


def test_every_value_counts_alike_however_many_rows_share_it() -> None:
    codes = np.array([-1.0, 1, -1, 1, -1, 1, 0, 0])[:, None]
    factor = np.array([0, 0, 0, 0, 0, 0, 1, 1])[:, None]
    assert irs(codes, factor) == pytest.approx(0.5)


def test_even_noise_scores_one_in_a_hundred() -> None:
    # The .99 quantile of |u| is .99, the reach 1. Standard deviation of the quantile of 10,000: sqrt(.0099 / 10000).
    codes = np.random.default_rng(0).permutation(np.linspace(-1, 1, 20_000))[:, None]
    assert irs(codes, random_factors((2, 2), 20_000)) == pytest.approx(0.01, abs=0.005)


def test_noise_scores_like_its_null_which_is_far_from_zero() -> None:
    factors, codes = random_factors(rows=2000), noise(2000, 10)
    draws = null(measure, codes, factors, 8, 0)["irs"]
    # about fifty rows a value: the mean of .99 quantiles of |z| is under 2.58, the largest of 2,000 about 3.5
    assert 1 - 2.58 / 3.3 < draws.mean() < 0.5
    assert irs(codes, factors) == pytest.approx(draws.mean(), abs=6 * draws.std(ddof=1))


def test_values_that_no_two_rows_share_are_refused() -> None:
    factors = np.column_stack([np.arange(50) % 5, np.arange(50)])  # of the second all would stand still, and score 1
    with pytest.raises(MetricError, match="no two of the 50 rows share a value of factor 1"):
        irs(noise(50, 3), factors)


def test_noise_on_a_perfect_code_lowers_it_step_by_step() -> None:
    factors = random_factors((4, 5, 8), 2000)
    values = [irs(noisy(perfect(factors), scale), factors) for scale in (0.0, 0.1, 0.3, 1.0, 3.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.5


@settings(max_examples=40, deadline=None)
@given(small_tables(), st.integers(0, 2**32 - 1), st.sampled_from([-0.25, -1.0, 1024.0]))
def test_order_common_scale_flips_shifts_and_names_of_classes_do_not_matter(
    table: Table, seed: int, factor: float
) -> None:
    codes, factors = table
    codes[:, 0] += np.arange(len(codes))
    assume(all(np.bincount(column).max() > 1 for column in factors.T))
    generator, value = np.random.default_rng(seed), pytest.approx(irs(codes, factors), abs=1e-9)
    rows, signs = generator.permutation(len(codes)), generator.choice([-1.0, 1.0], codes.shape[1])
    assert irs(codes[:, generator.permutation(codes.shape[1])], factors) == value
    assert irs(codes[rows], factors[rows]) == value
    assert irs(codes * factor, factors) == value
    assert irs(codes * signs, factors) == value
    assert irs(codes + generator.normal(size=codes.shape[1]), factors) == value
    assert irs(codes, generator.permutation(9)[factors]) == value


def test_constant_factors_are_left_out() -> None:
    factors = random_factors((4, 5), 300)
    codes = noisy(perfect(factors), 0.5)
    assert irs(codes, np.insert(factors, 1, 7, axis=1)) == pytest.approx(irs(codes, factors), abs=1e-12)


@pytest.mark.parametrize(("codes", "factors", "message"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        measure(codes, factors)


def test_constant_codes_are_refused() -> None:
    with pytest.raises(MetricError, match="all 2 latents are constant"):
        measure(np.ones((12, 2)), grid(3, 4))
