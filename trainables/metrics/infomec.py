"""InfoMEC: modularity, compactness and explicitness in nats, without bins.

Source: Hsu et al. 2023, "Disentanglement via latent quantization", section 5.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import log_loss

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import (
    MetricError,
    among_all,
    checked_table,
    standardised,
    varied_columns,
    varied_latents,
)
from trainables.metrics.linear import logistic, quiet
from trainables.metrics.mig import factor_entropy

NEIGHBOURS = 10
INACTIVE = 1 / 20
"""Of the largest range: latents under it are dropped for InfoM and InfoC."""
NAMES = ("infom", "infoe", "infoc")


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """`infom`, `infoe` and `infoc` of all rows.

    NMI is the kNN mutual information (10 neighbours) of a standardised latent with a factor over the factor's entropy.
    InfoM: the mean over active latents of max / sum over factors, rescaled so that 1/k is 0; InfoC the same over active
    latents, by factor; a row or column of zeros prefers nothing and counts 0. InfoE: mean over factors of 1 - the
    log loss of an unpenalised balanced logistic regression, on the rows it was fitted to, over that of the balanced
    constant predictor (ln of the number of classes). Constant factors are left out.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Of the kNN estimator's tie-breaking noise.

    Raises:
        MetricError: The table cannot be scored, or no two rows share a class of some factor.
    """
    codes, factors = checked_table(codes, factors)
    varied, moving, n = varied_columns(factors), varied_latents(codes), len(codes)
    for k in np.flatnonzero(varied):
        if np.bincount(factors[:, k]).max() < 2:
            raise MetricError(f"no two of the {n} rows share a class of factor {k}, so none has neighbours; score more")
    ranges = np.ptp(codes, axis=0)
    active = (ranges >= INACTIVE * ranges.max()) & moving
    kept, latents = factors[:, varied], standardised(codes)
    matrix = np.zeros((codes.shape[1], len(varied)))
    matrix[np.ix_(moving, varied)] = _information(latents, kept, seed) / factor_entropy(kept)
    nmi = matrix[np.ix_(active, varied)]
    explicit = among_all(np.array([_explicitness(latents, column) for column in kept.T]), varied)
    results = {"infoe": Result(float(np.nanmean(explicit)), n, explicit)}
    for name, table, what in (("infom", nmi, "factor"), ("infoc", nmi.T, "active latent")):
        if not active.any() or table.shape[1] < 2:
            few = f"{table.shape[1]} {what} to prefer among" if active.any() else "no latent is active"
            results[name] = Result(np.nan, n, matrix=matrix, missing=f"{few}; {name} compares at least 2")
            continue
        preference = concentration(table)
        by_factor = among_all(preference, varied) if name == "infoc" else None
        results[name] = Result(float(preference.mean()), n, by_factor, matrix)
    return {name: results[name] for name in NAMES}


def concentration(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row's max / sum, rescaled so that an even row is 0 and a single entry 1: (rows, columns) -> (rows,)."""
    even = 1 / table.shape[1]
    totals = table.sum(axis=1)
    share = np.divide(table.max(axis=1), totals, where=totals > 0, out=np.full(len(table), even))
    return (share - even) / (1 - even)


def _information(latents: NDArray, factors: NDArray[np.intp], seed: int) -> NDArray[np.float64]:
    """Mutual information by nearest neighbours, (moving latents, varied factors), nats."""
    if latents.shape[1] == 0:
        return np.empty((0, factors.shape[1]))
    settings: dict[str, Any] = {"discrete_features": False, "n_neighbors": NEIGHBOURS, "random_state": seed}
    with quiet():
        return np.stack([mutual_info_classif(latents, column, **settings) for column in factors.T], axis=1)


def _explicitness(latents: NDArray, classes: NDArray[np.intp]) -> float:
    if latents.shape[1] == 0:
        return 0.0
    model = logistic(C=np.inf, class_weight="balanced")
    with quiet():
        model.fit(latents, classes)
    return 1 - float(log_loss(classes, model.predict_proba(latents))) / float(np.log(classes.max() + 1))
