"""Do two latents know together where the object is? Explained variance of the position by boosted trees.

Two latents may say x and y in rotated axes, which every score that matches latents to factors one by one counts as
failure: hence the joint prediction.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import r2_score

from trainables.metrics.inputs import MetricError, checked_rows

TRAIN_SHARE = 0.75
"""Of the rows, the first ones; the rest is tested on."""
LEAST_ROWS, MOST_ROWS = 100, 5_000
"""Trees predict nothing from fewer rows, and hardly better from more."""


def position_r2(codes: ArrayLike, position: ArrayLike, seed: int = 0) -> NDArray[np.float64]:
    """R^2 of each coordinate, predicted from all the codes given jointly, on rows not trained on.

    Args:
        codes: (n, d) mean codes of the latents asked about, in random order of rows; the first `MOST_ROWS` are used.
        position: (n, 2), x and y, as values or class indices.
        seed: Of the trees.

    Returns:
        (2,), at most 1; 0 or less is no better than the mean position.

    Raises:
        MetricError: The tables do not match, or have fewer than `LEAST_ROWS` rows.
    """
    codes, position = checked_rows("codes", codes), checked_rows("position", position)
    if len(codes) != len(position):
        raise MetricError(f"codes have {len(codes)} rows, position {len(position)}; give one row of each per image")
    if len(codes) < LEAST_ROWS:
        raise MetricError(f"{len(codes)} rows are too few to predict a position from; give at least {LEAST_ROWS}")
    codes, position = codes[:MOST_ROWS], position[:MOST_ROWS]
    train = int(TRAIN_SHARE * len(codes))
    scores = []
    for coordinate in position.T:
        trees = GradientBoostingRegressor(random_state=seed)  # one thread: the histogram form spins on busy cores
        trees.fit(codes[:train], coordinate[:train])
        scores.append(r2_score(coordinate[train:], trees.predict(codes[train:])))
    return np.array(scores)
