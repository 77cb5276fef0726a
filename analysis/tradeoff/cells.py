"""Trials laid out as settings by seeds: what is there, what lacks, and what is there twice."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.tradeoff.settings import Setting

NAMED = 3
"""Of a list that would fill a page, so many are named and the rest counted."""


def by_cell(finished: pd.DataFrame, rows: list[Setting], column: str) -> pd.DataFrame:
    """A column of the trials by setting (in the order of `rows`, by id) and seed (rising).

    Args:
        finished: `Frames.finished`; no seed twice in a setting.
        rows: The settings, those without a finished trial too.
        column: Of numbers. Where it is missing, infinite or no column at all, the cell is NaN.
    """
    ids = [row.id for row in rows]
    if finished.empty:
        return pd.DataFrame(index=ids, dtype=float)
    own = finished[finished["setting"].isin(ids)]
    values = np.array(own[column].astype(float).tolist() if column in own else [np.nan] * len(own))
    cells = own.assign(value=np.where(np.isfinite(values), values, np.nan))
    return cells.pivot(index="setting", columns="seed", values="value").reindex(ids).sort_index(axis=1)


def rectangle(present: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """The settings and the seeds that have each other altogether, with as many trials as can be: the places of both.

    One new seed that a single setting has must not drive the other settings out, nor one poor setting all seeds.

    Args:
        present: Which settings have which seeds: (settings, seeds).
    """
    best: tuple[list[int], list[int]] = ([], [])
    common = np.argsort(-present.sum(axis=0), kind="stable")  # the seeds that most settings have, first
    for count in range(1, len(common) + 1):
        seeds = sorted(common[:count].tolist())
        settings = np.flatnonzero(present[:, seeds].all(axis=1)).tolist()
        if len(settings) * count >= len(best[0]) * len(best[1]) and settings:
            best = (settings, seeds)
    return best


def repeated(finished: pd.DataFrame, rows: list[Setting]) -> str:
    """Which settings have a seed twice, in words; nothing where none has.

    Such trials differ in a seed of their own for init, order or noise, so that they are no independent replicates.
    """
    if finished.empty:
        return ""
    labels = {row.id: row.label for row in rows}
    cells = zip(finished["setting"], finished["seed"], strict=True)
    found = [f"{labels[id]} seed {seed}" for (id, seed), count in Counter(cells).items() if id in labels and count > 1]
    return f"trained more than once: {some(found)}; keep one init_seed, order_seed and noise_seed" if found else ""


def lacking(table: pd.DataFrame, rows: list[Setting]) -> list[str]:
    """The empty cells of a table of `by_cell` in words: `β = 4 seed 1`, or `β = 4 altogether`."""
    found = []
    for row in rows:
        empty = [str(seed) for seed, value in table.loc[row.id].items() if pd.isna(value)]
        whole = len(empty) == len(table.columns)
        found += [f"{row.label} altogether"] if whole else [f"{row.label} seed {seed}" for seed in empty]
    return found


def some(names: Iterable[object]) -> str:
    """`a, b, c and 4 more`; semicolons where a name has a comma."""
    words = [str(name) for name in names]
    more, mark = len(words) - NAMED, "; " if any("," in word for word in words[:NAMED]) else ", "
    return mark.join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")
