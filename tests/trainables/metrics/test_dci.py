import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.stats import entropy, norm
from sklearn.ensemble import GradientBoostingClassifier

from tests.trainables.metrics.tables import (
    BAD,
    DSPRITES,
    Codes,
    Factors,
    dead,
    duplicated,
    merged,
    noise,
    noisy,
    perfect,
    random_factors,
    rotated,
    warped,
)
from trainables.metrics.calibration import Result, null
from trainables.metrics.dci import NAMES, measure, purity
from trainables.metrics.inputs import MetricError

BITS = random_factors((2, 2, 2), 150)
NOISY = noisy(perfect(BITS), 0.7)
EVEN_PAIR = 1 - math.log(2) / math.log(3)
"""Purity of a row that has two of three columns alike."""
TIES = 0.03
"""Equally good splits fall by the trees' seed, which moved these importances by .0096 at most over 40 seeds."""


def dci(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> tuple[Result, Result, Result]:
    results = measure(codes, factors, seed)
    assert tuple(results) == NAMES
    return results[NAMES[0]], results[NAMES[1]], results[NAMES[2]]


def values(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> list[float]:
    return [result.value for result in dci(codes, factors, seed)]


def per_factor(result: Result) -> NDArray[np.float64]:
    assert result.per_factor is not None
    return result.per_factor


def importances(codes: ArrayLike, factors: ArrayLike) -> NDArray[np.float64]:
    found = [result.matrix for result in dci(codes, factors)]
    assert found[0] is not None
    assert all(matrix is found[0] for matrix in found)
    return found[0]


@functools.cache
def noisy_results() -> tuple[Result, Result, Result]:
    """Of the code that many tests change."""
    return dci(NOISY, BITS)


def of_noisy() -> NDArray[np.float64]:
    found = noisy_results()[0].matrix
    assert found is not None
    return found


def plain_importances(codes: Codes, classes: Factors) -> tuple[NDArray[np.float64], GradientBoostingClassifier]:
    """The slow twin: impurity that each latent's splits take away, node by node, averaged over trees."""
    ensemble = GradientBoostingClassifier(n_estimators=100, max_depth=3, learning_rate=0.1, random_state=0)
    ensemble.fit(codes, classes)
    total = np.zeros(codes.shape[1])
    for tree in (estimator.tree_ for estimator in ensemble.estimators_.ravel()):
        weight, taken = tree.weighted_n_node_samples, np.zeros(codes.shape[1])
        if tree.node_count == 1:
            continue
        for node in range(tree.node_count):
            left, right = tree.children_left[node], tree.children_right[node]
            if left >= 0:
                rest = sum(weight[child] * tree.impurity[child] for child in (left, right))
                taken[tree.feature[node]] += weight[node] * tree.impurity[node] - rest
        total += taken / weight[0]
    return total / total.sum(), ensemble


def test_the_three_scores_agree_with_the_plain_definition() -> None:
    factors = random_factors((2, 3), 100)
    codes = noisy(perfect(factors)[:, [0, 1, 0]], 0.5)
    shares, accuracies = [], []
    for column in factors.T:
        share, ensemble = plain_importances(codes[:66], column[:66])
        shares.append(share)
        accuracies.append(np.mean(ensemble.predict(codes[66:]) == column[66:]))
    matrix = np.column_stack(shares)
    disentanglement, completeness, informativeness = results = dci(codes, factors)
    by_latent = sum(row.sum() / matrix.sum() * (1 - entropy(row, base=2)) for row in matrix)
    by_factor = [1 - entropy(column, base=3) for column in matrix.T]
    for result in results:
        assert result.matrix is results[0].matrix
        np.testing.assert_allclose(result.matrix, matrix, atol=1e-9)  # type: ignore[arg-type]
    assert disentanglement.value == pytest.approx(by_latent)
    assert disentanglement.per_factor is None
    assert completeness.value == pytest.approx(np.mean(by_factor))  # trees' importances sum to 1 for each factor
    np.testing.assert_allclose(per_factor(completeness), by_factor)
    np.testing.assert_allclose(per_factor(informativeness), accuracies)
    assert informativeness.value == pytest.approx(np.mean(accuracies))
    assert {(result.n, result.split) for result in results} == {(100, (66, 34))}


def test_2000_rows_train_and_1000_test_and_the_others_are_not_read() -> None:
    factors = random_factors((2, 2), 3100)
    codes = noisy(perfect(factors), 0.7)
    results = dci(codes, factors)
    assert {(result.n, result.split) for result in results} == {(3000, (2000, 1000))}
    assert [result.value for result in results] == values(codes[:3000], factors[:3000])


def test_purity_in_closed_form() -> None:
    rows = np.array([[3.0, 0, 0], [2, 2, 2], [0, 5, 5], [0, 0, 0]])
    np.testing.assert_allclose(purity(rows), [1, 0, EVEN_PAIR, 0], atol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([0.25, 8.0]))
def test_purity_agrees_with_scipy_and_sees_neither_order_nor_scale(seed: int, columns: int, factor: float) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.exponential(size=(4, columns)) * (generator.random((4, columns)) < 0.7)
    rows[:, 0] += 0.01
    np.testing.assert_allclose(purity(rows), 1 - entropy(rows, base=columns, axis=1), atol=1e-12)
    np.testing.assert_allclose(purity(factor * rows[:, ::-1]), purity(rows), atol=1e-12)


def test_a_perfect_code_scores_one_three_times() -> None:
    assert values(perfect(BITS), BITS) == pytest.approx([1, 1, 1])
    unlike = random_factors((2, 3, 6), 150)
    assert values(perfect(unlike), unlike) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("factor", [0.25, 1024.0])
def test_trees_do_not_see_scale(factor: float) -> None:
    np.testing.assert_array_equal(importances(factor * NOISY, BITS), of_noisy())


@settings(max_examples=4, deadline=None)
@given(st.permutations(range(3)), st.permutations([-2, 5]), st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3))
def test_order_and_signs_of_latents_and_names_of_classes_matter_at_ties_only(
    order: list[int], names: list[int], signs: list[int]
) -> None:
    turned = importances(NOISY[:, order] * signs, np.array(names)[BITS])
    np.testing.assert_allclose(turned, of_noisy()[order], atol=TIES)


def test_a_monotone_warp_leaves_importances_as_they_are() -> None:
    np.testing.assert_array_equal(importances(warped(NOISY), BITS), of_noisy())


def test_turning_two_latents_halves_them() -> None:
    factors = random_factors((3, 3, 3), 150)
    disentanglement, completeness, informativeness = values(rotated(noisy(perfect(factors), 0.1)), factors)
    # both latents of both factors alike, the third factor keeps its own; .03 under that, sd .02, over 10 seeds
    assert disentanglement == pytest.approx((1 + 2 * EVEN_PAIR) / 3, abs=0.1)
    assert completeness == pytest.approx((1 + 2 * EVEN_PAIR) / 3, abs=0.1)
    assert informativeness > 0.9


def test_disentanglement_is_blind_to_a_duplicated_latent_and_completeness_falls() -> None:
    disentanglement, completeness, informativeness = values(duplicated(perfect(BITS)), BITS)
    assert (disentanglement, informativeness) == pytest.approx((1, 1))
    # the first factor is at best evenly said by two latents of four; .834 to .865 over 10 seeds
    assert completeness == pytest.approx((2 + 0.5) / 3, abs=0.05)


def test_a_dead_latent_has_no_importance() -> None:
    found = importances(dead(NOISY), BITS)
    assert found[3].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found[:3], of_noisy(), atol=TIES)
    assert values(dead(perfect(BITS)), BITS) == pytest.approx([1, 1, 1])


def test_completeness_and_informativeness_are_blind_to_merged_factors_and_disentanglement_falls() -> None:
    assert values(merged(BITS), BITS) == pytest.approx([(1 + 2 * EVEN_PAIR) / 3, 1, 1])


def test_noise_is_at_its_null() -> None:
    codes = noise(150, 3)
    drawn = null(measure, codes, BITS, 5, seed=0)
    for name, result in measure(codes, BITS).items():
        assert abs(result.value - drawn[name].mean()) < 5 * drawn[name].std(ddof=1)
    assert max(drawn[name].max() for name in NAMES[:2]) < 0.1
    assert drawn[NAMES[2]].mean() == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / (5 * 3 * 50)))


def test_constant_codes_have_no_importance_and_guess_the_class_most_frequent() -> None:
    factors = random_factors((2, 2), 90)
    factors[:, 0] &= factors[:, 1]
    counts = factors[:60].mean(axis=0) > 0.5
    assert values(np.full((90, 3), 2.0), factors) == pytest.approx([0, 0, np.mean(factors[60:] == counts)])
    assert not importances(np.full((90, 3), 2.0), factors).any()


def test_constant_factors_are_left_out() -> None:
    factors = np.column_stack([BITS[:, 0], np.full(150, 4), BITS[:, 1:]])
    disentanglement, completeness, informativeness = results = dci(NOISY, factors)
    assert [result.value for result in results] == [result.value for result in noisy_results()]
    for result in (completeness, informativeness):
        assert np.isnan(per_factor(result)).tolist() == [False, True, False, False]
    assert disentanglement.matrix is not None
    assert np.isnan(disentanglement.matrix[:, 1]).all()


def test_one_factor_or_one_latent_has_nothing_to_prefer() -> None:
    disentanglement, completeness, informativeness = dci(NOISY, BITS[:, :1])
    assert math.isnan(disentanglement.value)
    assert "one factor alone" in disentanglement.missing
    assert not completeness.missing + informativeness.missing
    disentanglement, completeness, informativeness = dci(NOISY[:, :1], BITS)
    assert math.isnan(completeness.value)
    assert "one latent alone" in completeness.missing
    assert disentanglement.value == pytest.approx(0, abs=1e-12)  # all of it, for all three factors
    assert informativeness.value < 0.75


@pytest.mark.parametrize(("codes", "factors", "reason"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, reason: str) -> None:
    with pytest.raises(MetricError, match=reason):
        dci(codes, factors)


def test_factors_constant_on_the_rows_to_train_are_refused() -> None:
    factors = np.column_stack([np.arange(9) % 2, np.arange(9) // 6])
    with pytest.raises(MetricError, match="factor 1 is constant on the first 6 rows"):
        dci(noise(9, 2), factors)
    with pytest.raises(MetricError, match="factor 0 is constant on the first 1 rows"):
        dci(noise(2, 2), factors[:2])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_at_dsprites_sizes_noise_between_neighbouring_classes_goes_to_the_other_latents() -> None:
    factors, scale = random_factors(DSPRITES, 3000), 0.1
    disentanglement, completeness, informativeness = dci(noisy(perfect(factors), scale), factors)
    assert completeness.split == (2000, 1000)
    # the best reader of classes one step apart: both sides of an inner class err, one of an outer one
    for k, classes in enumerate(DSPRITES):
        step = math.sqrt(12 / (classes**2 - 1))
        best = 1 - (2 - 2 / classes) * norm.sf(step / 2 / scale)
        assert per_factor(informativeness)[k] <= best + 4 * math.sqrt(best * (1 - best) / 1000)
        assert per_factor(informativeness)[k] > best - 0.15
    assert per_factor(completeness)[:2] == pytest.approx([1, 1], abs=0.02)
    assert per_factor(completeness)[2:].max() < 0.6
    assert disentanglement.value < 0.8
