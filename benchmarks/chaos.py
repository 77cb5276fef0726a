"""Does a study survive? A grid of 24 trials on three nodes that share no files, while workers, nodes and drivers die.

First the grid runs without faults, then again while, for the given time, something is killed -9 every few seconds: a
trial's process, a whole node (another one joins), or the driver (the same command continues). Then it may end in
peace. Prints the faults, rows lost, trials that differ, and the time against the fault-free run. Needs the right to
mount (see `benchmarks.raylets`); takes a quarter of an hour on 2 cores.

python benchmarks/chaos.py --minutes 6
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.raylets import Raylets, end
from study.store import compare, open_study
from trainables.data.dsprites import render_dsprites

ROOT = Path(__file__).parents[1]
NODES = 3
SETTINGS = {
    "beta": "1,2,4,8", "capacity_max": "2,4", "gamma": "10,100", "steps": "240", "ramp_steps": "120",
    "batch_size": "16", "report_every": "12", "probe_rows": "200", "report_rows": "100", "precision": "fp32",
}  # fmt: skip
TRIALS = 24
KINDS = {"worker": 6, "node": 3, "driver": 1}
"""What is killed, and how often each among ten faults."""


class Chaos:
    """The command on a cluster, and what is done to it."""

    def __init__(self, raylets: Raylets, dataset: Path, seed: int) -> None:
        self.raylets, self.dataset, self.random = raylets, dataset, random.Random(seed)
        self.faults: Counter[str] = Counter()
        self.seen: set[tuple[str, int]] = set()

    def start(self, store: Path) -> subprocess.Popen[bytes]:
        """The driver, on a store."""
        flags = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
        words = ["--store", str(store), "--set", f"dataset={self.dataset}", *flags, "--seeds", "3", "--no-report"]
        where = ["--address", self.raylets.address, "--concurrency", str(NODES)]
        with (store.parent / f"{store.name}.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "study/run.py"), *words, *where],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    def run(self, store: Path, fault_seconds: float, mean_seconds: float) -> float:
        """Run the study to its end, with faults at first; seconds that it took.

        Args:
            store: Its folder.
            fault_seconds: For how long something is killed now and then.
            mean_seconds: Between two faults, drawn from an exponential distribution.

        Raises:
            RuntimeError: The command has ended with another code than 0.
        """
        began, driver = time.monotonic(), self.start(store)
        due = began + self.random.expovariate(1 / mean_seconds)
        while (code := driver.poll()) is None:
            time.sleep(0.1)
            if due < time.monotonic() < began + fault_seconds:
                driver = self.strike(store, driver)
                due = time.monotonic() + self.random.expovariate(1 / mean_seconds)
        if code:
            printed = (store.parent / f"{store.name}.txt").read_text()
            raise RuntimeError(f"the study has ended with code {code}: {printed}")
        return time.monotonic() - began

    def strike(self, store: Path, driver: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Kill something; the driver that runs afterwards."""
        if (store / "study.json").exists():
            rows = open_study(store).rows()
            self.seen |= set(zip(rows["key"], rows["step"], strict=True))
        (kind,) = self.random.choices(list(KINDS), weights=list(KINDS.values()))
        node = self.random.choice(self.raylets.nodes)
        if kind == "worker":
            if not (trials := node.trials):
                return driver  # nothing trains there now
            end(self.random.choice(trials), signal.SIGKILL)
        elif kind == "node":
            self.raylets.remove(node)
            self.raylets.add()
        else:
            driver.kill()
            driver.wait()
            driver = self.start(store)
        self.faults[kind] += 1
        print(f"  killed a {kind}; {len(self.seen)} rows so far", flush=True)
        return driver


def main(words: list[str]) -> int:
    """Run both studies and print what differs; 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--minutes", type=float, default=6.0, help="for which something is killed now and then")
    parser.add_argument("--every", type=float, default=12.0, help="mean seconds between two faults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch), Path(scratch) / "cache"
        os.environ["CAPACITY_STUDY_CACHE"] = str(cache)
        cache.mkdir()
        render_dsprites(folder / "tiny.h5", scales=2, orientations=4, positions=8)
        with Raylets([folder], folder / "raylets.txt") as raylets:
            for _ in range(NODES):
                raylets.add()
            chaos = Chaos(raylets, folder / "tiny.h5", arguments.seed)
            calm = chaos.run(folder / "calm", 0.0, arguments.every)
            print(f"without faults: {TRIALS} trials in {calm:.0f} s", flush=True)
            wild = chaos.run(folder / "wild", 60 * arguments.minutes, arguments.every)
        study = open_study(folder / "wild")
        rows = study.rows()
        lost = chaos.seen - set(zip(rows["key"], rows["step"], strict=True))
        finished = Counter(study.status().values())["finished"]
        differences = compare(folder / "wild", folder / "calm")
    faults = ", ".join(f"{number} {kind}s" for kind, number in chaos.faults.items())
    print(f"faults: {sum(chaos.faults.values())} ({faults}); {finished} of {TRIALS} trials finished")
    print(f"rows lost: {len(lost)}; differences from the fault-free run: {len(differences)}")
    print(f"time: {wild:.0f} s, {wild / calm:.1f} times as long")
    return int(bool(lost or differences or finished != TRIALS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
