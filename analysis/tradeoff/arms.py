"""The arms of a study: the curve of each, such as of disentanglement along reconstruction, and what a score costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.frames import LEADING, SETTING_FIELDS, records
from analysis.statistics import Estimate, effect_size, over_seeds, paired_p

CAPACITY, NO_RAMP, FIXED, ANNEALED = "capacity", "capacity, no ramp", "fixed beta", "annealed beta"
LEVELS = 4


@dataclass(frozen=True)
class Curve:
    """One arm and seed, all settings, not the best alone.

    Attributes:
        x: Rising, such as reconstruction, nats per image: (n,).
        y: Of the same settings, such as a score: (n,).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """y, linear between settings; those of equal x are one point at their mean y.

        Args:
            x: Inside the range of the curve.
        """
        known, place, counts = np.unique(self.x, return_inverse=True, return_counts=True)
        return np.interp(x, known, np.bincount(place, self.y) / counts)


@dataclass(frozen=True)
class Level:
    """What a score costs in reconstruction.

    Attributes:
        at_least: The score asked for.
        difference: Least recon of a minus that of b among settings that reach it, nats, over seeds where both do.
        seeds: How many seeds both arms have.
        censored: In how many of these no setting of a reaches it, and none of b.
        adjusted: `p` after Holm's correction for all levels of the study's comparisons that have one.
    """

    at_least: float
    difference: Estimate
    seeds: int
    censored: tuple[int, int]
    adjusted: float | None = None

    @property
    def effect(self) -> float | None:
        """Mean difference in standard deviations of the seeds'; None under three seeds or where all are equal."""
        return effect_size(self.difference.values)

    @property
    def p(self) -> float | None:
        """Of the paired t test; None under ten seeds, and where any is censored: the outcome chose those left."""
        return None if any(self.censored) else paired_p(self.difference.values)


def arm(trial: dict[str, Any]) -> str:
    """Which arm a trial belongs to; one's own objective is an arm of its own.

    Args:
        trial: `family`, `ramp_steps` and, where the study knows it, `beta_start`.
    """
    if trial["family"] == "capacity":
        return CAPACITY if trial["ramp_steps"] > 1 else NO_RAMP
    if trial["family"] == "beta":
        start = trial.get("beta_start")  # None, or the NaN that a frame makes of it
        return FIXED if start is None or math.isnan(start) else ANNEALED
    return str(trial["family"])


def mixed(trials: pd.DataFrame) -> str:
    """Which families have several arms, in a sentence; empty where none has.

    A front, a volume or a mean over such a family would mix what the study is there to compare.
    """
    told: dict[str, list[str]] = {}
    for trial in records(trials):
        own = told.setdefault(str(trial["family"]), [])
        own += [name] if (name := arm(trial)) not in own else []
    several = [
        f"the family {family} has the arms {' and '.join(map(repr, own))}"
        for family, own in told.items()
        if len(own) > 1
    ]
    return f"No front is drawn of families, since they mix arms: {'; '.join(several)}." if several else ""


def with_arms(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with the column `arm`.

    A beta annealed from a start to that start is a fixed one: such a trial is a point of both arms, and there twice.
    """
    told = trials.assign(arm=[arm(trial) for trial in records(trials)])
    starts = set(told.loc[told["arm"] == ANNEALED, "beta_start"]) if "beta_start" in told else set()
    same = told["beta"].isin(list(starts)) if "beta" in told else False
    both = told[(told["arm"] == FIXED) & same]
    return pd.concat([told, both.assign(arm=ANNEALED)], ignore_index=True) if len(both) else told


def curves(trials: pd.DataFrame, name: str, y: str, x: str = "recon") -> dict[int, Curve]:
    """The curve of each seed of one arm; without points where none of a seed's settings has both values.

    Args:
        trials: Finished ones: `arm`, `seed` and both columns.
        name: The arm.
        y: A column, such as a score; settings where it is missing or infinite take no part.
        x: A column along which y is told: held-out reconstruction, or a rate.

    Returns:
        By seed.
    """
    chosen = trials.loc[trials["arm"] == name]
    none = [math.nan] * len(chosen)
    columns = [chosen[column].astype(float).tolist() if column in chosen else none for column in (x, y)]
    found: dict[int, list[tuple[float, float]]] = {seed: [] for seed in chosen["seed"].tolist()}
    for seed, *point in zip(chosen["seed"].tolist(), *columns, strict=True):
        if all(map(math.isfinite, point)):
            found[seed].append((point[0], point[1]))
    return {seed: Curve(*np.array(sorted(points), float).reshape(-1, 2).T) for seed, points in found.items()}


def curves_of_both(
    trials: pd.DataFrame, a: str, b: str, y: str, x: str = "recon"
) -> tuple[dict[int, Curve], dict[int, Curve]]:
    """The curves of two arms, as `curves` gives them.

    Raises:
        ValueError: An arm that no trial has.
    """
    arms = dict.fromkeys(trials["arm"])
    for name in (a, b):
        if name not in arms:
            raise ValueError(f"no trial is of the arm {name!r}; name one of {', '.join(arms)}")
    return curves(trials, a, y, x), curves(trials, b, y, x)


def reached(trials: pd.DataFrame, a: str, b: str, score: str, levels: Sequence[float] | None = None) -> list[Level]:
    """Two arms at matched disentanglement: the least recon among settings that reach a score, none between settings.

    Args:
        trials: As for `curves`.
        a: An arm.
        b: The other.
        score: A column; more is better.
        levels: Scores asked for. By default four even ones strictly between the lower arm's least score and the lower
            arm's greatest, each of them the median over seeds: what both arms reach in half the seeds and more.

    Raises:
        ValueError: An arm that no trial has.
    """
    found = curves_of_both(trials, a, b, score)
    sides = [{seed: curve for seed, curve in side.items() if len(curve.x)} for side in found]
    both = sorted(sides[0].keys() & sides[1].keys())
    if not both:
        return []
    return [_level(sides, both, level) for level in (_even(sides, both) if levels is None else levels)]


def settings_of(trials: pd.DataFrame, name: str) -> int:
    """How many settings of an arm have a finished trial."""
    return len(set(trials.loc[trials["arm"] == name]["setting"]))


def crossed(trials: pd.DataFrame, name: str) -> list[str]:
    """Config fields that vary in an arm beside the one that orders its family.

    An arm with any is no one-parameter family: its curve then joins settings that differ in several things.
    """
    group = trials.loc[trials["arm"] == name]
    own = {"objective", *(LEADING.get(family, "") for family in group.get("family", []))}
    fields = [field for field in SETTING_FIELDS if field in group and field not in own]
    return [field for field in fields if len(set(group[field].dropna())) > 1]


def _even(sides: list[dict[int, Curve]], seeds: list[int]) -> list[float]:
    """The default levels of `reached`; one where all scores are the same."""
    least = min(float(np.median([side[seed].y.min() for seed in seeds])) for side in sides)
    greatest = min(float(np.median([side[seed].y.max() for seed in seeds])) for side in sides)
    return np.unique(np.linspace(least, greatest, LEVELS + 2)[1:-1]).tolist()


def _level(sides: list[dict[int, Curve]], seeds: list[int], level: float) -> Level:
    least = np.array([[_least(side[seed], level) for seed in seeds] for side in sides])
    ours, theirs = np.isnan(least).sum(axis=1).tolist()
    return Level(level, over_seeds((least[0] - least[1]).tolist()), len(seeds), (ours, theirs))


def _least(curve: Curve, level: float) -> float:
    """Least recon of the settings that reach a score; NaN where none does."""
    return float(min(curve.x[curve.y >= level], default=math.nan))
