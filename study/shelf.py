"""The shelf: what the driver's disk has, for trials on machines that share no files with it."""

import os
from pathlib import Path

import ray

from study.store import open_study
from trainables.data.cache import VARIABLE, locate

CHUNK_BYTES = 16_000_000


@ray.remote(num_cpus=0)
class Shelf:
    """Gives trials on any node what the driver's disk has: their checkpoints, and the dataset where it is missing.

    Args:
        path: Of the store.
        dataset: Name or path of the study's.
        cache: The driver's folder of datasets.
    """

    def __init__(self, path: str, dataset: str, cache: str) -> None:
        self.study, self.dataset = open_study(path), dataset
        self.located: Path | None = None
        os.environ[VARIABLE] = cache  # this process has Ray's environment, not the driver's

    def get(self, key: str) -> bytes | None:
        """The last checkpoint of a trial, if it has one."""
        return self.study.checkpoint(key)

    def dataset_size(self) -> int:
        """Of the dataset's file, bytes."""
        return self._file().stat().st_size

    def dataset_from(self, begin: int) -> bytes:
        """The next `CHUNK_BYTES` of the dataset's file, fewer at its end."""
        with self._file().open("rb") as file:
            file.seek(begin)
            return file.read(CHUNK_BYTES)

    def _file(self) -> Path:
        """Found once: what is delivered is one file from its first byte to its last."""
        self.located = self.located or locate(self.dataset)
        return self.located
