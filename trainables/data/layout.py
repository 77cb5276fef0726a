"""Writer of our HDF5 layout: streams the images once and computes on the way what a study reads of them."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from trainables.data.dataset import LAYOUT, PACKED_BYTES, DatasetError

HELD_OUT_SHARE = 10
"""One image in ten is held out."""
CLIP = 1e-6
"""Pixels of the best constant image stay this far from 0 and 1, where the cross-entropy is infinite."""


def write_dataset(
    path: str | Path,
    name: str,
    blocks: Iterable[np.ndarray],
    classes: np.ndarray,
    values: Mapping[str, Sequence[float]],
) -> None:
    """Write a dataset; a file of the final name is complete, whatever kills the writer.

    The held-out part is the interpolation split: one image in ten by a hash of its bytes, so that images with
    the same bytes fall on one side.

    Args:
        path: The final name; the file grows beside it as `<name>.partial`. One writer at a time.
        name: The dataset's name, kept in the file.
        blocks: Images in row order, a few hundred a block: uint8 (m, 512) packed bits or (m, h, w, c).
        classes: uint8 (n, factors); (n, 0) where no factors are known.
        values: The values of each factor by class; its order is that of the columns of `classes`.

    Raises:
        ValueError: An argument is not as said here, or the images are too few or too alike to hold some out; no
            file is made.
    """
    _check_factors(classes, values)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with h5py.File(partial, "w") as file:
            _write(file, name, blocks, classes, values)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def check_names(names: Sequence[str]) -> None:
    """Refuse names of factors that are no distinct names of HDF5 datasets.

    Raises:
        ValueError: Naming the first such name.
    """
    for position, name in enumerate(names):
        if not isinstance(name, str) or not name.strip(".") or "/" in name or "\0" in name:
            raise ValueError(f"{name!r} cannot name a factor; give text without / that is not only dots")
        if name in names[:position]:
            raise ValueError(f"two factors are named {name!r}; give each a name of its own")


def _check_factors(classes: np.ndarray, values: Mapping[str, Sequence[float]]) -> None:
    if not isinstance(classes, np.ndarray) or classes.ndim != 2 or classes.dtype != np.uint8 or not len(classes):
        found = f"{classes.dtype} {classes.shape}" if isinstance(classes, np.ndarray) else type(classes).__name__
        raise ValueError(f"classes are {found}; give a uint8 array (n, factors), n at least 1, by astype(np.uint8)")
    if classes.shape[1] != len(values):
        raise ValueError(f"classes have {classes.shape[1]} columns but values {len(values)} factors; give one each")
    check_names(list(values))
    for (factor, numbers), largest in zip(values.items(), classes.max(axis=0), strict=True):
        if largest >= len(numbers):
            raise ValueError(f"class {largest} of {factor} has no value; give {largest + 1} values, not {len(numbers)}")


def _check_block(block: np.ndarray, shape: tuple[int, ...], room: int) -> None:
    """Refuse a block that differs from the first one's `shape` or has more rows than there is `room`."""
    if not isinstance(block, np.ndarray) or block.dtype != np.uint8:
        found = getattr(block, "dtype", type(block).__name__)
        raise ValueError(f"a block of images is {found}; give uint8 arrays: packed bits, or bytes from 0 to 255")
    if block.shape[1:] != (PACKED_BYTES,) and block.ndim != 4:
        raise ValueError(f"a block of images is {block.shape}; give (m, {PACKED_BYTES}) packed bits or (m, h, w, c)")
    if block.shape[1:] != shape:
        raise ValueError(f"a block has images of {block.shape[1:]} after {shape}; give all of one shape")
    if len(block) > room:
        raise ValueError(f"images do not match classes: {len(block) - room} more than rows; give one row an image")


def _write(
    file: Any,  # h5py is untyped
    name: str,
    blocks: Iterable[np.ndarray],
    classes: np.ndarray,
    values: Mapping[str, Sequence[float]],
) -> None:
    count, start, images, tally = len(classes), 0, None, None
    fingerprints, digest = np.empty(count, np.uint64), hashlib.sha256()
    with tqdm(total=count, desc=f"writing {name}", unit=" images", disable=None) as bar:
        for block in blocks:
            _check_block(block, images.shape[1:] if images is not None else np.shape(block)[1:], count - start)
            rows = slice(start, start + len(block))
            if images is None or tally is None:
                images = file.create_dataset("images", (count, *block.shape[1:]), np.uint8)
                tally = Tally(block.ndim == 2)
            images[rows] = block
            digest.update(block.tobytes())
            fingerprints[rows] = fingerprint(block)
            tally.add(block, held_out(fingerprints[rows]))
            start = rows.stop
            bar.update(len(block))
    if tally is None or start != count:
        raise ValueError(f"{start} images do not match {count} rows of classes")
    split = held_out(fingerprints)
    if split.all() or not split.any():
        part = "training" if split.all() else "held-out"
        raise DatasetError(
            f"{count} images leave no {part} part: one distinct image in ten is held out; give more distinct ones"
        )
    for part in (classes, split):
        digest.update(part.tobytes())
    file.create_dataset("classes", data=classes, dtype=np.uint8)
    file.create_dataset("held_out", data=split)
    for factor, numbers in values.items():
        file.create_dataset(f"values/{factor}", data=np.asarray(numbers, np.float64))
    file.attrs.update(
        layout=LAYOUT,
        name=name,
        factors=list(values),
        entropy=entropy(fingerprints),
        constant_loss=tally.constant_loss(),
        recon_floor=tally.recon_floor(),
        sha256=digest.hexdigest(),
    )


def fingerprint(block: np.ndarray) -> np.ndarray:
    """A 64-bit hash of the bytes of each image of a block (m, ...): uint64 (m,)."""
    digests = (hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in block)
    return np.frombuffer(b"".join(digests), "<u8")


def held_out(fingerprints: np.ndarray) -> np.ndarray:
    """The interpolation split: bool, true for about one fingerprint in ten."""
    return fingerprints % HELD_OUT_SHARE == 0


def entropy(fingerprints: np.ndarray) -> float:
    """Plug-in entropy of the images over all rows, nats: ln n where no two are the same."""
    share = np.unique_counts(fingerprints).counts / len(fingerprints)
    return float(-(share * np.log(share)).sum())


class Tally:
    """Pixel sums of both parts, from which the constant image's loss follows without a second pass.

    Args:
        binary: Blocks are packed bits; else bytes that mean 0 to 1 in steps of 1 / 255.
    """

    def __init__(self, binary: bool) -> None:
        self.binary = binary
        self.train_images = self.held_out_images = 0
        self.train: np.ndarray | float = 0.0
        self.held_out: np.ndarray | float = 0.0
        self.floor = 0.0

    def add(self, block: np.ndarray, held_out: np.ndarray) -> None:
        """Count a block (m, ...) whose rows `held_out` (m,) are on the other side."""
        pixels = np.unpackbits(block, axis=1) if self.binary else block.reshape(len(block), -1)
        unseen = pixels[held_out]
        unseen_sum = unseen.sum(axis=0, dtype=np.uint32) / self._white
        self.train = self.train + pixels.sum(axis=0, dtype=np.uint32) / self._white - unseen_sum
        self.held_out = self.held_out + unseen_sum
        self.train_images += int((~held_out).sum())
        self.held_out_images += int(held_out.sum())
        if not self.binary:
            self.floor += float(_BYTE_ENTROPY[unseen].sum())

    def constant_loss(self, brightness: float = 1.0) -> float:
        """R0: mean held-out cross-entropy of the training part's pixel means, nats per image.

        Args:
            brightness: That the images are shown with, 1 as they are counted.
        """
        constant = np.clip(brightness * self.train / max(self.train_images, 1), CLIP, 1 - CLIP)
        unseen = brightness * self.held_out / max(self.held_out_images, 1)
        return float(-(unseen * np.log(constant) + (1 - unseen) * np.log(1 - constant)).sum())

    def recon_floor(self) -> float:
        """Mean entropy of the held-out pixels taken as probabilities, nats per image."""
        return self.floor / max(self.held_out_images, 1)

    @property
    def _white(self) -> float:
        return 1.0 if self.binary else 255.0


def _byte_entropy() -> np.ndarray:
    on = np.arange(256) / 255
    inside = on[1:-1]
    table = np.zeros(256)
    table[1:-1] = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside))
    return table


_BYTE_ENTROPY = _byte_entropy()
"""Entropy in nats of a pixel of each of the 256 brightnesses."""
