"""What a model does with the position of the object: its position map, and the numbers that Fig. 2 shows as pictures.

Measuring asks the model through its passes, scoring needs none; so torch is not imported here.

Source: Burgess et al. 2018, section 4.3 and Fig. 2; the numbers are ours (docs/metrics.md).
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trainables.data.dataset import Dataset
from trainables.fragmentation import fragmentation
from trainables.measurement import Arrays, Place, Row
from trainables.metrics.alignment import LEAST_POSITIONS, axis_alignment, position_latents

if TYPE_CHECKING:
    from trainables.model import EncoderDecoder
    from trainables.passes import Passes

AXES = ("x", "y")
"""Names of the factors that say where the object is."""
BASES = 8
"""Base positions of the traversals along each axis."""


def position_rows(dataset: Dataset, like: int) -> np.ndarray | None:
    """Rows (nx, ny) of the images that differ from row `like` in position alone, x along the first axis.

    None where the dataset names no x and y, lacks some position, or has too few of them for a map.
    """
    if not set(AXES) <= set(dataset.factors):
        return None
    stored, colouring = divmod(int(like), dataset.colourings)
    columns = [dataset.factors.index(name) for name in AXES]
    others = [k for k in range(dataset.classes.shape[1]) if k not in columns]
    same = np.flatnonzero((dataset.classes[:, others] == dataset.classes[stored, others]).all(axis=1))
    places = dataset.classes[same][:, columns].astype(np.int64)
    rows = np.full([len(dataset.values[name]) for name in AXES], -1, np.int64)
    rows[places[:, 0], places[:, 1]] = same
    if (rows < 0).any() or min(rows.shape) < LEAST_POSITIONS:
        return None
    return rows * dataset.colourings + colouring


def mapped(passes: "Passes", model: "EncoderDecoder", rows: np.ndarray) -> Place:
    """The position map of a model.

    Args:
        passes: Of the model.
        model: At its end.
        rows: As `position_rows` gives them.
    """
    means = passes.posteriors(model, rows.ravel())[0].numpy().reshape(*rows.shape, -1)
    return Place(means, _pixels(passes, rows))


def traversed(passes: "Passes", model: "EncoderDecoder", place: Place, kl: np.ndarray, info: np.ndarray) -> Place:
    """The same with jumps and ghosts, searched for along traversals of the latents that tell of position.

    Args:
        passes: Of the model.
        model: At its end.
        place: Its position map.
        kl: (latents,), nats, on the probe.
        info: (latents,), I_j in nats, on the probe.
    """
    picks = (np.linspace(0, count - 1, BASES).round().astype(int) for count in place.means.shape[:2])
    bases = place.means[np.ix_(*picks)].reshape(-1, place.means.shape[2])
    latents = position_latents(place.means, kl, info)
    broken = fragmentation(partial(passes.brightness, model), bases, place.means, latents, max(place.spans))
    return replace(place, jumps=broken.jumps, ghosts=broken.ghosts)


def scored(place: Place, kl: np.ndarray, info: np.ndarray) -> tuple[Row, Arrays]:
    """The position columns of a row, and the map itself.

    Args:
        place: As it was measured.
        kl: (latents,), nats, on the probe.
        info: (latents,), I_j in nats, on the probe.
    """
    nx, ny, _ = place.means.shape
    latents = position_latents(place.means, kl, info)
    found = axis_alignment(place.means, (place.spans[0] / (nx - 1), place.spans[1] / (ny - 1)), kl, latents)
    row: Row = {
        "position_latents": int(latents.sum()),
        "alignment": found.alignment,
        "axis_angle": found.angle,
        "torn_share": found.torn_share,
    }
    if place.jumps is not None:
        row |= {"jumps": place.jumps, "ghosts": place.ghosts}
    return row, {"position_means": place.means, "position_latents": latents}


def _pixels(passes: "Passes", rows: np.ndarray) -> tuple[float, float]:
    """Pixels between the first and the last position along each axis, whatever unit the dataset's values are in.

    Told by the centroids of brightness in the middle of the canvas, since objects at its edge may be cut off.
    """
    nx, ny = rows.shape
    left, right, top, bottom = 3 * nx // 8, 5 * nx // 8, 3 * ny // 8, 5 * ny // 8
    ends = rows[[left, right, nx // 2, nx // 2], [ny // 2, ny // 2, top, bottom]]
    brightness = passes.images(ends).sum(1).cpu().numpy()  # (4, h, w)
    whole = brightness.sum((1, 2))
    x = brightness.sum(1) @ np.arange(brightness.shape[2]) / whole
    y = brightness.sum(2) @ np.arange(brightness.shape[1]) / whole
    across, down = (x[1] - x[0]) / (right - left), (y[3] - y[2]) / (bottom - top)
    return abs(float(across)) * (nx - 1), abs(float(down)) * (ny - 1)
