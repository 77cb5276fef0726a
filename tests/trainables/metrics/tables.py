"""Synthetic tables whose scores are known: factors, and codes that say them well, twice, mixed, or not at all."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

Codes = NDArray[np.float64]
Factors = NDArray[np.intp]

DSPRITES = (3, 6, 40, 32, 32)
"""Classes of shape, scale, orientation, x, y: far from alike, and the last three more than MIG's 20 bins."""


class Table(NamedTuple):
    """Codes (n, d) and factors (n, k) of the same rows."""

    codes: Codes
    factors: Factors


def grid(*sizes: int) -> Factors:
    """Every combination of classes once, so that factors are balanced and exactly independent."""
    return np.stack(np.meshgrid(*map(range, sizes), indexing="ij"), -1).reshape(-1, len(sizes)).astype(np.intp)


def random_factors(sizes: Sequence[int] = DSPRITES, rows: int = 1000, seed: int = 0) -> Factors:
    """Independent uniform draws."""
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.integers(size, size=rows) for size in sizes]).astype(np.intp)


def shuffled(factors: Factors, seed: int = 0) -> Factors:
    """The rows in random order, which scores that train on the first ones need."""
    return np.random.default_rng(seed).permutation(factors)


def perfect(factors: Factors) -> Codes:
    """One latent a factor, standardised: a constant factor's latent is 0."""
    codes = factors - factors.mean(axis=0)
    scale = codes.std(axis=0)
    return codes / np.where(scale > 0, scale, 1.0)


def rotated(codes: Codes, first: int = 0, second: int = 1, degrees: float = 45.0) -> Codes:
    """Two latents turned into each other."""
    turn, turned = math.radians(degrees), codes.copy()
    turned[:, first] = math.cos(turn) * codes[:, first] - math.sin(turn) * codes[:, second]
    turned[:, second] = math.sin(turn) * codes[:, first] + math.cos(turn) * codes[:, second]
    return turned


def duplicated(codes: Codes, latent: int = 0) -> Codes:
    """One latent more, a copy."""
    return np.column_stack([codes, codes[:, latent]])


def dead(codes: Codes, latents: int = 1) -> Codes:
    """Constant latents more."""
    return np.column_stack([codes, np.full((len(codes), latents), 0.5)])


def merged(factors: Factors, first: int = 0, second: int = 1) -> Codes:
    """The perfect code, but one latent says two factors: it has a value for each pair of their classes."""
    both = factors[:, first] * (factors[:, second].max() + 1) + factors[:, second]
    return perfect(np.column_stack([both, np.delete(factors, [first, second], axis=1)]))


def noisy(codes: Codes, scale: float, seed: int = 1) -> Codes:
    """Normal noise added to every latent."""
    return codes + scale * np.random.default_rng(seed).normal(size=codes.shape)


def noise(rows: int, latents: int, seed: int = 1) -> Codes:
    """Codes that know nothing."""
    return np.random.default_rng(seed).normal(size=(rows, latents))


def warped(codes: Codes) -> Codes:
    """A monotone warp, the cube: ranks stay, distances do not."""
    return codes**3


@st.composite
def small_tables(draw: st.DrawFn, least_latents: int = 1, least_factors: int = 1) -> Table:
    """Up to 60 rows of few-valued codes with ties and constants, and of factors, the first of which varies."""
    rows = draw(st.integers(4, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    latents, columns = draw(st.integers(least_latents, 4)), draw(st.integers(least_factors, 3))
    codes = generator.normal(size=(rows, latents)).round(draw(st.integers(0, 6)))
    codes[:, generator.random(latents) < 0.2] = 1.5
    factors = generator.integers(0, draw(st.integers(1, 6)), (rows, columns))
    factors[:, 0] = np.arange(rows) % 2
    return Table(codes, factors.astype(np.intp))


GOOD = Table(noise(12, 2), grid(2, 3, 2)[:, :2])

BAD: list[tuple[ArrayLike, ArrayLike, str]] = [
    (np.where(GOOD.codes > 0, np.nan, GOOD.codes), GOOD.factors, "non-finite"),
    (np.where(GOOD.codes > 0, np.inf, GOOD.codes), GOOD.factors, "non-finite"),
    (GOOD.codes, GOOD.factors * 1.0, "not class indices"),
    (GOOD.codes, GOOD.factors[:-1], "12 rows, factors 11"),
    (GOOD.codes[:, :0], GOOD.factors, "not a table"),
    (GOOD.codes, np.full((12, 2), 1), "all 2 factors are constant on 12 rows"),
    (GOOD.codes[:1], GOOD.factors[:1], "all 2 factors are constant on 1 rows"),
]
"""What every score of codes and factors refuses, and a part of the reason that it gives."""
