"""Scores of codes (n, d) against factors (n, k) of class indices; numpy, scipy and scikit-learn only.

>>> import numpy as np
>>> from trainables.metrics import score
>>> factors = np.random.default_rng(0).integers(0, 4, (1000, 2))
>>> score(factors.astype(float), factors, metrics=["mig"])["mig"] > 0.99
True
"""

from collections.abc import Sequence

from numpy.typing import ArrayLike


def score(
    codes: ArrayLike, factors: ArrayLike, metrics: Sequence[str] | None = None, seed: int = 0
) -> dict[str, float]:
    """Every score by name, as `trainables.metrics.table.score`, which says what is raised and what warned about."""
    from trainables.metrics import table  # scikit-learn: who imports the package for one metric does without

    return table.score(codes, factors, metrics, seed)
