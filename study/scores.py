"""Scores computed after training, one parquet file a score, a row a trial: `scores/<score>.parquet`.

They lie beside the study and touch none of its files. One writer at a time, apart from the study's driver; a row that
is there is kept. To compute a score anew, delete its file.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from study.lock import take
from study.parts import read_table
from study.received import StoreError, check_files, frame


class Scores:
    """The writer; whatever a call has returned from survives the death of the process.

    Args:
        study: The folder of a study.

    Raises:
        StoreError: Another process is writing scores there, or the folder cannot be written.
    """

    def __init__(self, study: Path) -> None:
        self.folder = study / "scores"
        check_files(study)
        self._lock = take(self.folder / "lock", "is being written by another rescoring", "free it")

    def add(self, score: str, rows: list[dict[str, Any]]) -> None:
        """Append rows, each with its trial's `key`, to a score's file, replacing the file in one step.

        Raises:
            StoreError: A trial has a row already, or the file there cannot be read.
        """
        path = self.folder / f"{score}.parquet"
        known = read_score(path)
        twice = sorted(set(known["key"]) & {row["key"] for row in rows})
        if twice:
            raise StoreError(f"{path} holds trial {twice[0]} already; delete the file to compute the score anew")
        frame = pd.concat([known, pd.DataFrame(rows)], ignore_index=True) if len(known) else pd.DataFrame(rows)
        aside = path.with_suffix(".aside")
        frame.to_parquet(aside)
        os.replace(aside, path)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()

    def __enter__(self) -> "Scores":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read_scores(study: Path) -> dict[str, pd.DataFrame]:
    """Every score's rows by its name; empty where none was computed.

    Raises:
        StoreError: A file that cannot be read.
    """
    return {path.stem: read_score(path) for path in sorted((study / "scores").glob("*.parquet"))}


def read_score(path: Path) -> pd.DataFrame:
    """One score's rows; none where the file does not exist.

    Raises:
        StoreError: It cannot be read.
    """
    if not path.exists():
        return pd.DataFrame({"key": pd.Series(dtype=str)})
    try:
        return frame(read_table(path), path, {"key": "text"})
    except StoreError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it to compute the score anew") from None
