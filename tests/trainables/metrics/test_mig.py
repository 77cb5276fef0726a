import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import mutual_info_score

from trainables.metrics.calibration import perfect_codes
from trainables.metrics.inputs import MetricError
from trainables.metrics.mig import (
    binned,
    factor_entropy,
    mig,
    mig_active,
    mutual_information,
    score,
    silenced,
)

DSPRITES = (3, 6, 40, 32, 32)


def random_factors(sizes, rows, seed=0):
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.integers(size, size=rows) for size in sizes]).astype(np.uint8)


def noisy_codes(factors, latents, seed=1):
    """Standard normal noise, the first columns shifted by a factor each."""
    codes = np.random.default_rng(seed).normal(size=(len(factors), latents))
    shared = min(latents, factors.shape[1])
    codes[:, :shared] += 0.5 * factors[:, :shared]
    return codes


@st.composite
def tables(draw):
    """Codes of both float widths with ties and constants, and few-valued factors, one of them varied."""
    rows = draw(st.integers(2, 60))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    value = st.floats(-4, 4, width=16) | st.sampled_from([0.0, 1.0])
    codes = draw(arrays.arrays(dtype, (rows, draw(st.integers(1, 4))), elements=value))
    factors = draw(arrays.arrays(np.int64, (rows, draw(st.integers(1, 3))), elements=st.integers(0, 5)))
    factors[:, 0] = np.arange(rows) % 2
    return codes, factors


def reference_bins(column):
    return np.digitize(column, np.histogram(column, 20)[1][:-1])


@settings(deadline=None)
@given(tables())
def test_bins_and_information_agree_with_the_plain_definitions(table):
    codes, factors = table
    labels = binned(codes)
    information = mutual_information(codes, factors)
    for i, column in enumerate(codes.T):
        np.testing.assert_array_equal(labels[:, i], reference_bins(column))
        for j, factor in enumerate(factors.T):
            plain = mutual_info_score(factor, reference_bins(column))
            assert information[i, j] == pytest.approx(plain, abs=1e-12)


def test_values_on_edges_fall_into_the_upper_bin_and_the_largest_into_the_last():
    column = np.linspace(0, 20, 21)
    assert binned(column[:, None]).ravel().tolist() == [*range(1, 21), 20]


def test_a_constant_latent_falls_into_one_bin_even_where_numpy_refuses():
    with pytest.raises(ValueError, match="Too many bins"):
        np.histogram(np.array([1, 1 + 2**-23], np.float32), 20)
    codes = np.array([[1, 7], [1 + 2**-23, 7], [1, 7]], np.float32)
    assert np.unique(binned(codes)[:, 0]).size == np.unique(binned(codes)[:, 1]).size == 1


def test_entropy_is_plug_in_nats_and_exactly_zero_for_a_constant():
    factors = np.array([[0, 0, 4], [0, 1, 4], [1, 2, 4], [1, 3, 4]])
    np.testing.assert_allclose(factor_entropy(factors), [math.log(2), math.log(4), 0])
    assert factor_entropy(np.full((10_001, 1), 3))[0] == 0


def test_a_perfect_code_of_balanced_factors_scores_one():
    factors = np.stack(np.meshgrid(range(2), range(5), range(10), indexing="ij"), -1).reshape(-1, 3)
    assert mig(perfect_codes(factors, 5), factors) == pytest.approx(1)
    result = score(perfect_codes(factors, 5), factors, seed=0)
    assert result.calibrated == 1
    assert result.null < 0.1


def test_closed_forms_of_imperfect_codes():
    factors = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), -1).reshape(-1, 2)
    doubled = factors[:, [0, 0, 1]]
    assert mig(doubled, factors) == pytest.approx(0.5)  # the first factor is said twice: no gap
    halved = np.column_stack([factors[:, 0] // 2, factors[:, 1]])
    assert mig(halved, factors) == pytest.approx(0.75)  # ln 2 of ln 4 for the first, all for the second
    merged = factors[:, :1] * 4 + factors[:, 1:]
    assert mig(merged, factors) == pytest.approx(1)  # one latent says both: MIG is blind to merging
    assert mig(factors * 0, factors) == 0


def test_constant_factors_leave_the_mean_and_alone_they_are_refused():
    factors = random_factors((4, 5), 500)
    codes = noisy_codes(factors, 3)
    padded = np.column_stack([factors, np.full(500, 7)])
    assert mig(codes, padded) == mig(codes, factors)
    with pytest.raises(MetricError, match="all 1 factors are constant on 500 rows"):
        mig(codes, padded[:, 2:])
    with pytest.raises(MetricError, match="bins=1"):
        mig(codes, factors, bins=1)


def test_a_single_latent_competes_with_nothing():
    factors = random_factors((4, 5), 500)
    codes = noisy_codes(factors, 1)
    expected = np.mean(mutual_information(codes, factors)[0] / factor_entropy(factors))
    assert mig(codes, factors) == pytest.approx(expected)


@settings(deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_latents_and_factors_and_names_of_classes_do_not_matter(table, random):
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
def test_scaling_by_a_power_of_two_changes_nothing(table, factor):
    codes, factors = table
    assert mig(codes * codes.dtype.type(factor), factors) == mig(codes, factors)


def test_the_ceiling_of_a_perfect_code_with_dsprites_sizes():
    factors = random_factors(DSPRITES, 10_000)
    result = score(perfect_codes(factors, 10), factors, seed=0, null_draws=2)
    assert result.value == result.ceiling
    assert result.calibrated == 1
    assert result.ceiling == pytest.approx(0.896, abs=0.002)
    assert mig(perfect_codes(factors, 10), factors, bins=40) == pytest.approx(0.987, abs=0.002)


@pytest.mark.parametrize(("rows", "ceiling", "tolerance"), [(10_000, 0.998, 0.001), (100, 0.77, 0.05)])
def test_the_ceiling_falls_with_n(rows, ceiling, tolerance):
    factors = random_factors((10,) * 5, rows)
    assert mig(perfect_codes(factors, 10), factors) == pytest.approx(ceiling, abs=tolerance)


def test_noise_is_calibrated_to_zero():
    factors = random_factors(DSPRITES, 3000)
    codes = np.random.default_rng(5).normal(size=(3000, 10))
    one, other = (score(codes, factors, seed=seed) for seed in (0, 1))
    assert abs(one.value - one.null) < 5 * one.null_sd
    assert abs(one.calibrated) < 0.005
    assert 0 < one.null < 0.005
    assert abs(one.null - other.null) < 5 * one.null_sd / math.sqrt(10)


def test_score_without_null_is_the_value_alone():
    factors = random_factors(DSPRITES, 1000)
    codes = noisy_codes(factors, 6)
    bare, full = score(codes, factors, seed=0, null_draws=0), score(codes, factors, seed=0, null_draws=2)
    assert bare.value == full.value == mig(codes, factors)
    assert (bare.n, bare.bins) == (1000, 20)
    assert np.isnan([bare.null, bare.null_sd, bare.ceiling, bare.calibrated]).all()


def test_with_fewer_latents_than_factors_the_ceiling_counts_what_fits():
    factors = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), -1).reshape(-1, 2)
    assert score(factors[:, :1], factors, seed=0).ceiling == pytest.approx(0.5)


def test_mig_active_ignores_the_ripple_of_a_dead_latent():
    factors = random_factors((8,), 2000)
    codes = np.column_stack([factors // 2, 1e-6 * factors]).astype(np.float32)
    said = mutual_information(codes, factors)[0, 0] / factor_entropy(factors)[0]  # about two bits of three
    assert mig(codes, factors) == pytest.approx(1 - said)  # binned by range the ripple says it better
    assert mig_active(codes, factors, [True, False]) == pytest.approx(said)
    assert silenced(codes, [True, False]).dtype == np.float32
    with pytest.raises(MetricError, match=r"active of shape \(1,\)"):
        mig_active(codes, factors, [True])


@settings(max_examples=20, deadline=None)
@given(tables())
def test_mig_is_a_share(table):
    assert 0 <= mig(*table) <= 1 + 1e-12
