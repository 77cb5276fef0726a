"""What differs between two stores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.reader import open_study

UNTIMED = ("attempt", "attempts", "time", "seconds", "steps_per_second", "host")
"""Columns that say when, where and how fast, not what."""


def compare(a: Path | str, b: Path | str, ignore: tuple[str, ...] = UNTIMED) -> list[str]:
    """The differences between two stores, one sentence each; none if they hold the same results.

    Compared exactly: the trials and their status, every metrics row, the arrays of finished trials and the bytes of
    their weights. NaN equals NaN.

    Args:
        a: One store.
        b: The other.
        ignore: Columns that may differ.
    """
    one, other = open_study(a), open_study(b)
    differences = _frames("trial", one.trials(), other.trials(), ["key"], ignore)
    differences += _frames("row", one.rows(), other.rows(), ["key", "step"], ignore)
    ended = [key for key, status in one.status().items() if status == other.status().get(key) == "finished"]
    for key in ended:
        differences += [f"arrays of {key}: {name} differs" for name in arrays_apart(one.arrays(key), other.arrays(key))]
        if one.checkpoint(key) != other.checkpoint(key):
            differences.append(f"weights of {key} differ")
    return differences


def arrays_apart(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> list[str]:
    """The names of the arrays that are not equal in both, or in one alone; NaN equals NaN."""
    shared = {
        name
        for name in ours.keys() & theirs.keys()
        if np.array_equal(ours[name], theirs[name], equal_nan=ours[name].dtype.kind == "f")
    }
    return sorted((ours.keys() | theirs.keys()) - shared)


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values of a column are equal, or both missing."""
    return bool(ours == theirs) or bool(pd.isna(ours) and pd.isna(theirs))


def _frames(what: str, a: pd.DataFrame, b: pd.DataFrame, index: list[str], ignore: tuple[str, ...]) -> list[str]:
    if a.empty or b.empty:
        return [] if len(a) == len(b) else [f"{len(a)} and {len(b)} {what}s"]
    a, b = (frame.drop(columns=list(ignore), errors="ignore").set_index(index) for frame in (a, b))
    differences = [f"{what} {key} in one store alone" for key in a.index.symmetric_difference(b.index)]
    differences += [
        f"column {name} of {what}s in one store alone" for name in a.columns.symmetric_difference(b.columns)
    ]
    shared, columns = a.index.intersection(b.index), a.columns.intersection(b.columns)
    a, b = a.loc[shared, columns], b.loc[shared, columns]
    for name in columns:
        for key, ours, theirs in zip(shared, a[name], b[name], strict=True):
            if not same(ours, theirs):
                differences.append(f"{name} of {what} {key}: {ours} and {theirs}")
    return differences
