"""What is checked and recorded before a study starts; without Ray and torch."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from study.store import StoreError
from trainables.checks import InputError
from trainables.software import commit, versions

PROBE_SECONDS = 3.0
TRIAL_BYTES, LANE_BYTES = 700_000_000, 260_000_000
"""Of a trial's process at its largest, with torch; and of one that asks a pack (docs/packing.md)."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """NVIDIA GPUs of this machine, asked without loading torch."""
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def check_address(address: str | None) -> None:
    """Refuse a Ray address that is `ray://` or does not speak gRPC within `PROBE_SECONDS`.

    `ray.init` hangs for minutes where nobody answers, and where something else than Ray does.

    Raises:
        InputError: Naming the address and the remedy.
    """
    if address is None or address == "auto":
        return
    if "://" in address:
        raise InputError(
            f"Ray address {address} is a Ray client address; run the study on the head itself "
            "(ray job submit) with --address auto"
        )
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit() and 0 < int(port) < 65_536):
        raise InputError(f"Ray address {address} is not host:port; give for example 10.0.0.1:6379, or auto")
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=PROBE_SECONDS)
        except grpc.FutureTimeoutError:
            raise InputError(
                f"no Ray cluster answers at address {address} within {PROBE_SECONDS:.0f} s; "
                "check the address, or leave it out to run on this machine"
            ) from None


def check_disk(path: Path, needed: int) -> None:
    """Refuse a plan that does not fit the disk.

    Args:
        path: Of the store, which need not exist yet.
        needed: Bytes.

    Raises:
        StoreError: Naming what is needed, what is free and the remedy.
    """
    parent = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.exists(folder))
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise StoreError(
            f"the plan needs {needed / 1e6:,.0f} MB and {parent} has {free / 1e6:,.0f} MB free; "
            "free some, or use --store on another disk"
        )


def check_memory(trials: int, packed: bool) -> None:
    """Refuse more trials at a time than this machine has memory for.

    Args:
        trials: At a time.
        packed: Whether they are lanes of packs, whose processes hold no torch.

    Raises:
        InputError: Naming what is needed, what there is and the remedy.
    """
    each = LANE_BYTES if packed else TRIAL_BYTES
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if trials * each > memory:
        raise InputError(
            f"{trials} trials at a time need about {trials * each / 1e9:.1f} GB of memory and this machine has "
            f"{memory / 1e9:.1f} GB; give --concurrency {max(memory // each, 1)}"
        )


def provenance(command: list[str], predicted: str) -> dict[str, Any]:
    """What a reader needs to repeat the study: code, versions, hardware, command and predicted price."""
    return {
        "commit": commit(),
        "versions": versions(),
        "hardware": {"host": platform.node(), "machine": platform.machine(), "cores": os.cpu_count()},
        "command": " ".join(command),
        "predicted": predicted,
    }
