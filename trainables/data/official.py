"""Converter of the official dSprites file, `.npz` or `.hdf5`, into our layout; streamed: its images are 3 GB.

Source: Matthey et al. 2017, https://github.com/google-deepmind/dsprites-dataset.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NoReturn

import h5py
import numpy as np
from numpy.lib import format as npy

from trainables.data.dataset import BINARY_SIDE, DatasetError
from trainables.data.layout import write_dataset
from trainables.hdf5 import numbers

FACTORS = ("shape", "scale", "orientation", "x", "y")
"""Our names of the official columns 1 to 5; column 0, the colour, is constant and dropped."""
BLOCK = 1024
"""Images read at once, or a chunk of the HDF5 file where that is more."""
DAMAGE = (OSError, EOFError, RuntimeError, TypeError, ValueError, MemoryError, SyntaxError, TokenError)
"""What zipfile, numpy and h5py raise over damaged bytes, and over arrays of objects."""
LARGEST = 2**30
"""Bytes of a table of factors in an NPZ at most; the official ones have 35 MB."""


def is_official(path: Path) -> bool:
    """Whether an existing file claims to be the official one: an NPZ, or an HDF5 file with `imgs`."""
    if path.suffix.lower() == ".npz":
        return True
    try:
        with h5py.File(path, "r") as file:
            return "imgs" in [*file] and "layout" not in file.attrs  # a list of names: no link is followed
    except (OSError, RuntimeError):  # not HDF5, truncated or damaged: another converter or the reader says which
        return False


def convert_official(source: Path, path: Path) -> None:
    """Convert the official file `source` into a file `path` of our layout.

    Args:
        source: Images (n, 64, 64) of 0 and 1 in uint8, latent classes and values (n, 6), for any n.
        path: The file to make.

    Raises:
        DatasetError: `source` is damaged or of another layout; no file is made.
    """
    is_npz = source.suffix.lower() == ".npz"
    with _reading(source):
        classes, numbers = _npz_factors(source) if is_npz else _hdf5_factors(source)
    classes, values = _checked_factors(source, classes, numbers)
    images = _npz_images(source, len(classes)) if is_npz else _hdf5_images(source, len(classes))
    write_dataset(path, source.stem, _packed(source, images), classes, values)


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Whatever a damaged file raises while it is read becomes one sentence."""
    try:
        yield
    except DatasetError:
        raise
    except KeyError as error:
        _refuse(source, f"lacks a part ({error.args[0]})", "imgs, latent classes and latent values")
    except (*DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        _refuse(source, f"is truncated or damaged ({error})", "the complete official dSprites file")


def _npz_factors(source: Path) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(source) as file:
        tables = []
        for name in ("latents_classes", "latents_values"):
            with file.open(f"{name}.npy") as member:
                shape, _, dtype = _header(member)
            if (size := math.prod(shape) * dtype.itemsize) > LARGEST:
                _refuse(source, f"has {name} of {size:,} bytes", f"at most {LARGEST:,}")
            with file.open(f"{name}.npy") as member:
                tables.append(npy.read_array(member, allow_pickle=False))
    return tables[0], tables[1]


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in column order, and type of the array that a member holds; its data is next."""
    version = npy.read_magic(member)
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(member)


def _npz_images(source: Path, count: int) -> Iterator[np.ndarray]:
    """Images block by block out of the compressed member, which is never unpacked as a whole."""
    with _reading(source), zipfile.ZipFile(source) as file, file.open("imgs.npy") as member:
        shape, in_columns, dtype = _header(member)
        _check_images(source, shape, dtype, count)
        if in_columns:
            _refuse(source, "has imgs in column order", "row order")
        for start in range(0, count, BLOCK):
            images = min(BLOCK, count - start)
            data = member.read(images * BINARY_SIDE**2)
            if len(data) < images * BINARY_SIDE**2:
                raise EOFError(f"imgs ends in row {start + len(data) // BINARY_SIDE**2}")
            yield np.frombuffer(data, np.uint8).reshape(images, -1)


def _hdf5_factors(source: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(source, "r") as file:
        return _stored(source, file, "latents/classes")[()], _stored(source, file, "latents/values")[()]


def _stored(source: Path, file: h5py.File, name: str) -> Any:
    """The HDF5 dataset `name`; Any, because h5py is untyped."""
    try:
        return numbers(file, name)
    except ValueError as error:
        _refuse(source, str(error), "imgs, latent classes and latent values, numbers in the file itself")


def _hdf5_images(source: Path, count: int) -> Iterator[np.ndarray]:
    with _reading(source), h5py.File(source, "r") as file:
        stored = _stored(source, file, "imgs")
        _check_images(source, stored.shape, stored.dtype, count)
        # Official chunks are narrow and 23,040 images deep: whole ones, or each is decompressed many times.
        step = max(BLOCK, stored.chunks[0] if stored.chunks else 0)
        for start in range(0, count, step):
            images = stored[start : start + step]
            yield images.reshape(len(images), -1)


def _check_images(source: Path, shape: tuple[int, ...], dtype: np.dtype, count: int) -> None:
    expected = (count, BINARY_SIDE, BINARY_SIDE)
    if shape != expected or dtype != np.uint8:
        _refuse(source, f"has imgs of {dtype} {shape}", f"uint8 {expected}, as many as latent classes")


def _packed(source: Path, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Blocks (m, 4096) of 0 and 1 as packed bits (m, 512)."""
    for block in blocks:
        if block.max() > 1:
            _refuse(source, f"has a pixel of {block.max()} in imgs", "binary images of 0 and 1")
        yield np.packbits(block, axis=1)


def _checked_factors(
    source: Path, classes: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, dict[str, list[float]]]:
    """Classes uint8 (n, 5) and the value of each class of each factor."""
    columns = len(FACTORS) + 1
    if classes.ndim != 2 or classes.shape[1] != columns or classes.dtype.kind not in "iu" or not len(classes):
        _refuse(source, f"has latent classes of {classes.dtype} {classes.shape}", f"integers (n, {columns})")
    if numbers.shape != classes.shape or numbers.dtype.kind != "f":
        _refuse(source, f"has latent values of {numbers.dtype} {numbers.shape}", f"floats {classes.shape}")
    if (classes[:, 0] != classes[0, 0]).any():
        _refuse(source, "has several colours in column 0 of its latent classes", "one colour")
    values = {}
    for column, name in enumerate(FACTORS, start=1):
        found, first = np.unique(classes[:, column], return_index=True)
        if len(found) > 256 or (found != np.arange(len(found))).any():
            _refuse(source, f"has classes {found[0]} to {found[-1]} of {name}", f"all of 0 to {len(found) - 1}")
        table = numbers[first, column]
        values[name] = table.tolist()
        if (numbers[:, column] != table[classes[:, column]]).any():
            _refuse(source, f"has several values in one class of {name}", "one value a class")
    return classes[:, 1:].astype(np.uint8), values


def _refuse(source: Path, found: str, expected: str) -> NoReturn:
    raise DatasetError(f"dataset {source} {found}; expected {expected}: download or copy it again")
