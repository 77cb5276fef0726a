"""What every score accepts: codes (n, d) and factors (n, k) of the same rows; others are refused here."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.checks import InputError


class MetricError(InputError):
    """A score that cannot be computed; the message is the reason to record beside the missing value."""


def checked_rows(name: str, values: ArrayLike) -> NDArray[np.floating]:
    """A finite float table of at least one row and one column, in the dtype given (integers become float64).

    Args:
        name: What the table is called in messages.
        values: (n, d).

    Raises:
        MetricError: Another shape or type, no rows or columns, or a value that is not finite.
    """
    table = np.asarray(values)
    if table.ndim != 2 or table.size == 0:
        raise MetricError(f"{name} of shape {table.shape} is not a table; give (n, d) with at least 1 row and column")
    if table.dtype.kind not in "fiu":
        raise MetricError(f"{name} of dtype {table.dtype} is not real numbers; give floats")
    bad = int(table.size - np.isfinite(table).sum())
    if bad:
        raise MetricError(f"{name} holds {bad} non-finite values of {table.size}; score only rows of a finite model")
    return table if table.dtype.kind == "f" else table.astype(np.float64)


def checked_factors(factors: ArrayLike) -> NDArray[np.intp]:
    """Class indices relabelled to 0, 1, ... in the order of their values, so that counting tables stay small.

    Args:
        factors: (n, k) integers.

    Returns:
        (n, k), each column with the values 0 to (number of classes that occur) - 1.

    Raises:
        MetricError: Another shape, no rows or columns, or floats.
    """
    table = np.asarray(factors)
    if table.ndim != 2 or table.size == 0:
        raise MetricError(f"factors of shape {table.shape} are not a table; give (n, k) with at least 1 row and column")
    if table.dtype.kind not in "iu":
        raise MetricError(
            f"factors of dtype {table.dtype} are not class indices; give integers, as "
            "numpy.unique(column, return_inverse=True)[1] makes them"
        )
    return np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.T])


def checked_table(codes: ArrayLike, factors: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Codes and relabelled factors of the same rows.

    Args:
        codes: (n, d) finite floats.
        factors: (n, k) integers.

    Raises:
        MetricError: As `checked_rows` and `checked_factors`, or different numbers of rows.
    """
    rows, classes = checked_rows("codes", codes), checked_factors(factors)
    if len(rows) != len(classes):
        raise MetricError(f"codes have {len(rows)} rows, factors {len(classes)}; give one row of each per image")
    return rows, classes


def varied_columns(factors: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which factors vary on these rows, (k,): a constant one has nothing to say and enters no mean.

    Args:
        factors: (n, k), as `checked_factors` gives them.

    Raises:
        MetricError: All are constant.
    """
    varied = factors.max(axis=0) > 0
    if not varied.any():
        raise MetricError(f"all {len(varied)} factors are constant on {len(factors)} rows; score more varied rows")
    return varied


def varied_latents(codes: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which latents are not constant, (d,)."""
    return np.ptp(codes, axis=0) > 0


def among_all(values: NDArray[np.float64], varied: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of the varied factors put at their places, NaN at the others: (..., k)."""
    whole = np.full((*values.shape[:-1], len(varied)), np.nan)
    whole[..., varied] = values
    return whole


def standardised(codes: NDArray[np.floating]) -> NDArray[np.float64]:
    """The latents that vary, each with mean 0 and standard deviation 1 over the rows: (n, latents that vary)."""
    kept = codes[:, varied_latents(codes)].astype(np.float64)
    kept = kept / np.ptp(kept, axis=0)  # the squares of tiny codes would vanish
    return (kept - kept.mean(axis=0)) / kept.std(axis=0)


def rows_to_train(factors: NDArray[np.intp], varied: NDArray[np.bool_], most: int) -> int:
    """How many rows to train on, the first ones: `most`.

    Args:
        factors: (n, k), as `checked_factors` gives them.
        varied: (k,), the factors that are predicted.
        most: The number that the score's definition asks for.

    Raises:
        MetricError: A varied factor is constant on them: nothing could be learned of it.
    """
    for k in np.flatnonzero(varied):
        if most == 0 or np.ptp(factors[:most, k]) == 0:
            raise MetricError(f"factor {k} is constant on the first {most} rows, which are trained on; score more rows")
    return most
