"""Gaussian total correlation: how far are the codes from independent, as far as correlations tell? No factors.

Source: Locatello et al. 2019, "Challenging common assumptions"; Watanabe 1960 for total correlation.
"""

import numpy as np
from numpy.typing import ArrayLike

from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError, checked_rows, standardised

SINGULAR = 1e-10
"""Least eigenvalue of the correlation matrix that is told from 0 in fp32 codes."""


def measure(codes: ArrayLike, factors: ArrayLike | None = None, seed: int = 0) -> dict[str, Result]:
    """`gaussian_total_correlation`: -1/2 ln det of the codes' correlation matrix, nats, 0 if uncorrelated.

    The KL from a Gaussian of the codes' covariance to the product of its marginals. Constant latents are dropped;
    infinite where latents are linearly dependent.

    Args:
        codes: (n, d).
        factors: Not read.
        seed: Not read.

    Raises:
        MetricError: The codes cannot be scored, or are no more rows than latents.
    """
    codes = checked_rows("codes", codes)
    if len(codes) <= codes.shape[1]:
        raise MetricError(f"{len(codes)} rows are too few for a covariance of {codes.shape[1]} latents; score more")
    kept = standardised(codes)
    value = 0.0
    if kept.shape[1] > 1:
        eigenvalues = np.linalg.eigvalsh(kept.T @ kept / len(kept))
        value = float("inf") if eigenvalues[0] < SINGULAR else float(max(0.0, -0.5 * np.log(eigenvalues).sum()))
    return {"gaussian_total_correlation": Result(value, len(codes))}
