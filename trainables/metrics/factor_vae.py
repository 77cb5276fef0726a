"""FactorVAE score: with a factor held fixed, does one latent stand still, always the same?

Source: Kim and Mnih 2018, section 4.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.calibration import Result
from trainables.metrics.groups import groups_of, rows_of_value
from trainables.metrics.inputs import MetricError, checked_table, varied_columns

BATCH, VOTES = 64, 3000
"""Rows a vote, and votes to train and again to evaluate."""
PRUNED = 0.05
"""Standard deviation under which a latent counts as inactive."""


def measure(
    codes: ArrayLike, factors: ArrayLike, seed: int = 0, batch: int = BATCH, votes: int = VOTES
) -> dict[str, Result]:
    """`factor_vae`: the accuracy of the majority vote that names the fixed factor from the latent that varies least.

    A vote fixes a uniformly drawn factor at the value of a uniformly drawn row, draws `batch` rows without replacement
    among those sharing it, and names the latent of least variance relative to its variance over the table. Latents of
    standard deviation under 0.05 are pruned; with all pruned the score is 0. A value that too few rows share gives no
    vote: those are counted in `skipped`. Constant factors are left out; the others need a vote each, or the score would
    be of fewer factors than it says.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Of the draws, separate ones for training and evaluation.
        batch: Rows a vote.
        votes: To train, and again to evaluate.

    Returns:
        The matrix is the training votes, (d, k) counts.

    Raises:
        MetricError: The table cannot be scored, one factor alone varies, or of one no value is shared by `batch` rows.
    """
    codes, factors = checked_table(codes, factors)
    varied = varied_columns(factors)
    if varied.sum() < 2:
        raise MetricError("the FactorVAE score tells factors apart, and one alone varies; give at least 2")
    for k in np.flatnonzero(varied):
        if np.bincount(factors[:, k]).max() < batch:
            raise MetricError(f"no value of factor {k} is shared by {batch} of the {len(codes)} rows; score more rows")
    codes = codes.astype(np.float64)
    kept = codes.std(axis=0) >= PRUNED
    if not kept.any():
        return {"factor_vae": Result(0.0, len(codes))}
    generator = np.random.default_rng(seed)
    scaled = codes[:, kept] / codes[:, kept].std(axis=0)
    (train, skipped), (test, more) = (_votes(scaled, factors, varied, generator, batch, votes) for _ in range(2))
    if train.sum() == 0 or test.sum() == 0:
        raise MetricError(
            f"all {skipped + more} votes were skipped, for values that under {batch} rows share; score more"
        )
    named = train.argmax(axis=1)  # the factor that each latent stands for
    value = float(test[np.arange(len(test)), named].sum() / test.sum())
    matrix = np.zeros((codes.shape[1], len(varied)))
    matrix[kept] = train
    return {"factor_vae": Result(value, len(codes), None, matrix, skipped=skipped + more)}


def _votes(
    scaled: NDArray[np.float64],
    factors: NDArray[np.intp],
    varied: NDArray[np.bool_],
    generator: np.random.Generator,
    batch: int,
    votes: int,
) -> tuple[NDArray[np.float64], int]:
    """Votes counted by (latent, factor), and how many were skipped."""
    counts, skipped = np.zeros((scaled.shape[1], factors.shape[1])), 0
    drawn_factors = generator.choice(np.flatnonzero(varied), votes)
    drawn_rows = generator.integers(0, len(scaled), votes)
    for k in np.flatnonzero(varied):
        groups = groups_of(factors[:, k])
        asked = np.bincount(factors[drawn_rows[drawn_factors == k], k], minlength=len(groups.sizes))
        for value in np.flatnonzero(asked):
            rows, many = rows_of_value(groups, int(value)), int(asked[value])
            if len(rows) < batch:
                skipped += many
                continue
            keys = generator.random((many, len(rows)))  # the least `batch` keys are a draw without replacement
            picks = rows[np.argpartition(keys, batch - 1, axis=1)[:, :batch]]
            still = scaled[picks].var(axis=1).argmin(axis=1)  # (votes,)
            counts[:, k] += np.bincount(still, minlength=len(counts))
    return counts, skipped
