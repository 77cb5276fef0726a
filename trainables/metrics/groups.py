"""Rows of a table that share a factor's value: what scores by intervention draw from, where there is no renderer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Groups:
    """The rows by the value of one factor.

    Attributes:
        order: (n,), rows sorted by value.
        starts: (values,), where each value begins in `order`.
        sizes: (values,), how many rows share it.
        values: (n,), the value of each row.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]
    values: NDArray[np.intp]


def groups_of(column: NDArray[np.intp]) -> Groups:
    """The rows grouped by a factor, given as class indices 0, 1, ... that all occur."""
    sizes = np.bincount(column)
    return Groups(np.argsort(column, kind="stable"), np.cumsum(sizes) - sizes, sizes, column)


def rows_of_value(groups: Groups, value: int) -> NDArray[np.intp]:
    """The rows that share a value."""
    start = groups.starts[value]
    return groups.order[start : start + groups.sizes[value]]
