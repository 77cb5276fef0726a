import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats

from tests.trainables.metrics.tables import (
    Codes,
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
from trainables.metrics.inputs import MetricError
from trainables.metrics.total_correlation import measure


def total(codes: ArrayLike) -> float:
    return measure(codes)["gaussian_total_correlation"].value


def of_correlation(rho_squared: float) -> float:
    return -0.5 * math.log(1 - rho_squared)


def plain(codes: Codes) -> float:
    """The twin: entropies of the Gaussians themselves, the marginals' less the joint one's."""
    covariance: Any = np.cov(codes.T)
    alone = sum(float(stats.norm(0, math.sqrt(variance)).entropy()) for variance in np.diag(covariance))
    return alone - float(stats.multivariate_normal.entropy(np.zeros(len(covariance)), covariance))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(12, 60), st.integers(0, 2**32 - 1))
def test_total_correlation_agrees_with_the_gaussians_entropies(latents: int, rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(rows, latents)) @ generator.normal(size=(latents, latents))
    codes += 0.1 * generator.normal(size=codes.shape)
    assert total(codes) == pytest.approx(plain(codes), abs=1e-6)


@pytest.mark.parametrize("rho", [-0.999, -0.5, 0.0, 0.1, 0.8, 1 - 1e-7])
def test_two_latents_have_the_closed_form_of_their_correlation(rho: float) -> None:
    x, y = perfect(grid(4, 5)).T  # exactly uncorrelated, of variance 1
    codes = np.column_stack([x, rho * x + math.sqrt(1 - rho**2) * y])
    assert total(codes) == pytest.approx(of_correlation(rho**2), rel=1e-6, abs=1e-12)


def test_equally_correlated_latents_have_the_closed_form_of_their_determinant() -> None:
    shared, *own = perfect(grid(2, 2, 2, 2, 2)).T
    codes = np.stack(own, axis=1) + shared[:, None]  # correlation 1/2: det = (1 - r)^(d - 1) (1 + (d - 1) r)
    assert total(codes) == pytest.approx(-0.5 * math.log(0.5**3 * 2.5))


def test_a_perfect_code_of_independent_factors_scores_zero_and_chance_adds_little() -> None:
    assert total(perfect(grid(4, 5, 3))) == pytest.approx(0, abs=1e-12)
    # 2 n times the score is chi-squared with d (d - 1) / 2 degrees of freedom, for factors as for noise
    for codes in (perfect(random_factors(rows=3000)), noise(3000, 5)):
        least, most = stats.chi2(10).ppf([1e-4, 1 - 1e-4])
        assert least < 2 * 3000 * total(codes) < most


def test_total_correlation_is_blind_to_rotation_of_equal_variances_and_sees_unequal_ones() -> None:
    codes = perfect(grid(4, 4, 3))
    assert total(rotated(codes)) == pytest.approx(0, abs=1e-12)
    # variances s and t, turned by 45 degrees: covariance (s - t) / 2, variances (s + t) / 2
    assert total(rotated(codes * [2, 1, 1])) == pytest.approx(of_correlation((3 / 5) ** 2))


def test_total_correlation_is_blind_to_merged_factors_and_dead_latents() -> None:
    assert total(merged(grid(4, 5, 3))) == pytest.approx(0, abs=1e-12)
    mixed = rotated(perfect(grid(4, 5, 3)) * [3, 1, 1])
    assert total(dead(mixed, 2)) == pytest.approx(total(mixed), abs=1e-12)


def test_dependent_latents_have_infinite_nats() -> None:
    codes = noise(50, 2)
    assert total(duplicated(codes)) == math.inf
    assert total(np.column_stack([codes, codes @ [2.0, -1.0]])) == math.inf
    assert total(duplicated(codes).astype(np.float32)) == math.inf


def test_noise_parts_duplicates() -> None:
    x, e = perfect(grid(6, 6)).T
    values = [total(np.column_stack([x, x + scale * e])) for scale in (0.1, 0.5, 2.0)]
    assert values == pytest.approx([of_correlation(1 / (1 + scale**2)) for scale in (0.1, 0.5, 2.0)])
    assert total(noisy(duplicated(noise(2000, 1)), 0.5)) < 2  # correlation .8 and not 1


def test_a_monotone_warp_is_seen() -> None:
    x, e = perfect(grid(2, 2)).T
    codes = np.column_stack([x, 2 * x + e])  # the second is one of -3, -1, 1, 3
    assert total(codes) == pytest.approx(of_correlation(4 / 5))
    assert total(warped(codes)) == pytest.approx(of_correlation(14**2 / 365))  # E x y = (27 + 1) / 2, E y y = 365


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-30, 30))
def test_order_scale_shift_and_signs_of_latents_do_not_matter(seed: int, power: int) -> None:
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(40, 3)) @ generator.normal(size=(3, 3)) + 0.3 * generator.normal(size=(40, 3))
    value = pytest.approx(total(codes), abs=1e-8)
    assert total(codes[generator.permutation(40)][:, generator.permutation(3)]) == value
    assert total(codes * [2.0**power, -1.0, 3.7]) == value
    assert total(codes + generator.normal(size=3)) == value


@pytest.mark.parametrize("factors", [None, grid(4, 5), np.full((3, 1), np.nan), "none"])
def test_factors_are_not_read(factors: Any) -> None:
    codes = noise(20, 2)
    result = measure(codes, factors, seed=5)["gaussian_total_correlation"]
    assert (result.value, result.n, result.missing) == (total(codes), 20, "")


def test_a_single_latent_and_constant_codes_have_nothing_in_common() -> None:
    assert total(noise(20, 1)) == 0
    assert total(np.ones((20, 3))) == 0
    assert total(dead(noise(20, 1), 2)) == 0


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (noise(3, 3), "3 rows are too few for a covariance of 3 latents"),
        (np.ones((1, 1)), "1 rows are too few"),
        (np.array([[1.0], [np.nan]]), "1 non-finite values of 2"),
        (np.array([[1.0], [np.inf]]), "1 non-finite values of 2"),
        (np.zeros(4), "not a table"),
        (np.array([["a"], ["b"]]), "not real numbers"),
    ],
)
def test_codes_that_cannot_be_scored_are_refused(codes: ArrayLike, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        measure(codes)
    assert total(noise(4, 3)) >= 0  # one row more than latents is enough
