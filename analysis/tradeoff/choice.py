"""Which setting to use, for a stated preference, and how much worse it is than it looked when it was chosen.

The best of many settings owes its place partly to luck: its own mean is too good (the winner's curse). So one seed at a
time is left out, a setting chosen on the rest, and looked at on the seed that had no part in choosing it.
"""

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.tradeoff.cells import by_cell, lacking, repeated, some
from analysis.tradeoff.settings import Setting
from trainables.checks import InputError


class Outcome(NamedTuple):
    """What a setting gives: its score, and its recon in nats per image."""

    score: float
    recon: float


NOTHING = Outcome(math.nan, math.nan)


@dataclass(frozen=True)
class Preference:
    """What a setting is wanted for; without a limit the greatest score.

    Attributes:
        recon_at_most: The greatest score among settings whose mean recon is at most so many nats per image.
        score_at_least: The least recon among settings whose mean score is at least this.

    Raises:
        InputError: Both limits, or one that is no number.
    """

    recon_at_most: float | None = None
    score_at_least: float | None = None

    def __post_init__(self) -> None:
        for name in ("recon_at_most", "score_at_least"):
            limit = getattr(self, name)
            if limit is not None and not math.isfinite(limit):
                raise InputError(f"{name}={limit} is no limit; give a finite number, or leave it out")
        if self.recon_at_most is not None and self.score_at_least is not None:
            raise InputError(
                f"recon_at_most={self.recon_at_most:g} and score_at_least={self.score_at_least:g} are two limits, and "
                "one is understood; leave one out"
            )

    def __str__(self) -> str:
        if self.recon_at_most is not None:
            return f"greatest score at recon of at most {self.recon_at_most:g} nats"
        return "greatest score" if self.score_at_least is None else f"least recon at {self._least}"

    @property
    def _least(self) -> str:
        return f"a score of at least {self.score_at_least:g}"

    def best(self, score: NDArray[np.float64], recon: NDArray[np.float64]) -> int | None:
        """The place of the setting wanted, the first of equal ones; None where none is within the limit.

        Args:
            score: Mean of each setting, (n,).
            recon: Mean of each, nats per image, (n,).
        """
        within = np.full(len(score), True)
        if self.recon_at_most is not None:
            within = recon <= self.recon_at_most
        if self.score_at_least is not None:
            within = score >= self.score_at_least
        if not within.any():
            return None
        worth = score if self.score_at_least is None else -recon
        return int(np.argmax(np.where(within, worth, -np.inf)))


@dataclass(frozen=True)
class Choice:
    """A setting chosen by what was seen of it, and what such a choice is worth on a seed that it has not seen.

    Attributes:
        preference: What was wanted.
        score: Column of the score.
        chosen: On all seeds; None where none is within the limit.
        naive: Its means over the seeds that chose it: too good.
        honest: Means over the left-out seeds. They carry no interval: the choices share seeds, and a t interval of five
            covers 80 %. The choices are made on one seed less than there are, so they are rather too modest.
        times: How often each setting was chosen, the most frequent first, by label.
        refused: Left-out seeds without which no setting is within the limit; they are not in `honest`.
        settings: How many compete: those with all seeds.
        seeds: How many.
        left_out: The trials for lack of which settings do not compete.
        reason: Why there is no choice, or no honest value of it; empty where there is.
    """

    preference: Preference
    score: str
    chosen: Setting | None = None
    naive: Outcome = NOTHING
    honest: Outcome = NOTHING
    times: tuple[tuple[str, int], ...] = ()
    refused: int = 0
    settings: int = 0
    seeds: int = 0
    left_out: tuple[str, ...] = ()
    reason: str = ""

    @property
    def curse(self) -> Outcome:
        """Naive minus honest: above 0 in the score and under 0 in recon, the choice looked better than it is.

        0 where the same setting is chosen whichever seed is left out. The average over many studies is what is free of
        the curse, not each single value.
        """
        return Outcome(self.naive.score - self.honest.score, self.naive.recon - self.honest.recon)


def choose(
    finished: pd.DataFrame, rows: list[Setting], preference: Preference, score: str = "mig_calibrated"
) -> Choice:
    """The setting that a preference asks for.

    Args:
        finished: `Frames.finished`.
        rows: The settings that compete, of one family or of all.
        preference: What is wanted.
        score: Column of the score; more is better.
    """
    if reason := repeated(finished, rows):
        return Choice(preference, score, reason=reason)
    scores, recons = (by_cell(finished, rows, column) for column in (score, "recon"))
    gaps, seeds = (scores + recons).isna(), len(scores.columns)
    complete = [row for row in rows if not gaps.loc[row.id].any()]
    lacks = tuple(lacking(scores + recons, rows))
    choice = Choice(preference, score, settings=len(complete), seeds=seeds, left_out=lacks)
    if not complete or not seeds:
        return dataclasses.replace(choice, settings=0, reason=_empty(finished, score, seeds))
    table = np.stack([cells.loc[[row.id for row in complete]].to_numpy() for cells in (scores, recons)])
    means = table.mean(axis=2)
    if (place := preference.best(*means)) is None:
        return dataclasses.replace(choice, reason=_out_of_reach(preference, means))
    choice = dataclasses.replace(choice, chosen=complete[place], naive=Outcome(*means[:, place].tolist()))
    if seeds < 2:
        return dataclasses.replace(choice, reason="one seed, and none to look at the choice with")
    places = [preference.best(*np.delete(table, seed, axis=2).mean(axis=2)) for seed in range(seeds)]
    seen = [table[:, other, seed] for seed, other in enumerate(places) if other is not None]
    if not seen:
        return dataclasses.replace(choice, reason="without any one of the seeds no setting is within the limit")
    times = Counter(complete[other].label for other in places if other is not None).most_common()
    honest = Outcome(*np.mean(seen, axis=0).tolist())
    return dataclasses.replace(choice, honest=honest, times=tuple(times), refused=places.count(None))


def table(found: list[Choice]) -> pd.DataFrame:
    """Choices as text, one row each.

    Returns:
        `wanted`, `setting`, `score` and `recon` (nats per image) as they looked and `on a left-out seed`, and how often
        the setting was `chosen`, of all choices with a seed left out.
    """
    return pd.DataFrame(
        {
            "wanted": str(one.preference),
            "setting": one.chosen.label if one.chosen else f"none: {one.reason}",
            "score": _number(one.naive.score, 3),
            "score on a left-out seed": _number(one.honest.score, 3),
            "recon": _number(one.naive.recon, 1),
            "recon on a left-out seed": _number(one.honest.recon, 1),
            "chosen": f"{_times(one)} of {one.seeds}" if one.times else "-",
        }
        for one in found
    )


def sentences(found: list[Choice]) -> list[str]:
    """What each preference chooses, what that is worth, and what cannot be said of it."""
    return [" ".join(filter(None, (_chosen(one), _worth(one), _stability(one), _missing(one)))) for one in found]


def _empty(finished: pd.DataFrame, score: str, seeds: int) -> str:
    if not seeds:
        return "no trial of these settings has finished"
    if score not in finished:
        return f"no finished trial has {score}"
    return f"no setting has {score} and recon of {'one seed' if seeds == 1 else f'all {seeds} seeds'}"


def _out_of_reach(preference: Preference, means: NDArray[np.float64]) -> str:
    if preference.recon_at_most is not None:
        return (
            f"no setting's mean recon is at most {preference.recon_at_most:g} nats; the least is {means[1].min():.1f}"
        )
    return f"no setting's mean score is at least {preference.score_at_least:g}; the greatest is {means[0].max():.3f}"


def _chosen(one: Choice) -> str:
    wanted = f"The {one.preference} ({one.score})"
    if one.chosen is None:
        return f"{wanted}: {one.reason}."
    return (
        f"{wanted} of {one.settings} settings x {one.seeds} seed{'s' * (one.seeds > 1)}: {one.chosen.label}, with "
        f"{one.naive.score:.3f} at {one.naive.recon:.1f} nats."
    )


def _worth(one: Choice) -> str:
    """The honest values; no interval belongs to them."""
    if one.chosen is None:
        return ""
    if one.reason:
        return f"How much of that is luck cannot be said: {one.reason}."
    if one.settings == 1:
        return "No other setting competes: there is no luck of the choice in it."
    if one.times == ((one.chosen.label, one.seeds),):
        return "Whichever seed is left out, it is chosen: no luck of the choice is seen."
    words = (
        f"On a seed that had no part in the choice it is {one.honest.score:.3f} at {one.honest.recon:.1f} nats: it "
        f"looked {_better(one.curse.score, '.3f')} in the score and {_better(-one.curse.recon, '.1f')} nats in recon."
    )
    limit = one.preference
    if limit.recon_at_most is not None and one.honest.recon > limit.recon_at_most:
        words += " That is over the limit."
    if limit.score_at_least is not None and one.honest.score < limit.score_at_least:
        words += " That is under the limit."
    return words


def _better(by: float, spec: str) -> str:
    return f"{'better' if by >= 0 else 'worse'} by {abs(by):{spec}}"


def _stability(one: Choice) -> str:
    if one.reason or one.settings == 1 or _times(one) == one.seeds:
        return ""
    others = [f"{label} in {count}" for label, count in one.times if one.chosen and label != one.chosen.label]
    refused = f", and none within the limit in {one.refused}" if one.refused else ""
    words = f"With one seed left out it is chosen in {_times(one)} of {one.seeds}"
    return f"{words}{', ' + some(others) if others else ''}{refused}."


def _missing(one: Choice) -> str:
    return f"Settings that lack trials do not compete: {some(one.left_out)}." if one.left_out and one.seeds else ""


def _times(one: Choice) -> int:
    return dict(one.times).get(one.chosen.label, 0) if one.chosen else 0


def _number(value: float, places: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{places}f}"
