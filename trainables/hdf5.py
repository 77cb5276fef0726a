"""What of an HDF5 file is read: plain numbers that lie in the file itself.

HDF5 can also name other files (external and soft links, external storage, virtual datasets), hold objects, and declare
more than it holds. Files come from others, so all that is refused, before anything is allocated.
"""

import math
from typing import Any

import h5py

SHRINKS = 1100
"""Times that deflate makes zeros smaller (1,032), and a little: whoever declares more declares what is not there."""
UNSTORED = 2**20
"""Bytes that may be declared without being stored: HDF5 leaves out what nobody has written."""


def numbers(file: Any, name: str) -> Any:
    """The HDF5 dataset `name` of a file, unread; Any, because h5py is untyped.

    Args:
        file: Open; an `h5py.File`.
        name: Its path from the root.

    Raises:
        ValueError: What is wrong with it, to follow the file's name: `has x that is no HDF5 dataset`.
    """
    stored: Any = file
    for part in name.split("/"):
        link = stored.get(part, getlink=True) if isinstance(stored, h5py.Group) else None
        if link is None:
            raise ValueError(f"has no dataset {name!r}")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"has {name} that is a link")
        stored = stored[part]
    if not isinstance(stored, h5py.Dataset):
        raise ValueError(f"has {name} that is no HDF5 dataset")
    if stored.is_virtual or stored.external:
        raise ValueError(f"has {name} that lies in other files")
    if stored.dtype.kind not in "biuf":
        raise ValueError(f"has {name} of {stored.dtype} {stored.shape}")
    declared, held = declared_bytes(stored), min(stored.id.get_storage_size(), file.id.get_filesize())
    if declared > max(UNSTORED, SHRINKS * held):
        raise ValueError(f"has {name} of shape {stored.shape}, {declared:,} bytes of which the file holds {held:,}")
    return stored


def declared_bytes(stored: Any) -> int:
    """Bytes of an HDF5 dataset in memory, also where numpy's integers would overflow."""
    return math.prod(stored.shape or (0,)) * stored.dtype.itemsize
