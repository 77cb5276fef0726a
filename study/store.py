"""The face of a study's disk format: the writer here, the rest in `study.reader`, `study.parts` and `study.scores`.

One driver writes (`Store`), any number of readers look on (`open_study`). Whatever a call has returned from survives
the death of the process, not the loss of power: files are written aside and renamed, and nothing is synchronised.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from study.compare import compare
from study.lock import take
from study.parts import Parts
from study.reader import StoreError, Study, Trial, description, open_study
from study.received import check_files, check_key
from study.scores import Scores, read_scores

__all__ = ["Scores", "Store", "StoreError", "Study", "Trial", "compare", "no_room", "open_study", "read_scores"]

ROOM = 50_000_000
"""Bytes that the store writes at once at most: with more free, another disk is full."""
FLUSH_ROWS, FLUSH_SECONDS, COMPACT_PARTS = 200, 2.0, 500


class Store:
    """The writer of one study; at most one at a time, kept by a lock that the system frees when its process dies."""

    def __init__(self, path: Path, lock: Any) -> None:
        self.path, self._lock = path, lock
        self._rows, self._events = Parts(path / "rows"), Parts(path / "events")
        self._waiting: list[dict[str, Any]] = []
        self._flushed = time.monotonic()
        self.warnings: list[str] = []

    @classmethod
    def open(cls, path: Path, identity: dict[str, Any], provenance: dict[str, Any]) -> "Store":
        """Create a store, or continue one of the same identity.

        Args:
            path: Its folder.
            identity: What all its trials share.
            provenance: Code, versions, hardware, command line: a change is recorded and warned about.

        Raises:
            StoreError: The folder cannot be written, another driver has it open, it holds another study, or a part
                of it cannot be read.
        """
        check_files(path)
        lock = take(path / "lock", "is open in another driver", "use another --store")
        store = cls(path, lock)
        try:
            store._begin(identity, provenance)
        except BaseException:
            lock.close()
            raise
        return store

    def _begin(self, identity: dict[str, Any], provenance: dict[str, Any]) -> None:
        if not (self.path / "study.json").exists():
            self._describe({"identity": identity, "plan": [], "provenance": []})
        described = description(self.path)
        study = open_study(self.path)
        study.check_identity(identity)
        study.check_own(provenance.get("own", {}))
        if problems := study.problems:
            raise StoreError(f"{problems[0]}; move it away, and what it held of a trial's end is made again")
        self.warnings += study.changed(provenance)
        described["provenance"].append({"date": _now(), **provenance})
        self._describe(described)
        self._rows.compact()
        self._events.compact()

    def extend_plan(self, plan: dict[str, Any]) -> None:
        """Record what the study now consists of, with its date, unless it is what was recorded last."""
        described = description(self.path)
        if not described["plan"] or {**described["plan"][-1], "date": None} != {"date": None, **plan}:
            described["plan"].append({"date": _now(), **plan})
            self._describe(described)

    def record_actual(self, took: str) -> str:
        """Keep beside the predicted price of this run what it really took; the predicted one."""
        described = description(self.path)
        described["provenance"][-1]["actual"] = took
        self._describe(described)
        return described["provenance"][-1].get("predicted", "nothing")

    def add_row(self, key: str, attempt: int, row: dict[str, Any]) -> None:
        """Take a metrics row; it is on disk within `FLUSH_SECONDS`, if `tick` is called as often.

        Every row has `step`, `full` and `seconds`; other scalars may come and go.
        """
        self._waiting.append({"key": key, "attempt": attempt, "time": time.time(), **row})
        self.tick()

    def add_event(self, key: str, attempt: int, kind: str, detail: str = "") -> None:
        """Store what happened to a trial.

        Its kind is started, retried, failed, diverged, stopped, dropped, interrupted or finished. The
        detail of `started` and `dropped` is the trial's config as JSON.
        """
        self.flush()
        event = {"key": key, "attempt": attempt, "time": time.time(), "kind": kind, "detail": detail}
        self._events.append([event])

    def tick(self) -> None:
        """Flush what has waited long enough."""
        late = time.monotonic() - self._flushed >= FLUSH_SECONDS
        if len(self._waiting) >= FLUSH_ROWS or (self._waiting and late):
            self.flush()

    def flush(self) -> None:
        """Put every row on disk."""
        self._rows.append(self._waiting)
        self._waiting, self._flushed = [], time.monotonic()
        for parts in (self._rows, self._events):
            if len(parts) >= COMPACT_PARTS:
                parts.compact()

    def save_checkpoint(self, key: str, state: bytes) -> None:
        """Replace a trial's checkpoint, after the rows that lead up to it."""
        self.flush()
        _write_aside(self.path / "checkpoints" / check_key(key), state)

    def finish(self, key: str, attempt: int, row: dict[str, Any], arrays: dict[str, Any], weights: bytes) -> None:
        """Store a trial's end; only its last part, the event, makes the trial finished."""
        self._write_arrays(key, arrays)
        self.save_checkpoint(key, weights)
        self.add_row(key, attempt, row)
        self.add_event(key, attempt, "finished")

    def append_log(self, key: str, text: str) -> None:
        """Add to what a trial has printed."""
        if text:
            path = self.log_path(key)
            path.parent.mkdir(exist_ok=True)
            with path.open("a") as file:
                file.write(text)

    def log_path(self, key: str) -> Path:
        """Where a trial's output and tracebacks are."""
        return self.path / "logs" / f"{check_key(key)}.txt"

    def close(self) -> None:
        """Flush, write `trials.parquet` and give the lock back, whether there was room for them or not."""
        if self._lock.closed:
            return
        try:
            self.flush()
            aside = self.path / "trials.aside"
            open_study(self.path).trials().to_parquet(aside)
            os.replace(aside, self.path / "trials.parquet")
        finally:
            self._lock.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _describe(self, described: dict[str, Any]) -> None:
        _write_aside(self.path / "study.json", json.dumps(described, indent=1).encode())

    def _write_arrays(self, key: str, arrays: dict[str, np.ndarray]) -> None:
        path = self.path / "arrays" / f"{check_key(key)}.h5"
        path.parent.mkdir(exist_ok=True)
        aside = path.with_suffix(".aside")
        with h5py.File(aside, "w") as file:
            for name, array in arrays.items():
                pictures = array.dtype == np.uint8 and array.ndim > 2  # mostly black: they shrink tenfold
                file.create_dataset(name, data=array, compression="gzip" if pictures else None)
        os.replace(aside, path)


def no_room(path: Path, error: Exception) -> StoreError | None:
    """What to say where a store's disk is full; None where the error is another one, whoever raised it."""
    words = ("No space left", "Disk quota exceeded")  # pyarrow and HDF5 keep the system's words, not always its number
    elsewhere = words[0] in str(error) and shutil.disk_usage(path).free > ROOM
    if elsewhere or not any(word in str(error) for word in words):
        return None
    return StoreError(
        f"store {path} cannot be written: its disk is full; free some, and the same command continues: what was not "
        "stored is trained again"
    )


def _write_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.aside")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)  # of a full disk every byte counts
        raise


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")
