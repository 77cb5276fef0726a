"""Which setting to use for a stated preference, and how much of its lead is luck.

The best of many noisy means looks better than it is. So the choice is made on all seeds but one and read on the seed
left out, for each seed in turn; a naive choice of 12 equal settings at 5 seeds is .73 standard deviations too good.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.statistics import NOTHING, Estimate, over_seeds
from analysis.tradeoff.cells import rectangle, some
from analysis.tradeoff.fronts import replicates
from analysis.tradeoff.matched import TARGET
from analysis.tradeoff.settings import Setting
from trainables.checks import InputError


@dataclass(frozen=True)
class Preference:
    """What a user wants of a setting; one limit at most, and the other target is made as good as it can be.

    Attributes:
        score: Column of the disentanglement score; more is better.
        recon_at_most: Mean held-out reconstruction allowed, nats per image; then the greatest score wins.
        score_at_least: Mean score asked for; then the least reconstruction wins.

    Raises:
        InputError: Both limits, or one that is no number.
    """

    score: str = TARGET
    recon_at_most: float | None = None
    score_at_least: float | None = None

    def __post_init__(self) -> None:
        limits = {"recon_at_most": self.recon_at_most, "score_at_least": self.score_at_least}
        given = {name: value for name, value in limits.items() if value is not None}
        if len(given) > 1:
            words = ", ".join(f"{name}={value:g}" for name, value in given.items())
            raise InputError(
                f"{words}: a preference has one limit at most; drop one, the other target is then optimised"
            )
        for name, value in given.items():
            if not math.isfinite(value):
                raise InputError(f"{name}={value:g} is no limit; give a finite number, or leave it out")

    def __str__(self) -> str:
        if self.recon_at_most is not None:
            return f"the greatest {self.score} at a reconstruction of at most {self.recon_at_most:g} nats"
        if self.score_at_least is not None:
            return f"the least reconstruction at a {self.score} of at least {self.score_at_least:g}"
        return f"the greatest {self.score}"

    def best(self, means: NDArray[np.float64]) -> int | None:
        """The place of the preferred setting, the first of equal ones; None where none keeps the limit.

        Args:
            means: recon (nats) and score of each setting: (settings, 2).
        """
        recon, score = means.T
        allowed = np.ones(len(means), bool)
        if self.recon_at_most is not None:
            allowed = recon <= self.recon_at_most
        if self.score_at_least is not None:
            allowed = score >= self.score_at_least
        if not allowed.any():
            return None
        worth = -recon if self.score_at_least is not None else score
        return int(np.argmax(np.where(allowed, worth, -np.inf)))


@dataclass(frozen=True)
class Choice:
    """The setting that a preference chooses.

    Attributes:
        preference: Stated beforehand.
        setting: Chosen on all seeds; None where there is a reason.
        recon: Of it over the seeds that chose it, nats per image: too good, since they did.
        score: The same of the score.
        honest_recon: Mean over the seeds of what the choice on the other seeds gives on that seed; NaN where one seed's
            choice keeps no limit. Without an interval: the choices share seeds.
        honest_score: The same of the score.
        chosen: Which settings the choices without one seed fell on, and how often.
        seeds: How many.
        left_out: Labels of settings that some seed lacks: they do not compete.
        reason: Why there is no choice, or no honest value of it; empty where there are both.
    """

    preference: Preference
    setting: Setting | None = None
    recon: Estimate = NOTHING
    score: Estimate = NOTHING
    honest_recon: float = math.nan
    honest_score: float = math.nan
    chosen: tuple[tuple[str, int], ...] = ()
    seeds: int = 0
    left_out: tuple[str, ...] = ()
    reason: str = ""

    @property
    def curse(self) -> tuple[float, float]:
        """How much better the naive means are than the honest ones: nats of reconstruction, and score."""
        return self.honest_recon - self.recon.mean, self.score.mean - self.honest_score


def choose(finished: pd.DataFrame, rows: list[Setting], preference: Preference) -> Choice:
    """The setting for a preference; the uncertainty is over seeds, the settings that were tried are taken as given.

    Only settings that have the same seeds compete, as many trials as can be: a mean of fewer seeds is luckier.

    Args:
        finished: `Frames.finished`.
        rows: The settings of the same trials.
        preference: What is wanted.
    """
    every = replicates(finished, preference.score)
    by_id, (whole, common) = {row.id: row for row in rows}, rectangle(every.present)
    settings = [by_id[every.settings[place]] for place in whole]
    left_out = tuple(by_id[one].label for place, one in enumerate(every.settings) if place not in whole)
    values, seeds = every.values[np.ix_(whole, common)], len(common)
    if not settings:
        return Choice(preference, left_out=left_out, reason=f"no setting has {preference.score} in every seed")
    place = preference.best(values.mean(axis=1))
    if place is None:
        return Choice(preference, seeds=seeds, left_out=left_out, reason=_out_of_reach(preference, values))
    recon, score = (over_seeds(values[place, :, target].tolist()) for target in (0, 1))
    told = {"recon": recon, "score": score, "seeds": seeds, "left_out": left_out}
    if seeds == 1:
        return Choice(preference, settings[place], **told, reason="one seed: how much of its lead is luck is unknown")
    without = [preference.best(np.delete(values, seed, axis=1).mean(axis=1)) for seed in range(seeds)]
    chosen = Counter("none" if one is None else settings[one].label for one in without)
    told["chosen"] = tuple(chosen.most_common())
    if None in without:
        reason = "without one of the seeds no setting keeps the limit: it is at the edge of what is reached"
        return Choice(preference, settings[place], **told, reason=reason)
    read = np.mean([values[one, seed] for seed, one in enumerate(without)], axis=0)
    return Choice(preference, settings[place], **told, honest_recon=float(read[0]), honest_score=float(read[1]))


def table(choices: list[Choice]) -> pd.DataFrame:
    """The choices as text, one row a preference.

    Returns:
        `preference`, `setting`, `recon` and `score` as they look (mean over seeds with its interval) and `honest` (on
        the seed left out of the choice), `winner's curse` (how much better the score looks than it is), `chosen without
        a seed`: which settings, how often; and what is not told.
    """
    return pd.DataFrame(
        {
            "preference": str(one.preference),
            "setting": one.setting.label if one.setting else "-",
            "recon": format(one.recon, ".1f"),
            "honest recon": _number(one.honest_recon, ".1f"),
            "score": format(one.score, ".3f"),
            "honest score": _number(one.honest_score, ".3f"),
            "winner's curse": _number(one.curse[1], "+.3f"),
            "chosen without a seed": ", ".join(f"{label} {count}x" for label, count in one.chosen) or "-",
            "not told": one.reason or "-",
        }
        for one in choices
    )


def sentence(one: Choice) -> str:
    """What the choice is, what it promises honestly, and how sure it is."""
    if one.setting is None:
        return f"For {one.preference}: no setting, since {one.reason}."
    looks = f"looks like {one.recon:.1f} nats and {one.score:.3f}"
    words = [f"For {one.preference}: {one.setting.label}. On the {one.seeds} seeds that chose it, it {looks}"]
    if one.reason:
        words = [f"For {one.preference}: {one.setting.label}. It {looks}; {one.reason}"]
    else:
        words.append(f"; on a seed that did not choose, {one.honest_recon:.1f} nats and {one.honest_score:.3f}")
    again = dict(one.chosen).get(one.setting.label, 0)
    kept = f" Without one seed it is chosen again in {again} of {one.seeds} cases." if one.chosen else ""
    less = f" Not every seed has finished of {some(one.left_out)}: left out." if one.left_out else ""
    return f"{''.join(words)}.{kept}{less}"


def _out_of_reach(preference: Preference, values: NDArray[np.float64]) -> str:
    means = values.mean(axis=1)
    if preference.recon_at_most is not None:
        return f"the least mean reconstruction is {math.ceil(means[:, 0].min() * 10) / 10:.1f} nats; allow as much"
    return f"the greatest mean {preference.score} is {math.floor(means[:, 1].max() * 1000) / 1000:.3f}; ask for no more"


def _number(value: float, spec: str) -> str:
    return "-" if math.isnan(value) else format(value, spec)
