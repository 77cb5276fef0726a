"""Does a latent move along one axis of the position? Alignment and tears of the encoder's map of positions (Fig. 2).

A position map holds the posterior means T_j of every latent j at every position of a grid, x along the first axis.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.audit import active_latents
from trainables.metrics.inputs import MetricError, among_all, checked_rows

TORN = 5.0
"""Medians of latent distance beyond which two neighbouring positions are torn apart."""
RINGS = 2
"""Outer rings of the grid that count no tears: objects there are clipped."""
LEAST_POSITIONS = 2 * RINGS + 2
"""Along each axis: the inner grid has a pair then."""
LEAST_VARIANCE = 0.1
"""Of T_j over the grid: a latent that says something else of the image hardly moves with position."""
ALIGNMENT_NULL = 2 / math.pi
"""Mean A under a random common rotation of latents that move alike along x and y: the mean of |cos 2 theta|."""
NEAR_AXIS = 10.0
"""Degrees from the nearest axis within which a trial counts as aligned."""
NEAR_AXIS_NULL = 2 * NEAR_AXIS / 90
"""Share of trials as near under that rotation."""

Map = NDArray[np.float64]
"""(nx, ny, latents): a position map."""
Pairs = NDArray[np.bool_]
"""(nx - 1, ny) or (nx, ny - 1): neighbours along x or along y, at the place of the lesser one."""


@dataclass(frozen=True)
class Alignment:
    """How a position map lies to the axes; NaN where there is nothing to ask, as `axis_alignment` says."""

    alignment: float
    """A, KL-weighted mean of `per_latent`: 1 along the axes, 0 at 45 degrees."""
    angle: float
    """Degrees, KL-weighted mean of `angles`."""
    torn_share: float
    """F_enc: share of torn pairs, the outer two rings dropped."""
    per_latent: NDArray[np.float64]
    """(latents,), A_j = |Jxx - Jyy| / (Jxx + Jyy); NaN for latents that do not count."""
    angles: NDArray[np.float64]
    """(latents,), degrees between J_j's principal direction and the nearest axis, 0 to 45; NaN as `per_latent`."""


def position_latents(means: ArrayLike, kl: ArrayLike, info: ArrayLike) -> NDArray[np.bool_]:
    """Latents that say the position, (latents,): active, with a variance of T_j over the grid of at least 0.1.

    Args:
        means: (nx, ny, latents), a position map.
        kl: (latents,), KL_j in nats.
        info: (latents,), I(x; z_j) in nats.

    Raises:
        MetricError: The map is none, or the tables do not match.
    """
    table = checked_map(means)
    active = active_latents(_per_latent("kl", kl, table), _per_latent("info", info, table))
    return active & (table.var(axis=(0, 1)) >= LEAST_VARIANCE)


def axis_alignment(means: ArrayLike, spacing: tuple[float, float], kl: ArrayLike, latents: ArrayLike) -> Alignment:
    """Alignment with the axes, and the share of torn pairs, of a position map.

    Gradients g are forward differences per pixel at the (nx - 1) x (ny - 1) positions with both neighbours, those left
    out of which a pair is torn; J_j = mean g g^T. All is NaN where no latent counts or all that count are constant.
    A latent that moves at torn pairs only has no gradient, and one with the same J in every direction no principal
    one: NaN each, left out of the weighted mean, which is NaN where none remains or their KL is 0.

    Args:
        means: (nx, ny, latents), a position map.
        spacing: Pixels between neighbours along x and y.
        kl: (latents,), KL_j in nats.
        latents: (latents,) bool, which count, as `position_latents` chooses.

    Raises:
        MetricError: The map is none or has under 6 positions along an axis, the tables do not match, a spacing or the
            KL of a latent that counts is negative.
    """
    table = checked_map(means)
    counted = checked_choice(latents, table.shape[2])
    if min(table.shape[:2]) < LEAST_POSITIONS:
        raise MetricError(
            f"a grid of {table.shape[0]} x {table.shape[1]} positions has no pair inside its outer {RINGS} rings; "
            f"give at least {LEAST_POSITIONS} along each axis"
        )
    if len(spacing) != 2 or not all(0 < gap < math.inf for gap in spacing):
        raise MetricError(f"spacing={spacing} is not two positive distances; give pixels along x and y")
    weights = _per_latent("kl", kl, table)[counted]
    if (weights < 0).any():
        raise MetricError(f"kl reaches {weights.min():.4g} and cannot weigh a latent; a KL is at least 0")
    kept = table[:, :, counted]
    if not np.ptp(kept, axis=(0, 1)).any():
        nothing = np.full((2, len(counted)), math.nan)
        return Alignment(math.nan, math.nan, math.nan, *nothing)
    torn = torn_pairs(kept, spacing)
    jxx, jyy, jxy = _second_moments(kept, spacing, torn)
    total = jxx + jyy
    aligned = np.divide(np.abs(jxx - jyy), total, where=total > 0, out=np.full(len(total), math.nan))
    direction = np.abs(np.degrees(np.arctan2(2 * jxy, jxx - jyy)) / 2)  # 0 along x, 90 along y
    directed = (jxx != jyy) | (jxy != 0)
    angles = np.where(directed, np.minimum(direction, 90 - direction), math.nan)
    return Alignment(
        _weighted(aligned, weights),
        _weighted(angles, weights),
        _torn_share(*torn),
        among_all(aligned, counted),
        among_all(angles, counted),
    )


def torn_pairs(means: Map, spacing: tuple[float, float]) -> tuple[Pairs, Pairs]:
    """Neighbours along x and along y that lie over 5 medians apart in latent space.

    Distances are Euclidean and per pixel, and the median is the larger of those of the two axes. That of all pairs
    together would lie between the axes where the latents say only one of them, and make tears of its slopes. A median
    of 0 is none of the exceptions: where most neighbours share their means, every pair that does not is torn.

    Args:
        means: (nx, ny, latents), those that count.
        spacing: Pixels between neighbours along x and y.

    Returns:
        (nx - 1, ny) and (nx, ny - 1).
    """
    steps = [np.linalg.norm(np.diff(means, axis=axis), axis=2) / spacing[axis] for axis in (0, 1)]
    limit = TORN * max(np.median(step) for step in steps)
    return steps[0] > limit, steps[1] > limit


def checked_map(means: ArrayLike) -> Map:
    """A position map of finite numbers, as float64.

    Args:
        means: (nx, ny, latents).

    Raises:
        MetricError: Another shape, or a value that is no finite number.
    """
    table = np.asarray(means)
    if table.ndim != 3 or table.size == 0:
        raise MetricError(f"means of shape {table.shape} are no position map; give (nx, ny, latents), none of them 0")
    return checked_rows("means", table.reshape(-1, table.shape[2])).reshape(table.shape).astype(np.float64)


def checked_choice(latents: ArrayLike, count: int) -> NDArray[np.bool_]:
    """Which of `count` latents count, (latents,).

    Raises:
        MetricError: Another shape, or other than bools: indices would choose others than they name.
    """
    choice = np.asarray(latents)
    if choice.shape != (count,) or choice.dtype != np.bool_:
        raise MetricError(f"latents of shape {choice.shape} and dtype {choice.dtype} do not choose; give {count} bools")
    return choice


def _per_latent(name: str, values: ArrayLike, means: Map) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != means.shape[2:]:
        raise MetricError(f"{name} of shape {numbers.shape} is not ({means.shape[2]},); give one value per latent")
    if not np.isfinite(numbers).all():
        raise MetricError(f"{name} holds non-finite values; map only a finite model")
    return numbers


def _second_moments(means: Map, spacing: tuple[float, float], torn: tuple[Pairs, Pairs]) -> list[NDArray[np.float64]]:
    """Jxx, Jyy and Jxy, (latents,) each; zeros where no position is left."""
    whole = ~(torn[0][:, :-1] | torn[1][:-1, :])
    gx = (np.diff(means, axis=0)[:, :-1] / spacing[0])[whole]  # (positions, latents)
    gy = (np.diff(means, axis=1)[:-1, :] / spacing[1])[whole]
    count = max(1, whole.sum())
    return [(one * other).sum(axis=0) / count for one, other in ((gx, gx), (gy, gy), (gx, gy))]


def _torn_share(along_x: Pairs, along_y: Pairs) -> float:
    inner = slice(RINGS, -RINGS)
    return float(np.concatenate([along_x[inner, inner].ravel(), along_y[inner, inner].ravel()]).mean())


def _weighted(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    known = ~np.isnan(values)
    total = weights[known].sum()
    return float(values[known] @ weights[known] / total) if total > 0 else math.nan
