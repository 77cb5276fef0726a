"""What this processor can do, and how its memory allocator is tuned; no torch."""

import ctypes
import platform
from pathlib import Path

from trainables.checks import ConfigError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # from glibc's malloc.h
_MIB = 1 << 20


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively (AVX-512 BF16, AMX or Arm BF16); false where unknown."""
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def require_precision(precision: str, on_gpu: bool) -> None:
    """Refuse `bf16` on a processor that would emulate it: slower than fp32, and with other bits.

    Raises:
        ConfigError: The processor has no native bfloat16.
    """
    if precision == "bf16" and not on_gpu and not cpu_has_bf16():
        raise ConfigError(
            f"precision=bf16 is not native on this processor ({platform.node()}); use --set precision=fp32"
        )


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory instead of returning it to the system; true where it could be told.

    A step maps and unmaps dozens of 8 MB activations otherwise, and spends a third of its time in page faults.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # 32 MiB is the largest mmap threshold that glibc accepts.
    told = (
        mallopt(_M_MMAP_THRESHOLD, 32 * _MIB),
        mallopt(_M_TRIM_THRESHOLD, 1024 * _MIB),
        mallopt(_M_TOP_PAD, 64 * _MIB),
    )
    return all(told)
