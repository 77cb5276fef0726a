"""IRS: does a latent stay where it is while other factors are changed? Interventional robustness.

Source: Suter et al. 2019, in the table form of Locatello et al. 2019.
"""

import numpy as np
from numpy.typing import ArrayLike

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError, among_all, checked_table, varied_columns, varied_latents

QUANTILE = 0.99
"""Of the deviations inside a group: the maximum would be one outlier's."""


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """`irs`: the mean over latents, weighted by their reach, of their robustness with their best factor held fixed.

    Robustness is 1 - (mean over the factor's values of the .99 quantile of |z - mean of its group|) / (largest
    |z - mean|). Constant latents are dropped, constant factors left out.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Not read.

    Raises:
        MetricError: The table cannot be scored, all latents are constant, or no two rows share a value of some factor.
    """
    codes, factors = checked_table(codes, factors)
    varied, moving = varied_columns(factors), varied_latents(codes)
    if not moving.any():
        raise MetricError(f"all {codes.shape[1]} latents are constant; IRS asks what moves them")
    for k in np.flatnonzero(varied):
        if np.bincount(factors[:, k]).max() < 2:
            raise MetricError(f"no two of the {len(codes)} rows share a value of factor {k}: all would stand still")
    kept = codes[:, moving].astype(np.float64)
    reach = np.abs(kept - kept.mean(axis=0)).max(axis=0)
    deviations = np.stack([_deviations(kept, column) for column in factors[:, varied].T], axis=1)
    robustness = 1 - deviations / reach[:, None]  # (moving latents, varied factors)
    value = float(np.average(robustness.max(axis=1), weights=reach))
    matrix = np.zeros((codes.shape[1], len(varied)))
    matrix[moving] = among_all(robustness, varied)
    return {"irs": Result(value, len(codes), None, matrix)}


def _deviations(codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Mean over the classes of the quantile of |z - mean of the class|, (d,)."""
    order = np.argsort(classes, kind="stable")
    groups = np.split(codes[order], np.flatnonzero(np.diff(classes[order])) + 1)
    return np.mean([np.quantile(np.abs(group - group.mean(axis=0)), QUANTILE, axis=0) for group in groups], axis=0)
