"""What does a trial cost the driver? Thousands of trials that train nothing, through the real launch path.

Prints seconds a trial, the driver's memory as a line over the trials, the store's size, how long `trials.parquet` takes
to read, and beside them what `study.scale` reckons with. 10,000 trials take about 15 minutes on 2 cores.

python benchmarks/driver_scale.py --trials 10000
python benchmarks/driver_scale.py --trials 100 --checkpoint-bytes 6100000     how many MB/s of checkpoints it takes
"""

import argparse
import dataclasses
import gc
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.config import Launch
from study.launch import train
from study.preflight import cores
from study.scale import DRIVER_BYTES, DRIVER_SECONDS, ROW_BYTES
from study.source import Grid
from study.store import Store, open_study
from trainables.config import Evaluation, TrialConfig
from trainables.measurement import Report
from trainables.trial import VAETrial

REPORTS, COLUMNS = 3, 100
"""Of a trial; about as many columns as a real row of 10 latents has."""
WARM_UP = 250
"""Trials that the slope leaves out at least: the driver still allocates what it keeps for ever."""
NAMES = [f"column_{place}" for place in range(COLUMNS)]
SIZE = "DRIVER_SCALE_CHECKPOINT_BYTES"
"""The environment variable by which the workers know it."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Nothing:
    """A trainer whose updates are free: only reports, checkpoints and arrays remain."""

    def __init__(self, config: TrialConfig) -> None:
        self.config, self.step = config, 0
        self.draw = np.random.default_rng(config.seed)

    def run_to_report(self) -> Report:
        """The next of `REPORTS` rows."""
        self.step += self.config.steps // REPORTS
        done = self.step >= self.config.steps
        row = dict(zip(NAMES, self.draw.random(COLUMNS).tolist(), strict=True))  # nothing to compress, as in real ones
        row |= {"step": self.step, "full": done, "done": done, "seconds": 0.01, "steps_per_second": 300.0}
        row |= {"recon": 100.0 + self.config.seed % 7, "mig_calibrated": 0.1, "verdict": "fine"}
        arrays = {"mean": np.zeros((10, 10), dtype=np.float32)} if done else None
        return Report(row, arrays, done)

    def state(self) -> bytes:
        """A checkpoint of the size that was asked for."""
        return b"0" * int(os.environ[SIZE])


class IdleTrial(VAETrial):
    """The real trial around a trainer that does nothing; without torch."""

    def _begin(self) -> Any:
        self.saved = time.monotonic()
        return Nothing(TrialConfig(**self.config["trial"]))


@dataclass(frozen=True)
class Scale:
    """What was measured.

    Attributes:
        trials: That have finished.
        seconds_per_trial: From the first to the last report, all slots together.
        cpu_seconds_per_trial: Of the driver's process in the same time: what others on the machine do does not count.
        bytes_per_trial: Slope of the driver's memory over finished trials, the first tenth or `WARM_UP` left out.
        store_bytes_per_trial: On disk.
        read_seconds: Of `trials.parquet`.
    """

    trials: int
    seconds_per_trial: float
    cpu_seconds_per_trial: float
    bytes_per_trial: float
    store_bytes_per_trial: float
    read_seconds: float


def measure(trials: int, slots: int, folder: Path, memory_of: Callable[[], int], every: float = 2.0) -> Scale:
    """Run so many trials, `slots` at a time, in a store in `folder`.

    Args:
        trials: How many.
        slots: At a time.
        folder: Where the store is made.
        memory_of: Bytes of this process now.
        every: Seconds between two looks at it.

    Raises:
        RuntimeError: A trial has not finished.
    """
    base = TrialConfig(objective="beta_vae", steps=3 * REPORTS, batch_size=1)
    cells = {c.key(): c for c in (dataclasses.replace(base, seed=seed).canonical() for seed in range(trials))}
    path, looks, ended = folder / "store", [], threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            finished = len(list((path / "arrays").glob("*.h5"))) if (path / "arrays").exists() else 0
            looks.append((time.monotonic(), finished, memory_of(), time.process_time()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    store = Store.open(path, {"schema": 1, "dataset": "none"}, {"hardware": {"cores": slots}})
    try:
        code = train(store, Grid(cells, {}), Evaluation(report_every=3), Launch(slots), IdleTrial)
    finally:
        ended.set()
        watcher.join()
    if code:
        raise RuntimeError(f"the study has ended with code {code}; see {path}/logs")
    begun = time.perf_counter()
    frame = pd.read_parquet(path / "trials.parquet")
    read_seconds = time.perf_counter() - begun
    status = open_study(path).status()
    if len(frame) != trials or set(status.values()) != {"finished"}:
        raise RuntimeError(f"{len(frame)} of {trials} trials are in the table; see {path}/logs")
    settled = min(max(trials // 10, WARM_UP), trials // 2)
    times, counts, memory, worked = np.array([look for look in looks if look[1] > settled]).T
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Scale(
        trials=trials,
        seconds_per_trial=float(np.polyfit(counts, times, 1)[0]),
        cpu_seconds_per_trial=float(np.polyfit(counts, worked, 1)[0]),
        bytes_per_trial=float(np.polyfit(counts, memory, 1)[0]),
        store_bytes_per_trial=size / trials,
        read_seconds=read_seconds,
    )


def resident() -> int:
    """Bytes of this process's memory that are in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def traced() -> int:
    """Bytes that Python's own objects hold."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def main(words: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--slots", type=int, default=cores())
    parser.add_argument("--checkpoint-bytes", type=int, default=1000, help="one comes with each of the three reports")
    parser.add_argument("--traced", action="store_true", help="count Python's own objects alone: slower, and exact")
    arguments = parser.parse_args(words)
    if arguments.traced:
        tracemalloc.start()
    memory_of = traced if arguments.traced else resident
    os.environ[SIZE] = str(arguments.checkpoint_bytes)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        scale = measure(arguments.trials, arguments.slots, Path(folder), memory_of)
    print(
        f"{scale.trials:,} trials, {arguments.slots} at a time: {scale.seconds_per_trial:.3f} s a trial, of which "
        f"the driver's own CPU time is {scale.cpu_seconds_per_trial:.3f} s; the driver's memory grows by "
        f"{scale.bytes_per_trial / 1000:.1f} kB a trial, the store by {scale.store_bytes_per_trial / 1000:.1f} kB; "
        f"trials.parquet is read in {scale.read_seconds:.2f} s; "
        f"{REPORTS * arguments.checkpoint_bytes / scale.seconds_per_trial / 1e6:.1f} MB/s of checkpoints"
    )
    print(f"study.scale reckons with {DRIVER_SECONDS} s, {DRIVER_BYTES / 1000:.1f} kB, and of these rows "
          f"{REPORTS * ROW_BYTES / 1000:.1f} kB of the store once compacted")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    from benchmarks.driver_scale import main as importable  # workers must find IdleTrial by a name of its own

    sys.exit(importable(sys.argv[1:]))
