"""Does what a decoder draws jump, or fall into two, while one latent moves? Jumps and ghosts along traversals (Fig. 2).

The decoder is a callable, so that nothing here needs torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from trainables.metrics.alignment import checked_choice, checked_map
from trainables.metrics.inputs import MetricError, checked_rows

VALUES = np.linspace(-3, 3, 121)
"""What a traversed latent takes, as far as its means reach."""
REACH = (0.01, 0.99)
"""Quantiles of a latent's means between which it is traversed: beyond them the decoder was hardly trained."""
JUMP = 0.1
"""Share of the position range that the centroid leaps over at a jump."""
GHOST = 0.2
"""Least share of the brightness above half peak that makes a component count."""
CHUNK = 512
"""Frames decoded at once: 8 MB of 64 x 64."""
TOUCHING = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))], dtype=bool)
"""Neighbours in (frames, h, w): the eight around a pixel, none in another frame."""

Decoder = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""Codes (n, latents) -> pixels (n, h, w) in [0, 1]."""


@dataclass(frozen=True)
class Fragmentation:
    """What the decoder does while one latent moves, over all traversals of the latents that count."""

    jumps: float
    """F_dec: mean number of jumps a traversal; NaN where there is none."""
    ghosts: float
    """Share of frames with two objects or more; NaN where there is none."""
    traversals: int
    frames: int


def fragmentation(
    decode: Decoder, bases: ArrayLike, means: ArrayLike, latents: ArrayLike, position_range: float
) -> Fragmentation:
    """Traverse every latent that counts from every base code, and count jumps and ghosts.

    A latent takes those of the 121 values from -3 to 3 that lie between the 1 and 99 % quantiles of its means, the
    others stay; under two such values it is left out. A *jump* is a single step that moves the centroid of brightness
    by more than a tenth of the position range. A *ghost* is a frame with at least two components (pixels above half its
    peak, touching at a side or corner) of at least 20 % of the brightness above half peak each. A black frame has no
    centroid: no step to or from it is a jump.

    Args:
        decode: Codes (n, latents) float32 -> pixels (n, h, w) in [0, 1]; is asked for at most 512 at a time.
        bases: (bases, latents), posterior means of the base positions.
        means: (nx, ny, latents), the position map.
        latents: (latents,) bool, which are traversed.
        position_range: Pixels from the first to the last position, along the longer axis.

    Raises:
        MetricError: The tables do not match, a range that is not positive, or pixels of another shape or range.
    """
    table, codes = checked_map(means), checked_rows("bases", bases)
    counted = checked_choice(latents, table.shape[2])
    if codes.shape[1] != len(counted):
        raise MetricError(f"bases have {codes.shape[1]} latents, means {len(counted)}; give both of one model")
    if not 0 < position_range < math.inf:
        raise MetricError(f"position_range={position_range} is not positive; give the pixels that positions span")
    jumps = ghosts = traversals = frames = 0
    for latent in np.flatnonzero(counted):
        low, high = np.quantile(table[:, :, latent], REACH)
        values = VALUES[(low <= VALUES) & (high >= VALUES)]
        if len(values) < 2:
            continue
        path = np.repeat(codes.astype(np.float32), len(values), axis=0)  # (bases x values, latents)
        path[:, latent] = np.tile(values, len(codes))
        places, split = _looked_at(decode, path)
        steps = np.diff(places.reshape(len(codes), len(values), 2), axis=1)
        jumps += int((np.linalg.norm(steps, axis=2) > JUMP * position_range).sum())  # NaN is no jump
        ghosts += int(split.sum())
        traversals += len(codes)
        frames += len(path)
    if not traversals:
        return Fragmentation(math.nan, math.nan, 0, 0)
    return Fragmentation(jumps / traversals, ghosts / frames, traversals, frames)


def _looked_at(decode: Decoder, codes: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Centroids (n, 2) of the frames decoded from codes (n, latents), and which are ghosts, (n,)."""
    places, split = [], []
    for start in range(0, len(codes), CHUNK):
        part = codes[start : start + CHUNK]
        frames = _checked(decode(part), len(part))
        places.append(_centroids(frames))
        split.append(_ghosts(frames))
    return np.concatenate(places), np.concatenate(split)


def _checked(frames: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    frames = np.asarray(frames)
    if frames.ndim != 3 or len(frames) != count or frames.size == 0:
        raise MetricError(f"decode gave {frames.shape} for {count} codes; it returns (n, h, w), one channel only")
    low, high = frames.min(), frames.max()
    if not (low >= 0 and high <= 1):  # NaN fails too
        raise MetricError(f"decode gave pixels from {low:.4g} to {high:.4g}; it returns probabilities in [0, 1]")
    return frames


def _centroids(frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean place of the brightness, (n, 2), row and column in pixels; NaN of a black frame."""
    by_row, by_column = (frames.sum(axis=axis, dtype=np.float64) for axis in (2, 1))
    mass = by_row.sum(axis=1)
    moments = np.stack([by_row @ np.arange(by_row.shape[1]), by_column @ np.arange(by_column.shape[1])], axis=1)
    return np.divide(moments, mass[:, None], where=mass[:, None] > 0, out=np.full_like(moments, math.nan))


def _ghosts(frames: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Frames with at least two components that count, (n,)."""
    bright = frames > 0.5 * frames.max(axis=(1, 2), keepdims=True)
    labels = np.empty(bright.shape, dtype=np.int32)
    ndimage.label(bright, TOUCHING, output=labels)
    count = int(labels.max())
    frame, component = np.nonzero(bright)[0], labels[bright]  # (bright pixels,)
    mass = np.bincount(component, frames[bright], minlength=count + 1)
    whole = np.bincount(frame, frames[bright], minlength=len(frames))
    home = np.zeros(count + 1, dtype=np.intp)  # the frame of each component
    home[component] = frame
    large = mass[1:] >= GHOST * whole[home[1:]]
    return np.bincount(home[1:][large], minlength=len(frames)) >= 2
