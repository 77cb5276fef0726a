"""Joint information I(x; z) and total correlation of the aggregate posterior, as brackets: what n rows can resolve.

KL(q(z|x) || p) averaged over x is I(x; z) + TC + sum_j KL(q(z_j) || p), and sum_j I(x; z_j) is I(x; z) + TC: nats said
twice. I(x; z) needs the density of the aggregate q(z) in all d dimensions. From n rows with each draw's own row in the
mixture it cannot exceed ln n and is too low; with the own row out it is too high, and explodes where posteriors do not
overlap. Minibatch-weighted estimators are useless here (docs/metrics.md).
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.audit import MAX_LOG_STD
from trainables.metrics.inputs import MetricError, checked_rows

RESOLVED = 0.5
"""Nats: a wider bracket is not resolved at its n."""
CELLS = 2**21
"""Densities held at once: 16 MB."""


@dataclass(frozen=True)
class Joint:
    """A bracket around I(x; z), nats.

    Attributes:
        low: Own row in the aggregate: at most ln n.
        high: Own row out.
        low_se: Standard error over the draws.
        high_se: Likewise.
    """

    low: float
    high: float
    low_se: float
    high_se: float

    @property
    def resolved(self) -> bool:
        """Whether the two agree within `RESOLVED`."""
        return self.high - self.low <= RESOLVED

    def bounded(self, most: float) -> "Joint":
        """The same with the upper end at most the sum of I(x; z_j), TC not being negative, or H(images), in nats."""
        return dataclasses.replace(self, high=max(self.low, min(self.high, most)))

    def total_correlation(self, info_sum: float) -> tuple[float, float]:
        """The bracket of TC = sum_j I(x; z_j) - I(x; z), nats; TC is never under 0."""
        return max(0.0, info_sum - self.high), max(0.0, info_sum - self.low)


def joint_information(mean: ArrayLike, log_std: ArrayLike, draws: ArrayLike, own: ArrayLike | None = None) -> Joint:
    """A bracket around I(x; z), x an image of which the rows are a sample, from one draw z ~ q(z|x) for each outer row.

    Args:
        mean: (n, d), of the rows that make the aggregate.
        log_std: (n, d), natural logarithm of the standard deviation.
        draws: (m, d), one draw of each outer row.
        own: (m,) indices of the outer rows among the n; None where they are all, in order.

    Raises:
        MetricError: Shapes that do not fit, fewer than two rows or draws, or a posterior that is not finite.
    """
    mean, log_std, draws = (
        checked_rows(name, table).astype(np.float64)
        for name, table in (("mean", mean), ("log_std", log_std), ("draws", draws))
    )
    own = np.arange(len(mean)) if own is None else np.asarray(own)
    if mean.shape != log_std.shape or draws.shape != (len(own), mean.shape[1]) or min(len(mean), len(draws)) < 2:
        raise MetricError(
            f"mean {mean.shape}, log_std {log_std.shape} and draws {draws.shape} do not fit; give (n, d) twice and a "
            "draw of each outer row, at least two of both"
        )
    widest = float(np.abs(log_std).max())
    if widest > MAX_LOG_STD:
        raise MetricError(f"|log_std| reaches {widest:.4g}, above {MAX_LOG_STD:g}; score only a model that is finite")
    precision = np.exp(-2 * log_std)
    weighted = mean * precision
    offsets = -0.5 * (mean * weighted).sum(axis=1) - log_std.sum(axis=1)  # the constant cancels in the ratio
    with_own, without_own = np.empty(len(draws)), np.empty(len(draws))
    block = max(1, CELLS // len(mean))
    for start in range(0, len(draws), block):
        z, index = draws[start : start + block], own[start : start + block]
        logs = z @ weighted.T - 0.5 * (z**2) @ precision.T + offsets  # (block, n)
        lines = np.arange(len(z))
        itself = logs[lines, index]
        logs[lines, index] = -np.inf
        others = _log_of_sum(logs)
        without_own[start : start + block] = itself - others
        with_own[start : start + block] = itself - np.logaddexp(others, itself)
    low, high = with_own + math.log(len(mean)), without_own + math.log(len(mean) - 1)
    root = math.sqrt(len(draws))
    return Joint(float(low.mean()), float(high.mean()), float(low.std(ddof=1)) / root, float(high.std(ddof=1)) / root)


def _log_of_sum(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ln sum exp of each row, in place: (rows, n) -> (rows,)."""
    largest = logs.max(axis=1, keepdims=True)
    logs -= largest
    return np.log(np.exp(logs, out=logs).sum(axis=1)) + largest[:, 0]
