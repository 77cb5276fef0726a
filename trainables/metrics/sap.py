"""SAP: how much better does the best latent predict a factor than the second best?

Source: Kumar et al. 2018, in the form of Locatello et al. 2019.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.svm import LinearSVC

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import (
    MetricError,
    among_all,
    checked_table,
    rows_to_train,
    standardised,
    varied_columns,
    varied_latents,
)
from trainables.metrics.linear import quiet
from trainables.metrics.mig import gap

TRAIN_SHARE = 0.7
"""Of the rows, the first ones; the rest is tested on."""
PENALTY = 0.01
"""C of the support vector machine."""


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """`sap`: mean over factors of the gap of the two latents whose linear SVM predicts the factor best.

    A latent's score is the test accuracy of a balanced linear SVM of that latent alone, trained on the first 70 % of
    the rows. Its perfect code is not its maximum (a linear SVM reads an index badly), so it has no ceiling.

    Args:
        codes: (n, d), at least two latents.
        factors: (n, k) class indices.
        seed: Of the solver.

    Raises:
        MetricError: The table cannot be scored, there is one latent, or a factor is constant on the rows to train.
    """
    codes, factors, varied = _checked(codes, factors)
    train = rows_to_train(factors, varied, int(TRAIN_SHARE * len(codes)))
    scores = np.zeros((codes.shape[1], len(varied)))
    for j, latent in enumerate(codes.T):
        for k in np.flatnonzero(varied):
            scores[j, k] = _accuracy(latent[:, None], factors[:, k], train, seed)
    return {"sap": _result(scores, varied, len(codes), (train, len(codes) - train))}


def measure_continuous(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """`sap_continuous`: the same with a latent's squared correlation with the factor's index, on all rows.

    Args:
        codes: (n, d), at least two latents; a constant one scores 0.
        factors: (n, k) class indices, read as numbers.
        seed: Not read.

    Raises:
        MetricError: The table cannot be scored, or there is one latent.
    """
    numbers = np.asarray(factors)
    codes, _, varied = _checked(codes, factors)
    moving = varied_latents(codes)
    scores = np.zeros((codes.shape[1], len(varied)))
    if moving.any():
        latents, values = standardised(codes), standardised(numbers[:, varied].astype(np.float64))
        scores[np.ix_(moving, varied)] = (latents.T @ values / len(codes)) ** 2
    return {"sap_continuous": _result(scores, varied, len(codes), None)}


def _checked(codes: ArrayLike, factors: ArrayLike) -> tuple[NDArray, NDArray[np.intp], NDArray[np.bool_]]:
    codes, factors = checked_table(codes, factors)
    if codes.shape[1] < 2:
        raise MetricError("SAP compares the two best latents, and there is 1; give at least 2")
    return codes, factors, varied_columns(factors)


def _accuracy(latent: NDArray, classes: NDArray[np.intp], train: int, seed: int) -> float:
    if np.ptp(latent[:train]) == 0:  # the solver would weigh an intercept alone: the most balanced guess is any class
        return float((classes[train:] == np.bincount(classes[:train]).argmax()).mean())
    machine = LinearSVC(C=PENALTY, class_weight="balanced", random_state=seed)
    with quiet():
        machine.fit(latent[:train], classes[:train])
    return float(machine.score(latent[train:], classes[train:]))


def _result(scores: NDArray, varied: NDArray[np.bool_], n: int, split: tuple[int, int] | None) -> Result:
    gaps = among_all(gap(scores[:, varied]), varied)
    return Result(float(np.nanmean(gaps)), n, gaps, scores, split=split)
