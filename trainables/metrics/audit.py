"""Is the capacity used? Nats per latent that carry information on the image, nats that do not, and a verdict.

KL(q(z_j|x) || p) averaged over x is I(x; z_j) + KL(q(z_j) || p): what latent j says, and what it wastes by an
aggregate q(z_j) that is not the prior p = N(0, 1).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.metrics.inputs import MetricError, checked_rows

REACH = 6.0
"""Standard deviations from its mean at which a posterior is cut off (2e-9 of its mass)."""
POINTS_PER_SD = 2
"""Grid points per standard deviation of a narrow posterior (the one at the lowest percent)."""
POINTS_WHEN_WIDE = 4
"""Least grid points per standard deviation on a coarser grid; interpolating it errs by 1e-5 of the peak."""
MAX_CELLS = 2**14
"""Bound on the grid."""
MAX_LOG_STD = 100.0
"""Beyond it single precision holds neither the standard deviation nor its inverse."""
BLOCK = 2**17
"""Densities evaluated at once: 1 MB an array, which stays in the cache."""

Latents = NDArray[np.float64]
"""(d,), one number a latent."""
Rows = NDArray[np.float64]
"""(n,) or (points,): one latent's numbers."""


@dataclass(frozen=True)
class Information:
    """What each latent transmits, (d,) nats each: `kl` = `info` + `dim_kl` up to the integration error."""

    kl: Latents
    """Posterior against prior, averaged over rows."""
    info: Latents
    """I(x; z_j), for x uniform on the rows given."""
    dim_kl: Latents
    """Aggregate posterior against prior: nats that carry nothing."""


def kl_per_latent(mean: ArrayLike, log_std: ArrayLike) -> Latents:
    """KL(q(z_j|x) || N(0, 1)), averaged over the rows x.

    Args:
        mean: (n, d).
        log_std: (n, d), natural logarithm of the standard deviation.

    Returns:
        (d,), nats.
    """
    mean, log_std = _checked(mean, log_std)
    return np.mean(0.5 * (mean**2 + np.exp(2 * log_std) - 1) - log_std, axis=0)


def information_per_latent(mean: ArrayLike, log_std: ArrayLike) -> Information:
    """Split each latent's KL into information on x and KL of the aggregate, by one-dimensional integrals.

    The aggregate q(z_j) is the equal mixture of the n posteriors, own row included: info is at most ln n. Its
    entropy and KL are integrated, independently of the closed-form KL. Posteriors narrower than the grid's
    spacing (half the width of the narrowest percent, or 1/16384 of the latent's range) are widened to it:
    there info and dim_kl are lower bounds, and fall short of kl together.

    Args:
        mean: (n, d).
        log_std: (n, d), natural logarithm of the standard deviation.
    """
    mean, log_std = _checked(mean, log_std)
    kl = kl_per_latent(mean, log_std)
    pairs = [_info_and_dim_kl(m, np.exp(s)) for m, s in zip(mean.T, log_std.T, strict=True)]
    info, dim_kl = np.array(pairs).T
    return Information(kl, info, dim_kl)


def active_latents(kl: ArrayLike, info: ArrayLike) -> NDArray[np.bool_]:
    """Latents with KL_j >= 0.1 and I_j >= 0.1 nats, (d,)."""
    return (np.asarray(kl) >= 0.1) & (np.asarray(info) >= 0.1)


def active_kl001(kl: ArrayLike) -> int:
    """Number of latents with KL_j > 0.01 nats. Source: Duan et al. 2020 (UDR)."""
    return int(np.sum(np.asarray(kl) > 0.01))


def active_units(mean: ArrayLike) -> int:
    """Number of latents whose mean (n, d) has variance > 0.01 over the rows. Source: Burda et al. 2016."""
    return int(np.sum(np.var(checked_rows("mean", mean).astype(np.float64), axis=0) > 0.01))


def excess(kl_total: float, image_entropy: float) -> float:
    """Nats of KL above all that there is to say on the images: max(0, KL - H)."""
    return max(0.0, kl_total - image_entropy)


def verdict(
    objective: str,
    kl: float,
    info_sum: float,
    recon: float,
    constant_loss: float,
    capacity: float = math.nan,
    tracking: float | None = None,
) -> str:
    """The audit in words: `not informative`, `gamma too low`, `KL cannot follow` or `fine`.

    Args:
        objective: `vae`, `beta_vae` or `capacity`.
        kl: Held-out KL, nats.
        info_sum: Sum of I(x; z_j) over latents, nats.
        recon: Held-out reconstruction loss, nats an image.
        constant_loss: R0, that of the best constant image.
        capacity: C now, nats; read for the capacity objective only.
        tracking: Mean held-out KL - C over the ramp, nats, None or NaN where there is none; read for the
            capacity objective only.

    Raises:
        MetricError: A number that decides is missing or not finite.
    """
    asked = capacity if objective == "capacity" else kl
    numbers = {"kl": kl, "info_sum": info_sum, "recon": recon, "constant_loss": constant_loss, "asked": asked}
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise MetricError(f"{name}={number} is not finite; a diverged trial has no verdict")
    share = info_sum / kl if kl > 0 else 0.0
    if asked >= 3 and (share < 0.5 or recon > 0.9 * constant_loss):
        return "not informative"
    if objective == "capacity" and tracking is not None:
        if tracking > 1:
            return "gamma too low"
        if tracking < -1:
            return "KL cannot follow"
    return "fine"


def _checked(mean: ArrayLike, log_std: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, widths = checked_rows("mean", mean), checked_rows("log_std", log_std)
    if rows.shape != widths.shape:
        raise MetricError(f"mean {rows.shape} and log_std {widths.shape} differ in shape; give one of each per row")
    widest = float(np.abs(widths).max())
    if widest > MAX_LOG_STD:
        raise MetricError(
            f"|log_std| reaches {widest:.4g}, above {MAX_LOG_STD}; score only a model that has not diverged"
        )
    return rows.astype(np.float64), widths.astype(np.float64)


def _info_and_dim_kl(mean: Rows, sd: Rows) -> tuple[float, float]:
    """I(x; z) and KL(q(z) || p) of one latent, mean and sd (n,)."""
    narrow = np.quantile(sd, 0.01, method="lower")
    span = np.ptp(mean) + 2 * REACH * sd.max()
    spacing = max(narrow / POINTS_PER_SD, span / MAX_CELLS)
    sd = np.maximum(sd, spacing)
    grid, density = _aggregate(mean, sd, spacing)
    log_density = np.log(density, where=density > 0, out=np.zeros_like(density))
    entropy = -spacing * density @ log_density
    cross_entropy = spacing * density @ (0.5 * grid**2 + 0.5 * math.log(2 * math.pi))
    own_entropy = 0.5 * math.log(2 * math.pi * math.e) + np.log(sd).mean()
    return float(entropy - own_entropy), float(cross_entropy - entropy)


def _aggregate(mean: Rows, sd: Rows, spacing: float) -> tuple[Rows, Rows]:
    """The mixture's density on an even grid that covers it: (points, density).

    A posterior is added only where it reaches, and a wide one on a coarser grid (each level doubles the
    spacing) that is interpolated later: under 100 points a row, where rows x grid would be thousands.
    """
    level = np.maximum(np.log2(sd / (POINTS_WHEN_WIDE * spacing)), 0).astype(np.intp)
    step = spacing * 2.0 ** level.max()
    margin = (math.ceil(REACH * sd.max() / step) + 2) * step  # below the least mean and above the largest
    place = mean - mean.min() + margin
    density = np.zeros(math.ceil((place.max() + margin) / step) + 1)
    for now in range(level.max(), -1, -1):
        rows = level == now
        density += _sum_of_normals(place[rows], sd[rows], spacing * 2.0**now, len(density))
        if now > 0:
            density = _at_half_the_spacing(density)
    return mean.min() - margin + spacing * np.arange(len(density)), density / len(sd)


def _sum_of_normals(place: Rows, sd: Rows, step: float, points: int) -> Rows:
    """Sum over rows of N(place, sd^2) at 0, step, 2 step, ..., (points,); rows of similar width."""
    total = np.zeros(points)
    if len(sd) == 0:
        return total
    reach = math.ceil(REACH * sd.max() / step)
    offsets = np.arange(-reach, reach + 1)
    block = max(1, BLOCK // len(offsets))
    for start in range(0, len(sd), block):
        centre, width = place[start : start + block, None], sd[start : start + block, None]
        index = np.rint(centre / step).astype(np.intp) + offsets  # (rows, offsets)
        z = (index * step - centre) / width
        weight = np.exp(-0.5 * z * z) / (width * math.sqrt(2 * math.pi))
        total += np.bincount(index.ravel(), weight.ravel(), minlength=points)
    return total


def _at_half_the_spacing(values: Rows) -> Rows:
    """Six-point interpolation between the values, which stay: (points,) -> (2 points - 1,)."""
    spread = np.zeros(2 * len(values) - 1)
    spread[::2] = values
    return np.convolve(spread, np.array([3, 0, -25, 0, 150, 256, 150, 0, -25, 0, 3]) / 256, "same")
