"""Two arms compared at an equal x, seed by seed: at equal reconstruction, or at equal rate.

Pareto fronts are never interpolated and compared: a front is a maximum and rises with the number of settings tried, so
the arm with more of them would win by that alone. Here every setting enters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics import Estimate, effect_size, over_seeds, paired_p, unpaired
from analysis.tradeoff import arms
from analysis.tradeoff.arms import Curve

POINTS = 20


@dataclass(frozen=True)
class Along:
    """What two arms are equal in.

    Attributes:
        column: Of the trials.
        least: How much of it both arms must share to be compared.
        words: What follows that number in a sentence, `nats of reconstruction`.
    """

    column: str
    least: float
    words: str


@dataclass(frozen=True)
class Gap:
    """One seed at equal x.

    Attributes:
        seed: Which.
        low: Lower end of the x that both arms reach, nats; NaN where an arm has no curve.
        high: Its upper end; under `low` where the ranges do not meet.
        delta: Mean over the overlap of a's y minus b's; NaN where there is a reason.
        reason: Why the seed has no gap; empty where it has one.
    """

    seed: int
    low: float = math.nan
    high: float = math.nan
    delta: float = math.nan
    reason: str = ""

    @property
    def area(self) -> float:
        """Between the curves over the overlap, in units of y times those of x."""
        return self.delta * (self.high - self.low)


@dataclass(frozen=True)
class Matched:
    """Arm a minus arm b at equal x. What is uncertain is the seeds; settings and probe images are taken as given.

    Attributes:
        a: An arm.
        b: Another.
        along: What they are equal in.
        y: The column that is compared.
        settings: How many a has, and b.
        gaps: Of every seed that either arm has, in order.
        delta: Mean gap, paired.
        common: The x inside the overlap of every seed that has a gap; its ends may be the wrong way round.
        unpaired: Mean of a minus mean of b over `common`, with Welch's interval; empty where that is under the least.
        crossed: Fields beside the leading one that vary in either arm, which is no one-parameter family then.
    """

    a: str
    b: str
    along: Along
    y: str
    settings: tuple[int, int]
    gaps: tuple[Gap, ...]
    delta: Estimate
    common: tuple[float, float]
    unpaired: Estimate
    crossed: tuple[str, ...]

    @property
    def p(self) -> float | None:
        """Of the paired t test; None under ten seeds."""
        return paired_p(self.delta.values)

    @property
    def effect(self) -> float | None:
        """Mean gap in standard deviations of the seeds' gaps; None under three seeds or where all are equal."""
        return effect_size(self.delta.values)

    @property
    def area(self) -> Estimate:
        """Mean area between the curves, paired; each seed over its own overlap."""
        return over_seeds([gap.area for gap in self.gaps if not gap.reason])


def match(trials: pd.DataFrame, a: str, b: str, y: str, along: Along, reason: str = "") -> Matched:
    """Two arms at equal x.

    For each seed y is taken as a function of x, linear between settings, and a minus b is averaged over 20 even points
    of the overlap of the two ranges, ends included. Nothing is extrapolated.

    Args:
        trials: Finished ones: `arm`, `seed`, `setting` and both columns.
        a: An arm.
        b: The other.
        y: The column to compare.
        along: The column of x.
        reason: Why no seed can have a gap; empty where the curves shall say.

    Raises:
        ValueError: An arm that no trial has.
    """
    ours, theirs = arms.curves_of_both(trials, a, b, y, along.column)
    seeds = sorted({*ours, *theirs})
    gaps = [
        Gap(seed, reason=reason) if reason else _gap(seed, {a: ours.get(seed), b: theirs.get(seed)}, y, along)
        for seed in seeds
    ]
    paired = [gap for gap in gaps if not gap.reason]
    low, high = max((gap.low for gap in paired), default=math.nan), min((gap.high for gap in paired), default=math.nan)
    shared = paired if high - low >= along.least else []
    means = [[_mean(side[gap.seed], low, high) for gap in shared] for side in (ours, theirs)]
    return Matched(
        a, b, along, y, (arms.settings_of(trials, a), arms.settings_of(trials, b)), tuple(gaps),
        over_seeds([gap.delta for gap in paired]), (low, high), unpaired(*means),
        tuple(dict.fromkeys([*arms.crossed(trials, a), *arms.crossed(trials, b)])),
    )  # fmt: skip


def _gap(seed: int, sides: Mapping[str, Curve | None], y: str, along: Along) -> Gap:
    """Of one seed; `sides` are a's curve and b's, by the names of the arms."""
    asked = " and ".join(column for column in (along.column, y) if column != "recon")  # that every finished trial has
    found = []
    for name, curve in sides.items():
        if curve is None:
            return Gap(seed, reason=f"{name} has not finished it")
        if (points := len(curve.x)) < 2:
            return Gap(seed, reason=f"{name} has {'one setting' if points else 'no setting'} with {asked}, under two")
        found.append(curve)
    low, high = (float(end) for end in (max(c.x[0] for c in found), min(c.x[-1] for c in found)))
    if high - low < along.least:
        return Gap(seed, low, high, reason=f"the arms share under {along.least:g} {along.words}")
    ours, theirs = (_mean(curve, low, high) for curve in found)
    return Gap(seed, low, high, ours - theirs)


def _mean(curve: Curve, low: float, high: float) -> float:
    return float(curve.at(np.linspace(low, high, POINTS)).mean())
