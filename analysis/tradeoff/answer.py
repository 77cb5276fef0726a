"""The answer first: what disentangling costs inside a family, and whether raising the capacity pays.

The ends of a grid are named before its results are seen, so the cost between them has no winner's curse; a difference
between the best settings would. They are the ends of what has finished.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frames import LEADING
from analysis.statistics import NOTHING, Estimate, over_seeds
from analysis.tradeoff import arms, matched, matched_words
from analysis.tradeoff.cells import rectangle
from analysis.tradeoff.matched import TARGET, Comparison


@dataclass(frozen=True)
class Cost:
    """What an arm pays from the least to the greatest value of the field that orders it, all other fields equal.

    Attributes:
        arm: Its name.
        field: beta or capacity_max.
        ends: Its least value and its greatest.
        pairs: How many pairs of settings differ in the field alone, from end to end; the mean over them is taken.
        recon: Change of held-out reconstruction, nats per image, over seeds, paired; above 0 it gets worse.
        score: Change of the score; above 0 it gets better.
        lost: Seeds of the arm that lack one of these pairs, and are left out.
        reason: Why there is no change to give; empty where there is.
    """

    arm: str
    field: str
    ends: tuple[float, float] = (float("nan"), float("nan"))
    pairs: int = 0
    recon: Estimate = NOTHING
    score: Estimate = NOTHING
    lost: int = 0
    reason: str = ""


def costs(finished: pd.DataFrame, score: str = TARGET) -> list[Cost]:
    """What each arm pays from end to end; the uncertainty is over seeds, the settings are taken as given.

    Args:
        finished: `Frames.finished`.
        score: A column; more is better.

    Returns:
        Of every arm of the beta and the capacity family, in their order.
    """
    if finished.empty:
        return []
    trials = arms.with_arms(finished)
    ordered = trials[trials["family"].isin(list(LEADING))]
    return [_cost(ordered.loc[ordered["arm"] == name], str(name), score) for name in dict.fromkeys(ordered["arm"])]


def _cost(trials: pd.DataFrame, arm: str, score: str) -> Cost:
    field = LEADING[str(trials["family"].iloc[0])]
    if score not in trials or not len(trials[score].dropna()):
        return Cost(arm, field, reason=f"no trial has {score}")
    low, high = min(trials[field].tolist()), max(trials[field].tolist())
    if low == high:
        return Cost(arm, field, (low, high), reason=f"all its trials have {field} {low:g}")
    others = arms.crossed(trials, arm)
    known = (
        trials.replace([np.inf, -np.inf], np.nan).dropna(subset=["recon", score]).fillna({name: "-" for name in others})
    )
    changes = [
        _at(known, field, high, others, column) - _at(known, field, low, others, column) for column in ("recon", score)
    ]
    pairs, seeds = rectangle(changes[0].notna().to_numpy())  # a mean over seeds of other pairs would mix settings
    if not pairs:
        return Cost(arm, field, (low, high), reason=f"no seed has {field} {low:g} and {high:g} with all else equal")
    recon, scores = (over_seeds(change.iloc[pairs, seeds].mean().tolist()) for change in changes)
    lost = len(set(trials["seed"])) - len(seeds)
    return Cost(arm, field, (low, high), len(pairs), recon, scores, lost)


def _at(trials: pd.DataFrame, field: str, value: float, others: list[str], column: str) -> pd.DataFrame:
    """A column at one value of the field: a row for each combination of the other fields, a column a seed."""
    chosen = trials[trials[field] == value].assign(**{"one": 0})
    return chosen.pivot_table(index=["one", *others], columns="seed", values=column)


def answer(finished: pd.DataFrame, protocol: str, score: str = TARGET) -> str:
    """What the study says first, with its interval: whether raising the capacity pays, and what each family costs.

    Args:
        finished: `Frames.finished`.
        protocol: Of the study; a laptop run tests nothing.
        score: A column; more is better.
    """
    primary = next((one for one in matched.summary(finished, protocol, score) if one.primary), None)
    said = [_gap(primary)] if primary else []
    return " ".join([*said, *(_priced(cost, score) for cost in costs(finished, score))])


def _gap(one: Comparison) -> str:
    if not one.delta.values:
        reasons = "; ".join(dict.fromkeys(gap.reason for gap in one.gaps))
        return f"At equal reconstruction {one.a} and {one.b} cannot be compared: {reasons}."
    seeds = len(one.delta.values)
    return (
        f"At equal reconstruction {one.a} scores {one.delta:+.3f} in {one.score} against {one.b} "
        f"({_seeds(seeds)}{', paired' * (seeds > 1)}). {matched_words.verdict(one)}"
        f"{' ' + matched_words.no_families(one.crossed) if one.crossed else ''}"
    )


def _priced(cost: Cost, score: str) -> str:
    if cost.reason:
        return f"What {cost.arm} pays is not told: {cost.reason}."
    mean = f", mean over {cost.pairs} pairs of settings" if cost.pairs > 1 else ""
    low, high = cost.ends
    lost = f"; {_seeds(cost.lost)} without both ends left out" if cost.lost else ""
    return (
        f"From {cost.field} {low:g} to {high:g} {cost.arm} changes reconstruction by {cost.recon:+.1f} nats "
        f"and {score} by {cost.score:+.3f} ({_seeds(len(cost.recon.values))}{mean}{lost})."
    )


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count > 1)}"
