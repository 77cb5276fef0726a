"""How far trials that were trained twice are from themselves, against the spread over seeds: pure functions."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import fdtri

from study.compare import UNTIMED

Rows = Mapping[str, Mapping[str, Any]]

FALSE_ALARM = 0.01
"""Chance that any column is flagged where both trainings draw from the same spread."""


@dataclass(frozen=True)
class Column:
    """One column of the last row, over the trials that were trained again.

    Attributes:
        name: Of the column.
        differences: Of each trial that has a number both times, in the column's unit.
        sd: Over seeds of one setting, pooled over settings, in the column's unit; None where no setting has two.
        freedom: Degrees of freedom of `sd`.
        judged: Whether it can be flagged: a count has no normal spread.
    """

    name: str
    differences: tuple[float, ...]
    sd: float | None
    freedom: int
    judged: bool = True

    @property
    def largest(self) -> float:
        """Of the absolute differences."""
        return max(map(abs, self.differences))

    @property
    def mean(self) -> float:
        """Of the absolute differences."""
        return math.fsum(map(abs, self.differences)) / len(self.differences)

    @property
    def ratio(self) -> float | None:
        """Root mean square of the differences over sqrt(2) `sd`: about 1 for two draws of one spread."""
        if self.sd is None:
            return None
        size = math.hypot(*self.differences) / math.sqrt(2 * len(self.differences))
        return size / self.sd if self.sd else math.inf if size else 0.0

    def limit(self, columns: int) -> float:
        """The ratio that it exceeds with a chance of `FALSE_ALARM` / `columns`: the root of a quantile of F."""
        return math.sqrt(fdtri(len(self.differences), self.freedom, 1 - FALSE_ALARM / columns))


def columns(stored: Rows, again: Rows, settings: Mapping[str, str]) -> list[Column]:
    """Every column that is a number in both.

    Args:
        stored: The last rows of all finished trials, by key.
        again: The last rows of those that were trained again, by key.
        settings: Of every key in `stored`.
    """
    found = []
    for name in dict.fromkeys(name for row in again.values() for name in row if name not in UNTIMED):
        values = {key: row[name] for key, row in again.items() if is_number(row.get(name))}
        known = {key: float(row[name]) for key, row in stored.items() if is_number(row.get(name))}
        differences = tuple(float(value) - known[key] for key, value in values.items() if key in known)
        if differences:
            judged = all(isinstance(value, float | np.floating) for value in values.values())
            found.append(Column(name, differences, *seed_spread(known, settings), judged))
    return found


def seed_spread(values: Mapping[str, float], settings: Mapping[str, str]) -> tuple[float | None, int]:
    """The SD over trials of one setting, pooled over settings, and its degrees of freedom; None and 0 without any.

    Args:
        values: By key.
        settings: Of every key.
    """
    groups = defaultdict(list)
    for key, value in values.items():
        groups[settings[key]].append(value)
    freedom = sum(len(group) - 1 for group in groups.values())
    squares = math.fsum(float(np.var(group)) * len(group) for group in groups.values())
    return (math.sqrt(squares / freedom), freedom) if freedom else (None, 0)


def flagged(found: Sequence[Column]) -> list[Column]:
    """The columns that differ by more than their spread explains, all of them together at `FALSE_ALARM`."""
    judged = [column for column in found if column.judged and column.ratio is not None]
    return [column for column in judged if column.ratio is not None and column.ratio > column.limit(len(judged))]


def is_number(value: Any) -> bool:
    """Whether a value of a row is a finite number, and no truth value."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
