"""What a store may hold, whoever has written it: plain files, keys that are no paths, tables and JSON as we know them.

A store is data. It may come from a stranger, so whatever becomes a path, or is followed, is checked here, once.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from trainables.checks import InputError

KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Ours are sixteen hex digits; keys become names of files."""
FOLDER = ".mirror"
"""Where a mirror's links are while they are needed; a leftover is made anew."""
ROWS = {"key": "text", "attempt": "number", "step": "number", "full": "flag", "seconds": "number"}
EVENTS = {"key": "text", "attempt": "number", "time": "number", "kind": "text", "detail": "text"}
"""Columns that every row, and every event, has."""
SHOWN = 40
"""Characters of a stranger's word that a message repeats."""


class StoreError(InputError):
    """A store that cannot be opened or written; the message names it and the remedy."""


def check_files(store: Path) -> None:
    """Refuse a store with anything but plain files and folders: a link would be read, or written through, elsewhere.

    A link that stays inside passes: Optuna locks its journal by one. What is gone since it was listed passes too: a
    driver or a mirror may be at work. The mirror's own folder is passed over, unless it is a link.

    Raises:
        StoreError: Naming the first, or that the folder's own name cannot be used.
    """
    if not _is_text(str(store)):
        raise StoreError(f"{store} has bytes in its name that are no UTF-8, which parquet cannot open; rename it")
    for path in _odd(store, (FOLDER,)) if store.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(path) if stat.S_ISLNK(path.lstat().st_mode) else None
            if target is None or not (path.parent / target).resolve().is_relative_to(store.resolve()):
                kind = "no plain file" if target is None else f"a link to {target}"
                raise StoreError(f"{path} is {kind}; a store is read and written inside its folder alone: delete it")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _odd(folder: Path, passed_over: Sequence[str] = ()) -> Iterator[Path]:
    """Links, pipes and devices; `passed_over` names folders in which they are not looked for."""
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(FileNotFoundError):
        entries += os.scandir(folder)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in passed_over:
                yield from _odd(Path(entry.path))
        elif not entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def check_key(key: object) -> str:
    """A trial's key, once it cannot be a path.

    Raises:
        StoreError: It can.
    """
    if not (isinstance(key, str) and KEY.fullmatch(key)):
        raise StoreError(f"{str(key)[:SHOWN]!r} is no key of a trial; keys are 1 to 64 letters, digits, _ and -")
    return key


def frame(table: pa.Table, folder: Path, needed: Mapping[str, str]) -> pd.DataFrame:
    """A table of rows or events as a frame, once its columns are what they should be; empty where it has no columns.

    Raises:
        StoreError: A column is missing, twice there, or of another type than text, number and flag; or a key is none.
    """
    kinds = {field.name: _kind(field.type) for field in table.schema}
    wrong = [name for name, kind in needed.items() if table.num_columns and kinds.get(name, "missing") != kind]
    wrong += [name for name, kind in kinds.items() if kind == "other" or table.schema.names.count(name) > 1]
    if wrong:
        found, wanted = kinds.get(wrong[0], "missing"), needed.get(wrong[0], "text, number or flag, once")
        raise StoreError(
            f"{folder} has a column {wrong[0][:SHOWN]} that is {found}, not {wanted}; take it from a backup"
        )
    made = table.to_pandas()
    for key in made["key"].unique() if len(made) else ():
        try:
            check_key(key)
        except StoreError as error:
            raise StoreError(f"{folder} cannot be used: {error}") from None
    return made


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "flag" if pa.types.is_boolean(kind) or pa.types.is_null(kind) else "other"


def check_described(described: Any) -> None:
    """Refuse a `study.json` of another form than the store's.

    Raises:
        ValueError: Naming what is wrong.
    """
    if not (isinstance(described, dict) and {"identity", "plan", "provenance"} <= described.keys()):
        raise ValueError("identity, plan or provenance is missing")
    check_kinds({"identity": dict, "plan": list, "provenance": list}, described)
    for entry in (*described["plan"], *described["provenance"]):
        if not isinstance(entry, dict):
            raise ValueError(f"plan or provenance has an entry of type {type(entry).__name__}, not an object")
        check_kinds({"study": str, "own": dict, "dataset": dict, "price_per_hour": (int, float, type(None))}, entry)
        about = entry.get("dataset", {})
        check_kinds({"name": str, "factors": list, "entropy": (int, float)}, about)
        if not all(isinstance(name, str) for name in about.get("factors", [])):
            raise ValueError("a factor's name is no text")


def check_kinds(kinds: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuse a value that is there and of another type than told.

    Raises:
        ValueError: Naming it.
    """
    for name, kind in kinds.items():
        if name in values and not isinstance(values[name], kind):
            raise ValueError(f"{name} is of type {type(values[name]).__name__}")
