"""A dataset of one's own: grey bars of some width at every place, with their factors.

python examples/bars.py bars.h5
python study/run.py --store results/bars --set dataset=bars.h5
"""

import sys
from pathlib import Path

import numpy as np

from trainables.data.layout import write_dataset

SIDE, WIDTHS, PLACES, GREYS = 64, (4, 8, 16), 48, (0.5, 0.75, 1.0)


def main(path: Path) -> None:
    """Write the file: images (n, 64, 64, 1) uint8, and of each the class of its width, its place and its grey."""
    classes = np.array(list(np.ndindex(len(WIDTHS), PLACES, len(GREYS))), dtype=np.uint8)
    images = np.zeros((len(classes), SIDE, SIDE, 1), np.uint8)
    for image, (width, place, grey) in zip(images, classes, strict=True):
        image[:, place : place + WIDTHS[width]] = round(255 * GREYS[grey])
    values = {"width": WIDTHS, "x": range(PLACES), "grey": GREYS}  # in the order of the columns of classes
    write_dataset(path, "bars", np.array_split(images, 4), classes, values)
    # Without known factors: write_dataset(path, "bars", blocks, np.empty((n, 0), np.uint8), {})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
