"""Gaussian blobs on a black canvas at every position of a grid: the data of Burgess et al. 2018, Fig. 2.

The paper gives neither the blobs' size nor the number of positions. Under a summed Bernoulli loss beta = 150 makes a
small blob's position not worth its nats (a standard deviation of 3 to 4 pixels: none at all), so ours are large.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trainables.data.layout import write_dataset

SIDE = 64
POSITIONS = 32
"""Centres along each axis."""
SPREAD = 8.0
"""Standard deviation of a blob, pixels; its peak is white, and the canvas clips it."""


def render_blobs(path: Path, aspect: float = 1.0) -> None:
    """Render all 1,024 images into a file of our layout; factors x and y in pixels.

    Args:
        path: The file to make.
        aspect: How many times farther the centres spread along x than along y. On a square canvas x and y matter
            equally, so that nothing but chance keeps a code from being rotated; 2 is the control.
    """
    x, y = centres(1.0), centres(1.0 / aspect)
    classes = np.indices((POSITIONS, POSITIONS), dtype=np.uint8).reshape(2, -1).T
    write_dataset(path, path.stem, _blocks(x, y), classes, {"x": x.tolist(), "y": y.tolist()})


def centres(share: float) -> np.ndarray:
    """Centres along one axis over the middle `share` of the canvas, in pixels: (POSITIONS,)."""
    middle, reach = (SIDE - 1) / 2, share * (SIDE - 1) / 2
    return np.linspace(middle - reach, middle + reach, POSITIONS)


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Images of one x after another: uint8 (POSITIONS, 64, 64, 1), y within."""
    pixels = np.arange(SIDE)
    rows = np.exp(-((pixels - y[:, None]) ** 2) / (2 * SPREAD**2))  # (y, 64)
    for column in np.exp(-((pixels - x[:, None]) ** 2) / (2 * SPREAD**2)):
        yield np.rint(255 * rows[:, :, None] * column)[..., None].astype(np.uint8)
