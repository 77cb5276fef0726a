"""Trials laid out as settings by seeds: what is there, what lacks, and what is there twice."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

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
