"""Which share of a target's variance over trials is due to which part of the setting, and which to the seed.

Inside one family and on a complete grid, settings x seeds. The settings are fixed: the shares are of this grid, and a
wider range of beta would make beta's share greater. The seed is a random factor, crossed with the settings, as the same
seed means the same initialisation, order and noise in all of them. What remains is seed x setting, which one trial a
cell does not tell from noise.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.statistics import CONFIDENCE, NOTHING, T_SEEDS, Estimate
from analysis.tradeoff.cells import by_cell, lacking, repeated, some
from analysis.tradeoff.settings import SYMBOLS, Setting
from analysis.tradeoff.variance import RESIDUAL, SEED, anova, components, pivots
from trainables.config import written

SETTING = "setting"


@dataclass(frozen=True)
class Shares:
    """One family's variance over trials, taken apart.

    Attributes:
        family: beta, capacity, or the name of one's own objective.
        target: The column.
        reason: Why there are no shares, in words; empty where there are.
        notes: What to know beside them: seeds left out, a grid that is no full factorial.
        by_source: Parts of the setting, their interactions, `seed`, `seed x setting`; they sum to 1. One whose true
            share is near 0 may come out slightly negative, and is given as it is.
        together: All that is due to the setting.
        sd: Root of the whole variance, in the unit of the target.
        settings: How many.
        seeds: Those that every setting has.
    """

    family: str
    target: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    by_source: dict[str, Estimate] = field(default_factory=dict)
    together: Estimate = NOTHING
    sd: float = math.nan
    settings: int = 0
    seeds: tuple[int, ...] = ()


def by_family(finished: pd.DataFrame, rows: list[Setting], target: str, search: str) -> list[Shares]:
    """The shares of every family, in the order of the settings.

    The components are estimated from expected mean squares, as omega squared is. On a complete grid these are unbiased
    whatever the distribution, also where settings differ in their spread, and REML gives the same where none is
    negative; unlike REML they need no iteration, and they do not hide what came out under 0.

    The 95 % intervals are over seeds, from three on: percentiles of the shares under generalised pivots of the
    components. (A plug-in bootstrap would take the two degrees of freedom of three seeds for known.) They lie in 0 to
    1, so that a share under 0 lies outside its own. They cover 89 to 99 % for normal data at 3, 5 and 10 seeds;
    that of `seed x setting` about 60 % where nothing else varies, 80 to 85 where little does or noise is skewed: it is
    then too low by a few points, and the share of the setting leaves out 0 in a quarter of such studies.

    Args:
        finished: `Frames.finished`.
        rows: All settings of the study, those without a finished trial too.
        target: A column; a trial whose value is missing or infinite lacks.
        search: `Study.identity["search"]`.
    """
    families: dict[str, list[Setting]] = {}
    for row in rows:
        families.setdefault(row.family, []).append(row)
    return [_of_family(finished, own, target, search) for own in families.values()]


def factors(rows: list[Setting]) -> dict[str, list[str]]:
    """What varies between settings: by its name in figures, the level of each setting.

    Fields that go together everywhere, such as a ramp and the steps that fit it, are one factor with both names.
    """
    found: dict[tuple[int, ...], tuple[str, list[str]]] = {}
    for name in dict.fromkeys(name for row in rows for name in row.fields):
        levels = [written(row.fields.get(name)) or "none" for row in rows]
        pattern, symbol = tuple(levels.index(level) for level in levels), SYMBOLS.get(name, name)
        if len(set(levels)) > 1:
            found[pattern] = (
                (f"{found[pattern][0]} & {symbol}", found[pattern][1]) if pattern in found else (symbol, levels)
            )
    return dict(found.values())


def table(found: list[Shares]) -> pd.DataFrame:
    """The shares as text, one row a source and family.

    Returns:
        `family`, `source`, `share` (of the variance over trials, with its 95 % interval over seeds from three on); a
        family without shares has its reason there.
    """
    lines = []
    for one in found:
        lines += [(one.family, source, percent(share)) for source, share in one.by_source.items()]
        lines += [(one.family, "-", one.reason)] if one.reason else []
    return pd.DataFrame(lines, columns=["family", "source", "share"])


def sentences(found: list[Shares]) -> list[str]:
    """What is due to what in each family, or why that cannot be said."""
    return [_sentence(one) for one in found]


def percent(share: Estimate) -> str:
    """`37 % [20, 58]`."""
    if not share.values:
        return "-"
    bounds = "" if share.low is None or share.high is None else f" [{100 * share.low:.0f}, {100 * share.high:.0f}]"
    return f"{round(100 * share.mean)} %{bounds}"


def _of_family(finished: pd.DataFrame, rows: list[Setting], target: str, search: str) -> Shares:
    family = rows[0].family
    cells, reason = _complete(finished, rows, target, search)
    if reason:
        return Shares(family, target, reason)
    whole = cells.dropna(axis="columns")
    if np.ptp(whole.to_numpy()) == 0:
        return Shares(family, target, f"{target} is the same in all trials")
    notes = []
    if left_out := sorted({*cells.columns} - {*whole.columns}):
        lacks = some(lacking(cells, rows))
        notes.append(f"left out: seed{'s' * (len(left_out) > 1)} {some(left_out)}, as these trials lack: {lacks}")
    parts = factors(rows)
    if absent := _absent(parts):
        notes.append(f"no full factorial, as no setting has {some(absent)}: settings are one factor")
        parts = {SETTING: [row.id for row in rows]}
    apart = anova(whole, parts)
    estimates, draws = components(apart), pivots(apart)
    draws /= draws.sum(axis=1, keepdims=True)
    variance, seeds = float(estimates.sum()), tuple(int(seed) for seed in whole.columns)
    shares = [_estimate(share, drawn, len(seeds)) for share, drawn in zip(estimates / variance, draws.T, strict=True)]
    together = _estimate(estimates[:-2].sum() / variance, draws[:, :-2].sum(axis=1), len(seeds))
    by_source = dict(zip(apart.sources, shares, strict=True))
    return Shares(family, target, "", tuple(notes), by_source, together, math.sqrt(variance), len(rows), seeds)


def _complete(finished: pd.DataFrame, rows: list[Setting], target: str, search: str) -> tuple[pd.DataFrame, str]:
    """The trials by setting and seed, and why they have no shares; empty where they have."""
    if search == "tradeoff":
        return pd.DataFrame(), "a search chose the settings, which are no grid"
    if reason := repeated(finished, rows):
        return pd.DataFrame(), reason
    cells = by_cell(finished, rows, target)
    whole, lacks = cells.dropna(axis="columns"), lacking(cells, rows)
    if len(rows) < 2:
        reason = "it has one setting: nothing varies but the seed"
    elif cells.isna().all(axis=None):
        reason = f"no finished trial has {target}"
    elif len(cells.columns) < 2:
        reason = "it has one seed: what is due to the seed cannot be told from what is due to the setting"
    elif len(whole.columns) < 2:
        reason = f"under two seeds have {target} in every setting; lacking: {some(lacks)}"
    return cells, reason


def _absent(parts: dict[str, list[str]]) -> list[str]:
    """The combinations of levels that no setting has."""
    known = set(zip(*parts.values(), strict=True))
    every = itertools.product(*(dict.fromkeys(levels) for levels in parts.values()))
    absent = [combination for combination in every if combination not in known]
    return [" with ".join(f"{name} = {level}" for name, level in zip(parts, one, strict=True)) for one in absent]


def _estimate(share: float, drawn: np.ndarray, seeds: int) -> Estimate:
    share = float(share)
    if seeds < T_SEEDS:
        return Estimate((share,), share)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate((share,), share, float(low), float(high))


def _sentence(one: Shares) -> str:
    if one.reason:
        return f"What {one.target} is due to in the family {one.family} cannot be said: {one.reason}."
    largest = sorted(one.by_source.items(), key=lambda item: -item[1].mean)
    inner = [f"{source} {percent(share)}" for source, share in largest if source not in (SEED, RESIDUAL)]
    setting = f"{percent(one.together)} is due to the setting" + (f" (first {inner[0]})" if len(inner) > 1 else "")
    seed = f"{percent(one.by_source[SEED])} to the seed and {percent(one.by_source[RESIDUAL])} to seed x setting"
    words = (
        f"Of the variance of {one.target} over the trials of the family {one.family} ({one.settings} settings x "
        f"{len(one.seeds)} seeds, standard deviation {one.sd:.3g}) {setting}, {seed}."
    )
    few = "" if len(one.seeds) >= T_SEEDS else " Two seeds give no interval."
    return words + few + "".join(f" {note[0].upper()}{note[1:]}." for note in one.notes)
