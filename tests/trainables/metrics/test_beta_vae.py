import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

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
from trainables.metrics.beta_vae import measure
from trainables.metrics.calibration import Result, null
from trainables.metrics.inputs import MetricError

PAIRS, SAMPLES = 16, 1000
TRIPLES = random_factors((3, 3, 3), 400)
CODES = noisy(perfect(TRIPLES), 0.1)
VAGUE = noisy(CODES, 1.5)
SHARE = 4 * math.sqrt(0.25 / SAMPLES)
"""Four standard errors, at most, of a share of the samples."""


def scored(codes: ArrayLike, factors: ArrayLike, seed: int = 0, pairs: int = PAIRS, samples: int = SAMPLES) -> Result:
    return measure(codes, factors, seed, pairs, samples)["beta_vae"]


def beta_vae(codes: ArrayLike, factors: ArrayLike, seed: int = 0, pairs: int = PAIRS) -> float:
    return scored(codes, factors, seed, pairs).value


def plain(codes: Codes, factors: Factors, seed: int) -> float:
    """The slow twin: one pair after the other."""
    generator = np.random.default_rng(1000 + seed)
    partners = [[np.flatnonzero(column == column[row]) for row in range(len(codes))] for column in factors.T]

    def sample(factor: int) -> NDArray[np.float64]:
        total = np.zeros(codes.shape[1])
        for _ in range(PAIRS):
            one = other = int(generator.integers(len(codes)))
            while other == one:
                other = int(generator.choice(partners[factor][one]))
            total += abs(codes[one] - codes[other])
        return total / PAIRS

    asked = [generator.integers(factors.shape[1], size=SAMPLES) for _ in range(2)]
    train, test = (np.array([sample(factor) for factor in named]) for named in asked)
    return float(LogisticRegression(max_iter=1000).fit(train, asked[0]).score(test, asked[1]))


def test_it_agrees_with_the_plain_definition() -> None:
    factors, codes = TRIPLES[:, :2], VAGUE[:, :2] * np.array([1, 3])
    expected, result = plain(codes, factors, 0), scored(codes, factors)
    assert 0.6 < expected < 0.9  # neither chance nor sure
    assert result.value == pytest.approx(expected, abs=math.sqrt(2) * SHARE)
    assert (result.n, result.split) == (400, (SAMPLES, SAMPLES))


def test_defaults_are_3000_samples_of_64_pairs() -> None:
    result = measure(VAGUE, TRIPLES, 1)["beta_vae"]
    assert result.split == (3000, 3000)
    assert result.value == scored(VAGUE, TRIPLES, 1, pairs=64, samples=3000).value
    assert result.value > beta_vae(VAGUE, TRIPLES) + 0.05  # as a mean over four times the pairs is surer


def test_a_pair_is_two_rows() -> None:
    latent = np.arange(80) % 2
    factors = np.column_stack([np.arange(80) // 2, latent])
    factors[60:, 0] = np.arange(60, 80)  # values of a single row are left out
    # sharing the first factor, two rows differ by 1 always, sharing the second by 0: one pair will do
    assert beta_vae(latent[:, None], factors, pairs=1) == 1


def test_the_value_shared_is_that_of_a_row_drawn_uniformly() -> None:
    latent, generator = np.zeros(400), np.random.default_rng(0)
    latent[:40] = np.arange(40) % 2
    first = np.append(np.arange(40) // 2, np.full(360, 20))
    factors = np.column_stack([first, generator.permutation(np.arange(400) % 2)])
    # both leave pairs 1 apart in a tenth of cases; were the 21 values drawn alike, in 20 of 21 for the first
    assert beta_vae(latent[:, None], factors, pairs=64) == pytest.approx(0.5, abs=0.1)


def test_distances_are_absolute_and_not_squared() -> None:
    latent = np.arange(400) % 4
    factors = np.column_stack([np.arange(400) // 2, latent % 2])
    # the first factor leaves pairs 1 apart, the second 0 or 2, on average 1.01: the best threshold is right of 1
    assert beta_vae(latent[:, None], factors, pairs=256) < 0.75 + SHARE
    assert beta_vae(np.array([0, 1, 3, 4])[latent][:, None], factors, pairs=256) > 0.95  # 0 or 3, on average 1.5


def test_training_and_evaluation_draw_for_themselves() -> None:
    codes, factors = noise(4000, 60), random_factors((3, 3, 3), 4000)
    # 50 samples of 60 latents are separable by the very classifier that was trained on them
    assert scored(64 * codes, factors, samples=50).value < 1 / 3 + 4 * math.sqrt(2 / 9 / 50)


def test_seeds_fix_the_draws() -> None:
    values = [beta_vae(VAGUE, TRIPLES, seed) for seed in (0, 1, 2, 3)]
    assert beta_vae(VAGUE, TRIPLES) == values[0]
    assert len(set(values)) > 1
    assert np.ptp(values) < 3 * SHARE


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 3, 3), (2, 3, 6), DSPRITES])
def test_a_perfect_code_scores_one_also_warped(sizes: tuple[int, ...]) -> None:
    factors = random_factors(sizes, 400)
    assert beta_vae(perfect(factors), factors) == pytest.approx(1, abs=0.005)
    assert beta_vae(warped(noisy(perfect(factors), 0.1)), factors) == pytest.approx(1, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(3)), st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3), st.floats(-4, 4))
def test_order_sign_and_offset_of_latents_do_not_matter(order: list[int], signs: list[int], offset: float) -> None:
    # but for a few samples at the edge, by where the solver stops
    assert beta_vae(VAGUE[:, order] * signs + offset, TRIPLES) == pytest.approx(beta_vae(VAGUE, TRIPLES), abs=0.01)


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(3)), st.permutations([9, -2, 4]))
def test_order_of_factors_and_names_of_classes_change_the_draws_only(order: list[int], names: list[int]) -> None:
    renamed = np.array(names)[TRIPLES[:, order]]
    assert beta_vae(VAGUE, renamed) == pytest.approx(beta_vae(VAGUE, TRIPLES), abs=2 * SHARE)


def test_it_depends_on_the_scale_of_codes() -> None:
    # the classifier's slopes are penalised: it cannot read small distances
    assert beta_vae(CODES / 1024, TRIPLES) < 0.5
    assert beta_vae(CODES * 256, TRIPLES) == 1


def test_turning_two_latents_by_45_degrees_confuses_their_factors() -> None:
    # a coin for two of three, .65 to .71 over 8 seeds of tables of 400 rows
    assert beta_vae(rotated(CODES), TRIPLES) == pytest.approx(2 / 3, abs=0.1)


def test_it_is_blind_to_a_turn_by_20_degrees() -> None:
    assert beta_vae(rotated(CODES, degrees=20), TRIPLES, pairs=64) == 1


def test_it_is_blind_to_merged_factors() -> None:
    factors = random_factors((2, 2, 2), 400)
    assert beta_vae(merged(factors), factors, pairs=64) == pytest.approx(1, abs=0.01)


def test_it_is_blind_to_a_factor_that_no_latent_says() -> None:
    assert beta_vae(CODES[:, :2], TRIPLES, pairs=64) == pytest.approx(1, abs=0.005)
    assert beta_vae(CODES[:, :1], TRIPLES) == pytest.approx(2 / 3, abs=SHARE)


def test_it_is_blind_to_duplicated_and_dead_latents() -> None:
    assert beta_vae(duplicated(CODES), TRIPLES) == beta_vae(CODES, TRIPLES) == 1
    # a copy is penalised half as much: a few samples at the edge
    assert beta_vae(duplicated(VAGUE), TRIPLES) == pytest.approx(beta_vae(VAGUE, TRIPLES), abs=0.02)
    assert beta_vae(dead(VAGUE), TRIPLES) == pytest.approx(beta_vae(VAGUE, TRIPLES), abs=0.01)


def test_noise_is_at_its_null() -> None:
    codes = noise(400, 3)
    drawn = null(lambda z, f, seed: measure(z, f, seed, PAIRS, SAMPLES), codes, TRIPLES, 20, seed=0)["beta_vae"]
    assert abs(beta_vae(codes, TRIPLES) - drawn.mean()) < 5 * drawn.std(ddof=1)
    # a table's own accidents are read as information: a little above a third
    assert 1 / 3 - SHARE / math.sqrt(20) < drawn.mean() < 0.4


def test_constant_codes_guess() -> None:
    assert beta_vae(np.full((400, 2), 3.0), TRIPLES) == pytest.approx(1 / 3, abs=4 * math.sqrt(2 / 9 / SAMPLES))


def test_constant_factors_are_not_asked() -> None:
    factors = np.column_stack([np.full(400, 4), TRIPLES])
    assert beta_vae(CODES, factors) == 1
    assert beta_vae(np.full((400, 2), 3.0), factors) > 1 / 3 - 4 * math.sqrt(2 / 9 / SAMPLES)


@pytest.mark.parametrize(("codes", "factors", "reason"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, reason: str) -> None:
    with pytest.raises(MetricError, match=reason):
        beta_vae(codes, factors)


def test_one_factor_cannot_be_told_from_others() -> None:
    with pytest.raises(MetricError, match="one alone varies"):
        beta_vae(CODES, TRIPLES[:, :1])
    with pytest.raises(MetricError, match="one alone varies"):
        beta_vae(CODES, np.column_stack([TRIPLES[:, 0], np.full(400, 2)]))


def test_a_factor_without_two_rows_of_a_value_is_refused() -> None:
    with pytest.raises(MetricError, match="no two of the 12 rows share a value of factor 1"):
        beta_vae(noise(12, 2), np.column_stack([np.arange(12) % 2, np.arange(12)]))
    assert 0 <= beta_vae(noise(4, 2), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])) <= 1
