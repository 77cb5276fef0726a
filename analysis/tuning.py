"""What each latent of one trial answers to: its posterior mean by the value of each factor, and by position.

Source: Burgess et al. 2018, Fig. 2 shows tuning by position; the curves by every factor are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """One latent along one factor.

    Attributes:
        latent: Its index j.
        factor: Its name.
        values: The factor's values that the probe holds, as their places in the factor's list: (v,).
        mean: Posterior mean of z_j averaged over the probe rows of each value: (v,).
        sd: Its standard deviation over these rows, in which the other factors vary (no error of the mean): (v,).
    """

    latent: int
    factor: str
    values: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]


def curves(
    means: NDArray[np.floating], factors: NDArray[np.integer], latents: Sequence[int], names: Sequence[str]
) -> list[list[Curve]]:
    """The tuning of each latent along each factor, rows in the order of `latents`, columns in that of `names`.

    Args:
        means: Posterior means of the probe, (n, d).
        factors: Places of the factors' values, (n, k).
        latents: Which latents.
        names: Of the k factors.
    """
    return [[_curve(means[:, j], factors[:, k], j, name) for k, name in enumerate(names)] for j in latents]


def position_map(codes: NDArray[np.floating], x: NDArray[np.integer], y: NDArray[np.integer]) -> NDArray[np.float64]:
    """Posterior mean of one latent by position, averaged over the probe rows there; NaN where it holds none.

    Args:
        codes: (n,).
        x: Places of the x value, (n,).
        y: Of the y value, (n,).

    Returns:
        (values of y, values of x), so that a picture of it lies as the images do.
    """
    shape = (int(y.max()) + 1, int(x.max()) + 1)
    places = np.ravel_multi_index((y.astype(int), x.astype(int)), shape)
    counts = np.bincount(places, minlength=shape[0] * shape[1])
    sums = np.bincount(places, codes.astype(float), minlength=len(counts))
    return np.divide(sums, counts, where=counts > 0, out=np.full(len(counts), np.nan)).reshape(shape)


def _curve(codes: NDArray[np.floating], values: NDArray[np.integer], latent: int, factor: str) -> Curve:
    known, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    codes = codes.astype(float)
    mean = np.bincount(place, codes) / counts
    sd = np.sqrt(np.bincount(place, (codes - mean[place]) ** 2) / counts)
    return Curve(latent, factor, known.astype(np.int64), mean, sd)
