"""What code and which releases this process runs, so that machines of one study can be held to the same."""

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from trainables.checks import InputError

PACKAGES = ("torch", "ray", "optuna", "numpy", "h5py", "pandas", "scipy", "scikit-learn")
"""Those whose release may change a number."""
_HOUSE = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """The releases of Python and of `PACKAGES`."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def commit() -> str:
    """The commit that is checked out, `-dirty` where files differ from it, or `unknown`."""
    ask = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        told = subprocess.run(ask, cwd=_HOUSE, capture_output=True, text=True, check=False)
    except OSError:  # no git here
        return "unknown"
    return told.stdout.strip() or "unknown"


def code() -> str:
    """Twelve hex digits of the sources that a trial runs: two machines may be dirty in different ways."""
    digest = hashlib.sha256()
    for path in sorted(file for folder in ("study", "trainables") for file in (_HOUSE / folder).rglob("*.py")):
        digest.update(f"{path.relative_to(_HOUSE)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def software() -> dict[str, str]:
    """What a trial's result depends on: sources and releases."""
    return {"code": code(), **versions()}


def check_software(expected: Mapping[str, str]) -> None:
    """Refuse to train on a machine that runs anything else than the driver.

    Args:
        expected: `software` of the driver, or that and its `commit`.

    Raises:
        InputError: Naming what differs, and the remedy.
    """
    ours = software() | ({"commit": commit()} if "commit" in expected else {})
    apart = [name for name in {**expected, **ours} if ours.get(name) != expected.get(name)]
    if apart:
        told = ", ".join(f"{name} {ours.get(name, 'none')}, not {expected.get(name, 'none')}" for name in apart)
        raise InputError(
            f"{platform.node()} runs other software than the driver ({told}); set it up as the head is (ray up "
            "cluster.yaml does), or end it"
        )
