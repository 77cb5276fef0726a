import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from tests.trainables.metrics.tables import (
    BAD,
    DSPRITES,
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
from trainables.metrics.calibration import Result, null
from trainables.metrics.inputs import MetricError
from trainables.metrics.sap import measure, measure_continuous

Measured = Callable[..., dict[str, Result]]
BITS = random_factors((2, 2, 2), 600)
CHANCE = 4 * math.sqrt(0.25 / 180)
"""Four standard errors of the accuracy of a coin on the 180 rows tested of 600."""


def sap(codes: ArrayLike, factors: ArrayLike) -> Result:
    return measure(codes, factors)["sap"]


def continuous(codes: ArrayLike, factors: ArrayLike) -> Result:
    return measure_continuous(codes, factors)["sap_continuous"]


def per_factor(result: Result) -> NDArray[np.float64]:
    assert result.per_factor is not None
    return result.per_factor


def matrix(result: Result) -> NDArray[np.float64]:
    assert result.matrix is not None
    return result.matrix


def hyperplane(latent: Codes, positive: NDArray[np.bool_], up: float, down: float) -> tuple[float, float]:
    """Slope and offset with the least squared hinge loss, `up` and `down` being the weights of the two sides."""
    sides, weights = np.where(positive, 1.0, -1.0), np.where(positive, up, down)

    def loss(line: NDArray[np.float64]) -> float:
        slack = np.maximum(0, 1 - sides * (line[0] * latent + line[1]))
        return 0.5 * float(line @ line) + float(weights @ slack**2)

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    return found.x[0], found.x[1]


def plain_accuracy(latent: Codes, classes: Factors, train: int) -> float:
    """The slow twin: liblinear's one-vs-rest machines, where a class weighs rows over classes times its own rows."""
    counts = np.bincount(classes[:train])
    balanced = 0.01 * train / (len(counts) * counts)
    if len(counts) == 2:
        slope, offset = hyperplane(latent[:train], classes[:train] == 1, balanced[1], balanced[0])
        return float(np.mean((slope * latent[train:] + offset > 0) == (classes[train:] == 1)))
    lines = [hyperplane(latent[:train], classes[:train] == c, balanced[c], 0.01) for c in range(len(counts))]
    heights = np.array([slope * latent[train:] + offset for slope, offset in lines])
    return float(np.mean(heights.argmax(axis=0) == classes[train:]))


@pytest.mark.parametrize("seed", range(3))
def test_accuracies_agree_with_the_plain_machine(seed: int) -> None:
    factors = random_factors((2, 3), 101, seed)
    factors[:60, 0] |= factors[60:120, 0].max()  # far from balanced, so that the weights count
    codes = noisy(perfect(factors), 0.7, seed + 10) + np.array([0.5, -1.0])
    result = sap(codes, factors)
    assert result.split == (70, 31)
    assert result.n == 101
    for j, latent in enumerate(codes.T):
        for k, column in enumerate(factors.T):
            # the solver stops early, by which a row at the edge may change sides
            assert matrix(result)[j, k] == pytest.approx(plain_accuracy(latent, column, 70), abs=1.01 / 31)


def test_the_gap_of_the_two_best_latents_is_averaged_over_factors() -> None:
    factors = random_factors((2, 3, 4), 200)
    result = sap(noisy(perfect(factors)[:, [0, 1, 2, 0, 1]], 0.5), factors)
    gaps = [ordered[-1] - ordered[-2] for ordered in (sorted(column) for column in matrix(result).T)]
    assert per_factor(result).tolist() == gaps
    assert result.value == pytest.approx(sum(gaps) / 3)


def test_a_perfect_code_of_bits_leads_by_all_that_a_coin_leaves() -> None:
    result = sap(perfect(BITS), BITS)
    assert np.diag(matrix(result)).tolist() == [1, 1, 1]
    np.testing.assert_allclose(per_factor(result), 0.5, atol=CHANCE)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)), st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4))
def test_order_and_signs_of_latents_do_not_matter(seed: int, order: list[int], signs: list[int]) -> None:
    factors = random_factors((2, 3), 60, seed)
    codes = noisy(dead(perfect(factors)[:, [0, 1, 1]]), 0.5, seed)
    assert sap(codes[:, order] * signs, factors).value == sap(codes, factors).value


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations([7, -3, 0, 40]))
def test_names_of_classes_do_not_matter(seed: int, names: list[int]) -> None:
    factors = random_factors((4, 2), 90, seed)
    codes = noisy(perfect(factors), 0.5, seed)
    # sums over rows run in another order, by which a row of the 27 tested may change sides
    named = sap(codes, np.array(names)[factors])
    np.testing.assert_allclose(matrix(named), matrix(sap(codes, factors)), atol=1.01 / 27)


def test_it_depends_on_the_scale_of_codes() -> None:
    factors = random_factors((3, 3, 3), 600)
    codes = noisy(perfect(factors), 0.1)
    # a machine with so small a C has no slope left: it answers one class everywhere
    assert sap(codes, factors).value > 0.4
    assert sap(codes / 1024, factors).value < 0.1


def test_turning_two_latents_leaves_neither_in_the_lead() -> None:
    upright, turned = sap(perfect(BITS), BITS), sap(rotated(perfect(BITS)), BITS)
    np.testing.assert_allclose(per_factor(turned)[:2], 0, atol=CHANCE)
    np.testing.assert_allclose(matrix(turned)[:2, :2], 0.75, atol=CHANCE)
    np.testing.assert_array_equal(matrix(turned)[2], matrix(upright)[2])


def test_a_duplicated_latent_leaves_its_factor_without_a_gap() -> None:
    result = sap(duplicated(perfect(BITS)), BITS)
    assert per_factor(result)[0] == 0
    np.testing.assert_array_equal(per_factor(result)[1:], per_factor(sap(perfect(BITS), BITS))[1:])


def test_a_dead_latent_guesses_the_class_most_frequent_in_training() -> None:
    factors = BITS.copy()
    factors[:, 0] = random_factors((5,), 600, seed=3)[:, 0] // 4  # a fifth of ones
    result = sap(dead(perfect(factors)), factors)
    np.testing.assert_allclose(
        matrix(result)[3], [np.mean(column[420:] == (2 * column[:420].sum() > 420)) for column in factors.T]
    )
    assert (per_factor(result) <= per_factor(sap(perfect(factors), factors))).all()


def test_a_merged_latent_says_only_the_coarse_one_of_its_factors() -> None:
    result = sap(merged(BITS), BITS)
    assert matrix(result)[0, 0] == 1
    assert per_factor(result)[0] == pytest.approx(0.5, abs=CHANCE)
    assert per_factor(result)[1] < 0.25 + CHANCE  # no threshold on 0, 1, 2, 3 tells odd from even in over 3 of 4


def test_noise_is_at_its_null() -> None:
    factors, codes = random_factors((3, 3, 3), 600), noise(600, 4)
    drawn = null(measure, codes, factors, 10, seed=0)["sap"]
    assert abs(sap(codes, factors).value - drawn.mean()) < 5 * drawn.std(ddof=1)
    assert drawn.mean() < 0.1


def test_a_monotone_warp_matters_to_a_machine_of_thresholds() -> None:
    factors = random_factors((5, 5, 5), 600)
    codes = noisy(perfect(factors), 0.1)
    assert abs(sap(warped(codes), factors).value - sap(codes, factors).value) > CHANCE


def test_even_a_perfect_code_of_factors_of_many_classes_is_far_from_one() -> None:
    factors = random_factors(DSPRITES)
    result = sap(perfect(factors), factors)
    assert per_factor(result)[0] > per_factor(result)[1] + 0.2
    assert per_factor(result)[1] > per_factor(result)[2:].max()
    assert result.value < 0.3
    assert continuous(perfect(factors), factors).value > 0.98


@pytest.mark.parametrize("measured", [measure, measure_continuous])
def test_constant_codes_have_no_gap_and_constant_factors_no_part(measured: Measured) -> None:
    codes = noisy(perfect(BITS), 0.5)
    (result,) = measured(codes, np.column_stack([BITS[:, :1], np.full(600, 4), BITS[:, 1:]])).values()
    (bare,) = measured(codes, BITS).values()
    assert result.value == bare.value
    assert np.isnan(per_factor(result)).tolist() == [False, True, False, False]
    (flat,) = measured(np.full((600, 3), 2.5), BITS).values()
    assert flat.value == 0


@pytest.mark.parametrize(("codes", "factors", "reason"), BAD)
@pytest.mark.parametrize("measured", [measure, measure_continuous])
def test_tables_that_cannot_be_scored_are_refused(
    measured: Measured, codes: ArrayLike, factors: ArrayLike, reason: str
) -> None:
    with pytest.raises(MetricError, match=reason):
        measured(codes, factors)


@pytest.mark.parametrize("measured", [measure, measure_continuous])
def test_a_single_latent_is_refused(measured: Measured) -> None:
    with pytest.raises(MetricError, match="give at least 2"):
        measured(perfect(BITS)[:, :1], BITS)


def test_rows_sorted_by_factor_are_refused() -> None:
    factors = np.column_stack([np.arange(10) % 2, np.arange(10) // 7])
    with pytest.raises(MetricError, match="factor 1 is constant on the first 7 rows"):
        sap(noise(10, 2), factors)
    with pytest.raises(MetricError, match="factor 0 is constant on the first 1 rows"):
        sap(noise(2, 2), factors[:2])
    assert 0 <= continuous(noise(10, 2), factors).value <= 1  # which has no split


@settings(max_examples=60, deadline=None)
@given(small_tables(least_latents=2))
def test_continuous_agrees_with_numpys_correlation(table: Table) -> None:
    codes, gaps = table.codes, []
    factors = np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.factors.T])
    for column in factors.T[factors.max(axis=0) > factors.min(axis=0)]:
        squares = [0.0 if np.ptp(latent) == 0 else np.corrcoef(latent, column)[0, 1] ** 2 for latent in codes.T]
        gaps.append(sorted(squares)[-1] - sorted(squares)[-2])
    assert continuous(codes, factors).value == pytest.approx(np.mean(gaps), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(small_tables(least_latents=2), st.randoms(use_true_random=False), st.sampled_from([-1024.0, -1.0, 0.25]))
def test_continuous_does_not_see_order_scale_sign_and_offset(table: Table, random: Random, factor: float) -> None:
    codes, factors = table
    value = continuous(codes, factors).value
    order = random.sample(range(codes.shape[1]), codes.shape[1])
    assert continuous(codes[:, order], factors).value == pytest.approx(value, abs=1e-9)
    assert continuous(codes * factor + 3, factors).value == pytest.approx(value, abs=1e-9)


def test_continuous_in_closed_form() -> None:
    factors = grid(3, 3, 3)
    code = perfect(factors)
    assert continuous(code, factors).value == pytest.approx(1)
    assert continuous(dead(code), factors).value == pytest.approx(1)
    assert continuous(rotated(code), factors).value == pytest.approx(1 / 3)  # half and half, twice
    assert continuous(duplicated(code), factors).value == pytest.approx(2 / 3)
    # 3 a + b correlates with a by 9 / 10 and with b by 1 / 10, squared
    np.testing.assert_allclose(per_factor(continuous(merged(factors), factors)), [0.9, 0.1, 1])


def test_continuous_sees_a_warp_and_the_order_of_classes() -> None:
    fives = grid(5, 5)
    # of -2..2 and its cube: (mean of x^4)^2 over mean of x^2 and of x^6
    assert continuous(warped(perfect(fives)), fives).value == pytest.approx(6.8**2 / (2 * 26))
    swapped = np.array([1, 0, 2, 3, 4])[fives]
    # -1, -2, 0, 1, 2 against -2..2: 9 of 10
    assert continuous(perfect(fives), swapped).value == pytest.approx(0.9**2)


def test_continuous_reads_classes_as_numbers_also_where_some_do_not_occur() -> None:
    factors = np.array([[0, 0], [1, 4], [3, 4], [3, 0]])
    codes = np.column_stack([factors[:, 0], [0, 0, 1, -1]])
    assert matrix(continuous(codes, factors))[0, 0] == pytest.approx(1)


def test_continuous_noise_is_at_its_null() -> None:
    factors, codes = random_factors((3, 3, 3), 600), noise(600, 4)
    drawn = null(measure_continuous, codes, factors, 20, seed=0)["sap_continuous"]
    assert abs(continuous(codes, factors).value - drawn.mean()) < 5 * drawn.std(ddof=1)
    assert drawn.mean() < 10 / 600  # a squared correlation of noise is 1 / 600
