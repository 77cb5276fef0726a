"""How fast does a trial train here? A few seconds of real updates."""

import dataclasses
import time
from collections.abc import Callable

import torch
from torch import Tensor

from trainables import hardware
from trainables.config import Evaluation, TrialConfig
from trainables.data.cache import locate
from trainables.data.dataset import open_dataset
from trainables.data.resident import Resident
from trainables.packing.pack import COMPILED, FORM, check_stackable, width_of
from trainables.packing.stack import Stack
from trainables.trainer import Trainer

WARM_UP = 5
"""Updates before the clock runs: the first ones allocate, and on a GPU choose their kernels."""
FEW = Evaluation(report_rows=2, probe_rows=2)
"""Nothing is measured but the time."""


def updates_per_second(config: TrialConfig, seconds: float, device: str | None = None) -> float:
    """Updates a second of one trial in this process.

    Args:
        config: Of the trial; its dataset is rendered where it is missing.
        seconds: How long to look, at least one update.
        device: Where it trains; by default a GPU where there is one.

    Raises:
        ConfigError: The trial cannot be trained here.
    """
    _as_a_trial_does(device)
    return _rate(Trainer(config, FEW, open_dataset(locate(config.dataset)), device).update, seconds)


def updates_per_second_packed(config: TrialConfig, seconds: float, lanes: int, device: str | None = None) -> float:
    """Updates a second of each of so many trials that are trained as one model.

    Args:
        config: Of the first; the others differ in seed.
        seconds: How long to look, at least one update.
        lanes: Trials.
        device: Where they train; by default a GPU where there is one.

    Raises:
        ConfigError: They cannot be trained here, or not stacked.
    """
    check_stackable(config)
    _as_a_trial_does(device)
    dataset = open_dataset(locate(config.dataset))
    trainers = [Trainer(dataclasses.replace(config, seed=seed), FEW, dataset, device) for seed in range(lanes)]
    stack = Stack(trainers[0], Resident(dataset, trainers[0].device), width_of(lanes), FORM, COMPILED)
    stack.take(trainers)

    def update() -> Tensor:
        stack.run(1)
        return stack.finite

    return _rate(update, seconds)


def _as_a_trial_does(device: str | None) -> None:
    """One thread on a CPU, and its memory kept."""
    if device == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(1)
        hardware.keep_freed_memory()


def _rate(update: Callable[[], Tensor], seconds: float) -> float:
    """Updates a second, each waited for: what waiting for a GPU costs is a part of a trial's reports too."""
    for _ in range(WARM_UP):
        update().cpu()
    begun, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begun < seconds:
        update().cpu()
        count += 1
    return count / (time.perf_counter() - begun)
