import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import mutual_info_score

from tests.trainables.metrics.tables import (
    BAD,
    DSPRITES,
    dead,
    duplicated,
    grid,
    merged,
    noise,
    noisy,
    perfect,
    random_factors,
    rotated,
    warped,
)
from trainables.metrics.calibration import Score, perfect_codes
from trainables.metrics.inputs import MetricError
from trainables.metrics.mig import (
    BINS,
    binned,
    factor_entropy,
    gap,
    measure,
    mig,
    mig_active,
    mutual_information,
    silenced,
)
from trainables.metrics.table import calibrated, named


def score(codes: NDArray, factors: NDArray, seed: int = 0, nulls: int | None = None) -> Score:
    return calibrated(named(["mig"])[0], codes, factors, seed, nulls)["mig"]


def noisy_codes(factors: NDArray, latents: int, seed: int = 1) -> NDArray:
    """Standard normal noise, the first columns shifted by a factor each."""
    codes = np.random.default_rng(seed).normal(size=(len(factors), latents))
    shared = min(latents, factors.shape[1])
    codes[:, :shared] += 0.5 * factors[:, :shared]
    return codes


@st.composite
def tables(draw: st.DrawFn) -> tuple[NDArray, NDArray]:
    """Codes of both float widths with ties and constants, and few-valued factors, one of them varied."""
    rows = draw(st.integers(2, 60))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    value = st.floats(-4, 4, width=16) | st.sampled_from([0.0, 1.0])
    codes = draw(arrays.arrays(dtype, (rows, draw(st.integers(1, 4))), elements=value))
    factors = draw(arrays.arrays(np.int64, (rows, draw(st.integers(1, 3))), elements=st.integers(0, 5)))
    factors[:, 0] = np.arange(rows) % 2
    return codes, factors


def reference_bins(column: NDArray) -> NDArray:
    return np.digitize(column, np.histogram(column, 20)[1][:-1])


@settings(deadline=None)
@given(tables())
def test_bins_and_information_agree_with_the_plain_definitions(table: tuple[NDArray, NDArray]) -> None:
    codes, factors = table
    labels = binned(codes)
    information = mutual_information(codes, factors)
    for i, column in enumerate(codes.T):
        np.testing.assert_array_equal(labels[:, i], reference_bins(column))
        for j, factor in enumerate(factors.T):
            plain = mutual_info_score(factor, reference_bins(column))
            assert information[i, j] == pytest.approx(plain, abs=1e-12)


@settings(deadline=None)
@given(tables())
def test_mig_is_the_plain_mean_of_the_gaps_and_a_share(table: tuple[NDArray, NDArray]) -> None:
    codes, factors = table
    result, gaps = measure(codes, factors)["mig"], []
    for column in factors.T:
        said = sorted((mutual_info_score(column, reference_bins(latent)) for latent in codes.T), reverse=True)
        entropy = mutual_info_score(column, column)  # a factor says all of itself
        gaps.append((said[0] - (said[1] if len(said) > 1 else 0)) / entropy if np.ptp(column) else math.nan)
    assert result.per_factor is not None
    assert result.matrix is not None
    np.testing.assert_allclose(result.per_factor, gaps, atol=1e-9)
    assert result.value == pytest.approx(np.nanmean(gaps), abs=1e-9)
    assert 0 <= result.value <= 1 + 1e-12
    assert result.matrix.shape == (codes.shape[1], factors.shape[1])
    assert (result.n, result.bins, mig(codes, factors)) == (len(codes), 20, result.value)


def test_values_on_edges_fall_into_the_upper_bin_and_the_largest_into_the_last() -> None:
    column = np.linspace(0, 20, 21)
    assert binned(column[:, None]).ravel().tolist() == [*range(1, 21), 20]


def test_a_constant_latent_falls_into_one_bin_even_where_numpy_refuses() -> None:
    with pytest.raises(ValueError, match="Too many bins"):
        np.histogram(np.array([1, 1 + 2**-23], np.float32), 20)
    codes = np.array([[1, 7], [1 + 2**-23, 7], [1, 7]], np.float32)
    assert np.unique(binned(codes)[:, 0]).size == np.unique(binned(codes)[:, 1]).size == 1


def test_entropy_is_plug_in_nats_and_exactly_zero_for_a_constant() -> None:
    factors = np.array([[0, 0, 4], [0, 1, 4], [1, 2, 4], [1, 3, 4]])
    np.testing.assert_allclose(factor_entropy(factors), [math.log(2), math.log(4), 0])
    assert factor_entropy(np.full((10_001, 1), 3))[0] == 0


def test_a_perfect_code_of_balanced_factors_scores_one() -> None:
    factors = grid(2, 5, 10)
    assert mig(perfect_codes(factors, 5), factors) == pytest.approx(1)
    result = score(perfect_codes(factors, 5), factors)
    assert result.calibrated == 1
    assert result.null < 0.1


def test_closed_forms_of_imperfect_codes() -> None:
    factors = grid(4, 4)
    assert mig(duplicated(perfect(factors)), factors) == pytest.approx(0.5)  # the first is said twice: no gap
    halved = np.column_stack([factors[:, 0] // 2, factors[:, 1]])
    assert mig(halved, factors) == pytest.approx(0.75)  # ln 2 of ln 4 for the first, all for the second
    assert mig(dead(perfect(factors)), factors) == pytest.approx(1)
    assert mig(factors * 0, factors) == 0
    assert mig(rotated(perfect(factors)), factors) == pytest.approx(0)  # both latents say as much of both
    # the first latent tells -1.34 and 1.34 (whose cubes are far apart) from -.45 and .45, whose cubes share a bin
    assert mig(warped(perfect(factors)), factors, bins=3) == pytest.approx(1.5 * math.log(2) / math.log(4))
    assert mig(warped(perfect(factors)), factors) == pytest.approx(1)


def test_mig_is_blind_to_merged_factors() -> None:
    factors = grid(4, 4)
    assert mig(merged(factors), factors) == pytest.approx(1)


def test_constant_factors_leave_the_mean_and_alone_they_are_refused() -> None:
    factors = random_factors((4, 5), 500)
    codes = noisy_codes(factors, 3)
    padded = np.column_stack([factors, np.full(500, 7)])
    assert mig(codes, padded) == mig(codes, factors)
    with pytest.raises(MetricError, match="all 1 factors are constant on 500 rows"):
        mig(codes, padded[:, 2:])
    with pytest.raises(MetricError, match="bins=1"):
        mig(codes, factors, bins=1)


@pytest.mark.parametrize(("codes", "factors", "message"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        measure(codes, factors)


def test_a_single_latent_competes_with_nothing() -> None:
    factors = random_factors((4, 5), 500)
    codes = noisy_codes(factors, 1)
    expected = np.mean(mutual_information(codes, factors)[0] / factor_entropy(factors))
    assert mig(codes, factors) == pytest.approx(expected)
    np.testing.assert_array_equal(gap(np.array([[0.5, 0.0], [0.75, 2.0], [0.0, 1.0]])), [0.25, 1.0])


@settings(deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_latents_and_factors_and_names_of_classes_do_not_matter(
    table: tuple[NDArray, NDArray], random: random.Random
) -> None:
    codes, factors = table
    rows, latents, columns = (np.array(random.sample(range(size), size)) for size in (*codes.shape, factors.shape[1]))
    names = np.array(random.sample(range(-50, 50), 6))
    value = mig(codes, factors)
    assert mig(codes[rows], factors[rows]) == value
    assert mig(codes[:, latents], factors) == value
    assert mig(codes, factors[:, columns]) == pytest.approx(value)
    assert mig(codes, names[factors]) == pytest.approx(value)


@settings(deadline=None)
@given(tables(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_by_a_power_of_two_changes_nothing(table: tuple[NDArray, NDArray], factor: float) -> None:
    codes, factors = table
    assert mig(codes * codes.dtype.type(factor), factors) == mig(codes, factors)


def test_a_flip_moves_values_on_edges_to_another_bin() -> None:
    # Bins are half open: 19 and 20 share the last one, -19 and -20 do not; of ln 21 nats ln 2 are lost either way.
    column, factor = np.linspace(0, 20, 21)[:, None], np.arange(21)[:, None] == 20
    assert mig(column, factor.astype(int)) < mig(-column, factor.astype(int)) == pytest.approx(1)
    factors = random_factors((4, 5), 500)
    codes = noisy_codes(factors, 3)  # no value on an edge
    assert mig(-codes, factors) == pytest.approx(mig(codes, factors), abs=1e-12)


def test_the_ceiling_of_a_perfect_code_with_dsprites_sizes() -> None:
    factors = random_factors(DSPRITES, 10_000)
    result = score(perfect_codes(factors, 10), factors, nulls=2)
    assert result.value == result.ceiling
    assert result.calibrated == 1
    assert result.ceiling == pytest.approx(0.896, abs=0.002)
    assert mig(perfect_codes(factors, 10), factors, bins=40) == pytest.approx(0.987, abs=0.002)


@pytest.mark.parametrize(("rows", "ceiling", "tolerance"), [(10_000, 0.998, 0.001), (100, 0.77, 0.05)])
def test_the_ceiling_falls_with_n(rows: int, ceiling: float, tolerance: float) -> None:
    factors = random_factors((10,) * 5, rows)
    assert mig(perfect_codes(factors, 10), factors) == pytest.approx(ceiling, abs=tolerance)


def test_noise_is_calibrated_to_zero() -> None:
    factors = random_factors(DSPRITES, 3000)
    codes = noise(3000, 10, seed=5)
    one, other = (score(codes, factors, seed) for seed in (0, 1))
    assert abs(one.value - one.null) < 5 * one.null_sd
    assert abs(one.calibrated) < 0.005
    assert 0 < one.null < 0.005
    assert abs(one.null - other.null) < 5 * one.null_sd / math.sqrt(10)


def test_noise_on_a_perfect_code_lowers_it_step_by_step() -> None:
    factors = random_factors((4, 5, 8), 2000)
    values = [mig(noisy(perfect(factors), scale), factors) for scale in (0.0, 0.2, 0.5, 1.0, 3.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1 < 0.9 < values[0]


def test_score_without_null_is_the_value_alone() -> None:
    factors = random_factors(DSPRITES, 1000)
    codes = noisy_codes(factors, 6)
    bare, full = score(codes, factors, nulls=0), score(codes, factors, nulls=2)
    assert bare.value == full.value == mig(codes, factors)
    assert (bare.n, bare.bins) == (1000, BINS)
    assert np.isnan([bare.null, bare.null_sd, bare.calibrated]).all()
    assert bare.ceiling == full.ceiling > 0.8


def test_with_fewer_latents_than_factors_the_ceiling_counts_what_fits() -> None:
    factors = grid(4, 4)
    assert score(factors[:, :1], factors).ceiling == pytest.approx(0.5)


def test_mig_active_ignores_the_ripple_of_a_dead_latent() -> None:
    factors = random_factors((8,), 2000)
    codes = np.column_stack([factors // 2, 1e-6 * factors]).astype(np.float32)
    said = mutual_information(codes, factors)[0, 0] / factor_entropy(factors)[0]  # about two bits of three
    assert mig(codes, factors) == pytest.approx(1 - said)  # binned by range the ripple says it better
    assert mig_active(codes, factors, [True, False]) == pytest.approx(said)
    assert silenced(codes, [True, False]).dtype == np.float32
    with pytest.raises(MetricError, match=r"active of shape \(1,\)"):
        mig_active(codes, factors, [True])
