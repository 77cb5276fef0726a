import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from tests.trainables.metrics.tables import (
    BAD,
    DSPRITES,
    Codes,
    Factors,
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
from trainables.metrics.calibration import Result, null
from trainables.metrics.explicitness import measure, standardised
from trainables.metrics.inputs import MetricError

TRIPLES = random_factors((3, 3, 3), 400)
NOISY = noisy(perfect(TRIPLES), 0.7)
SOLVER = 0.002
"""The solver stops at gradients of .0001, by which a few of the 120 x 120 / 3 pairs of an area may change order."""


def scored(codes: ArrayLike, factors: ArrayLike) -> Result:
    return measure(codes, factors)["explicitness"]


def explicitness(codes: ArrayLike, factors: ArrayLike) -> float:
    return scored(codes, factors).value


def per_factor(codes: ArrayLike, factors: ArrayLike) -> NDArray[np.float64]:
    found = scored(codes, factors).per_factor
    assert found is not None
    return found


def heights(codes: Codes, classes: Factors, everywhere: Codes) -> NDArray[np.float64]:
    """Log probabilities of a softmax regression with half the squared slopes as penalty: (rows, classes)."""
    d, k = codes.shape[1], classes.max() + 1

    def logs(weights: NDArray[np.float64], rows: Codes) -> NDArray[np.float64]:
        linear = rows @ weights[: d * k].reshape(d, k) + weights[d * k :]
        return linear - np.asarray(logsumexp(linear, axis=1))[:, None]

    def loss(weights: NDArray[np.float64]) -> float:
        own = logs(weights, codes)[np.arange(len(codes)), classes]
        return 0.5 * float(weights[: d * k] @ weights[: d * k]) - float(own.sum())

    return logs(minimize(loss, np.zeros(d * k + k), tol=1e-6).x, everywhere)


def area(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Share of pairs in the right order, ties half: what the area under the ROC curve is."""
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(3))
def test_areas_agree_with_the_plain_definition(seed: int) -> None:
    factors = random_factors((3, 4), 91, seed)
    codes = 5 * noisy(perfect(factors), 0.8, seed) - 2
    train = 63  # of 91: 63.7
    factors[factors[:, 1] == 3, 1] = 2
    factors[[1, 5, 8], 1] = 3  # a class that does not occur on the test rows
    areas = []
    for column in factors.T:
        z = (codes - codes.mean(axis=0)) / codes.std(axis=0)
        log_chances, tested = heights(z[:train], column[:train], z[train:]), column[train:]
        found = [
            area(log_chances[tested == c, c], log_chances[tested != c, c]) for c in range(4) if (tested == c).any()
        ]
        assert len(found) == 3
        areas.append(np.mean(found))
    np.testing.assert_allclose(per_factor(codes, factors), areas, atol=0.01)  # a few of 28 x 28 / 4.5 pairs
    assert explicitness(codes, factors) == pytest.approx(np.mean(per_factor(codes, factors)))
    assert scored(codes, factors).split == (63, 28)
    assert scored(codes, factors).n == 91


def test_standardised_keeps_what_varies() -> None:
    codes = np.array([[1.0, 7, 10], [3, 7, 30]], np.float32)
    np.testing.assert_allclose(standardised(codes), [[-1, -1], [1, 1]])
    assert standardised(codes).dtype == np.float64
    assert standardised(codes[:, 1:2]).shape == (2, 0)


def test_of_two_classes_and_one_latent_it_is_the_area_of_the_latent_itself() -> None:
    factors = random_factors((2,), 200)
    codes = noisy(perfect(factors), 1.5)
    assert explicitness(codes, factors) == pytest.approx(roc_auc_score(factors[140:, 0], codes[140:, 0]))
    # of which a monotone warp changes nothing: ranks count
    assert explicitness(warped(codes), factors) == explicitness(codes, factors)


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 3, 3), (2, 3, 6)])
def test_a_perfect_code_scores_one(sizes: tuple[int, ...]) -> None:
    factors = random_factors(sizes, 400)
    assert explicitness(perfect(factors), factors) == pytest.approx(1)


@settings(max_examples=10, deadline=None)
@given(
    st.permutations(range(3)),
    st.permutations([9, -2, 4]),
    st.lists(st.sampled_from([-1024.0, -1.0, 0.25, 8.0]), min_size=3, max_size=3),
    st.floats(-5, 5),
)
def test_order_scale_sign_and_offset_of_latents_and_names_of_classes_do_not_matter(
    order: list[int], names: list[int], factors: list[float], offset: float
) -> None:
    changed = NOISY[:, order] * factors + offset
    assert explicitness(changed, np.array(names)[TRIPLES]) == pytest.approx(explicitness(NOISY, TRIPLES), abs=SOLVER)


def test_it_is_blind_to_rotation_and_duplicates_and_dead_latents() -> None:
    value = explicitness(NOISY, TRIPLES)
    assert value < 0.95  # where there was something to lose
    assert explicitness(rotated(NOISY), TRIPLES) == pytest.approx(value, abs=SOLVER)
    assert explicitness(duplicated(NOISY), TRIPLES) == pytest.approx(value, abs=0.005)  # is penalised half as much
    assert explicitness(dead(NOISY), TRIPLES) == value


def test_a_merged_latent_is_not_read_by_a_linear_model() -> None:
    factors = random_factors((2, 2, 2), 1000)
    areas = per_factor(merged(factors), factors)
    assert areas[[0, 2]] == pytest.approx([1, 1])
    # 1 and 3 against 0 and 2: three of four pairs in order; 4 standard errors of 150 rows a side
    assert areas[1] == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 150))


def test_noise_is_at_its_null_of_a_half() -> None:
    codes = noise(400, 3)
    drawn = null(measure, codes, TRIPLES, 20, seed=0)["explicitness"]
    assert abs(explicitness(codes, TRIPLES) - drawn.mean()) < 5 * drawn.std(ddof=1)
    assert drawn.mean() == pytest.approx(0.5, abs=4 * drawn.std(ddof=1) / math.sqrt(20))


def test_a_monotone_warp_costs_the_classes_in_the_middle() -> None:
    factors = random_factors((7, 7), 400)
    codes = noisy(perfect(factors), 0.1)
    assert explicitness(codes, factors) > 0.98
    assert explicitness(warped(codes), factors) < explicitness(codes, factors) - 0.02


def test_of_unlike_factors_those_of_many_classes_are_read_worst() -> None:
    factors = random_factors(DSPRITES)
    areas = per_factor(perfect(factors), factors)
    assert areas[:2] == pytest.approx([1, 1])
    assert areas[2:].max() < 1
    assert areas[2:].min() > 0.8
    assert explicitness(perfect(factors), factors) == pytest.approx(areas.mean())


def test_constant_codes_guess() -> None:
    result = scored(np.full((400, 2), 3.5), TRIPLES)
    assert result.value == 0.5
    assert result.per_factor is not None
    assert result.per_factor.tolist() == [0.5, 0.5, 0.5]


def test_constant_factors_are_left_out_and_one_latent_will_do() -> None:
    factors = np.column_stack([TRIPLES[:, :1], np.full(400, 4), TRIPLES[:, 1:]])
    assert explicitness(NOISY, factors) == explicitness(NOISY, TRIPLES)
    assert np.isnan(per_factor(NOISY, factors)).tolist() == [False, True, False, False]
    areas = per_factor(NOISY[:, :1], TRIPLES)
    assert areas[0] > 0.8
    # four standard errors of one area by chance: the root of (1 / 40 + 1 / 80) / 12
    assert areas[1:] == pytest.approx([0.5, 0.5], abs=4 * 0.056)


@pytest.mark.parametrize(("codes", "factors", "reason"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, reason: str) -> None:
    with pytest.raises(MetricError, match=reason):
        explicitness(codes, factors)


@pytest.mark.parametrize("rows", [slice(0, 7), slice(7, 10)])
def test_factors_constant_on_either_side_of_the_split_are_refused(rows: slice) -> None:
    factors = np.column_stack([np.arange(10) % 2, np.arange(10) % 2])
    factors[rows, 1] = 0
    said = "factor 1 is constant on the first 7 rows" if rows.start in (None, 0) else "both among the first 7 rows"
    with pytest.raises(MetricError, match=said):
        explicitness(noise(10, 2), factors)


def test_a_factor_none_of_whose_classes_occur_on_both_sides_is_refused() -> None:
    factors = np.column_stack([[0, 1, 0, 1, 0, 1, 0, 2, 3, 2], np.arange(10) % 2])
    with pytest.raises(MetricError, match="no class of a factor is both among the first 7 rows and among the others"):
        explicitness(noise(10, 2), factors)


def test_two_rows_are_too_few_and_four_are_scored() -> None:
    with pytest.raises(MetricError, match="score more rows"):
        explicitness(grid(2) * 1.0, grid(2))
    assert explicitness(np.array([[0.0], [1], [0], [1]]), np.array([[0], [1], [0], [1]])) == 1
