import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from sklearn.metrics import mutual_info_score

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
from trainables.metrics.modularity import measure, per_latent


def modularity(codes: ArrayLike, factors: ArrayLike) -> float:
    return measure(codes, factors)["modularity"].value


def plain(codes: Codes, factors: Factors) -> float:
    """The slow twin: scikit-learn's mutual information, and the formula latent by latent."""
    columns = [column for column in factors.T if len(set(column)) > 1]
    values = []
    for latent in codes.T:
        bins = np.digitize(latent, np.histogram(latent, 20)[1][:-1])
        said = sorted(mutual_info_score(column, bins) for column in columns)
        spilled = sum(m**2 for m in said[:-1]) / (len(columns) - 1)
        values.append(1 - spilled / said[-1] ** 2 if said[-1] > 1e-12 else 0.0)
    return sum(values) / len(values)


@settings(max_examples=50, deadline=None)
@given(small_tables(least_factors=2))
def test_modularity_agrees_with_the_plain_definition(table: Table) -> None:
    codes, factors = table
    factors[:, 1] = np.arange(len(factors)) // 2 % 3
    assert modularity(codes, factors) == pytest.approx(plain(codes, factors), abs=1e-9)


def test_the_result_says_what_it_was_read_from() -> None:
    factors = grid(4, 5)
    result = measure(perfect(factors), factors)["modularity"]
    assert result.matrix is not None
    np.testing.assert_allclose(result.matrix, np.diag(np.log([4, 5])), atol=1e-12)
    assert (result.n, result.bins, result.missing, result.per_factor) == (20, 20, "", None)
    coarse = measure(perfect(factors), factors, bins=2)["modularity"]
    assert coarse.matrix is not None
    assert (coarse.bins, coarse.matrix[0, 0]) == (2, pytest.approx(math.log(2)))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([2.0, 0.0, 0.0], 1.0),
        ([2.0, 2.0, 2.0], 0.0),
        ([2.0, 1.0, 0.0], 1 - 1 / 8),
        ([0.0, 1.0, 2.0], 1 - 1 / 8),
        ([2.0, 1.0, 1.0], 1 - 2 / 8),
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_a_latents_share_for_its_own_factor(row: list[float], expected: float) -> None:
    np.testing.assert_allclose(per_latent(np.array([row, [0.0, 3.0, 0.0]])), [expected, 1.0])


def test_a_perfect_code_scores_one_also_with_unlike_sizes() -> None:
    assert modularity(perfect(grid(4, 5, 10)), grid(4, 5, 10)) == pytest.approx(1)
    assert modularity(perfect(grid(4, 5, 10))[:, :1], grid(4, 5, 10)) == pytest.approx(1)
    # Chance adds (20 - 1) (40 - 1) / 2 n = .04 nats to a pair at most; its square is nothing beside ln 3 squared.
    factors = random_factors(rows=10_000)
    assert 0.998 < modularity(perfect(factors), factors) < 1


def test_a_rotation_costs_the_share_of_the_second_factor() -> None:
    factors = grid(4, 4, 5)
    # Both latents say as much of both factors, and nothing of the third: 1 - 1 / 2. The third latent keeps 1.
    assert modularity(rotated(perfect(factors)), factors) == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_a_merged_latent_costs_what_its_lesser_factor_is_worth() -> None:
    spilled = (math.log(3) / math.log(6)) ** 2
    assert modularity(merged(grid(3, 6)), grid(3, 6)) == pytest.approx(1 - spilled)
    assert modularity(merged(grid(3, 6, 4)), grid(3, 6, 4)) == pytest.approx((1 - spilled / 2 + 1) / 2)


def test_modularity_is_blind_to_duplicates_and_to_what_is_not_said() -> None:
    factors = grid(4, 5, 3)
    codes = perfect(factors)
    assert modularity(duplicated(codes), factors) == pytest.approx(1)
    assert modularity(codes[:, [0, 0, 0]], factors) == pytest.approx(1)
    assert modularity(np.sign(codes + 0.01), factors) == pytest.approx(1)


@pytest.mark.parametrize("latents", [1, 3])
def test_dead_latents_count_zero(latents: int) -> None:
    factors = grid(4, 5, 3)
    assert modularity(dead(perfect(factors), latents), factors) == pytest.approx(3 / (3 + latents))
    assert modularity(np.ones((60, latents)), factors) == 0


def test_a_latent_exactly_independent_of_all_factors_counts_zero() -> None:
    # Its nats are 0 up to rounding, and rounding must not be compared with rounding.
    table = grid(3, 6, 7, 5)
    assert modularity(perfect(table), table[:, :3]) == pytest.approx(3 / 4)


def test_a_monotone_warp_of_a_perfect_code_changes_nothing_and_of_a_rotated_one_does() -> None:
    factors = grid(4, 6)
    assert modularity(warped(perfect(factors)), factors) == pytest.approx(1)
    mixed = rotated(perfect(factors), degrees=20)
    assert abs(modularity(warped(mixed), factors) - modularity(mixed, factors)) > 0.01


def test_noise_scores_like_its_null_which_is_far_from_zero() -> None:
    factors = random_factors(rows=10_000)
    codes = np.random.default_rng(3).uniform(size=(10_000, 6))
    draws = null(measure, codes, factors, 5, 0)["modularity"]
    # Chance adds (20 - 1) (classes - 1) / 2 n nats, so the factor of most classes seems to own every latent. A
    # pair's chance nats vary by sqrt(2 / (19 * 31)) = 6 %: their squares, two of them and over six latents, by 2 %.
    added = np.array([2, 5, 39, 31, 31]) ** 2
    chance = 1 - (added.sum() - 39**2) / (39**2 * 4)
    assert draws.mean() == pytest.approx(chance, abs=0.05)
    # six values of one law: 6 standard deviations of their spread, known to 35 % from five draws
    assert modularity(codes, factors) == pytest.approx(draws.mean(), abs=6 * draws.std(ddof=1))


def test_noise_on_a_rotated_code_blurs_its_factors_together_no_further_than_half() -> None:
    factors = random_factors((6, 6), 4000)
    values = [modularity(rotated(noisy(perfect(factors), 0.3), degrees=turn), factors) for turn in (0, 10, 25, 45)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.99
    assert values[-1] < 0.05  # the gap of two equal latents in 4,000 rows


@settings(max_examples=40, deadline=None)
@given(small_tables(least_factors=2), st.integers(0, 2**32 - 1), st.sampled_from([0.25, 2.0, 1024.0]))
def test_order_and_scale_of_latents_and_names_of_classes_do_not_matter(table: Table, seed: int, factor: float) -> None:
    codes, factors = table
    factors[:, 1] = np.arange(len(factors)) // 2 % 3
    generator, value = np.random.default_rng(seed), modularity(*table)
    rows = generator.permutation(len(codes))
    assert modularity(codes[:, generator.permutation(codes.shape[1])], factors) == pytest.approx(value, abs=1e-9)
    assert modularity(codes[rows], factors[rows]) == pytest.approx(value, abs=1e-9)
    assert modularity(codes * factor, factors) == value
    assert modularity(codes, generator.permutation(9)[factors]) == pytest.approx(value, abs=1e-9)


def test_a_flip_changes_nothing_where_no_value_lies_on_an_edge() -> None:
    factors = random_factors((4, 5), 500)
    codes = noisy(perfect(factors), 0.4)
    assert modularity(-codes, factors) == pytest.approx(modularity(codes, factors), abs=1e-12)


def test_constant_factors_are_left_out() -> None:
    factors = random_factors((4, 5), 500)
    codes = noise(500, 3) + factors[:, :1]
    padded = np.insert(factors, 1, 7, axis=1)
    assert modularity(codes, padded) == pytest.approx(modularity(codes, factors), abs=1e-12)


@pytest.mark.parametrize(("codes", "factors", "message"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        measure(codes, factors)


def test_one_varied_factor_is_refused_and_two_rows_are_enough() -> None:
    with pytest.raises(MetricError, match="one alone varies"):
        measure(noise(12, 2), np.column_stack([np.arange(12) % 3, np.zeros(12, int)]))
    assert modularity([[0.0], [1.0]], [[0, 0], [1, 1]]) == pytest.approx(0)  # says both factors alike
