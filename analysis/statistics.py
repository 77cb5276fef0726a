"""Intervals over seeds. Resampled are seeds alone: the probe and the settings are taken as given.

Under ten seeds a percentile bootstrap covers far less than it claims, so the rule goes by the number of seeds
(../docs/metrics.md names the scores; the coverage of each rule is a test).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

CONFIDENCE = 0.95
T_SEEDS, BOOTSTRAP_SEEDS = 3, 10
"""Least number of seeds for a t interval, and for a BCa bootstrap."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with what its number of seeds allows to say.

    Attributes:
        values: The seeds' values, without missing ones; of `clustered` the statistic alone.
        mean: Their mean; NaN without any.
        low: Lower end of the 95 % interval; None under three seeds.
        high: Its upper end.
    """

    values: tuple[float, ...]
    mean: float
    low: float | None = None
    high: float | None = None

    def __format__(self, spec: str) -> str:
        spec = spec or ".3g"
        if not self.values:
            return "-"
        if self.low is not None and self.high is not None:
            return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"
        if len(self.values) == 2:  # both points, no interval
            return f"{self.mean:{spec}} ({min(self.values):{spec}}, {max(self.values):{spec}})"
        return f"{self.mean:{spec}}"


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean and interval of one setting's replicates.

    Args:
        values: One value a seed; NaN is left out.

    Returns:
        One seed: a point. Two: both points, no interval. Three to nine: the t interval. Ten and more: BCa bootstrap.
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    kept = tuple(float(value) for value in sample)
    if not kept:
        return Estimate((), float("nan"))
    mean = float(sample.mean())
    if not np.isfinite(sample).all():  # an infinite total correlation, say, has no interval
        return Estimate(kept, mean)
    if len(kept) < T_SEEDS or np.ptp(sample) == 0:
        bound = mean if len(kept) >= T_SEEDS else None
        return Estimate(kept, mean, bound, bound)
    if len(kept) < BOOTSTRAP_SEEDS:
        low, high = scipy.stats.t.interval(CONFIDENCE, len(kept) - 1, loc=mean, scale=scipy.stats.sem(sample))
        return Estimate(kept, mean, float(low), float(high))
    interval = scipy.stats.bootstrap(
        (sample,), np.mean, confidence_level=CONFIDENCE, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return Estimate(kept, mean, float(interval.low), float(interval.high))


def clustered(clusters: Sequence[NDArray[np.float64]], statistic: Callable[[NDArray[np.float64]], float]) -> Estimate:
    """A statistic of rows that hang together, such as the seeds of a setting: whole clusters are resampled.

    Args:
        clusters: Tables of as many columns each.
        statistic: Of the clusters' rows together; NaN where it has no value.

    Returns:
        The point alone under ten clusters; from then on with a BCa bootstrap interval. Nothing where it is NaN.
    """

    def of(chosen: NDArray[np.intp]) -> float:
        return statistic(np.concatenate([clusters[place] for place in chosen]))

    value = of(np.arange(len(clusters))) if clusters else float("nan")
    if np.isnan(value):
        return Estimate((), float("nan"))
    if len(clusters) < BOOTSTRAP_SEEDS:
        return Estimate((value,), value)
    places, rng = (np.arange(len(clusters)),), np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal resamples: the bounds are NaN, and looked at below
        drawn = scipy.stats.bootstrap(places, of, vectorized=False, n_resamples=999, method="BCa", rng=rng)
    low, high = (float(bound) for bound in drawn.confidence_interval)
    if np.isnan([low, high]).any():  # every resample says the same, as where all is ranked alike
        return Estimate((value,), value)
    return Estimate((value,), value, low, high)
