"""Two arms of a study compared at equal reconstruction.

Pareto fronts are never interpolated and compared: a front is a maximum and rises with the number of settings tried, so
the arm with more of them would win by that alone. Here every setting enters.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics import T_SEEDS, Estimate, holm, over_seeds, paired_p, unpaired
from analysis.tradeoff import arms
from analysis.tradeoff.arms import ANNEALED, CAPACITY, FIXED, NO_RAMP, Curve, Level

COMPARISONS = ((CAPACITY, FIXED), (CAPACITY, NO_RAMP), (CAPACITY, ANNEALED))
"""The primary one first, named before the run; the others are secondary: does the *gradual increase* do it?"""
LEVEL = 0.05
POINTS = 20
LEAST_OVERLAP = 10.0
"""Nats of reconstruction that two arms must share to be compared."""


@dataclass(frozen=True)
class Gap:
    """One seed at matched reconstruction.

    Attributes:
        seed: Which.
        low: Lower end of the reconstruction that both arms reach, nats per image; NaN where an arm has no curve.
        high: Its upper end; under `low` where the ranges do not meet.
        delta: Mean over the overlap of a's score minus b's; NaN where there is a reason.
        reason: Why the seed has no gap; empty where it has one.
    """

    seed: int
    low: float = math.nan
    high: float = math.nan
    delta: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Arm a against arm b; the claim is that a disentangles better at equal reconstruction.

    Attributes:
        a: An arm.
        b: Another.
        score: Column of the disentanglement score; more is better.
        protocol: Of the study; `laptop` tests nothing.
        settings: How many a has, and b.
        gaps: Of every seed that either arm has, in order.
        delta: Mean gap, paired.
        common: The reconstruction inside the overlap of every seed that has a gap; its ends may be the wrong way round.
        unpaired: Mean of a minus mean of b over `common`, with Welch's interval; empty where that is under 10 nats.
        levels: The same arms at matched disentanglement.
        crossed: Fields beside the leading one that vary in either arm, which is no one-parameter family then.
        primary: Whether the comparison was named before the run, so that its own p counts.
        adjusted: `p` after Holm's correction for all comparisons of the study that have one.
    """

    a: str
    b: str
    score: str
    protocol: str
    settings: tuple[int, int]
    gaps: tuple[Gap, ...]
    delta: Estimate
    common: tuple[float, float]
    unpaired: Estimate
    levels: tuple[Level, ...] = ()
    crossed: tuple[str, ...] = ()
    primary: bool = True
    adjusted: float | None = None

    @property
    def p(self) -> float | None:
        """Of the paired t test; None under ten seeds."""
        return paired_p(self.delta.values)

    @property
    def effect(self) -> float | None:
        """Mean gap in standard deviations of the seeds' gaps; None under three seeds or where all are equal."""
        if len(self.delta.values) < T_SEEDS or np.ptp(self.delta.values) == 0:
            return None
        return self.delta.mean / float(np.std(self.delta.values, ddof=1))

    @property
    def verdict(self) -> str:
        """`not tested` on a laptop, `not comparable` without a gap, else `inconclusive`, `confirmed` or `refuted`.

        The last two take two one-parameter families, ten seeds, an interval on one side of 0, and a p of at most .05:
        adjusted where the comparison is secondary. (Of ten seeds the BCa interval alone excludes 0 in 10 % of studies
        without any gap.)
        """
        if self.protocol == "laptop":
            return "not tested"
        if not self.delta.values:
            return "not comparable"
        if self.crossed:
            return "inconclusive"
        low, high, p = self.delta.low, self.delta.high, self.p if self.primary else self.adjusted
        if low is None or high is None or low <= 0 <= high or p is None or p > LEVEL:
            return "inconclusive"
        return "confirmed" if low > 0 else "refuted"


def summary(finished: pd.DataFrame, protocol: str, score: str = "mig_calibrated") -> list[Comparison]:
    """The comparisons of `COMPARISONS` of which the study has both arms, corrected for their number.

    Args:
        finished: `Frames.finished`.
        protocol: Of the study.
        score: A column; more is better. Where it is missing, the seeds have reasons and no gaps.
    """
    if finished.empty:
        return []
    trials, found = arms.with_arms(finished), []
    for a, b in COMPARISONS:
        if {a, b} <= set(trials["arm"]):
            comparison = dataclasses.replace(
                compare(trials, a, b, score, protocol),
                levels=tuple(arms.reached(trials, a, b, score)),
                crossed=tuple(dict.fromkeys([*arms.crossed(trials, a), *arms.crossed(trials, b)])),
                primary=(a, b) == COMPARISONS[0],
            )
            found.append(comparison)
    adjusted = iter(holm([comparison.p for comparison in found if comparison.p is not None]))
    return [dataclasses.replace(one, adjusted=None if one.p is None else next(adjusted)) for one in found]


def compare(trials: pd.DataFrame, a: str, b: str, score: str, protocol: str) -> Comparison:
    """Two arms at matched reconstruction.

    For each seed the score is taken as a function of recon, linear between settings, and a minus b is averaged over 20
    even points of the overlap of the two ranges, ends included. Nothing is extrapolated.

    Args:
        trials: Finished ones: `arm`, `seed`, `setting`, `recon` (held-out, nats per image) and the score.
        a: The arm of which is claimed that it disentangles better.
        b: The other.
        score: A column; more is better.
        protocol: Of the study.

    Raises:
        ValueError: An arm that no trial has.
    """
    ours, theirs = arms.curves_of_both(trials, a, b, score)
    gaps = [_gap(seed, {a: ours.get(seed), b: theirs.get(seed)}, score) for seed in sorted({*ours, *theirs})]
    paired = [gap for gap in gaps if not gap.reason]
    low, high = max((gap.low for gap in paired), default=math.nan), min((gap.high for gap in paired), default=math.nan)
    shared = paired if high - low >= LEAST_OVERLAP else []
    means = [[_mean(side[gap.seed], low, high) for gap in shared] for side in (ours, theirs)]
    return Comparison(
        a, b, score, protocol, (arms.settings_of(trials, a), arms.settings_of(trials, b)), tuple(gaps),
        over_seeds([gap.delta for gap in paired]), (low, high), unpaired(*means),
    )  # fmt: skip


def _gap(seed: int, sides: Mapping[str, Curve | None], score: str) -> Gap:
    """Of one seed; `sides` are a's curve and b's, by the names of the arms."""
    found = []
    for name, curve in sides.items():
        if curve is None:
            return Gap(seed, reason=f"{name} has not finished it")
        if (points := len(curve.recon)) < 2:
            return Gap(seed, reason=f"{name} has {'one setting' if points else 'no setting'} with {score}, under two")
        found.append(curve)
    low, high = (float(end) for end in (max(c.recon[0] for c in found), min(c.recon[-1] for c in found)))
    if high - low < LEAST_OVERLAP:
        return Gap(seed, low, high, reason=f"the arms share under {LEAST_OVERLAP:g} nats of reconstruction")
    ours, theirs = (_mean(curve, low, high) for curve in found)
    return Gap(seed, low, high, ours - theirs)


def _mean(curve: Curve, low: float, high: float) -> float:
    return float(curve.at(np.linspace(low, high, POINTS)).mean())
