"""How far a conclusion hangs on the choice of the score: do the scores rank the same trials first?"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from analysis.scorecard import supervised
from analysis.statistics import BOOTSTRAP_SEEDS, Estimate, clustered, over_seeds
from analysis.tradeoff.cells import by_cell, repeated, some
from analysis.tradeoff.settings import Setting

Statistic = Callable[[NDArray[np.float64]], float]

RECON = "-recon"
"""Reconstruction, so turned that more is better, as it stands beside the scores."""


@dataclass(frozen=True)
class Best:
    """The setting that a score puts first.

    Attributes:
        score: The column.
        setting: With the greatest mean over seeds, of those with all seeds; the first of equal ones.
        mean: Its score; not free of the winner's curse.
        place: Of the same setting under the first of the scores, 1 for the best; None where that lacks a seed of it.
    """

    score: str
    setting: Setting
    mean: Estimate
    place: int | None


@dataclass(frozen=True)
class Agreement:
    """Rank agreement over trials.

    Attributes:
        names: The scores that were compared, last `-recon`.
        pairs: Spearman's correlation of each two, the earlier name first. Intervals are over settings, which are
            resampled with all their seeds, from ten settings on.
        concordance: Kendall's W of the scores without recon: 1 where all rank alike, about 1 / scores where they have
            nothing in common.
        judged: Trials that have all these scores, over which W goes.
        trials: Finished ones.
        settings: That they belong to.
        best: By score; empty where no setting has all seeds.
        left_out: Scores that were not compared, or not over all trials, and why.
    """

    names: tuple[str, ...]
    pairs: dict[tuple[str, str], Estimate]
    concordance: Estimate
    judged: int
    trials: int
    settings: int
    best: tuple[Best, ...]
    left_out: dict[str, str]


def agreement(finished: pd.DataFrame, rows: list[Setting]) -> Agreement:
    """The agreement of all supervised scores and of reconstruction.

    Scores of one kind, such as MIG on mean and on sampled codes, agree because they are nearly one: W over them says
    less than their number promises.

    Args:
        finished: `Frames.finished`; of one family or of all.
        rows: Its settings.
    """
    columns = _columns(finished)
    left_out = {name: why for name, values in columns.items() if (why := _unusable(values))}
    used = {name: values for name, values in columns.items() if name not in left_out}
    for name, values in used.items():
        if lacks := int(np.isnan(values).sum()):
            left_out[name] = f"missing in {lacks} of {len(values)} trials, compared over the others"
    scores, names = [name for name in used if name != RECON], tuple(used)
    places = [np.flatnonzero((finished["setting"] == row.id).to_numpy()) for row in rows] if len(finished) else []
    whole = np.column_stack([used[name] for name in scores]) if scores else np.empty((len(finished), 0))
    pairs = {
        (one, other): _over(places, np.column_stack([used[one], used[other]]), rank_correlation)
        for at, one in enumerate(names)
        for other in names[at + 1 :]
    }
    judged = ~np.isnan(whole).any(axis=1)
    settings = sum(len(chosen) > 0 for chosen in places)
    concordance = _over(places, whole, concordance_of) if len(scores) > 1 else over_seeds([])
    count = int(judged.sum()) if len(scores) > 1 else 0
    best = () if repeated(finished, rows) else _best(finished, rows, scores)
    return Agreement(names, pairs, concordance, count, len(finished), settings, best, left_out)


def rank_correlation(table: NDArray[np.float64]) -> float:
    """Spearman's correlation of two columns, (n, 2); NaN where one does not vary."""
    ranks = scipy.stats.rankdata(table, axis=0)
    centred = ranks - ranks.mean(axis=0)
    spread = float(np.prod(np.sqrt((centred**2).sum(axis=0))))
    return float(centred[:, 0] @ centred[:, 1]) / spread if spread > 0 else math.nan


def concordance_of(table: NDArray[np.float64]) -> float:
    """Kendall's W of the columns as judges of the rows, (n, m), corrected for ties; NaN where nobody ranks anything.

    Source: Kendall and Babington Smith 1939, "The problem of m rankings".
    """
    ranks = scipy.stats.rankdata(table, axis=0)
    centred = ranks - ranks.mean(axis=0)
    most = table.shape[1] * float((centred**2).sum())  # m times the spread of all judges, ties and all
    return float((centred.sum(axis=1) ** 2).sum()) / most if most > 0 else math.nan


def matrix(found: Agreement) -> pd.DataFrame:
    """Spearman's correlations as text with intervals, each pair once: rows and columns are scores."""
    return pd.DataFrame(
        {
            "score": other,
            **{
                one: format(found.pairs[one, other], ".2f") if (one, other) in found.pairs else ""
                for one in found.names[:-1]
            },
        }
        for other in found.names[1:]
    )


def table(found: Agreement) -> pd.DataFrame:
    """The best setting under each score as text: `score`, `best setting`, `mean`, `place under` the first score."""
    return pd.DataFrame(
        {
            "score": one.score,
            "best setting": one.setting.label,
            "family": one.setting.family,
            "mean": format(one.mean, ".3f"),
            f"place under {found.best[0].score}": "-" if one.place is None else str(one.place),
        }
        for one in found.best
    )


def sentences(found: Agreement) -> list[str]:
    """Whether the scores agree, whether they choose the same setting, and which of them were not asked."""
    scores = [name for name in found.names if name != RECON]
    said = []
    if found.concordance.values:
        said.append(
            f"Over {found.judged} trials the {len(scores)} scores agree with Kendall's W = {found.concordance:.2f} (1: "
            f"all rank alike; {1 / len(scores):.2f}: nothing in common)"
            + (f"; under {BOOTSTRAP_SEEDS} settings give no interval." if found.concordance.low is None else ".")
        )
        said.append(_extremes(found, scores))
    else:
        said.append(f"Whether scores agree cannot be said: {len(scores)} of them can be ranked, and it takes two.")
    said.append(_flips(found))
    if found.left_out:
        said.append("; ".join(f"{name} is {why}" for name, why in found.left_out.items()) + ".")
    return [sentence for sentence in said if sentence]


def _columns(finished: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Scores and turned recon by name, NaN where missing or infinite."""
    if finished.empty:
        return {}
    found = {name: np.array(finished[name].astype(float).tolist()) for name in supervised(finished)}
    if "recon" in finished:
        found[RECON] = -np.array(finished["recon"].astype(float).tolist())
    return {name: np.where(np.isfinite(values), values, np.nan) for name, values in found.items()}


def _unusable(values: NDArray[np.float64]) -> str:
    """Why a column ranks nothing; empty where it does."""
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return f"left out: {len(known)} of {len(values)} trials have it"
    return "left out: the same in all trials" if np.ptp(known) == 0 else ""


def _over(places: list[NDArray[np.intp]], table: NDArray[np.float64], statistic: Statistic) -> Estimate:
    """A statistic of the trials that have all columns, settings resampled."""
    clusters = [rows[np.isfinite(rows.sum(axis=1))] for rows in (table[chosen] for chosen in places)]
    return clustered([rows for rows in clusters if len(rows)], statistic)


def _best(finished: pd.DataFrame, rows: list[Setting], scores: list[str]) -> tuple[Best, ...]:
    """What each score puts first of the settings that have it in all seeds."""
    found, places = [], {}
    for name in scores:
        cells = by_cell(finished, rows, name).dropna()
        if cells.empty:
            continue
        means = dict(zip(cells.index.tolist(), cells.to_numpy().mean(axis=1).tolist(), strict=True))
        places = places or {one: 1 + sum(other > mean for other in means.values()) for one, mean in means.items()}
        setting = max((row for row in rows if row.id in means), key=lambda row: means[row.id])
        found.append(Best(name, setting, over_seeds(cells.loc[setting.id].tolist()), places.get(setting.id)))
    return tuple(found)


def _extremes(found: Agreement, scores: list[str]) -> str:
    """The two scores that agree least, and how reconstruction stands to the scores."""
    known = {pair: value for pair, value in found.pairs.items() if value.values}
    among = {pair: value for pair, value in known.items() if RECON not in pair}
    (one, other), least = min(among.items(), key=lambda item: item[1].mean)
    words = f"Least agree {one} and {other}: Spearman's correlation {least:.2f}."
    recon = [value.mean for pair, value in known.items() if RECON in pair]
    if recon:
        words += (
            f" Their correlation with good reconstruction goes from {min(recon):.2f} to {max(recon):.2f} (under 0: "
            "what reconstructs well disentangles badly)."
        )
    return words


def _flips(found: Agreement) -> str:
    if not found.best:
        return "Which setting is best under which score cannot be said: none has all its seeds, once each."
    if len(found.best) == 1:
        return ""
    chosen: dict[str, list[str]] = {}
    for one in found.best:
        chosen.setdefault(one.setting.label, []).append(one.score)
    if len(chosen) == 1:
        return f"All scores put the same setting first: {found.best[0].setting.label}."
    words = [f"{label} under {some(names)}" for label, names in chosen.items()]
    return f"The best setting hangs on the score: {'; '.join(words)}."
