"""dSprites, rendered: three shapes in 6 scales, 40 orientations and 32 x 32 positions, binary 64 x 64 images.

Factors, their values and the order of the rows are those of the official file; the drawing is ours (a pixel
is on where its centre lies inside the shape), so the images are like the official ones, not the same.

Source: Matthey et al. 2017, https://github.com/google-deepmind/dsprites-dataset.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from trainables.data.layout import write_dataset

SIDE = 64
REACH = 31
"""Pixels between the first and the last position: one pixel a step where there are 32 positions."""
BOX = SIDE - REACH
"""Pixels on a side of the square that holds a sprite, so that it is complete at every position."""
AREA = 295.0
"""Pixels of each shape at scale 1: the mean over scales is 4.3 % of the canvas, as in the official file."""
CENTRE = (0.31, 0.17)
"""Pixels right and down from the middle pixel's centre: were it 0, a symmetry of the grid, small squares
would look the same in several orientations, and three times as many images would have an exact twin."""
HEART_AREA = 3.66197
"""Of the curve (a^2 + b^2 - 1)^3 = a^2 b^3."""
HEART_MIDDLE = 0.29
"""Height of that curve's centroid, about which the heart turns."""


def render_dsprites(path: Path, scales: int = 6, orientations: int = 40, positions: int = 32) -> None:
    """Render the dataset into a file of our layout; the same bytes on every machine.

    Fewer scales, orientations or positions spread over the same range: a small dataset of the same structure,
    whose last orientation is its first again.

    Args:
        path: The file to make.
        scales: Number of sizes from 0.5 to 1.
        orientations: Number of angles from 0 to 2 pi, both included.
        positions: Number of positions along x and along y, at whole pixels.
    """
    offsets = np.rint(np.linspace(0, REACH, positions)).astype(int)
    values = {
        "shape": (1.0, 2.0, 3.0),
        "scale": np.linspace(0.5, 1, scales).tolist(),
        "orientation": np.linspace(0, 2 * math.pi, orientations).tolist(),
        "x": (offsets / REACH).tolist(),
        "y": (offsets / REACH).tolist(),
    }
    sizes = [len(numbers) for numbers in values.values()]
    classes = np.indices(sizes, dtype=np.uint8).reshape(len(sizes), -1).T
    write_dataset(path, "dsprites", _blocks(values["scale"], orientations, offsets), classes, values)


def _blocks(scales: list[float], orientations: int, offsets: np.ndarray) -> Iterator[np.ndarray]:
    """Packed images of one sprite at all positions, x slower than y: uint8 (positions^2, 512)."""
    turns = max(orientations - 1, 1)
    for shape in range(3):
        for scale in scales:
            for turn in range(orientations):
                # Taking the turn modulo a full one makes the last image the first to the bit.
                yield slide(sprite(shape, scale, 2 * math.pi * (turn % turns) / turns), offsets)


def slide(picture: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A sprite (BOX, BOX) at all positions: packed uint8 (positions^2, 512), x slower than y."""
    wide = np.pad(picture, REACH)
    windows = sliding_window_view(wide, (SIDE, SIDE))[::-1, ::-1]  # (y, x, 64, 64): a later window shows it earlier
    images = windows[offsets[None, :], offsets[:, None]]  # (x, y, 64, 64)
    return np.packbits(images.reshape(len(offsets) ** 2, SIDE * SIDE), axis=1)


def sprite(shape: int, scale: float, angle: float) -> np.ndarray:
    """A shape drawn about the middle of its box: bool (BOX, BOX)."""
    return level(shape, scale, angle) < 0


def level(shape: int, scale: float, angle: float) -> np.ndarray:
    """A function that is negative inside the shape and 0 on its edge, at the pixel centres: (BOX, BOX).

    Args:
        shape: 0 square, 1 ellipse, 2 heart.
        scale: Of lengths; 1 is the largest.
        angle: Anticlockwise on the screen, radians.
    """
    row, column = np.indices((BOX, BOX)) - BOX // 2
    unit = scale * math.sqrt(AREA)  # in this unit every shape has area 1
    right, up = (column - CENTRE[0]) / unit, (CENTRE[1] - row) / unit
    a = right * math.cos(angle) + up * math.sin(angle)
    b = up * math.cos(angle) - right * math.sin(angle)
    if shape == 0:
        return np.maximum(abs(a), abs(b)) - 0.5
    if shape == 1:  # twice as long as wide
        return math.pi * (a * a / 2 + 2 * b * b) - 1
    a, b = a * math.sqrt(HEART_AREA), b * math.sqrt(HEART_AREA) + HEART_MIDDLE
    return (a * a + b * b - 1) ** 3 - a * a * b**3
