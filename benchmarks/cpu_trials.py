"""What do trials on a CPU node cost? Two at a time against one, like with like, and the memory of a trial's process.

Speed: one-thread trials, each a process with its batches, updates and reports, as many at a time as --processes against
one alone, in turns. Memory: one trial of the laptop protocol to its end, under Ray as in a study: the process's peak
resident set, and what it holds at the end, its own (which it never gives back) and shared with others (the mapped
dataset, libraries, Ray's object store). Beside it a trial of a pack, whose process holds no torch.

python benchmarks/cpu_trials.py
"""

import argparse
import dataclasses
import os
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune

from benchmarks.cpu_trainer import rate, trial
from study.preflight import cores
from study.protocols import LAPTOP
from trainables.config import PRECISIONS, TrialConfig
from trainables.data.cache import locate
from trainables.hardware import cpu_has_bf16
from trainables.packed import PackedTrial, PackRegistry
from trainables.trial import VAETrial


def main(words: list[str]) -> int:
    """Measure memory, then speed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=LAPTOP.trial.steps, help="of the trials whose memory is measured; 0: none"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="bf16" if cpu_has_bf16() else "fp32")
    arguments = parser.parse_args(words)
    locate("dsprites")  # once, before the processes ask for it together
    if steps := arguments.steps:
        ramp_steps = max(1, steps * LAPTOP.trial.ramp_steps // LAPTOP.trial.steps)
        config = dataclasses.replace(LAPTOP.trial, precision=arguments.precision, steps=steps, ramp_steps=ramp_steps)
        for name, found in memory(config):
            own, mapped = found["RssAnon"], found["RssFile"] + found["RssShmem"]
            print(
                f"{name}: peak {found['VmHWM']:.0f} MB; at its end {own:.0f} of its own, {mapped:.0f} shared",
                flush=True,
            )
    short, ratios, costs = trial(LAPTOP.trial.batch_size, arguments.precision), [], []
    for _ in range(arguments.rounds):
        load = os.getloadavg()[0]
        one, alone = rate("ours", short, processes=1, threads=1)
        many, beside = rate("ours", short, processes=arguments.processes, threads=1)
        ratios.append(many / one)
        costs.append(beside / alone)
        print(
            f"1 trial {one:.1f} updates/s ({alone:.1f} CPU ms each), {arguments.processes} trials {many:.1f} "
            f"({beside:.1f}); load {load:.1f} before",
            flush=True,
        )
    if ratios:
        print(f"{cores()} cores, {arguments.precision}, medians of {len(ratios)} rounds (and their range):")
        print(f"updates/s of {arguments.processes} trials against one: {_median(ratios)}")
        print(f"CPU time of an update beside others against alone: {_median(costs)}")
    return 0


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def memory(config: TrialConfig) -> Iterator[tuple[str, dict[str, float]]]:
    """Resident memory, MB, of a trial's process at its end, alone and in a pack of the loop executor.

    Args:
        config: Of the trial.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=cores(), num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        told: dict[str, Any] = {"evaluation": dataclasses.asdict(LAPTOP.evaluation)}
        serving = PackedTrial.serving(LAPTOP.evaluation, "loop", config.dataset, None, True, 3600.0)
        kinds = {
            "a trial alone": (VAETrial, told, {"num_cpus": 1}),
            "a trial in a pack": (
                PackedTrial,
                told | {"registry": PackRegistry.remote(serving)},
                {"num_cpus": 0, "num_gpus": 1},
            ),
        }
        for name, (kind, parameters, reserved) in kinds.items():
            trainable: Any = tune.with_parameters(kind, **parameters)
            actor = ray.remote(**reserved)(trainable).remote(config={"trial": dataclasses.asdict(config)})
            result: dict[str, Any] = {"done": False}
            while not result["done"]:
                result = ray.get(actor.train.remote())
            yield name, held(result["pid"])
            ray.kill(actor)
    finally:
        ray.shutdown()


def held(pid: int) -> dict[str, float]:
    """What Linux says of a process's memory, MB, by its own names."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {name: int(kilobytes) * 1024 / 1e6 for name, kilobytes in re.findall(r"(\w+):\s+(\d+) kB", status)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
