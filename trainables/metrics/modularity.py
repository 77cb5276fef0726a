"""Modularity: does each latent speak of one factor only? On the matrix of MIG.

Source: Ridgeway and Mozer 2018, Eq. 2.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics import mig
from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError, checked_table, varied_columns

ROUNDING = 1e-12
"""Nats under which plug-in information is the rounding of 0."""


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0, bins: int = mig.BINS) -> dict[str, Result]:
    """`modularity`: the mean over all latents of 1 - (sum m^2 - max m^2) / (max m^2 (k - 1)), m = I(z_j; f_k).

    A latent that says nothing (an all-zero row) counts 0; constant factors are left out.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Not read.
        bins: Equal-width bins a latent.

    Raises:
        MetricError: The table cannot be scored, or fewer than two factors vary.
    """
    codes, factors = checked_table(codes, factors)
    varied = varied_columns(factors)
    if varied.sum() < 2:
        raise MetricError("modularity compares factors, and one alone varies; give at least 2")
    information = mig.mutual_information(codes, factors, bins)
    return {"modularity": Result(float(per_latent(information[:, varied]).mean()), len(codes), None, information, bins)}


def per_latent(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each latent's modularity, (d, k) -> (d,); 0 for one that says nothing."""
    squares = np.where(information > ROUNDING, information, 0.0) ** 2
    best = squares.max(axis=1)
    others = np.divide(
        squares.sum(axis=1) - best, best * (squares.shape[1] - 1), where=best > 0, out=np.ones(len(best))
    )
    return 1 - others
