"""Beta-VAE score: can a linear classifier name the factor that pairs of images share from how far their codes differ?

Source: Higgins et al. 2017, section 3.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.calibration import Result
from trainables.metrics.groups import groups_of
from trainables.metrics.inputs import MetricError, checked_table, varied_columns
from trainables.metrics.linear import logistic, quiet

PAIRS, SAMPLES = 64, 3000
"""Pairs a sample, and samples to train and again to evaluate."""


def measure(
    codes: ArrayLike, factors: ArrayLike, seed: int = 0, pairs: int = PAIRS, samples: int = SAMPLES
) -> dict[str, Result]:
    """`beta_vae`: the test accuracy of a logistic regression that names the shared factor, 1/k by chance.

    A sample is the mean of |z1 - z2| over pairs of different rows that share the value of one uniformly drawn factor,
    the value being that of a uniformly drawn row. Values of a single row are left out, and so are constant factors.
    The score is 1 also for a code that merges two factors.

    Args:
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Of the draws, separate ones for training and evaluation.
        pairs: A sample.
        samples: To train, and again to evaluate.

    Raises:
        MetricError: The table cannot be scored, fewer than two factors vary, or of one no value is shared by two rows.
    """
    codes, factors = checked_table(codes, factors)
    columns = np.flatnonzero(varied_columns(factors))
    if len(columns) < 2:
        raise MetricError("the beta-VAE score tells factors apart, and one alone varies; give at least 2")
    generator = np.random.default_rng(seed)
    codes = codes.astype(np.float64)
    (train, named), (test, asked) = (_samples(codes, factors, columns, generator, pairs, samples) for _ in range(2))
    with quiet():
        model = logistic().fit(train, named)
    return {"beta_vae": Result(float(model.score(test, asked)), len(codes), split=(samples, samples))}


def _samples(
    codes: NDArray[np.float64],
    factors: NDArray[np.intp],
    columns: NDArray[np.intp],
    generator: np.random.Generator,
    pairs: int,
    samples: int,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Mean distances (samples, d), and the factor that each sample's pairs share (samples,)."""
    shared = generator.choice(columns, samples)
    distances = np.empty((samples, codes.shape[1]))
    for k in columns:
        chosen = np.flatnonzero(shared == k)
        groups = groups_of(factors[:, k])
        paired = np.flatnonzero(groups.sizes[groups.values] > 1)
        if len(paired) == 0:
            raise MetricError(f"no two of the {len(codes)} rows share a value of factor {k}; score more rows")
        first = generator.choice(paired, (len(chosen), pairs))
        value = groups.values[first]
        start, size = groups.starts[value], groups.sizes[value]
        place = np.empty(len(codes), np.intp)
        place[groups.order] = np.arange(len(codes))
        own = place[first] - start
        other = (own + generator.integers(1, size)) % size  # any of the others, alike
        second = groups.order[start + other]
        distances[chosen] = np.abs(codes[first] - codes[second]).mean(axis=1)
    return distances, shared
