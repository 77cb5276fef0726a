import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import digamma, logsumexp

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
from trainables.metrics.infomec import NAMES, concentration, measure
from trainables.metrics.inputs import MetricError

TRIPLES = random_factors((3, 3, 3), 400)
CODES = noisy(perfect(TRIPLES), 0.1)
"""A code as good as perfect, without ties."""
NEIGHBOURS = 0.12
"""Of 400 rows the kNN estimate says a little also of unrelated factors: over 40 seeds, scores lay up to .06 from where
no such leak would put them."""


def infomec(codes: ArrayLike, factors: ArrayLike) -> dict[str, float]:
    results = measure(codes, factors)
    assert tuple(results) == NAMES
    return {name: result.value for name, result in results.items()}


def information(codes: ArrayLike, factors: ArrayLike) -> NDArray[np.float64]:
    results = measure(codes, factors)
    assert results["infom"].matrix is not None
    assert results["infom"].matrix is results["infoc"].matrix
    return results["infom"].matrix


def per_factor(result: Result) -> NDArray[np.float64]:
    assert result.per_factor is not None
    return result.per_factor


def plain_information(latent: Codes, classes: Factors) -> float:
    """The slow twin: Ross 2014 by loops over rows; a class of one row is left out."""
    sizes = np.bincount(classes)
    rows = [i for i, c in enumerate(classes) if sizes[c] > 1]
    terms = []
    for i in rows:
        others = [j for j in rows if j != i]
        near = sorted(abs(latent[j] - latent[i]) for j in others if classes[j] == classes[i])
        k = min(10, len(near))
        within = 1 + sum(abs(latent[j] - latent[i]) < near[k - 1] for j in others)
        terms.append(digamma(len(rows)) + digamma(k) - digamma(sizes[classes[i]]) - digamma(within))
    return max(0.0, float(np.mean(terms)))


def entropy(classes: Factors) -> float:
    share = np.bincount(classes) / len(classes)
    return -sum(p * math.log(p) for p in share if p > 0)


def plain_explicitness(codes: Codes, classes: Factors) -> float:
    """The slow twin: a softmax regression whose classes weigh alike, and its plain loss in bases of their number."""
    (n, d), k = codes.shape, classes.max() + 1
    weights = n / (k * np.bincount(classes))[classes]

    def losses(line: NDArray[np.float64]) -> NDArray[np.float64]:
        linear = codes @ line[: d * k].reshape(d, k) + line[d * k :]
        return np.asarray(logsumexp(linear, axis=1)) - linear[np.arange(n), classes]

    line = minimize(lambda line: float(weights @ losses(line)), np.zeros(d * k + k), tol=1e-7).x
    return 1 - float(losses(line).mean()) / math.log(k)


@pytest.mark.parametrize("seed", range(3))
def test_the_three_scores_agree_with_the_plain_definition(seed: int) -> None:
    factors = random_factors((2, 4), 120, seed)
    factors[factors[:, 1] == 3, 1] = 2  # far from balanced,
    factors[0, 1] = 3  # and one class of a single row
    assert np.bincount(factors[:, 1])[:3].min() > 20  # in smaller classes sklearn rounds distances, by squares
    codes = noisy(perfect(factors)[:, [0, 1, 1]], 0.8, seed) * np.array([3, 1, 0.5]) + 2
    nmi = np.array([[plain_information(z, f) / entropy(f) for f in factors.T] for z in codes.T])
    results = measure(codes, factors)
    np.testing.assert_allclose(information(codes, factors), nmi, atol=1e-6)
    by_latent = [2 * (max(row) / sum(row) - 1 / 2) for row in nmi]
    by_factor = [3 / 2 * (max(column) / sum(column) - 1 / 3) for column in nmi.T]
    assert results["infom"].value == pytest.approx(np.mean(by_latent), abs=1e-6)
    assert results["infoc"].value == pytest.approx(np.mean(by_factor), abs=1e-6)
    np.testing.assert_allclose(per_factor(results["infoc"]), by_factor, atol=1e-6)
    assert results["infom"].per_factor is None
    assert {result.n for result in results.values()} == {120}


@pytest.mark.parametrize("seed", range(3))
def test_explicitness_agrees_with_the_plain_definition(seed: int) -> None:
    factors = random_factors((2, 4), 200, seed)
    factors[factors[:, 1] == 3, 1] = 2  # classes weigh 1/3 each, of 1/4, 1/4 and 1/2 of the rows
    codes = 5 * noisy(perfect(factors), 1.0, seed) - 1
    result = measure(codes, factors)["infoe"]
    expected = [plain_explicitness((codes - codes.mean(axis=0)) / codes.std(axis=0), column) for column in factors.T]
    np.testing.assert_allclose(per_factor(result), expected, atol=1e-4)  # the solver's tolerance
    assert result.value == pytest.approx(np.mean(per_factor(result)))


def test_concentration_in_closed_form() -> None:
    rows = np.array([[3.0, 0, 0], [2, 2, 2], [0, 5, 5], [0, 0, 0]])
    np.testing.assert_allclose(concentration(rows), [1, 0, (1 / 2 - 1 / 3) / (2 / 3), 0], atol=1e-12)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([0.25, 8.0]))
def test_concentration_is_a_share_that_sees_neither_order_nor_scale(seed: int, columns: int, factor: float) -> None:
    rows = np.random.default_rng(seed).exponential(size=(4, columns))
    found = concentration(rows)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(concentration(factor * rows[:, ::-1]), found, atol=1e-12)


def test_a_code_as_good_as_perfect_scores_nearly_one_three_times() -> None:
    for factors in (TRIPLES, random_factors((2, 3, 6), 400)):
        found = infomec(perfect(factors), factors)
        assert found["infom"] == pytest.approx(1, abs=NEIGHBOURS)
        assert found["infoc"] == pytest.approx(1, abs=NEIGHBOURS)
        assert found["infoe"] == pytest.approx(1, abs=0.001)  # the loss falls to 0, which no finite slope reaches


@settings(max_examples=8, deadline=None)
@given(
    st.permutations(range(3)),
    st.permutations([9, -2, 4]),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3),
    st.sampled_from([0.25, 1024.0]),
)
def test_order_sign_and_scale_of_latents_and_names_of_classes_do_not_matter(
    order: list[int], names: list[int], signs: list[float], factor: float
) -> None:
    codes = noisy(CODES, 0.7)
    found, expected = infomec(factor * codes[:, order] * signs, np.array(names)[TRIPLES]), infomec(codes, TRIPLES)
    # the estimator's noise of 1e-10 may change one neighbour of ten of a row; the solver's tolerance
    assert found == pytest.approx(expected, abs=0.001)


def test_turning_two_latents_halves_their_shares_and_explicitness_is_blind_to_it() -> None:
    found = infomec(rotated(CODES), TRIPLES)
    # both latents of two factors alike: a share of 1/2 is (1/2 - 1/3) / (2/3) = 1/4
    assert found["infom"] == pytest.approx((1 + 2 * 0.25) / 3, abs=NEIGHBOURS)
    assert found["infoc"] == pytest.approx((1 + 2 * 0.25) / 3, abs=NEIGHBOURS)
    assert found["infoe"] == pytest.approx(1, abs=0.001)


def test_infom_is_blind_to_a_duplicated_latent_and_infoc_falls() -> None:
    found = infomec(duplicated(CODES), TRIPLES)
    assert found["infom"] == pytest.approx(1, abs=NEIGHBOURS)
    # a share of 1/2 of four latents is (1/2 - 1/4) / (3/4) = 1/3
    assert found["infoc"] == pytest.approx((2 + 1 / 3) / 3, abs=NEIGHBOURS)
    assert found["infoe"] == pytest.approx(1, abs=0.001)


def test_infoc_is_blind_to_merged_factors_and_the_others_fall() -> None:
    factors = grid(2, 2, 2, 50)[:, :3]
    found = infomec(merged(factors), factors)
    assert found["infom"] == pytest.approx((0.25 + 1) / 2, abs=NEIGHBOURS)
    assert found["infoc"] == pytest.approx(1, abs=NEIGHBOURS)
    # odd and even of -1.5, -.5, .5, 1.5: by symmetry the offset is 0, and one slope is left to find
    x, odd = np.array([-1.5, -0.5, 0.5, 1.5]), np.array([-1, 1, -1, 1])
    loss = minimize(lambda slope: float(np.log1p(np.exp(-odd * x * slope[0])).mean()), [0.1]).fun
    assert found["infoe"] == pytest.approx((1 + 1 + 1 - loss / math.log(2)) / 3, abs=0.001)


def test_a_dead_latent_changes_nothing() -> None:
    assert infomec(dead(CODES), TRIPLES) == infomec(CODES, TRIPLES)
    assert information(dead(CODES), TRIPLES)[3].tolist() == [0, 0, 0]


def test_latents_under_a_twentieth_of_the_largest_range_are_dropped_but_for_explicitness() -> None:
    spread = CODES / np.ptp(CODES, axis=0)
    loud, quiet = (duplicated(spread) * np.array([20, 20, 20, size]) for size in (1.05, 0.95))
    assert infomec(loud, TRIPLES) == pytest.approx(infomec(duplicated(CODES), TRIPLES), abs=0.001)
    bare, dropped = infomec(CODES, TRIPLES), infomec(quiet, TRIPLES)
    assert dropped == pytest.approx(bare, abs=0.001)
    assert infomec(loud, TRIPLES)["infoc"] < bare["infoc"] - 0.1
    np.testing.assert_allclose(information(quiet, TRIPLES), information(loud, TRIPLES), atol=0.001)
    whole = infomec(CODES * np.array([1, 1, 0.01]), TRIPLES)
    assert whole["infoe"] == pytest.approx(1, abs=0.001)  # also reads what is dropped


def test_noise_is_at_its_null_which_is_far_from_zero_for_infom_and_infoc() -> None:
    codes = noise(400, 3)
    drawn = null(measure, codes, TRIPLES, 20, seed=0)
    for name, value in infomec(codes, TRIPLES).items():
        assert abs(value - drawn[name].mean()) < 5 * drawn[name].std(ddof=1)
    # estimates under 0 are cut to 0, by which what chance leaves is concentrated
    assert min(drawn["infom"].mean(), drawn["infoc"].mean()) > 0.3
    assert 0 < drawn["infoe"].mean() < 0.05


def test_a_monotone_warp_matters_to_explicitness_only() -> None:
    codes = noisy(CODES, 0.7)
    plain, bent = infomec(codes, TRIPLES), infomec(warped(codes), TRIPLES)
    assert bent["infom"] == pytest.approx(plain["infom"], abs=NEIGHBOURS)
    assert bent["infoc"] == pytest.approx(plain["infoc"], abs=NEIGHBOURS)
    assert bent["infoe"] < plain["infoe"] - 0.02  # by .04 to .09 over 8 seeds


def test_sizes_of_dsprites() -> None:
    factors = random_factors(DSPRITES, 600)
    results = measure(perfect(factors), factors)
    assert results["infom"].value == pytest.approx(1, abs=NEIGHBOURS)
    assert results["infoc"].value == pytest.approx(1, abs=NEIGHBOURS)
    assert per_factor(results["infoe"]).min() > 0.95  # classes in a row can be told apart by slopes steep enough


def test_constant_factors_are_left_out() -> None:
    factors = np.column_stack([TRIPLES[:, :1], np.full(400, 4), TRIPLES[:, 1:]])
    assert infomec(CODES, factors) == infomec(CODES, TRIPLES)
    results = measure(CODES, factors)
    for name in ("infoe", "infoc"):
        assert np.isnan(per_factor(results[name])).tolist() == [False, True, False, False]


def test_one_factor_or_one_latent_has_nothing_to_prefer() -> None:
    single = measure(CODES, TRIPLES[:, :1])
    assert math.isnan(single["infom"].value)
    assert single["infom"].missing == "1 factor to prefer among; infom compares at least 2"
    assert not single["infoe"].missing + single["infoc"].missing
    alone = measure(CODES[:, :1], TRIPLES)
    assert math.isnan(alone["infoc"].value)
    assert alone["infoc"].missing == "1 active latent to prefer among; infoc compares at least 2"
    assert not alone["infom"].missing
    # one factor read wholly, two guessed
    assert alone["infoe"].value == pytest.approx(1 / 3, abs=0.02)


def test_constant_codes_explain_nothing_and_say_so() -> None:
    results = measure(np.full((400, 2), 0.5), TRIPLES)
    assert results["infoe"].value == 0
    for name in ("infom", "infoc"):
        assert math.isnan(results[name].value)
        assert "no latent is active" in results[name].missing


@pytest.mark.parametrize(("codes", "factors", "reason"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, reason: str) -> None:
    with pytest.raises(MetricError, match=reason):
        infomec(codes, factors)


@pytest.mark.parametrize("rows", [2, 12])
def test_a_factor_without_two_rows_of_a_class_is_refused(rows: int) -> None:
    with pytest.raises(MetricError):
        infomec(noise(rows, 2), np.column_stack([np.arange(rows), np.arange(rows) % 2]))
