"""Intervals and tests over seeds. Resampled are seeds alone: the probe and the settings are taken as given.

Under ten seeds a percentile bootstrap covers far less than it claims, so the rule goes by the number of seeds. For
normal data the t interval of three to nine seeds covers 95 %, BCa 90 % of ten and 93 % of twenty
(../docs/metrics.md names the scores; the coverage of each rule is a test).
"""

import bisect
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from trainables.checks import InputError

CONFIDENCE = 0.95
T_SEEDS, BOOTSTRAP_SEEDS = 3, 10
"""Least number of seeds for a t interval, and for a BCa bootstrap."""
CLAIM_SEEDS = 10
"""Least number of seeds for a claim: a rank test of five cannot reject at all."""
PLAN_SEEDS, IQM_SEEDS = 5, 8
"""Least number of seeds for saying how many it takes, and for an interquartile mean."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with what its number of seeds allows to say.

    Attributes:
        values: The seeds' values, without missing ones; of a statistic that is no mean over seeds, itself alone.
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


NOTHING = Estimate((), float("nan"))
"""No value, and none to give."""


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
        return NOTHING
    mean = float(sample.mean())
    if not np.isfinite(sample).all():  # an infinite total correlation, say, has no interval
        return Estimate(kept, mean)
    if len(kept) < T_SEEDS or np.ptp(sample) == 0:
        bound = mean if len(kept) >= T_SEEDS else None
        return Estimate(kept, mean, bound, bound)
    if len(kept) < BOOTSTRAP_SEEDS:
        low, high = scipy.stats.t.interval(CONFIDENCE, len(kept) - 1, loc=mean, scale=scipy.stats.sem(sample))
        return Estimate(kept, mean, float(low), float(high))
    return Estimate(kept, mean, *_bca(sample, np.mean, vectorized=True))


def iqm(values: Sequence[float]) -> Estimate | None:
    """The interquartile mean of one setting's replicates: the mean without a quarter of them at either end.

    One collapsed seed cannot move it. A quarter is rounded down to whole seeds: of 8 and of 9 two at either end go.

    Args:
        values: One value a seed; NaN is left out.

    Returns:
        None under eight seeds, of which too few would remain. From ten on with a BCa interval over seeds; without one
        where the middle seeds are equal.

    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    if len(sample) < IQM_SEEDS:
        return None
    kept, middle = tuple(sample.tolist()), float(scipy.stats.trim_mean(sample, 0.25))
    if len(kept) < BOOTSTRAP_SEEDS or not np.isfinite(sample).all():
        return Estimate(kept, middle)
    bounds = _bca(sample, lambda drawn, axis: scipy.stats.trim_mean(drawn, 0.25, axis=axis), vectorized=True)
    return Estimate(kept, middle, *bounds)


def seeds_needed(values: Sequence[float], half_width: float) -> int | None:
    """The least number of seeds at which the t interval would reach no further than `half_width` to either side.

    A plan, not a promise: it takes the sample's standard deviation for the true one, which five seeds know to within a
    factor of .6 to 2.9 (95 %, over seeds), and so the number to within the squares of these. Of five seeds 43 % of
    plans are enough.

    Args:
        values: One value a seed; NaN is left out.
        half_width: In the unit of the values.

    Returns:
        None under five seeds and where a value is infinite; never less than the three of which there is an interval.

    Raises:
        InputError: A half width that no number of seeds reaches.
    """
    if not (math.isfinite(half_width) and half_width > 0):
        raise InputError(f"half_width={half_width} is no width above 0; give one in the unit of the values")
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    if len(sample) < PLAN_SEEDS or not np.isfinite(sample).all():
        return None
    sd = float(sample.std(ddof=1))

    def reaches(seeds: int) -> bool:
        return float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, seeds - 1)) * sd / math.sqrt(seeds) <= half_width

    enough = T_SEEDS
    while not reaches(enough):
        enough *= 2
    return bisect.bisect_left(range(enough), True, lo=T_SEEDS, key=reaches)


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
    return Estimate((value,), value, *_bca(np.arange(len(clusters)), of, vectorized=False, n_resamples=999))


def unpaired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Mean of ours minus mean of theirs as if their seeds had nothing in common: Welch's t interval.

    Args:
        ours: One finite value a seed.
        theirs: The same seeds in the same order; the interval makes no use of it.

    Returns:
        `values` are the seeds' differences, whose mean is that of the means; the interval from three seeds on.
    """
    one, other = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    seeds, kept = len(one), tuple((one - other).tolist())
    if seeds < T_SEEDS:
        return over_seeds(kept)
    mean, parts = float(np.mean(kept)), [float(side.var(ddof=1)) / seeds for side in (one, other)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Estimate(kept, mean, mean, mean)
    freedom = sum(parts) ** 2 * (seeds - 1) / sum(part**2 for part in parts)
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Estimate(kept, mean, mean - half, mean + half)


def paired_p(differences: Sequence[float]) -> float | None:
    """Two-sided p value of the paired t test that the seeds' differences have mean 0.

    Returns:
        None under ten seeds, which no claim rests on. Equal differences: 1 where they are 0, else 0.
    """
    if len(differences) < CLAIM_SEEDS:
        return None
    mean, error = abs(float(np.mean(differences))), float(scipy.stats.sem(differences))
    if error == 0:
        return float(mean == 0)
    return float(2 * scipy.stats.t.sf(mean / error, len(differences) - 1))


def effect_size(differences: Sequence[float]) -> float | None:
    """Mean of the seeds' differences in their standard deviations; None under three seeds or where all are equal."""
    if len(differences) < T_SEEDS or np.ptp(differences) == 0:
        return None
    return float(np.mean(differences)) / float(np.std(differences, ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number, in their order: each is compared with the level as if it were the only one.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values, dtype=float)[order]))
    return adjusted.tolist()


def _bca(
    sample: NDArray[Any], statistic: Callable[..., Any], **options: Any
) -> tuple[float, float] | tuple[None, None]:
    """Bounds of the BCa bootstrap; none where the resamples say the same, as where all is ranked alike."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # equal resamples: the bounds are NaN, and looked at below
        drawn = scipy.stats.bootstrap(
            (sample,), statistic, confidence_level=CONFIDENCE, method="BCa", rng=np.random.default_rng(0), **options
        )
    low, high = (float(bound) for bound in drawn.confidence_interval)
    return (None, None) if math.isnan(low) or math.isnan(high) else (low, high)
