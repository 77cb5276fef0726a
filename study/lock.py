"""One writer at a time: a lock that the system frees when its process dies."""

import fcntl
import os
import platform
from pathlib import Path
from typing import IO

from study.reader import StoreError


def held(path: Path) -> bool:
    """Whether another process has the lock."""
    try:
        with open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def take(path: Path, busy: str, remedy: str) -> IO[str]:
    """The locked file, which says who has it; closing it gives the lock back.

    Args:
        path: Of the file; its folder is made.
        busy: What to say where another process has it, before that process is named.
        remedy: What to do where it cannot be written.

    Raises:
        StoreError: Another process has it, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "a+")
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be written ({error.strerror}); {remedy}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip()
        lock.close()
        raise StoreError(f"{path.parent} {busy} ({owner}); wait for it or stop it") from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {platform.node()}")
    lock.flush()
    return lock
