"""A folder at an fsspec URL, in which a file appears whole or not at all."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from study.received import check_files
from trainables.checks import InputError

ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Protocols whose puts are atomic and whose renames are copies; elsewhere a file is put aside and renamed."""
AT_ONCE = 8
"""Files on their way at a time, where the protocol can."""
ASIDE = ".aside"


class RemoteError(InputError):
    """A URL that cannot be read or written; the message names it and the remedy."""


class Gone(RemoteError):
    """A file that was there when it was listed."""


class Remote:
    """One folder of files, by their names inside it.

    Args:
        url: As fsspec takes it, tried with file and s3; credentials and endpoints come from the environment.

    Raises:
        RemoteError: No such protocol, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        if not url.strip():
            raise RemoteError("the URL is empty; give one, s3://bucket/folder say")
        with self._told():
            self._fs, root = url_to_fs(url)
        self._root = root.rstrip("/")
        protocols = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        if self.local and not url.startswith(("file:///", "/")):  # s3:/bucket is a folder's name
            raise RemoteError(f"{url} is no URL; give s3://bucket/folder, or /a/folder of this machine")
        self._check_links()
        self._atomic = not ATOMIC.isdisjoint(protocols)
        self._many: dict[str, Any] = {"batch_size": AT_ONCE} if self._fs.async_impl else {}

    @property
    def local(self) -> Path | None:
        """The folder, if it is one of this machine."""
        return Path(self._root) if isinstance(self._fs, LocalFileSystem) else None

    def find(self) -> set[str]:
        """The names of all files that are there whole; none where there is no such folder.

        Raises:
            RemoteError: It cannot be listed, or a file lies outside.
        """
        self._check_links()
        with self._told():
            self._fs.invalidate_cache()
            try:
                paths = self._fs.find(self._root)
            except FileNotFoundError:
                return set()
        outside = [path for path in paths if not path.startswith(f"{self._root}/")]
        if outside:
            raise RemoteError(f"{self.url} is no folder: it has {outside[0]!r}; give the URL of a folder")
        names = (path[len(self._root) + 1 :] for path in paths)
        return {name for name in names if name and not name.endswith((ASIDE, "/"))}

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        with self._told():
            try:
                return self._fs.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Replace the content of a file."""
        with self._told(), self._placed([name]) as paths:
            self._fs.pipe_file(paths[0], content)

    def put(self, files: Mapping[str, Path]) -> None:
        """Copy local files there, each replacing the one of its name, in no order."""
        with self._told(), self._placed(list(files)) as paths:
            if paths:
                self._fs.put([str(path) for path in files.values()], paths, **self._many)

    def get(self, files: Mapping[str, Path]) -> None:
        """Copy files to local paths, whose folders are made.

        Raises:
            Gone: One of them is not there.
        """
        for folder in {path.parent for path in files.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        paths = [f"{self._root}/{name}" for name in files]
        with self._told():
            if paths:
                self._fs.get(paths, [str(path) for path in files.values()], **self._many)

    def remove(self, names: Sequence[str]) -> None:
        """Delete files."""
        with self._told():
            for name in names:
                self._fs.rm_file(f"{self._root}/{name}")

    def _check_links(self) -> None:
        """Refuse a folder of this machine whose links would have us read or write elsewhere."""
        if self.local and self.local.is_dir():
            check_files(self.local)

    @contextlib.contextmanager
    def _placed(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Where to write files so that they are whole at the end of the context or not there at all."""
        paths = [f"{self._root}/{name}" for name in names]
        if self._atomic:
            yield paths
            return
        for folder in {path.rpartition("/")[0] for path in paths}:
            self._fs.makedirs(folder, exist_ok=True)
        asides = [f"{path}{ASIDE}" for path in paths]
        yield asides
        for aside, path in zip(asides, paths, strict=True):
            self._fs.mv(aside, path)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Every failure as one sentence: the packages behind fsspec raise anything."""
        try:
            yield
        except FileNotFoundError as error:
            raise Gone(f"{self.url} cannot be used ({error}); check the URL and that its bucket exists") from None
        except ImportError as error:
            raise RemoteError(
                f"{self.url} needs a package that is not installed ({error}); for s3:// pip install "
                "'capacity-study[aws]'"
            ) from None
        except Exception as error:
            told = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise RemoteError(f"{self.url} cannot be used ({told}); check the URL and the credentials") from None
