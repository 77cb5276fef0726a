import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from trainables.metrics.audit import (
    active_kl001,
    active_latents,
    active_units,
    excess,
    information_per_latent,
    kl_per_latent,
    verdict,
)
from trainables.metrics.inputs import MetricError


def random_posteriors(rows, latents, seed, low=-4.5, high=0.5):
    generator = np.random.default_rng(seed)
    shape = (rows, latents)
    return 1.5 * generator.normal(size=shape), generator.uniform(low, high, size=shape)


def log_mixture(z, mean, log_std):
    """log q(z) of one latent with every posterior at every point, (points,)."""
    each = -0.5 * ((z[:, None] - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
    return np.asarray(logsumexp(each, axis=1)) - math.log(len(mean))


def plain_information(mean, log_std):
    """The slow twin: one even grid, all posteriors everywhere, trapezoids, no widening and no cutting."""
    sd = np.exp(log_std)
    z = np.arange((mean - 8 * sd).min(), (mean + 8 * sd).max(), sd.min() / 4)
    log_q = log_mixture(z, mean, log_std)
    q = np.exp(log_q)
    own = np.mean(0.5 * math.log(2 * math.pi * math.e) + log_std)
    prior = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    return -np.trapezoid(q * log_q, z) - own, np.trapezoid(q * (log_q - prior), z)


def test_kl_is_the_closed_form_of_a_gaussian():
    mean, log_std = np.array([[0.0, 2, 0], [0, 2, 0]]), np.array([[0.0, 0, -1], [0, 0, -1]])
    np.testing.assert_allclose(kl_per_latent(mean, log_std), [0, 2, 0.5 * (math.exp(-2) - 1) + 1])


@pytest.mark.parametrize(("m", "s"), [(0.0, 1.0), (1.5, 0.3), (-40.0, 0.01), (0.0, 3.0), (1e9, 1.0)])
def test_equal_posteriors_say_nothing_and_waste_their_whole_kl(m, s):
    mean, log_std = np.full((50, 1), m), np.full((50, 1), math.log(s))
    result = information_per_latent(mean, log_std)
    expected = 0.5 * (m**2 + s**2 - 1) - math.log(s)
    assert result.info[0] == pytest.approx(0, abs=1e-6)
    assert result.dim_kl[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("groups", [2, 7, 100])
def test_separate_posteriors_say_which_one_it_is(groups):
    mean = np.repeat(np.linspace(-3, 3, groups), 3)[:, None]
    result = information_per_latent(mean, np.full_like(mean, math.log(0.003)))
    assert result.info[0] == pytest.approx(math.log(groups), abs=1e-3)


@pytest.mark.parametrize("s", [0.9, 0.3, 0.05, math.exp(-5)])
def test_a_gaussian_channel_transmits_minus_ln_s(s):
    mean = math.sqrt(1 - s**2) * np.random.default_rng(0).normal(size=(10_000, 1))
    result = information_per_latent(mean, np.full_like(mean, math.log(s)))
    # H(q) of 10,000 draws of a normal: standard error .007
    assert result.info[0] == pytest.approx(-math.log(s), abs=0.05)
    assert result.dim_kl[0] == pytest.approx(0, abs=0.03)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.floats(-4, 0), st.floats(0, 4))
def test_kl_is_information_plus_dimension_kl(rows, seed, low, width):
    mean, log_std = random_posteriors(rows, 2, seed, low, low + width)
    result = information_per_latent(mean, log_std)
    np.testing.assert_allclose(result.info + result.dim_kl, kl_per_latent(mean, log_std), atol=1e-6)
    np.testing.assert_array_equal(result.kl, kl_per_latent(mean, log_std))
    assert (result.info > -1e-5).all()
    assert (result.info < math.log(rows) + 1e-5).all()
    assert (result.dim_kl > -1e-5).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_sparse_sums_agree_with_the_plain_integral(rows, seed):
    mean, log_std = random_posteriors(rows, 1, seed)
    result = information_per_latent(mean, log_std)
    info, dim_kl = plain_information(mean[:, 0], log_std[:, 0])
    assert result.info[0] == pytest.approx(info, abs=1e-5)
    assert result.dim_kl[0] == pytest.approx(dim_kl, abs=1e-5)


def test_information_agrees_with_monte_carlo():
    mean, log_std = random_posteriors(400, 1, seed=3)
    generator = np.random.default_rng(4)
    row = generator.integers(400, size=20_000)
    z = mean[row, 0] + np.exp(log_std[row, 0]) * generator.normal(size=len(row))
    own = -0.5 * ((z - mean[row, 0]) / np.exp(log_std[row, 0])) ** 2 - log_std[row, 0] - 0.5 * math.log(2 * math.pi)
    sample = own - log_mixture(z, mean[:, 0], log_std[:, 0])
    error = sample.std() / math.sqrt(len(sample))
    assert information_per_latent(mean, log_std).info[0] == pytest.approx(sample.mean(), abs=4 * error)


def test_order_of_rows_and_latents_does_not_matter():
    mean, log_std = random_posteriors(3000, 2, seed=5)
    order = np.argsort(mean[:, 0])
    one, other = (
        information_per_latent(mean, log_std),
        information_per_latent(mean[order, ::-1], log_std[order, ::-1]),
    )
    np.testing.assert_allclose(other.info, one.info[::-1], atol=1e-9)
    np.testing.assert_allclose(other.dim_kl, one.dim_kl[::-1], atol=1e-9)


def test_a_few_far_narrower_posteriors_cost_little_accuracy():
    mean, log_std = random_posteriors(300, 1, seed=6, low=-2, high=-2)
    log_std[:2] = -6
    info, dim_kl = plain_information(mean[:, 0], log_std[:, 0])
    result = information_per_latent(mean, log_std)
    assert result.info[0] == pytest.approx(info, abs=0.05)
    assert result.dim_kl[0] == pytest.approx(dim_kl, abs=0.05)


def test_posteriors_beyond_the_grid_give_a_lower_bound():
    mean = np.random.default_rng(7).normal(size=(2000, 1))
    result = information_per_latent(mean, np.full_like(mean, -20))
    assert 6 < result.info[0] <= math.log(2000)
    assert result.info[0] + result.dim_kl[0] < result.kl[0]


def test_posteriors_that_cannot_be_audited_are_refused():
    with pytest.raises(MetricError, match="differ in shape"):
        kl_per_latent(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(MetricError, match="log_std holds 1 non-finite"):
        information_per_latent(np.zeros((1, 1)), np.full((1, 1), np.inf))
    with pytest.raises(MetricError, match="reaches 400"):
        kl_per_latent(np.zeros((1, 1)), np.full((1, 1), -400.0))


def test_counts_of_active_latents_at_their_thresholds():
    kl, info = np.array([0.1, 0.0999, 0.1, 0.01, 0.011]), np.array([0.1, 1, 0.0999, 0, 0])
    assert active_latents(kl, info).tolist() == [True, False, False, False, False]
    assert active_kl001(kl) == 4
    assert active_units(np.array([[0, 0, 5], [0.199, 0.201, 5]])) == 1  # variances .0099, .0101, 0


def test_excess_is_what_lies_above_the_images_entropy():
    assert excess(20.0, 13.48) == pytest.approx(6.52)
    assert excess(13.0, 13.48) == 0


FINE = {"kl": 4.0, "info_sum": 2.0, "recon": 90.0, "constant_loss": 100.0, "capacity": 3.0, "tracking": 1.0}


@pytest.mark.parametrize(
    ("objective", "change", "expected"),
    [
        ("capacity", {}, "fine"),
        ("capacity", {"tracking": -1.0}, "fine"),
        ("capacity", {"tracking": 1.001}, "gamma too low"),
        ("capacity", {"tracking": -1.001}, "KL cannot follow"),
        ("capacity", {"tracking": None}, "fine"),
        ("capacity", {"tracking": math.nan}, "fine"),
        ("capacity", {"info_sum": 1.999}, "not informative"),
        ("capacity", {"recon": 90.001}, "not informative"),
        ("capacity", {"recon": 90.001, "tracking": 5.0}, "not informative"),
        ("capacity", {"recon": 90.001, "capacity": 2.999}, "fine"),
        ("capacity", {"kl": 0.0, "info_sum": 0.0}, "not informative"),
        ("beta_vae", {"capacity": None, "tracking": 5.0}, "fine"),
        ("beta_vae", {"capacity": math.nan, "tracking": -5.0}, "fine"),
        ("beta_vae", {"kl": 3.0, "info_sum": 1.499}, "not informative"),
        ("beta_vae", {"kl": 2.999, "info_sum": 0.0}, "fine"),
        ("vae", {"recon": 90.001, "tracking": None}, "not informative"),
    ],
)
def test_every_branch_of_the_verdict_at_its_threshold(objective, change, expected):
    assert verdict(objective, **(FINE | change)) == expected


@pytest.mark.parametrize("name", ["kl", "info_sum", "recon", "constant_loss", "capacity"])
def test_there_is_no_verdict_on_numbers_that_are_not_finite(name):
    with pytest.raises(MetricError, match="not finite"):
        verdict("capacity", **(FINE | {name: math.nan}))
