"""Colours for a binary dataset: red, green and blue as three more factors, drawn when an image is asked for.

Eight levels each make 512 images of every one, too many to store: the file holds the levels and the name of the file
with the shapes beside it.

Source: Burgess et al. 2018, Fig. 4a. The paper names no levels; ours leave no sprite darker than a quarter.
"""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np

from trainables.data.dataset import COLOURED, DatasetError, open_dataset
from trainables.data.layout import Tally

LEVELS = np.linspace(0.25, 1, 8)
"""Brightness of the sprite in each of the three channels."""
CHANNELS = 3
BLOCK = 4096


def colour(shapes: Path, path: Path) -> None:
    """Make the coloured form of a binary dataset.

    Args:
        shapes: A file of our layout with packed images; it must stay where it is.
        path: The file to make, in the same folder.

    Raises:
        DatasetError: `shapes` is not binary, or in another folder.
    """
    plain = open_dataset(shapes)
    if plain.images.ndim != 2 or shapes.parent.resolve() != path.parent.resolve():
        raise DatasetError(f"dataset {shapes} cannot be coloured into {path}; give a binary one in the same folder")
    tally = Tally(binary=True)
    for start in range(0, len(plain.images), BLOCK):
        rows = slice(start, start + BLOCK)
        tally.add(plain.images[rows], plain.held_out[rows])
    inner = LEVELS[LEVELS < 1]
    entropy_of_pixel = -(inner * np.log(inner) + (1 - inner) * np.log(1 - inner)).sum() / len(LEVELS)
    aside = path.with_name(f"{path.name}.partial")
    with h5py.File(aside, "w") as file:
        file.attrs.update(
            layout=COLOURED,
            name=path.stem,
            shapes=shapes.name,
            shapes_sha256=plain.sha256,
            levels=LEVELS,
            entropy=plain.entropy + CHANNELS * np.log(len(LEVELS)),
            constant_loss=CHANNELS * tally.constant_loss(brightness=float(LEVELS.mean())),
            recon_floor=CHANNELS * float(np.sum(tally.held_out)) / tally.held_out_images * entropy_of_pixel,
            sha256=hashlib.sha256(plain.sha256.encode() + LEVELS.tobytes()).hexdigest(),
        )
    os.replace(aside, path)
