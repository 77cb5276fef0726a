"""MIG: is each factor said by one latent alone? Mutual information gap over 20 equal-width bins a latent.

Source: Chen et al. 2018, in the binned form of Locatello et al. 2019.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError, checked_factors, checked_rows, checked_table, varied_columns

BINS = 20
"""Equal-width bins a latent, the literature's choice."""


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0, bins: int = BINS) -> dict[str, Result]:
    """`mig`: the mean over factors of the gap of the two largest latents, as a share of the factor's entropy.

    A constant factor is left out of the mean. A single latent competes with 0 nats. With few rows a bin the plug-in
    estimate is far too high: the null says by how much.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Not read.
        bins: Equal-width bins a latent.

    Raises:
        MetricError: The table cannot be scored, or every factor is constant.
    """
    codes, factors = checked_table(codes, factors)
    varied = varied_columns(factors)
    information = mutual_information(codes, factors, bins)
    gaps = np.full(len(varied), np.nan)
    gaps[varied] = gap(information[:, varied]) / factor_entropy(factors)[varied]
    return {"mig": Result(float(np.nanmean(gaps)), len(codes), gaps, information, bins)}


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = BINS) -> float:
    """The value alone, as `measure`."""
    return measure(codes, factors, bins=bins)["mig"].value


def gap(information: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest latent's lead over the second, of every factor: (d, k) -> (k,), nats."""
    ascending = np.sort(information, axis=0)
    second = ascending[-2] if len(ascending) > 1 else 0.0
    return ascending[-1] - second


def mig_active(codes: ArrayLike, factors: ArrayLike, active: ArrayLike, bins: int = BINS) -> float:
    """MIG with the inactive latents silenced: binning by range magnifies the ripple of a dead latent.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        active: (d,) bool.
        bins: Equal-width bins a latent.
    """
    return mig(silenced(codes, active), factors, bins)


def silenced(codes: ArrayLike, active: ArrayLike) -> NDArray[np.floating]:
    """A copy of the codes (n, d) whose columns are 0 where `active` (d,) is false."""
    codes, active = checked_rows("codes", codes), np.asarray(active, dtype=bool)
    if active.shape != codes.shape[1:]:
        raise MetricError(f"active of shape {active.shape} does not fit {codes.shape[1]} latents; give one bool each")
    return np.where(active, codes, codes.dtype.type(0))


def mutual_information(codes: ArrayLike, factors: ArrayLike, bins: int = BINS) -> NDArray[np.float64]:
    """Plug-in mutual information of every binned latent with every factor.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        bins: Equal-width bins a latent.

    Returns:
        (d, k), nats.
    """
    codes, factors = checked_table(codes, factors)
    return information_of_labels(binned(codes, bins), factors)


def factor_entropy(factors: ArrayLike) -> NDArray[np.float64]:
    """Plug-in entropy of every factor (n, k): (k,), nats; 0 for a constant one."""
    return _entropies(checked_factors(factors))


def binned(codes: ArrayLike, bins: int = BINS) -> NDArray[np.intp]:
    """The bin of every value: `numpy.digitize(x, numpy.histogram(x, bins)[1][:-1])`, latent by latent.

    A constant latent falls into one bin; so does one constant up to rounding, which numpy refuses to split.

    Args:
        codes: (n, d).
        bins: Equal-width bins over the sample's range, at least 2.

    Returns:
        (n, d), from 1 to `bins`.

    Raises:
        MetricError: Fewer than 2 bins.
    """
    if bins < 2:
        raise MetricError(f"bins={bins} is under 2; one bin tells nothing, 20 is the literature's choice")
    return np.column_stack([_binned_latent(latent, bins) for latent in checked_rows("codes", codes).T])


def _binned_latent(latent: NDArray, bins: int) -> NDArray[np.intp]:
    try:
        edges = np.histogram_bin_edges(latent, bins)
    except ValueError:  # fewer floating-point numbers than bins between the least and the largest value
        return np.ones(len(latent), dtype=np.intp)
    return np.digitize(latent, edges[:-1])


def information_of_labels(labels: NDArray[np.intp], factors: NDArray[np.intp]) -> NDArray[np.float64]:
    """I = H(latent) + H(factor) - H(both) by counting, (d, k); never below 0, where rounding would put it.

    Args:
        labels: (n, d), as `binned` gives them.
        factors: (n, k), as `checked_factors` gives them.
    """
    sizes = factors.max(axis=0) + 1
    columns = np.ascontiguousarray(factors.T)  # (k, n): counting reads a column many times
    joint = np.empty((labels.shape[1], factors.shape[1]))
    for i, label in enumerate(np.ascontiguousarray(labels.T)):
        for j, size in enumerate(sizes):
            joint[i, j] = _entropy(np.bincount(label * size + columns[j]))
    return np.maximum(_entropies(labels)[:, None] + _entropies(factors) - joint, 0.0)


def _entropies(labels: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.array([_entropy(np.bincount(column)) for column in labels.T])


def _entropy(counts: NDArray[np.intp]) -> float:
    share = counts[counts > 0] / counts.sum()
    return 0.0 - float(share @ np.log(share))  # exactly 0 for a single class
