"""The files of a store by kind, and all of them as they stand at one moment, while the driver goes on writing.

The driver writes files aside and renames them, so that a hard link keeps what a file was. What the order of writing
says holds of the links too, because they are made in the opposite order, each kind at least as new as the one before:
`events` say finished only of trials whose row, arrays and weights are there, a checkpoint is never ahead of its rows,
and `study.json` knows every run that has written a row.
"""

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.received import FOLDER, KEY, StoreError

ORDER = {
    "study.json": r"study\.json",
    "rows/*": r"rows/\d{8}-\d{8}\.parquet",
    "scores/*": r"scores/\w[\w.-]*\.parquet",
    "arrays/*": rf"arrays/{KEY.pattern}\.h5",
    "checkpoints/*": rf"checkpoints/{KEY.pattern}",
    "optuna.journal": r"optuna\.journal",
    "events/*": r"events/\d{8}-\d{8}\.parquet",
    "trials.parquet": r"trials\.parquet",
    "logs/*": rf"logs/{KEY.pattern}\.txt",
    "report/**/*": r"report/(?:\w[\w.-]*/)*\w[\w.-]*(?<!\.aside)",
}
"""Each kind of file: how it is found, and its whole name; in the order in which a mirror takes them."""
_PART = re.compile(r"(rows|events)/(\d{8})-(\d{8})\.parquet")
Stamp = tuple[int, int]
"""Bytes and time of change in ns: a file that has the same ones is unchanged."""


@dataclass(frozen=True)
class File:
    """One file of a store as it was.

    Args:
        source: Where its content is; of an unchanged file its own path.
        stamp: Of the content, or of something older.
    """

    source: Path
    stamp: Stamp


def kind_of(name: str) -> str | None:
    """The key of `ORDER` of a path inside a store, or None: no file of a store is called so."""
    return next((kind for kind, pattern in ORDER.items() if re.fullmatch(pattern, name, re.ASCII)), None)


@contextlib.contextmanager
def frozen(
    store: Path, known: Mapping[str, Stamp], kinds: Sequence[str] = tuple(ORDER)
) -> Iterator[list[dict[str, File]]]:
    """The files of a store at one moment, by name, one dict a kind.

    Args:
        store: Its folder; links to files that have changed lie in it until the end.
        known: Stamps of which no content is needed.
        kinds: In the order of `ORDER`.

    Raises:
        StoreError: The folder cannot be written, or its file system has no hard links.
    """
    folder = store / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    try:
        try:
            folder.mkdir()  # so that what could not be removed is not written into
            files = [_freeze_kind(store, kind, known) for kind in reversed(kinds)]
        except OSError as error:
            raise StoreError(f"{folder} cannot be made ({error.strerror}); a mirror needs hard links there") from None
        yield files[::-1]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def covered(parts: Collection[str], ours: Collection[str]) -> list[str]:
    """Of `parts`, those that lie inside another one in `ours`: compaction has put their records there."""
    ranges = [(match[1], match[2], match[3]) for match in map(_PART.fullmatch, ours) if match]
    gone = []
    for name in sorted(set(parts) - set(ours)):
        if (match := _PART.fullmatch(name)) and any(
            folder == match[1] and first <= match[2] and match[3] <= last for folder, first, last in ranges
        ):
            gone.append(name)
    return gone


def last_parts(names: Collection[str]) -> dict[str, int]:
    """The highest number of a part in `rows` and in `events`; 0 without any."""
    last = {"rows": 0, "events": 0}
    for match in filter(None, map(_PART.fullmatch, names)):
        last[match[1]] = max(last[match[1]], int(match[3]))
    return last


def names_of(store: Path, kind: str) -> list[str]:
    """The files of one kind that a store has now."""
    names = glob.glob(kind, root_dir=store, recursive=True)
    pattern = re.compile(ORDER[kind], re.ASCII)
    return sorted(name for name in names if pattern.fullmatch(name) and os.path.isfile(f"{store}/{name}"))


def _freeze_kind(store: Path, kind: str, known: Mapping[str, Stamp]) -> dict[str, File]:
    """The files of one kind; once more where they have come or gone meanwhile, compaction's above all."""
    while True:
        names = names_of(store, kind)
        with contextlib.suppress(FileNotFoundError):
            files = {name: _freeze(store, name, known.get(name)) for name in names}
            if names_of(store, kind) == names:
                return files


def _freeze(store: Path, name: str, known: Stamp | None) -> File:
    path = store / name
    stamp = stamp_of(path)
    if stamp == known:
        return File(path, stamp)
    link = store / FOLDER / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    if name.endswith((".txt", ".journal")):  # these are appended to
        content = path.read_bytes()
        link.write_bytes(content[: content.rfind(b"\n") + 1] if name.endswith(".journal") else content)
        return File(link, stamp)
    os.link(path, link)
    return File(link, stamp_of(link))


def stamp_of(path: Path) -> Stamp:
    """A file's stamp now."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
