"""A trial's pictures as the page holds them: WebP mosaics with clear gaps, fewer where trials are many."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from analysis.figures.sheets import FADED, Row, mosaic

BUDGET = 11_000_000
"""Bytes of all trials' pictures in one page, after base64: a page of 1,000 trials stays under 25 MB."""
LOSSY = {"quality": 40, "method": 2}
"""In sprites of 64 pixels no eye tells it from the original; six times smaller than PNG, and soon encoded."""


@dataclass(frozen=True)
class Level:
    """How much of its pictures each trial shows.

    Attributes:
        images: Probe images traversed, at most.
        inactive: Whether rows of inactive latents are shown, too.
        half: Whether pictures are at half size.
        every: Of the columns of a traversal, each how manieth is shown.
    """

    images: int
    inactive: bool = True
    half: bool = False
    every: int = 1

    @property
    def words(self) -> str:
        """What is left out, for the page; empty where nothing is."""
        if self == LEVELS[0]:
            return ""
        kept = ["of one held-out image"]
        kept += [] if self.inactive else ["of active latents alone"]
        kept += ["at half size"] if self.half else []
        kept += [] if self.every == 1 else ["in every second column"]
        return f"So many trials leave room for traversals {', '.join(kept)}; the store has the rest."


LEVELS = (
    Level(4),
    Level(1),
    Level(1, inactive=False),
    Level(1, inactive=False, half=True),
    Level(1, inactive=False, half=True, every=2),
)
"""From all that is stored to the least worth a look; the last is taken however many trials there are."""

Sample = tuple[dict[str, np.ndarray], list[Row]]


def level(sample: Sequence[Sample], trials: int, budget: int = BUDGET) -> Level:
    """The first level at which all pictures fit into the budget.

    Args:
        sample: Arrays and rows of some of the trials, which stand for all.
        trials: How many have pictures.
        budget: Bytes of all, after base64.
    """
    for found in LEVELS[:-1]:
        sizes = [_size(sheets(arrays, rows, found)) for arrays, rows in sample]
        if not sizes or sum(sizes) / len(sizes) * trials <= budget:
            return found
    return LEVELS[-1]


def sheets(arrays: dict[str, np.ndarray], rows: Sequence[Row], level: Level) -> dict[str, Any]:
    """One trial's traversals and reconstructions, as JSON takes them.

    Args:
        arrays: The trial's: `traversals` (images, latents, columns, h, w, c), `originals` and `reconstructions`
            (n, h, w, c), uint8.
        rows: Its latents by held-out KL, high to low.
        level: How much of it to show.

    Returns:
        `rows`: the latents shown, from the top. `traversals`: a data URI an image; rows of inactive latents are faint.
        `reconstructions`: a data URI, originals above what the decoder makes of them.
    """
    shown = list(rows) if level.inactive else [row for row in rows if row.active] or list(rows[:1])
    latents = [row.latent for row in shown]
    traversals = arrays["traversals"][: level.images, :, :: level.every]
    opacity = [1.0 if row.active else FADED for row in shown]
    pairs = np.stack([arrays["originals"], arrays["reconstructions"]])
    return {
        "rows": [_described(row) for row in shown],
        "traversals": [_mosaic(_sized(image[latents], level), opacity) for image in traversals],
        "reconstructions": _mosaic(_sized(pairs, level), [1.0, 1.0]),
    }


def webp(picture: Image.Image, **how: Any) -> str:
    """A picture as a data URI of WebP.

    Args:
        picture: To encode.
        how: Options of the encoder, as Pillow takes them.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", **how)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _described(row: Row) -> dict[str, Any]:
    factor, share = row.factor if row.factor and row.active else (None, None)
    numbers = {"kl": round(row.kl, 3), "info": round(row.info, 3), "share": None if share is None else round(share, 3)}
    return {"latent": row.latent, "active": row.active, "factor": factor, **numbers}


def _sized(pictures: np.ndarray, level: Level) -> np.ndarray:
    """The pictures (rows, columns, h, w, c) as they are, or each 2 x 2 pixels as their mean."""
    if not level.half:
        return pictures
    rows, columns, height, width, channels = pictures.shape
    even = pictures[:, :, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(rows, columns, height // 2, 2, width // 2, 2, channels).mean(axis=(3, 5)).astype(np.uint8)


def _mosaic(pictures: np.ndarray, opacity: Sequence[float]) -> str:
    """The pictures (rows, columns, h, w, c) as one, a row as faint as told, the gaps clear on any background."""
    whole = mosaic(pictures)
    clear = np.array([255 - round(255 * share) for share in opacity], np.uint8)[:, None, None, None, None]
    alpha = 255 - mosaic(np.broadcast_to(clear, (*pictures.shape[:-1], 1)))  # the mosaic's gaps are 255
    colour = whole.repeat(3, axis=2) if whole.shape[2] == 1 else whole
    return webp(Image.fromarray(np.concatenate([colour, alpha], axis=2), "RGBA"), **LOSSY)


def _size(pictures: dict[str, Any]) -> int:
    return sum(map(len, pictures["traversals"])) + len(pictures["reconstructions"])
