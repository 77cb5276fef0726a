"""Where datasets live: a name or a path in, a file of our layout out, made once and then reused."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from trainables.checks import near
from trainables.data.blobs import render_blobs
from trainables.data.coloured import colour
from trainables.data.dataset import DatasetError
from trainables.data.dsprites import render_dsprites
from trainables.data.official import convert_official, is_official
from trainables.data.pictures import convert_pictures, folder_state, is_pictures, pictures_megabytes
from trainables.data.tables import convert_table, is_table, table_megabytes

VARIABLE = "CAPACITY_STUDY_CACHE"
"""The environment variable that moves the cache folder."""
RENDERED: dict[str, Callable[[Path], None]] = {
    "dsprites": render_dsprites,
    "blobs": render_blobs,
    "blobs_wide": lambda path: render_blobs(path, aspect=2.0),
    "coloured_dsprites": lambda path: colour(locate("dsprites"), path),
}
"""Datasets that we make from nothing, by name."""
MEGABYTES = 400
"""Disk that dSprites takes in our layout, rendered or official."""
CONVERTERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Path], None], Callable[[Path], int]], ...] = (
    (is_official, convert_official, lambda source: MEGABYTES),
    (is_table, convert_table, table_megabytes),
    (is_pictures, convert_pictures, pictures_megabytes),
)
"""Whether a path is for a converter, the converter, and the megabytes that its file takes; the first one has it."""


def cache_folder() -> Path:
    """$CAPACITY_STUDY_CACHE, else `capacity-study` in $XDG_CACHE_HOME or in ~/.cache; not created here."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capacity-study"


def locate(dataset: str) -> Path:
    """The file of a dataset, made first if need be; safe when several processes ask at once.

    Args:
        dataset: A name that we render; or the path of what a converter takes (dSprites, Shapes3D or one's own
            HDF5 file, the archive or folder of 3D Chairs or CelebA), which is converted once; or of a file of our
            layout, which is used where it is.

    Returns:
        A file for `open_dataset`, which checks it.

    Raises:
        DatasetError: No such name or file, a damaged or unknown one, or no room in the cache.
    """
    check_known(dataset)
    if dataset == "coloured_dsprites":
        locate("dsprites")  # which it borrows its shapes from
    if dataset in RENDERED:
        return _made_once(cache_folder() / f"{dataset}.h5", RENDERED[dataset], MEGABYTES)
    path = Path(dataset).expanduser()
    converted = cache_folder() / _converted_name(path)
    if converted.is_file():  # before anything reads the list of an archive
        return converted
    for recognises, convert, megabytes in CONVERTERS:
        if recognises(path):
            return _made_once(converted, partial(convert, path), megabytes(path))
    return path


def delivered(sha256: str, size: int, chunk: Callable[[int], bytes]) -> Path:
    """The file of a dataset that this machine does not have, fetched from one that has it; once, whoever asks.

    Args:
        sha256: Of its content, as `Dataset.sha256`: the file is kept under it.
        size: Of the file, bytes.
        chunk: Gives what follows so many bytes of the file, not empty before its end.

    Raises:
        DatasetError: No room in the cache, or what came is not of that size.
    """

    def fetch(path: Path) -> None:
        aside, got = path.with_suffix(".aside"), 0
        with aside.open("wb") as file:
            while got < size and (part := chunk(got)):
                got += file.write(part)
        if got != size:
            raise DatasetError(f"of the dataset {path.stem} {got} of {size} bytes came from the driver; try again")
        os.replace(aside, path)

    return _made_once(cache_folder() / f"delivered-{sha256[:16]}.h5", fetch, size // 10**6 + 1)


def check_known(dataset: str) -> None:
    """Refuse what is neither a name that we render nor a file or folder, without making anything.

    Raises:
        DatasetError: Naming the near names.
    """
    if dataset not in RENDERED and not Path(dataset).expanduser().exists():
        raise DatasetError(
            f"unknown dataset {dataset!r}: no name that we render, no file and no folder; {near(dataset, [*RENDERED])}"
        )


def _converted_name(source: Path) -> str:
    """The name of a conversion: another file or folder, or the same one changed, gets another."""
    status = source.stat()
    state = folder_state(source) if source.is_dir() else f"{status.st_size} {status.st_mtime_ns}"
    identity = f"{source.resolve()} {state}"
    return f"{source.stem}-{hashlib.blake2b(identity.encode(), digest_size=4).hexdigest()}.h5"


def _made_once(path: Path, make: Callable[[Path], None], megabytes: int) -> Path:
    """`path`, of so many MB, which `make` writes if it is not there; who else asks meanwhile waits and reuses it."""
    if path.is_file():
        return path
    remedy = f"set {VARIABLE} to a folder with {megabytes} MB free"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(f"{path.name}.lock"), "w")
    except OSError as error:
        raise DatasetError(f"the cache folder {path.parent} cannot be written ({error.strerror}); {remedy}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system gives it back when this process ends, however it ends
        if path.is_file():
            return path
        free = shutil.disk_usage(path.parent).free // 10**6
        if free < megabytes:
            raise DatasetError(f"{path.name} needs {megabytes} MB but {path.parent} has {free} MB free; {remedy}")
        make(path)
    return path
