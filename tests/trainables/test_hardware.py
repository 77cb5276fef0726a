import subprocess
import sys
from pathlib import Path

import pytest

from trainables import hardware
from trainables.checks import ConfigError


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_has_bf16", lambda: False)
    with pytest.raises(ConfigError, match=r"precision=bf16 is not native .* use --set precision=fp32"):
        hardware.require_precision("bf16", on_gpu=False)
    hardware.require_precision("bf16", on_gpu=True)
    hardware.require_precision("fp32", on_gpu=False)


@pytest.mark.parametrize(("flags", "native"), [("fpu avx512_bf16 sse", True), ("fpu avx512f sse", False)])
def test_bf16_is_read_from_the_processors_flags(flags: str, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: f"flags : {flags}\n")
    assert hardware.cpu_has_bf16() is native


def test_freed_memory_stays_mapped() -> None:
    script = """
import resource, sys
from trainables import hardware
if sys.argv[1] == "kept":
    assert hardware.keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
warm = bytearray(8 << 20); del warm
before = faults()
for _ in range(50):
    block = bytearray(8 << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
print(faults() - before)
"""
    counts = {
        word: int(
            subprocess.run([sys.executable, "-c", script, word], capture_output=True, text=True, check=True).stdout
        )
        for word in ("kept", "returned")
    }
    assert counts["kept"] < 0.2 * counts["returned"]
