"""Reader of our HDF5 layout: images stay in the file, mapped, so that concurrent trials share one copy.

A file holds `images` ((n, 512) packed bits if binary 64 x 64, or (n, h, w, c)) and `classes` (n, factors),
both uint8, `held_out` (n,) bool, `values/<factor>`, one short list each, and the attributes in `ATTRIBUTES`.
`trainables.data.layout` writes it. A file of layout `COLOURED` borrows the binary images of another one and colours
them (`trainables.data.coloured`).
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from trainables.checks import InputError
from trainables.hdf5 import numbers

LAYOUT, COLOURED = "capacity-study-1", "capacity-study-coloured-1"
ATTRIBUTES = ("layout", "name", "factors", "entropy", "constant_loss", "recon_floor", "sha256")
COLOUR_FACTORS = ("red", "green", "blue")
BINARY_SIDE = 64
PACKED_BYTES = BINARY_SIDE * BINARY_SIDE // 8


class DatasetError(InputError):
    """A dataset that cannot be used; the message names the file, what was expected and the remedy."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """An opened dataset: `batch` and `factors_of` draw rows; nothing is held in memory but the split."""

    path: Path
    """The file."""
    name: str
    """The name it was given when it was made."""
    images: np.ndarray
    """Mapped, uint8: (n, 512) packed bits, or (n, h, w, c)."""
    classes: np.ndarray
    """Mapped, uint8 (n, factors): which of its values each factor has."""
    factors: tuple[str, ...]
    """Names of the factors, in the order of the columns of `classes`; none where the truth is not known."""
    values: dict[str, tuple[float, ...]]
    """The values that each factor takes, by class."""
    held_out: np.ndarray
    """bool (n,): images that no training sees; images with the same bytes are on one side."""
    train_rows: np.ndarray
    """int32: the other rows, ascending."""
    held_out_rows: np.ndarray
    """int32: the held-out rows, ascending."""
    image_shape: tuple[int, int, int]
    """(channels, height, width) of a decoded image."""
    entropy: float
    """H(images), nats: the plug-in over all images."""
    constant_loss: float
    """R0: held-out cross-entropy of the best constant image, nats per image, summed over pixels."""
    recon_floor: float
    """Mean entropy of the held-out pixels, nats per image: the least cross-entropy there is; 0 if binary."""
    sha256: str
    """Of the bytes of images, classes and held_out."""
    levels: tuple[float, ...] = ()
    """Brightness that red, green and blue take independently of each other; none where images are as they are stored.
    The last three factors are then these colours, and `images`, `classes`, `held_out` and the rows of both parts
    tell of the shapes alone."""

    @property
    def colourings(self) -> int:
        """Images that each stored one stands for."""
        return len(self.levels) ** 3 or 1

    def drawn(self, part: np.ndarray, picks: np.ndarray) -> np.ndarray:
        """Rows of `train_rows` or `held_out_rows`, as `batch` and `factors_of` take them.

        Args:
            part: One of the two.
            picks: Integers (batch,) in [0, len(part) * colourings): the colouring changes fastest.
        """
        if not self.levels:
            return part[picks]
        stored, colouring = np.divmod(picks, self.colourings)
        return part[stored].astype(np.int64) * self.colourings + colouring

    def batch(self, rows: np.ndarray) -> np.ndarray:
        """Images as the network takes them.

        Args:
            rows: Integers (batch,) as `drawn` gives them, in any order, repeated or not.

        Returns:
            float32 (batch, channels, height, width) in [0, 1].
        """
        if self.levels:
            stored, colours = self._colours(rows)
            masks = np.unpackbits(self.images[stored], axis=1).reshape(-1, 1, BINARY_SIDE, BINARY_SIDE)
            return masks * np.asarray(self.levels, np.float32)[colours][:, :, None, None]
        stored = self.images[rows]
        if stored.ndim == 2:
            return np.unpackbits(stored, axis=1).reshape(-1, *self.image_shape).astype(np.float32)
        return np.ascontiguousarray(stored.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)

    @property
    def about(self) -> dict[str, Any]:
        """What a store records of it, as JSON knows it."""
        return {
            "name": self.name,
            "images": len(self.images) * self.colourings,
            "image_shape": list(self.image_shape),
            "factors": list(self.factors),
            "entropy": self.entropy,
        }

    def factors_of(self, rows: np.ndarray) -> np.ndarray:
        """Factor classes of rows (batch,) as `drawn` gives them: int64 (batch, factors)."""
        if self.levels:
            stored, colours = self._colours(rows)
            return np.concatenate([self.classes[stored], colours], axis=1, dtype=np.int64)
        return self.classes[rows].astype(np.int64)

    def _colours(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The stored rows (batch,), and the levels' indices (batch, 3)."""
        stored, colouring = np.divmod(np.asarray(rows), self.colourings)
        return stored, np.stack(np.unravel_index(colouring, 3 * (len(self.levels),)), axis=1)


def open_dataset(path: str | Path) -> Dataset:
    """Open a file of our layout without reading its images.

    Raises:
        DatasetError: No HDF5 file, a truncated one, or one of another layout.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"dataset {path} is not a file; give the path of an HDF5 file of layout {LAYOUT}")
    if not h5py.is_hdf5(path):
        raise DatasetError(f"dataset {path} is not an HDF5 file; expected one of layout {LAYOUT}")
    try:
        with h5py.File(path, "r") as file:
            return _coloured(file, path) if file.attrs.get("layout") == COLOURED else _read(file, path)
    except DatasetError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:  # attributes of any kind
        raise DatasetError(
            f"dataset {path} is truncated or half-written ({error}); "
            f"expected a complete HDF5 file of layout {LAYOUT}: delete it and make or copy it again"
        ) from error


def _read(file: h5py.File, path: Path) -> Dataset:
    about = _attributes(file, path)
    factors = tuple(str(name) for name in about["factors"])
    images = _mapped(file, path, "images", np.uint8, "(n, 512) or (n, h, w, c)")
    packed = images.ndim == 2 and images.shape[1] == PACKED_BYTES
    if not (packed or images.ndim == 4):
        _refuse(path, f"has images of shape {images.shape}", "(n, 512) packed bits or (n, h, w, c)")
    classes = np.empty((len(images), 0), np.uint8)
    if factors:
        classes = _mapped(file, path, "classes", np.uint8, f"({len(images)}, {len(factors)})")
    if classes.shape != (len(images), len(factors)):
        _refuse(path, f"has classes of shape {classes.shape}", f"({len(images)}, {len(factors)})")
    held_out = _held_out(file, path, len(images))
    return Dataset(
        path=path,
        name=str(about["name"]),
        images=images,
        classes=classes,
        factors=factors,
        values=_values(file, path, factors, classes),
        held_out=held_out,
        train_rows=np.flatnonzero(~held_out).astype(np.int32),
        held_out_rows=np.flatnonzero(held_out).astype(np.int32),
        image_shape=((1, BINARY_SIDE, BINARY_SIDE) if packed else (images.shape[3], images.shape[1], images.shape[2])),
        entropy=float(about["entropy"]),
        constant_loss=float(about["constant_loss"]),
        recon_floor=float(about["recon_floor"]),
        sha256=str(about["sha256"]),
    )


def _coloured(file: Any, path: Path) -> Dataset:
    about = dict(file.attrs)
    shapes = path.with_name(str(about["shapes"]))  # a bare name: no other folder
    with h5py.File(shapes, "r") as beside:
        plain = _read(beside, shapes)  # of coloured shapes nothing ends
    if plain.sha256 != about["shapes_sha256"]:
        _refuse(path, f"was coloured from another {plain.path.name}", "the one beside it")
    levels = tuple(float(level) for level in about["levels"])
    return dataclasses.replace(
        plain,
        path=path,
        name=str(about["name"]),
        factors=(*plain.factors, *COLOUR_FACTORS),
        values=plain.values | dict.fromkeys(COLOUR_FACTORS, levels),
        image_shape=(len(COLOUR_FACTORS), BINARY_SIDE, BINARY_SIDE),
        entropy=float(about["entropy"]),
        constant_loss=float(about["constant_loss"]),
        recon_floor=float(about["recon_floor"]),
        sha256=str(about["sha256"]),
        levels=levels,
    )


def _attributes(file: h5py.File, path: Path) -> dict[str, Any]:
    found = file.attrs.get("layout")
    if found != LAYOUT:
        _refuse(path, "has no layout attribute" if found is None else f"is of layout {found!r}", LAYOUT)
    if missing := [name for name in ATTRIBUTES if name not in file.attrs]:
        _refuse(path, f"has no attribute {missing[0]!r}", f"the attributes {', '.join(ATTRIBUTES)}")
    return dict(file.attrs)


def _held_out(file: h5py.File, path: Path, count: int) -> np.ndarray:
    held_out = np.array(_mapped(file, path, "held_out", np.bool_, f"({count},)"))
    if held_out.shape != (count,):
        _refuse(path, f"has held_out of shape {held_out.shape}", f"({count},)")
    if held_out.all() or not held_out.any():
        part = "training" if held_out.all() else "held-out"
        _refuse(path, f"has no {part} rows", "both training and held-out rows")
    return held_out


def _values(file: h5py.File, path: Path, factors: tuple[str, ...], classes: np.ndarray) -> dict[str, tuple[float, ...]]:
    values = {}
    for name, largest in zip(factors, classes.max(axis=0), strict=True):
        values[name] = tuple(float(value) for value in _stored(file, path, f"values/{name}")[()])
        if largest >= len(values[name]):
            _refuse(path, f"has class {largest} of {name!r}", f"classes below its {len(values[name])} values")
    return values


def _stored(file: h5py.File, path: Path, name: str) -> Any:
    """The HDF5 dataset `name`; Any, because h5py is untyped."""
    try:
        return numbers(file, name)
    except ValueError as error:
        _refuse(path, str(error), "images, classes, held_out and values/<factor>, numbers in the file itself")


def _mapped(file: h5py.File, path: Path, name: str, dtype: type[np.generic], shape: str) -> np.ndarray:
    """The HDF5 dataset `name`, mapped at its place in the file; `shape` is for the message."""
    stored = _stored(file, path, name)
    if stored.dtype != dtype or stored.size == 0:
        _refuse(path, f"has {name} of {stored.dtype} {stored.shape}", f"{dtype.__name__} {shape}")
    offset = stored.id.get_offset()
    if offset is None:
        _refuse(path, f"has {name} in chunks, which cannot be mapped", "a contiguous, uncompressed dataset")
    if offset + stored.nbytes > path.stat().st_size:
        _refuse(path, f"ends within {name}", f"{stored.nbytes} bytes at {offset}, a complete file")
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=stored.shape)


def _refuse(path: Path, found: str, expected: str) -> NoReturn:
    raise DatasetError(f"dataset {path} {found}; expected {expected}: make the file again")
