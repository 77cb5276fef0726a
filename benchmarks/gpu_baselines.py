"""What gpu_pack.py holds stacks against: trials as they are without packs, one after another or in processes."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu_floor import wait_for
from benchmarks.gpu_stacks import FEW, Setup, spread
from trainables.config import TrialConfig
from trainables.data.dataset import open_dataset
from trainables.trainer import Trainer

ALONE, LOOP, PROCESSES = "one eager trial", "loop in one process", "processes on one device"
START = 0.5
"""Seconds from the order to the common start: all have read it by then."""
BETWEEN = 10
"""Updates between two looks at the clock, with the device waited for."""


def loop(setup: Setup, precision: str, lanes: int) -> dict[str, Any]:
    """Model-steps a second of so many trainers of one process, each updated in turn; one is a trial as it is."""
    trainers = setup.trainers(precision)

    def advance(updates: int) -> None:
        for _ in range(updates):
            for lane in range(lanes):
                trainers[lane % len(trainers)].update()

    rates = [lanes * rate for rate in setup.rates(advance)]
    return {"baseline": ALONE if lanes == 1 else LOOP, "precision": precision, "lanes": lanes, **spread(rates)}


class Workers:
    """Processes that each hold a trial and a context of their own on the device; started once, timed many times."""

    def __init__(self, started: list[subprocess.Popen[str]]) -> None:
        self.started = started

    def rate(self, setup: Setup, precision: str, lanes: int) -> dict[str, Any]:
        """Model-steps a second of the first so many, all in the same window; the others wait.

        Raises:
            RuntimeError: A process has died.
        """
        totals = []
        for _ in range(setup.repeats):
            begin = time.monotonic() + START  # one clock for all processes
            order = f"{precision} {begin} {begin + setup.seconds}\n"
            for process in self.started[:lanes]:
                _say(process, order)
            totals.append(sum(float(_heard(process)) for process in self.started[:lanes]))
        return {"baseline": PROCESSES, "precision": precision, "lanes": lanes, **spread(totals)}


@contextlib.contextmanager
def workers(setup: Setup, precisions: list[str], count: int) -> Iterator[Workers]:
    """So many processes, warm; ended at the end, whatever happens."""
    told = json.dumps([dataclasses.asdict(setup.config), str(setup.dataset.path), str(setup.device), precisions])
    command = [sys.executable, __file__, told]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # many on few cores
    started = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for process in started:
            _heard(process)
        yield Workers(started)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    raise RuntimeError(f"a worker has died with code {process.wait()}; its message is on standard error")


def work(told: str) -> None:
    """A worker: prints `ready`, then for each order read the updates a second it came to."""
    config, path, device, precisions = json.loads(told)
    dataset, place = open_dataset(path), torch.device(device)
    trainers = {}
    for precision in precisions:
        trainers[precision] = Trainer(TrialConfig(**config | {"precision": precision}), FEW, dataset, place)
        for _ in range(2):
            trainers[precision].update()
    wait_for(place)
    print("ready", flush=True)
    for order in sys.stdin:
        precision, begin, end = order.split()
        trainer, count = trainers[precision], 0
        time.sleep(max(0.0, float(begin) - time.monotonic()))
        began = time.monotonic()
        while time.monotonic() < float(end):
            for _ in range(BETWEEN):
                trainer.update()
            wait_for(place)
            count += BETWEEN
        print(count / (time.monotonic() - began), flush=True)


if __name__ == "__main__":
    work(sys.argv[1])
