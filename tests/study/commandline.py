"""The real command line at a tiny scale, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from study.store import open_study

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "steps": "24", "ramp_steps": "12", "batch_size": "4", "report_every": "3", "probe_rows": "60", "report_rows": "30",
    "capacity_max": "2", "gamma": "100", "beta": "1,4", "precision": "fp32",
}  # fmt: skip
TRIALS, REPORTS = 6, 48
"""Two beta settings and one capacity setting, two seeds each; eight reports a trial."""


class Command:
    """`python study/run.py` on the tiny dataset, with one store."""

    def __init__(self, dataset: Path, store: Path) -> None:
        self.dataset, self.store, self.folder, self.reports = dataset, store, ROOT, True
        self.where: tuple[str, ...] = ()
        """Flags that say where it runs; on this machine without any."""
        self.program: tuple[str, ...] = ("study/run.py",)
        """What is run, and the words before the flags."""
        self.processes: list[subprocess.Popen[str]] = []

    def words(self, *more: str, **changes: str) -> list[str]:
        """What follows `python study/run.py`.

        Args:
            more: Flags.
            changes: Of the settings; an empty one leaves a setting out.
        """
        settings = {"dataset": self.dataset, **SETTINGS, **changes}
        flags = [word for name, value in settings.items() if value for word in ("--set", f"{name}={value}")]
        quiet = () if self.reports else ("--no-report",)
        return ["--store", str(self.store), "--concurrency", "2", *self.where, *quiet, *flags, *more]

    def start(self, *words: str, **changes: str) -> subprocess.Popen[str]:
        """Start it in a session of its own, so that a signal reaches all of it, as from a terminal; as `words`."""
        process = subprocess.Popen(
            [sys.executable, str(ROOT / self.program[0]), *self.program[1:], *self.words(*words, **changes)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def run(self, *words: str, **changes: str) -> tuple[int, str]:
        """Run it to its end: exit code and what it printed."""
        process = self.start(*words, **changes)
        output, _ = process.communicate(timeout=180)
        return process.returncode, output

    def wait_for(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        """Wait until something holds; fails with the driver's output if it does not."""
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit or self.processes[-1].poll() is not None:
                self.processes[-1].kill()
                pytest.fail(f"waited in vain; the driver printed: {self.processes[-1].communicate()[0]}")
            time.sleep(0.02)

    def rows(self) -> int:
        """Rows in the store so far."""
        return len(open_study(self.store).rows()) if (self.store / "study.json").exists() else 0

    def end(self) -> None:
        """Kill whatever the test has left running."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout:
                process.stdout.close()
