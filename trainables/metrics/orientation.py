"""Orientation of dSprites, whose 40 values are linspace(0, 2 pi, 40): 0 and 39 are the same image, and shapes repeat.

Three ways to score it: `raw` as it is numbered; `within_shape`, where 0 and 39 are one and every shape is asked by
itself; `phase`, for scores that use order: the angle up to the shape's symmetry.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics import mig
from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError, among_all, checked_factors, checked_table, varied_columns

STEPS = 39
"""Different orientations: odd, so that no shape's symmetry merges any two of them."""
FOLDS = (4, 2, 1)
"""Symmetries of square, ellipse and heart, the order of the classes of `shape`."""


def columns_of(names: Sequence[str], factors: ArrayLike) -> tuple[int, int] | None:
    """Where shape and orientation are in a table with the layout of dSprites; None in any other.

    Args:
        names: Of the factors, k.
        factors: (n, k) class indices.
    """
    table = np.asarray(factors)
    if not {"shape", "orientation"} <= set(names) or table.ndim != 2 or table.shape[1] != len(names) or not len(table):
        return None
    shape, orientation = list(names).index("shape"), list(names).index("orientation")
    return (shape, orientation) if table[:, shape].max() == 2 and table[:, orientation].max() == STEPS else None


def phase(factors: ArrayLike, shape: int, orientation: int) -> NDArray[np.intp]:
    """The factors with orientation k replaced by (fold k) mod 39, fold that of the row's shape.

    Args:
        factors: (n, k) class indices of dSprites.
        shape: Column of the shape.
        orientation: Column of the orientation.

    Raises:
        MetricError: The table is none of class indices, or has other shapes.
    """
    table = _indices(factors)
    shapes = table[:, shape]
    if shapes.min() < 0 or shapes.max() >= len(FOLDS):
        raise MetricError(
            f"shapes {shapes.min()} to {shapes.max()} are not dSprites' 0 to 2; use the raw score instead"
        )
    table[:, orientation] = np.array(FOLDS)[shapes] * table[:, orientation] % STEPS
    return table


def turned(factors: ArrayLike, orientation: int) -> NDArray[np.intp]:
    """The factors with orientation k replaced by k mod 39, so that 0 and 39 are one.

    Args:
        factors: (n, k) class indices of dSprites.
        orientation: Column of the orientation.

    Raises:
        MetricError: The table is none of class indices.
    """
    table = _indices(factors)
    table[:, orientation] %= STEPS
    return table


def measure_within_shape(
    codes: ArrayLike, factors: ArrayLike, seed: int = 0, *, shape: int, orientation: int
) -> dict[str, Result]:
    """`mig_within_shape`: MIG whose orientation is asked inside each shape and averaged over shapes.

    Args:
        codes: (n, d).
        factors: (n, k) class indices, as `turned` gives them.
        seed: Not read.
        shape: Column of the shape.
        orientation: Column of the orientation.

    Returns:
        In the matrix the orientation's column is the mean over shapes of I(z_j; k | shape), nats; the gap is taken
        inside each shape, so that each may have a best latent of its own.

    Raises:
        MetricError: The table cannot be scored, or orientation is constant inside a shape.
    """
    codes, classes = checked_table(codes, factors)
    varied, labels = varied_columns(classes), mig.binned(codes)
    information = mig.information_of_labels(labels, classes)
    gaps = np.full(len(varied), np.nan)
    gaps[varied] = mig.gap(information[:, varied]) / mig.factor_entropy(classes)[varied]
    inside = [classes[:, shape] == value for value in range(int(classes[:, shape].max()) + 1)]
    angles = [checked_factors(classes[rows][:, [orientation]]) for rows in inside]
    entropies = [mig.factor_entropy(angle)[0] for angle in angles]
    if min(entropies) == 0:
        raise MetricError("orientation is constant inside a shape; score more rows")
    parts = [mig.information_of_labels(labels[rows], angle) for rows, angle in zip(inside, angles, strict=True)]
    information[:, orientation] = np.mean([part[:, 0] for part in parts], axis=0)
    gaps[orientation] = np.mean([mig.gap(part)[0] / whole for part, whole in zip(parts, entropies, strict=True)])
    kept = among_all(gaps[varied], varied)
    return {"mig_within_shape": Result(float(np.nanmean(kept)), len(codes), kept, information, mig.BINS)}


def _indices(factors: ArrayLike) -> NDArray[np.intp]:
    checked_factors(factors)
    return np.array(factors, dtype=np.intp)
