"""One writer at a time: a lock that the system frees when its process dies."""

import fcntl
import os
import platform
import time
from pathlib import Path
from typing import IO

from study.reader import StoreError

TRIES, SECONDS = 4, 0.1
"""How often, and how far apart, a lock is tried for: who looks whether it is held has it for a moment."""


def has_driver(store: Path) -> bool:
    """Whether a driver has the store open for writing now."""
    try:
        with open(store / "lock") as lock:
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
    for left in reversed(range(TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if left:
                time.sleep(SECONDS)
                continue
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise StoreError(f"{path.parent} {busy} ({owner}); wait for it or stop it") from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {platform.node()}")
    lock.flush()
    return lock
