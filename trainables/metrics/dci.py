"""DCI: by the importances of boosted trees, does a latent predict one factor, and is a factor predicted by one latent?

Source: Eastwood and Williams 2018, with the trees of Locatello et al. 2019.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import GradientBoostingClassifier

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import among_all, checked_table, rows_to_train, varied_columns
from trainables.metrics.linear import quiet

TRAIN, TEST = 2000, 1000
"""Rows, in their order: the scores move with the number trained on, so they are compared at the same one only."""
NAMES = ("dci_disentanglement", "dci_completeness", "dci_informativeness")


def measure(codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """`dci_disentanglement`, `dci_completeness` and `dci_informativeness`, from gradient-boosted trees per factor.

    Trees: 100 of depth 3, rate 0.1, impurity importances. Disentanglement: 1 - entropy of a latent's importances in
    base k, weighted by the latent's share of all; completeness: the same over latents, by factor; informativeness:
    mean test accuracy. Constant factors are left out. With fewer than 3,000 rows two thirds are trained on. Codes
    that predict nothing have disentanglement and completeness 0.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Of the trees.

    Raises:
        MetricError: The table cannot be scored, or a factor is constant on the rows to train.
    """
    codes, factors = checked_table(codes, factors)
    varied = varied_columns(factors)
    train = rows_to_train(factors, varied, min(TRAIN, 2 * len(codes) // 3))
    test = min(TEST, len(codes) - train)
    columns = np.flatnonzero(varied)
    importances, accuracies = np.empty((codes.shape[1], len(columns))), np.empty(len(columns))
    for place, k in enumerate(columns):
        with quiet():
            trees = GradientBoostingClassifier(random_state=seed).fit(codes[:train], factors[:train, k])
        importances[:, place] = trees.feature_importances_
        accuracies[place] = trees.score(codes[train : train + test], factors[train : train + test, k])
    matrix, n, split = among_all(importances, varied), train + test, (train, test)
    informativeness = among_all(accuracies, varied)
    results = {NAMES[2]: Result(float(accuracies.mean()), n, informativeness, matrix, split=split)}
    for name, share, what in ((NAMES[0], importances, "factor"), (NAMES[1], importances.T, "latent")):
        if share.shape[1] < 2:
            results[name] = Result(np.nan, n, matrix=matrix, split=split, missing=f"one {what} alone: none to prefer")
            continue
        by_factor = among_all(purity(share), varied) if name == NAMES[1] else None
        results[name] = Result(_weighted(share), n, by_factor, matrix, split=split)
    return {name: results[name] for name in NAMES}


def purity(importances: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - entropy of each row's shares, in base of their number: (rows, columns) -> (rows,); 0 for a row of zeros."""
    totals = importances.sum(axis=1, keepdims=True)
    even = np.full_like(importances, 1 / importances.shape[1])
    share = np.divide(importances, totals, where=totals > 0, out=even)
    logs = np.log(share, where=share > 0, out=np.zeros_like(share))
    return 1 + (share * logs).sum(axis=1) / np.log(importances.shape[1])


def _weighted(importances: NDArray[np.float64]) -> float:
    """The rows' purity, weighted by their share of all importance."""
    weights = importances.sum(axis=1)
    return float(np.average(purity(importances), weights=weights)) if weights.any() else 0.0
