"""How far a score can be believed: its null (permuted factors), its ceiling (a perfect code), its spread."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_SPAN = 0.05
"""Least distance of ceiling and null that is worth dividing by."""
GROUPS = 10
"""Parts of the rows, each left out once by the jackknife."""
DRAWS = 5
"""Of a score's own random numbers, or disjoint samples of rows, that its spread is taken over."""


@dataclass(frozen=True)
class Result:
    """One score of one table, as its definition gives it.

    Attributes:
        value: The score; NaN where it is missing.
        n: Rows that it was computed from.
        per_factor: (k,), what each factor contributes; NaN for those left out. None where the score is of latents.
        matrix: (d, k), what the score was read from: nats, accuracies or importances. None where there is none.
        bins: Bins a latent, where it bins.
        split: Rows trained on and tested on, where it predicts.
        skipped: Draws left out because too few rows share the factor's value.
        missing: Why there is no value; empty where there is one.
    """

    value: float
    n: int
    per_factor: NDArray[np.float64] | None = None
    matrix: NDArray[np.float64] | None = None
    bins: int | None = None
    split: tuple[int, int] | None = None
    skipped: int = 0
    missing: str = ""


Measure = Callable[[NDArray, NDArray, int], dict[str, Result]]
"""(codes (n, d), factors (n, k), seed) -> results by name; every metric is one."""


@dataclass(frozen=True)
class Score(Result):
    """A result beside what the score would be without information and with all of it.

    Attributes:
        null: Mean over joint permutations of the factors; NaN where none were asked for.
        null_sd: Their standard deviation; NaN with a single one.
        nulls: How many.
        ceiling: Of a perfect code of the same factors, n and d; NaN where the score has none.
        sd: Standard deviation of the value over samples of n rows, or over the score's own draws; NaN where unknown.
    """

    null: float = math.nan
    null_sd: float = math.nan
    nulls: int = 0
    ceiling: float = math.nan
    sd: float = math.nan

    @property
    def calibrated(self) -> float:
        """(value - null) / (ceiling - null), never clipped.

        NaN, which means missing, if ceiling - null < 0.05: there the score does not tell a perfect code from
        noise.
        """
        span = self.ceiling - self.null
        return (self.value - self.null) / span if span >= MIN_SPAN else math.nan


def null(measure: Measure, codes: NDArray, factors: NDArray, draws: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """The scores of codes that know nothing of the factors, which keep their joint distribution.

    Args:
        measure: The metric.
        codes: (n, d).
        factors: (n, k); each draw permutes the rows of all columns jointly.
        draws: Number of permutations, at least 1.
        seed: Fixes the permutations and the metric's own draws.

    Returns:
        By name (draws,), one score a permutation.
    """
    generator = np.random.default_rng(seed)
    found = [measure(codes, factors[generator.permutation(len(factors))], seed) for _ in range(draws)]
    return {name: np.array([results[name].value for results in found]) for name in found[0]}


def perfect_codes(factors: NDArray, latents: int) -> NDArray[np.float64]:
    """Codes that say each factor once: its class index, scaled to 0 to 1, then constant columns.

    Scaled, because some scores drop latents of small range, which here is only a factor's number of classes.

    Args:
        factors: (n, k) class indices; constant ones need no latent.
        latents: d; if less than the factors that vary, the first d of them are encoded, which is as many as fit.

    Returns:
        (n, latents).
    """
    codes = np.zeros((len(factors), latents))
    said = factors[:, np.ptp(factors, axis=0) > 0][:, :latents].astype(np.float64)
    codes[:, : said.shape[1]] = (said - said.min(axis=0)) / np.ptp(said, axis=0)
    return codes


def spread_over_rows(
    measure: Measure, results: dict[str, Result], codes: NDArray, factors: NDArray, seed: int
) -> dict[str, float]:
    """Standard deviation of each score over samples of as many rows as it used.

    Where that many rows are there twice and more, from disjoint samples of this size (of which the first gave
    `results`); else by the jackknife that leaves out a tenth of the rows at a time.

    Args:
        measure: The metric.
        results: What it gave for the whole table.
        codes: (n, d).
        factors: (n, k).
        seed: Of the metric's own draws.
    """
    used = max(result.n for result in results.values())
    if 2 * used <= len(codes):
        starts = range(used, used * min(len(codes) // used, DRAWS), used)
        samples = [measure(codes[at : at + used], factors[at : at + used], seed) for at in starts]
        return _deviations([results, *samples])
    group = np.arange(len(codes)) % GROUPS  # rows are in random order
    without = [measure(codes[group != left], factors[group != left], seed) for left in range(GROUPS)]
    return _deviations(without, (GROUPS - 1) / math.sqrt(GROUPS))


def spread_over_draws(
    measure: Measure, results: dict[str, Result], codes: NDArray, factors: NDArray, seed: int
) -> dict[str, float]:
    """Standard deviation of each score over its own random draws, of which `results` are the first."""
    return _deviations([results, *(measure(codes, factors, seed + draw) for draw in range(1, DRAWS))])


def _deviations(found: list[dict[str, Result]], scale: float = 1.0) -> dict[str, float]:
    values = {name: np.array([part[name].value for part in found]) for name in found[0]}
    known = {name: len(drawn) > 1 and bool(np.isfinite(drawn).all()) for name, drawn in values.items()}
    return {name: scale * float(values[name].std(ddof=1)) if known[name] else math.nan for name in values}
