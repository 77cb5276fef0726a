"""MIG: is each factor said by one latent alone? Mutual information gap over 20 equal-width bins a latent.

Source: Chen et al. 2018, in the binned form of Locatello et al. 2019.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.calibration import Score, calibrate, perfect_codes
from trainables.metrics.inputs import MetricError, checked_factors, checked_rows, checked_table


def score(codes: ArrayLike, factors: ArrayLike, seed: int, null_draws: int = 20, bins: int = 20) -> Score:
    """MIG with its null and ceiling on the same factors, n and d; the codes are binned once for all draws.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Fixes the permutations of the null.
        null_draws: Number of permutations; 0 computes the value alone and leaves null and ceiling NaN.
        bins: Equal-width bins a latent.

    Raises:
        MetricError: As `mig`.
    """
    codes, factors = checked_table(codes, factors)
    labels = binned(codes, bins)
    if null_draws == 0:
        return Score(_mig_of_labels(labels, factors), n=len(labels), bins=bins)
    perfect = binned(perfect_codes(factors, codes.shape[1]), bins)
    return calibrate(_mig_of_labels, labels, perfect, factors, null_draws, seed, bins)


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """The mean over factors of the gap of the two largest latents, as a share of the factor's entropy.

    A constant factor has nothing to say and is left out of the mean. A single latent competes with 0 nats.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        bins: Equal-width bins a latent.

    Raises:
        MetricError: The table cannot be scored, or every factor is constant.
    """
    codes, factors = checked_table(codes, factors)
    return _mig_of_labels(binned(codes, bins), factors)


def mig_active(codes: ArrayLike, factors: ArrayLike, active: ArrayLike, bins: int = 20) -> float:
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


def mutual_information(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> NDArray[np.float64]:
    """Plug-in mutual information of every binned latent with every factor.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        bins: Equal-width bins a latent.

    Returns:
        (d, k), nats.
    """
    codes, factors = checked_table(codes, factors)
    return _information_of_labels(binned(codes, bins), factors)


def factor_entropy(factors: ArrayLike) -> NDArray[np.float64]:
    """Plug-in entropy of every factor (n, k): (k,), nats; 0 for a constant one."""
    return _entropies(checked_factors(factors))


def binned(codes: ArrayLike, bins: int = 20) -> NDArray[np.intp]:
    """The bin of every value: `numpy.digitize(x, numpy.histogram(x, bins)[1][:-1])`, latent by latent.

    A constant latent falls into one bin; so does one constant up to rounding, which numpy refuses to split.

    Args:
        codes: (n, d).
        bins: Equal-width bins over the sample's range, at least 2.

    Returns:
        (n, d), from 1 to `bins`.
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


def _mig_of_labels(labels: NDArray[np.intp], factors: NDArray[np.intp]) -> float:
    entropy = _entropies(factors)
    varied = entropy > 0
    if not varied.any():
        raise MetricError(f"all {len(entropy)} factors are constant on {len(factors)} rows; score more varied rows")
    information = np.sort(_information_of_labels(labels, factors), axis=0)  # (d, k), each column ascending
    second = information[-2] if len(information) > 1 else 0.0
    return float(np.mean((information[-1] - second)[varied] / entropy[varied]))


def _information_of_labels(labels: NDArray[np.intp], factors: NDArray[np.intp]) -> NDArray[np.float64]:
    """I = H(latent) + H(factor) - H(both) by counting, (d, k); never below 0, where rounding would put it."""
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
    return 0.0 - float(share @ np.log(share))  # exactly 0 for a single class, on which `varied` relies
