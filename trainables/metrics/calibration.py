"""How far a score can be believed: its null (permuted factors) and ceiling (a perfect code) at the same n."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Metric = Callable[[NDArray, NDArray], float]
"""(codes (n, d), factors (n, k)) -> score."""

MIN_SPAN = 0.05
"""Least distance of ceiling and null that is worth dividing by."""


@dataclass(frozen=True)
class Score:
    """A score beside what it would be without information and with all of it.

    `null` and `null_sd` (mean and standard deviation over the draws) and `ceiling` are NaN where none were
    asked for; `null_sd` also with a single draw.
    """

    value: float
    n: int
    """Rows that the score was computed from."""
    bins: int | None = None
    null: float = math.nan
    null_sd: float = math.nan
    ceiling: float = math.nan

    @property
    def calibrated(self) -> float:
        """(value - null) / (ceiling - null), never clipped.

        NaN, which means missing, if ceiling - null < 0.05: there the score does not tell a perfect code from
        noise.
        """
        span = self.ceiling - self.null
        return (self.value - self.null) / span if span >= MIN_SPAN else math.nan


def null(metric: Metric, codes: NDArray, factors: NDArray, draws: int = 20, seed: int = 0) -> NDArray[np.float64]:
    """The score of codes that know nothing of the factors, which keep their joint distribution.

    Args:
        metric: The score.
        codes: (n, d), in whatever form `metric` takes them (for MIG already binned).
        factors: (n, k); each draw permutes the rows of all columns jointly.
        draws: Number of permutations.
        seed: Fixes the permutations.

    Returns:
        (draws,), one score a permutation.
    """
    generator = np.random.default_rng(seed)
    return np.array([metric(codes, factors[generator.permutation(len(factors))]) for _ in range(draws)])


def perfect_codes(factors: NDArray, latents: int) -> NDArray[np.float64]:
    """Codes that say each factor once: its class index, then constant columns.

    Args:
        factors: (n, k) class indices.
        latents: d; if less than k, the first d factors are encoded, which is as many as fit.

    Returns:
        (n, latents).
    """
    codes = np.zeros((len(factors), latents))
    fitting = min(latents, factors.shape[1])
    codes[:, :fitting] = factors[:, :fitting]
    return codes


def calibrate(
    metric: Metric,
    codes: NDArray,
    perfect: NDArray,
    factors: NDArray,
    draws: int,
    seed: int,
    bins: int | None = None,
) -> Score:
    """The score with its null and ceiling.

    Args:
        metric: The score.
        codes: (n, d), in the form that `metric` takes.
        perfect: `perfect_codes` of the same factors and d, in the same form.
        factors: (n, k).
        draws: Permutations of the null, at least 1.
        seed: Fixes them.
        bins: Recorded in the result.
    """
    draw = null(metric, codes, factors, draws, seed)
    return Score(
        value=metric(codes, factors),
        n=len(codes),
        bins=bins,
        null=float(draw.mean()),
        null_sd=float(draw.std(ddof=1)) if draws > 1 else math.nan,
        ceiling=metric(perfect, factors),
    )
