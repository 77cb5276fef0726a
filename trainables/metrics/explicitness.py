"""Explicitness: can a linear model read each class of each factor from the whole code?

Source: Ridgeway and Mozer 2018, section 3.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError, among_all, checked_table, rows_to_train, standardised, varied_columns
from trainables.metrics.linear import logistic, quiet

TRAIN_SHARE = 0.7
"""Of the rows, the first ones; the rest is tested on."""


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """`explicitness`: the mean over factors of the macro one-vs-rest ROC AUC of a logistic regression, 0.5 to 1.

    Codes are standardised over all rows, constant latents dropped (without any left every class is a guess: 0.5). A
    class that is absent from the rows to train or to test is left out of its factor's mean.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Not read.

    Raises:
        MetricError: The table cannot be scored, a factor is constant on the rows to train, or no class of one is both
            trained on and tested.
    """
    codes, factors = checked_table(codes, factors)
    varied = varied_columns(factors)
    train = rows_to_train(factors, varied, int(TRAIN_SHARE * len(codes)))
    latents = standardised(codes)
    split = (train, len(codes) - train)
    if latents.shape[1] == 0:
        return {"explicitness": Result(0.5, len(codes), among_all(np.full(varied.sum(), 0.5), varied), split=split)}
    areas = among_all(np.array([_area(latents, column, train) for column in factors[:, varied].T]), varied)
    return {"explicitness": Result(float(np.nanmean(areas)), len(codes), areas, split=split)}


def _area(latents: NDArray, classes: NDArray[np.intp], train: int) -> float:
    with quiet():
        model = logistic().fit(latents[:train], classes[:train])
    chances, tested = model.predict_proba(latents[train:]), classes[train:]
    areas = [
        roc_auc_score(tested == value, chances[:, place])
        for place, value in enumerate(model.classes_)
        if 0 < np.count_nonzero(tested == value) < len(tested)
    ]
    if not areas:
        raise MetricError(f"no class of a factor is both among the first {train} rows and among the others; score more")
    return float(np.mean(areas))
