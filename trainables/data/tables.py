"""Converters of HDF5 files with images and a table of factors: Shapes3D, or one's own.

One's own file holds `images`, uint8 (n, 64, 64), (n, 64, 64, 1) or (n, 64, 64, 3) from 0, black, to 255, and
optionally `factors` (n, k), integers or floats, with at most 256 values a column. The attribute `names` of `factors`
lists the k names; without it they are factor_0, factor_1 and so on. The values of a column in ascending order are
its classes. A column of one value is refused, not dropped: no score of it is defined, and nothing changes silently.
The file has no attribute `layout`; with one it claims to be ours already.

Source of Shapes3D: Burgess & Kim 2018, https://github.com/google-deepmind/3d-shapes.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from trainables.config import IMAGE_SIDE
from trainables.data.dataset import DatasetError
from trainables.data.layout import check_names, write_dataset
from trainables.hdf5 import numbers

BLOCK = 1024
"""Images written at once, and read at once unless the chunks of the file are deeper."""
DEEPEST = 16_384
"""Images read at once at most: 200 MB in colour."""
CLASSES = 256
"""Values that a factor may have: classes are stored in uint8."""


@dataclass(frozen=True)
class KnownTable:
    """A published dataset: a table of all combinations of its factors' values, in HDF5."""

    name: str
    """The dataset's name in our file."""
    table: str
    """The HDF5 dataset that holds the factors."""
    sizes: dict[str, int]
    """The number of values of each factor, in the order of columns."""

    @property
    def count(self) -> int:
        """Number of images."""
        return math.prod(self.sizes.values())


SHAPES3D = KnownTable(
    name="shapes3d",
    table="labels",
    sizes={"floor_hue": 10, "wall_hue": 10, "object_hue": 10, "scale": 8, "shape": 4, "orientation": 15},
)


def is_table(path: Path) -> bool:
    """Whether an existing file is HDF5 with `images` and claims no layout of ours."""
    try:
        with h5py.File(path, "r") as file:
            return "images" in [*file] and "layout" not in file.attrs  # a list of names: no link is followed
    except OSError:  # not HDF5, a folder, or truncated: another converter, or the reader of our layout, says which
        return False
    except RuntimeError:  # HDF5 whose list of contents is damaged
        return True


def table_megabytes(source: Path) -> int:
    """Disk that a conversion of `source` takes; raises as `convert_table` does of its images."""
    with _reading(source), h5py.File(source, "r") as file:
        shape = _checked_images(source, file)
        # Each row has a flag and, where there are factors, at most 256 bytes of classes.
        return shape[0] * (math.prod(shape[1:]) + CLASSES) // 10**6 + 1


def convert_table(source: Path, path: Path, known: KnownTable = SHAPES3D) -> None:
    """Convert an HDF5 file of images and perhaps factors into a file `path` of our layout.

    Args:
        source: Of the layout above, or the file of `known`, which its table's name tells.
        path: The file to make; images uint8 (n, 64, 64, channels).
        known: The published dataset to look for.

    Raises:
        DatasetError: `source` is damaged or of another layout; no file is made.
    """
    name = source.stem
    with _reading(source), h5py.File(source, "r") as file:
        shape = _checked_images(source, file)
        classes, values = np.empty((shape[0], 0), np.uint8), {}
        if "factors" in [*file]:
            classes, values = _factors(source, file, "factors", shape[0], None)
        elif known.table in [*file]:
            name = known.name
            classes, values = _factors(source, file, known.table, shape[0], list(known.sizes))
            _check_known(source, values, shape, known)
    write_dataset(path, name, _blocks(source), classes, values)


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Whatever a damaged file raises while it is read becomes one sentence."""
    try:
        yield
    except DatasetError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:  # over damaged metadata
        _refuse(source, f"is truncated or damaged ({error})", "a complete HDF5 file: download or copy it again")


def _blocks(source: Path) -> Iterator[np.ndarray]:
    """Images block by block: uint8 (m, 64, 64, channels)."""
    brightest = 0
    with _reading(source), h5py.File(source, "r") as file:
        stored = _dataset(source, file, "images")
        step = read_at_once(stored.chunks[0] if stored.chunks else 1)
        for start in range(0, len(stored), step):
            images = stored[start : start + step]
            images = images.reshape(*images.shape[:3], -1)
            brightest = max(brightest, int(images.max()))
            for first in range(0, len(images), BLOCK):
                yield images[first : first + BLOCK]
    if brightest < 2:
        _refuse(source, f"has images whose brightest pixel is {brightest}", "0 to 255: multiply binary images by 255")


def read_at_once(depth: int) -> int:
    """Images to read at once where chunks are `depth` deep: whole ones, or each is decompressed many times."""
    return min(depth * max(1, BLOCK // depth), DEEPEST)


def _dataset(source: Path, file: h5py.File, name: str) -> Any:
    """The HDF5 dataset `name`; Any, because h5py is untyped."""
    try:
        return numbers(file, name)
    except ValueError as error:
        _refuse(source, str(error), "integers or floats in the file itself: write it again")


def _checked_images(source: Path, file: h5py.File) -> tuple[int, ...]:
    """The shape of `images`, once it is one that the network takes."""
    stored = _dataset(source, file, "images")
    side, shape = (IMAGE_SIDE, IMAGE_SIDE), stored.shape or (0,)  # HDF5 knows arrays without a shape
    if not shape[0] or shape[1:] not in (side, (*side, 1), (*side, 3)) or stored.dtype != np.uint8:
        expected = "uint8 (n, 64, 64), (n, 64, 64, 1) or (n, 64, 64, 3)"
        _refuse(source, f"has images of {stored.dtype} {shape}", f"{expected}: convert the images and write it again")
    return shape


def _factors(
    source: Path, file: h5py.File, table: str, count: int, names: list[str] | None
) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Classes uint8 (n, k) and the value of each class of each factor, by name."""
    stored = _dataset(source, file, table)
    shape, dtype = stored.shape, stored.dtype
    if shape is None or len(shape) != 2 or not shape[1] or dtype.kind not in "iuf":
        _refuse(source, f"has {table} of {dtype} {shape}", f"integers or floats ({count}, k): write it again")
    if shape[0] != count:
        _refuse(source, f"has {shape[0]} rows of {table}", f"{count}, one an image: write it again")
    names = _names(source, stored, table) if names is None else names
    if len(names) != shape[1]:
        _refuse(source, f"has {table} of {shape[1]} columns", f"{len(names)}: {', '.join(names)}; write it again")
    classes, values = np.empty(shape, np.uint8), {}
    for column, name in enumerate(names):
        numbers = stored[:, column]
        if not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers))[0])
            _refuse(source, f"has {numbers[row]} in row {row} of factor {name}", "finite numbers: write it again")
        found, index = np.unique(numbers, return_inverse=True)
        if not 2 <= len(found) <= CLASSES:
            kind = "a constant factor" if len(found) == 1 else "too many values"
            remedy = "leave the column out or bin it"
            _refuse(source, f"has {kind}, {len(found)} in {name}", f"2 to {CLASSES} values a column: {remedy}")
        classes[:, column], values[name] = index, found.astype(np.float64).tolist()
    return classes, values


def _names(source: Path, stored: Any, table: str) -> list[str]:
    columns = stored.shape[1]
    if "names" not in stored.attrs:
        return [f"factor_{column}" for column in range(columns)]
    found = np.atleast_1d(stored.attrs["names"]).ravel().tolist()
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in found]
    if len(names) != columns:
        _refuse(source, f"has {len(names)} names for {columns} columns of {table}", "one a column: write names again")
    try:
        check_names(names)
    except ValueError as error:
        _refuse(source, f"has a wrong attribute names ({error})", f"{columns} strings: write names again")
    return names


def _check_known(source: Path, values: dict[str, list[float]], shape: tuple[int, ...], known: KnownTable) -> None:
    expected = (known.count, IMAGE_SIDE, IMAGE_SIDE, 3)
    if shape != expected:
        _refuse(source, f"has images of shape {shape}", f"{expected}, those of {known.name}: download it again")
    for name, size in known.sizes.items():
        if len(values[name]) != size:
            _refuse(source, f"has {len(values[name])} values of {name}", f"{size}: download {known.name} again")


def _refuse(source: Path, found: str, expected: str) -> NoReturn:
    raise DatasetError(f"dataset {source} {found}; expected {expected}")
