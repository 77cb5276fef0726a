"""The claim: an arm disentangles better than another at equal reconstruction. Which comparisons, and what they prove.

Any study of which two such arms have finished trials can be compared, whatever its search.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from analysis.statistics import holm
from analysis.tradeoff import arms
from analysis.tradeoff.arms import ANNEALED, CAPACITY, FIXED, NO_RAMP, Level
from analysis.tradeoff.gaps import Along, Matched, match

COMPARISONS = ((CAPACITY, FIXED), (CAPACITY, NO_RAMP), (CAPACITY, ANNEALED))
"""The primary one first, named before the run; the others are secondary: does the *gradual increase* do it?"""
LEVEL = 0.05
RECON = Along("recon", 10.0, "nats of reconstruction")
TARGET = "mig_calibrated"
PRODUCT = "infom x infoe"
"""Modular and explicit at once. Of the raw columns: two calibrated values under 0 would have a product above it."""

Tested = TypeVar("Tested", "Comparison", Level)


@dataclass(frozen=True)
class Comparison(Matched):
    """Two arms at equal reconstruction; the claim is that a disentangles better.

    Attributes:
        protocol: Of the study; `laptop` tests nothing.
        levels: The same arms at matched disentanglement.
        primary: Whether the comparison was named before the run, so that its own p counts.
        adjusted: `p` after Holm's correction for all comparisons of its kind that have one.
    """

    protocol: str = ""
    levels: tuple[Level, ...] = ()
    primary: bool = True
    adjusted: float | None = None

    @property
    def score(self) -> str:
        """Column of the disentanglement score; more is better."""
        return self.y

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


def summary(finished: pd.DataFrame, protocol: str, score: str = TARGET) -> list[Comparison]:
    """The comparisons of `COMPARISONS` of which the study has both arms, corrected for their number.

    Args:
        finished: `Frames.finished`.
        protocol: Of the study.
        score: A column; more is better. Where it is missing, the seeds have reasons and no gaps.

    Returns:
        Each with its levels of matched disentanglement, which are corrected for the number of all levels.
    """
    if finished.empty:
        return []
    trials = arms.with_arms(finished)
    found = [
        dataclasses.replace(
            compare(trials, a, b, score, protocol),
            levels=tuple(arms.reached(trials, a, b, score)),
            primary=(a, b) == COMPARISONS[0],
        )
        for a, b in COMPARISONS
        if {a, b} <= set(trials["arm"])
    ]
    levels = iter(_corrected([level for one in found for level in one.levels]))
    found = [dataclasses.replace(one, levels=tuple(next(levels) for _ in one.levels)) for one in found]
    return _corrected(found)


def across(finished: pd.DataFrame, protocol: str, scores: Sequence[str], target: str = TARGET) -> list[Comparison]:
    """The primary comparison under the score named before the run and then, exploratory, under each other one.

    Args:
        finished: `Frames.finished`.
        protocol: Of the study.
        scores: Columns, as `scorecard.supervised` names them; InfoM x InfoE joins them where the trials have both.
        target: The score of the claim.

    Returns:
        The target's first, with its own p; the others secondary, corrected for their number. None where an arm lacks.
    """
    trials = arms.with_arms(finished) if len(finished) else finished
    if trials.empty or not set(COMPARISONS[0]) <= set(trials["arm"]):
        return []
    if {"infom", "infoe"} <= set(trials):
        trials, scores = trials.assign(**{PRODUCT: trials["infom"] * trials["infoe"]}), [*scores, PRODUCT]
    first, *others = [compare(trials, *COMPARISONS[0], score, protocol) for score in dict.fromkeys([target, *scores])]
    return [first, *_corrected([dataclasses.replace(one, primary=False) for one in others])]


def compare(trials: pd.DataFrame, a: str, b: str, score: str, protocol: str) -> Comparison:
    """Two arms at matched reconstruction, as `gaps.match` does it.

    Args:
        trials: Finished ones: `arm`, `seed`, `setting`, `recon` (held-out, nats per image) and the score.
        a: The arm of which is claimed that it disentangles better.
        b: The other.
        score: A column; more is better.
        protocol: Of the study.

    Raises:
        ValueError: An arm that no trial has.
    """
    return Comparison(**vars(match(trials, a, b, score, RECON)), protocol=protocol)


def _corrected(found: list[Tested]) -> list[Tested]:
    """Each with its p adjusted for the number of those that have one."""
    adjusted = iter(holm([one.p for one in found if one.p is not None]))
    return [dataclasses.replace(one, adjusted=None if one.p is None else next(adjusted)) for one in found]
