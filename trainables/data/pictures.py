"""Converters of datasets that come as pictures, in an archive or a folder: 3D Chairs and CelebA.

Rows are in the order of the pictures' paths, so an archive and its unpacked folder give the same file. Colours
stay; the middle square of a picture is shrunk to 64 x 64 by Pillow's triangle filter, to which every pixel under it
counts. Decoders of JPEG differ in last bits between versions: the file's sha256 says whether two are the same.

Neither has factors. The name of a chair's picture tells its two angles, but nothing tells what the 1,393 models
share or differ in (style, legs, arms, size), and a number per model is no factor: a table of the angles alone would
call all the rest noise. CelebA's 40 attributes were judged by people, not drawn from; they are no ground truth.

Source: Aubry et al. 2014, https://www.di.ens.fr/willow/research/seeing3Dchairs; Liu et al. 2015,
http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.
"""

import hashlib
import io
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from trainables.config import IMAGE_SIDE
from trainables.data.dataset import DatasetError
from trainables.data.layout import write_dataset

BLOCK = 256
"""Pictures decoded at once."""
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How gzip, bzip2, xz and zstd files begin."""
FORMATS = ("PNG", "JPEG")
"""That are decoded: others that Pillow knows start programs, or are decoders that nobody looks after."""
LARGEST = 2**24
"""Bytes of a picture's file at most: without compression a chair has 1.1 MB."""
DAMAGE = (OSError, EOFError, SyntaxError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, tarfile.TarError)
"""What zipfile, tarfile and Pillow raise over damaged bytes; encrypted members are a RuntimeError."""


@dataclass(frozen=True)
class PictureLayout:
    """A known dataset of pictures."""

    name: str
    """The dataset's name in our file."""
    title: str
    """Its name and its archive, for messages."""
    pattern: str
    """A regular expression of the end of each picture's path; whatever lies before it is free."""
    example: str
    """Such a path."""
    count: int
    """Number of pictures."""
    size: tuple[int, int]
    """Width and height of each, pixels; all are RGB."""
    crop: int
    """Side of the middle square that is kept, pixels."""

    @property
    def megabytes(self) -> int:
        """Disk that it takes in our layout."""
        return self.count * (IMAGE_SIDE**2 * 3 + 1) // 10**6 + 1


CHAIRS = PictureLayout(
    name="chairs",
    title="3D Chairs (rendered_chairs.tar)",
    pattern=r"[^/]+/renders/image_\d+_p\d{3}_t\d{3}_r\d{3}\.png",
    example="rendered_chairs/<chair>/renders/image_001_p020_t011_r096.png",
    count=86_366,
    size=(600, 600),
    crop=600,
)
"""Whole: the paper gives no crop, and public code resizes the whole picture; cropping could cut wide chairs."""
CELEBA = PictureLayout(
    name="celeba",
    title="CelebA (img_align_celeba.zip)",
    pattern=r"\d{6}\.jpg",
    example="img_align_celeba/000001.jpg",
    count=202_599,
    size=(178, 218),
    crop=148,
)
"""The crop of Dinh et al. 2017 (Real NVP, 4.1) and of most VAEs since; Burgess et al. 2018 gives none."""
LAYOUTS = (CHAIRS, CELEBA)


def is_pictures(path: Path) -> bool:
    """Whether an existing path is a folder or an archive, of whatever content."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            start = file.read(6)
        return start.startswith((b"PK\3\4", b"PK\5\6", *COMPRESSED)) or tarfile.is_tarfile(path)
    except OSError:
        return False


def pictures_megabytes(source: Path, layouts: Sequence[PictureLayout] = LAYOUTS) -> int:
    """Disk that a conversion of `source` takes; raises as `convert_pictures` does before it writes."""
    with _opened(source) as (files, _):
        return _recognised(source, files, layouts)[0].megabytes


def convert_pictures(source: Path, path: Path, layouts: Sequence[PictureLayout] = LAYOUTS) -> None:
    """Convert an archive (.zip, .tar) or a folder of pictures into a file `path` of our layout.

    Args:
        source: The official archive, its unpacked folder, or a folder around that. Other files in it do not count.
        path: The file to make; images uint8 (n, 64, 64, 3), no factors.
        layouts: The datasets to look for.

    Raises:
        DatasetError: `source` is damaged, incomplete or of no known layout, or a picture cannot be read or has
            another size or mode; no file is made.
    """
    with _opened(source) as (files, read):
        layout, pictures = _recognised(source, files, layouts)
        blocks = (
            np.stack([_shrunk(source, name, read, files[name], layout) for name in pictures[start : start + BLOCK]])
            for start in range(0, len(pictures), BLOCK)
        )
        write_dataset(path, layout.name, blocks, np.empty((len(pictures), 0), np.uint8), {})


def folder_state(folder: Path) -> str:
    """A hash of the names, sizes and times of a folder's pictures: another one where any has changed."""
    digest = hashlib.blake2b(digest_size=8)
    for name, file in sorted(_walked(folder).items()):
        if any(_tail(layout, name) for layout in LAYOUTS):
            status = file.stat()
            digest.update(os.fsencode(f"{name} {status.st_size} {status.st_mtime_ns}\n"))
    return digest.hexdigest()


@contextmanager
def _opened(source: Path) -> Iterator[tuple[dict[str, Any], Callable[[Any], bytes]]]:
    """The files of a folder or an archive by path, each with what `read` takes, and `read`."""
    if source.is_dir():
        yield _walked(source), _start(lambda file: file.open("rb"))
        return
    with ExitStack() as stack:
        try:
            with source.open("rb") as file:
                start = file.read(6)
            if start.startswith(b"PK"):
                archive = stack.enter_context(zipfile.ZipFile(source))
                files = {info.filename: info for info in archive.infolist() if not info.is_dir()}
                read = _start(archive.open)
            elif not start.startswith(COMPRESSED):
                archive = stack.enter_context(tarfile.open(source, "r:"))
                files, read = {info.name: info for info in archive if info.isfile()}, _start(archive.extractfile)
            else:  # its members could only be read in their own order
                _refuse(source, "is compressed as a whole", "a .zip, a plain .tar or a folder: unpack it first")
        except DAMAGE as error:
            if isinstance(error, DatasetError):
                raise
            _refuse(source, f"is truncated or damaged ({error})", "the complete archive: download or copy it again")
        yield files, read


def _start(opened: Callable[[Any], Any]) -> Callable[[Any], bytes]:
    """Reads the files that `opened` opens, each up to `LARGEST` bytes: an archive may declare more than any disk."""

    def read(file: Any) -> bytes:
        with opened(file) as content:
            return content.read(LARGEST)

    return read


def _walked(folder: Path) -> dict[str, Path]:
    files = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return {file.relative_to(folder).as_posix(): file for file in files if file.is_file()}  # no pipe, no device


def _tail(layout: PictureLayout, name: str) -> str:
    """The part of a path that the layout fixes; empty where the file is none of its pictures."""
    found = re.search(f"(?:^|/)({layout.pattern})$", name)
    return found[1] if found else ""


def _recognised(source: Path, files: dict[str, Any], layouts: Sequence[PictureLayout]) -> tuple[PictureLayout, list]:
    """The layout of which there are most pictures, and their paths in the order of rows."""
    tails = {layout: {name: tail for name in files if (tail := _tail(layout, name))} for layout in layouts}
    layout = max(layouts, key=lambda layout: len(tails[layout]))
    pictures = tails[layout]
    if not pictures:
        known = " or ".join(f"{layout.title} with pictures like {layout.example}" for layout in layouts)
        first = f" (the first is {min(files)})" if files else ""
        _refuse(source, f"holds {len(files)} files{first} but no pictures of a known dataset", f"{known}: give one")
    if len(pictures) != layout.count:
        remedy = "download or unpack it again" if len(pictures) < layout.count else "take away the others"
        _refuse(source, f"holds {len(pictures)} pictures of {layout.title}", f"{layout.count}: {remedy}")
    return layout, sorted(pictures, key=pictures.__getitem__)


def _shrunk(source: Path, name: str, read: Callable[[Any], bytes], file: Any, layout: PictureLayout) -> np.ndarray:
    """One picture as the network takes it: uint8 (64, 64, 3)."""
    (width, height), side = layout.size, layout.crop
    left, top = (width - side) // 2, (height - side) // 2
    try:
        with Image.open(io.BytesIO(read(file)), formats=FORMATS) as picture:
            found = f"{picture.width} x {picture.height}, {picture.mode}"
            if found == f"{width} x {height}, RGB":
                middle = picture.crop((left, top, left + side, top + side))
                return np.asarray(middle.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BILINEAR))
    except (*DAMAGE, Image.DecompressionBombError) as error:
        _refuse(source, f"has an unreadable picture {name} ({error})", "complete pictures: download or unpack it again")
    _refuse(source, f"has a picture {name} of {found}", f"{width} x {height}, RGB as published: put the original back")


def _refuse(source: Path, found: str, expected: str) -> NoReturn:
    raise DatasetError(f"dataset {source} {found}; expected {expected}")
