import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from tests.trainables.metrics.tables import (
    BAD,
    DSPRITES,
    Codes,
    Factors,
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
from trainables.metrics.factor_vae import measure
from trainables.metrics.inputs import MetricError

BATCH, VOTES = 32, 1000
TRIPLES = random_factors((3, 3, 3), 400)
CODES = noisy(perfect(TRIPLES), 0.1)
SHARE = 4 * math.sqrt(0.25 / VOTES)
"""Four standard errors, at most, of a share of the votes."""


def scored(codes: ArrayLike, factors: ArrayLike, seed: int = 0, batch: int = BATCH, votes: int = VOTES) -> Result:
    return measure(codes, factors, seed, batch, votes)["factor_vae"]


def factor_vae(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> float:
    return scored(codes, factors, seed).value


def counts(result: Result) -> NDArray[np.float64]:
    assert result.matrix is not None
    return result.matrix


def shares(codes: Codes, factors: Factors) -> NDArray[np.float64]:
    """The plain twin where a batch is all rows of a value: which latent each (latent, factor) vote names, (d, k)."""
    n, k = factors.shape
    found = np.zeros((codes.shape[1], k))
    for row in range(n):
        for factor in range(k):
            group = codes[factors[:, factor] == factors[row, factor]]
            still = [np.var(group[:, j]) / np.var(codes[:, j]) for j in range(codes.shape[1])]
            found[still.index(min(still)), factor] += 1 / (n * k)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_votes_agree_with_the_plain_definition_where_a_batch_is_all_rows_of_a_value(seed: int) -> None:
    factors = np.tile(grid(3, 3, 3), (2, 1))
    codes = noisy(perfect(factors)[:, [0, 1, 2, 0]], 1.5, seed) * np.array([1, 8, 0.25, 3])
    expected, result = shares(codes, factors), scored(codes, factors, seed, batch=18)
    np.testing.assert_allclose(counts(result) / VOTES, expected, atol=SHARE)
    assert not counts(result)[expected == 0].any()  # without replacement there is no other batch
    assert result.value == pytest.approx(expected.max(axis=1).sum(), abs=SHARE)
    assert result.value < 0.95
    assert (result.n, result.skipped) == (54, 0)


def test_defaults_are_3000_votes_of_64_rows() -> None:
    factors = np.column_stack([np.repeat(np.arange(4), [64, 63, 64, 209]), np.arange(400) % 2])
    result = measure(noise(400, 3), factors)["factor_vae"]
    assert counts(measure(CODES, TRIPLES)["factor_vae"]).sum() == 3000
    # a class of 63 rows is too small, one of 64 is not: of half of 6,000 votes 63 / 400, four standard errors each way
    assert result.skipped == pytest.approx(3000 * 63 / 400, abs=4 * math.sqrt(6000 * 0.0788 * 0.9212))


def test_the_value_held_fixed_is_that_of_a_row_drawn_uniformly() -> None:
    factors = np.column_stack([np.concatenate([np.zeros(360), np.arange(1, 41)]), np.arange(400) % 2]).astype(int)
    result = scored(noise(400, 2), factors)
    # a tenth of the rows, though 40 of 41 values; the other half of the votes fixes the other factor
    assert result.skipped == pytest.approx(0.05 * 2 * VOTES, abs=4 * math.sqrt(0.0475 * 2 * VOTES))


def test_training_and_evaluation_draw_for_themselves() -> None:
    codes, factors = noise(4000, 40), random_factors((3, 3, 3), 4000)
    result = scored(codes, factors, votes=120)
    known = counts(result).max(axis=1).sum() / counts(result).sum()
    assert known > 0.55  # of three votes a latent the majority is mostly right
    assert result.value < 1 / 3 + 4 * math.sqrt(2 / 9 / 120)


def test_seeds_fix_the_draws() -> None:
    codes = noisy(CODES, 1.0)
    values = [factor_vae(codes, TRIPLES, seed) for seed in (0, 1, 2, 3)]
    assert factor_vae(codes, TRIPLES) == values[0]
    assert len(set(values)) > 1
    assert np.ptp(values) < 3 * SHARE


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 3, 3), (2, 3, 6)])
def test_a_perfect_code_scores_one(sizes: tuple[int, ...]) -> None:
    factors = random_factors(sizes, 400)
    assert factor_vae(perfect(factors), factors) == 1
    assert factor_vae(warped(noisy(perfect(factors), 0.1)), factors) == 1


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.permutations(range(3)),
    st.lists(st.sampled_from([-1024.0, -1.0, 0.25, 8.0]), min_size=3, max_size=3),
)
def test_order_sign_and_scale_of_latents_do_not_matter(seed: int, order: list[int], scales: list[float]) -> None:
    factors = random_factors((2, 3), 100, seed)
    codes = noisy(perfect(factors)[:, [0, 1, 1]], 1.0, seed)
    expected, result = (
        scored(z, factors, seed, batch=10, votes=100) for z in (codes, codes[:, order] * np.array(scales))
    )
    assert result.value == expected.value
    np.testing.assert_array_equal(counts(result), counts(expected)[order])


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(3)), st.permutations([9, -2, 4]))
def test_order_of_factors_and_names_of_classes_change_the_draws_only(order: list[int], names: list[int]) -> None:
    codes = noisy(CODES, 1.0)
    assert factor_vae(codes, np.array(names)[TRIPLES[:, order]]) == pytest.approx(
        factor_vae(codes, TRIPLES), abs=2 * SHARE
    )


def test_turning_two_latents_by_45_degrees_confuses_their_factors() -> None:
    result = scored(rotated(CODES), TRIPLES)
    # both stand still alike: a coin for two of three, .65 to .72 over 8 seeds of tables of 400 rows
    assert result.value == pytest.approx(2 / 3, abs=0.1)
    assert counts(result)[2, :2].sum() == 0


def test_it_is_blind_to_a_turn_by_20_degrees() -> None:
    assert factor_vae(rotated(CODES, degrees=20), TRIPLES) == 1


def test_it_is_blind_to_a_duplicated_latent() -> None:
    assert factor_vae(duplicated(CODES), TRIPLES) == factor_vae(CODES, TRIPLES) == 1
    noisier = noisy(CODES, 1.0)
    assert factor_vae(duplicated(noisier), TRIPLES) == factor_vae(noisier, TRIPLES) < 1


def test_a_dead_latent_changes_nothing_and_gets_no_votes() -> None:
    noisier = noisy(CODES, 1.0)
    expected, ripple = scored(noisier, TRIPLES), perfect(TRIPLES[:, :1] // 2)  # of standard deviation 1
    for quiet in (0.0, 0.049):
        result = scored(np.column_stack([quiet * ripple, noisier]), TRIPLES)
        assert result.value == expected.value
        np.testing.assert_array_equal(counts(result), np.vstack([[0, 0, 0], counts(expected)]))
    assert counts(scored(np.column_stack([0.051 * ripple, noisier]), TRIPLES))[0].sum() > 0


def test_with_all_latents_pruned_it_is_zero() -> None:
    for codes in (np.full((400, 3), 7.0), CODES / 32):
        result = scored(codes, TRIPLES)
        assert (result.value, result.missing) == (0, "")


def test_a_merged_latent_names_one_of_its_two_factors() -> None:
    factors = random_factors((2, 2, 2), 400)
    result = scored(merged(factors), factors)
    assert result.value == pytest.approx(2 / 3, abs=SHARE)
    assert counts(result)[0, 2] == 0
    # held fixed, the fine one leaves 4/5 of the merged variance: a batch of 32 coins has less in 1 of 100
    assert counts(result)[1, :2].sum() < 0.05 * VOTES


def test_a_factor_that_no_latent_says_is_a_guess() -> None:
    result = scored(CODES[:, :2], TRIPLES)
    assert result.value == pytest.approx(2 / 3, abs=SHARE)


def test_noise_is_at_its_null() -> None:
    codes = noise(400, 3)
    drawn = null(lambda z, f, seed: measure(z, f, seed, BATCH, VOTES), codes, TRIPLES, 20, seed=0)["factor_vae"]
    assert abs(factor_vae(codes, TRIPLES) - drawn.mean()) < 5 * drawn.std(ddof=1)
    # a table's own accidents are read as information: a little above a third
    assert 1 / 3 - SHARE / math.sqrt(20) < drawn.mean() < 0.45


def test_a_factor_that_cannot_be_asked_is_no_silent_success() -> None:
    factors = random_factors(DSPRITES)
    # 1,000 rows have 25 to 31 a value of the three large factors: of shape and scale alone the score would be 1
    with pytest.raises(MetricError, match="no value of factor 2 is shared by 64 of the 1000 rows"):
        scored(perfect(factors), factors, batch=64)
    assert scored(perfect(factors), factors, batch=8).value == 1
    assert scored(perfect(factors)[:, :2], factors, batch=8).value == pytest.approx(2 / 5, abs=SHARE)


def test_constant_factors_are_not_asked() -> None:
    factors = np.column_stack([np.full(400, 4), TRIPLES])
    result = scored(CODES, factors)
    assert result.value == 1
    assert not counts(result)[:, 0].any()
    assert counts(result).sum() == VOTES


def test_one_factor_is_refused_and_one_latent_names_one_factor() -> None:
    with pytest.raises(MetricError, match="one alone varies"):
        factor_vae(noise(400, 3), TRIPLES[:, :1])
    assert factor_vae(CODES[:, :1], TRIPLES) == pytest.approx(1 / 3, abs=SHARE)


@pytest.mark.parametrize(("codes", "factors", "reason"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, reason: str) -> None:
    with pytest.raises(MetricError, match=reason):
        factor_vae(codes, factors)


def test_too_few_rows_a_value_are_refused() -> None:
    def halves(rows: int) -> Factors:
        return np.column_stack([np.arange(rows) % 2, np.arange(rows) // 2 % 2])

    with pytest.raises(MetricError, match="no value of factor 0 is shared by 32 of the 62 rows"):
        factor_vae(noise(62, 2), halves(62))
    assert factor_vae(halves(64) * 1.0, halves(64)) == 1
