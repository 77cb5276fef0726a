"""How fast does a trial train here? A few seconds of real updates."""

import dataclasses
import time

import torch

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


def updates_per_second(config: TrialConfig, seconds: float) -> float:
    """Updates a second of one trial in this process.

    Args:
        config: Of the trial; its dataset is rendered where it is missing.
        seconds: How long to look, at least one update.

    Raises:
        ConfigError: The trial cannot be trained here.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as a trial does
        hardware.keep_freed_memory()
    trainer = Trainer(config, Evaluation(report_rows=2, probe_rows=2), open_dataset(locate(config.dataset)))
    for _ in range(WARM_UP - 1):
        trainer.update()
    trainer.update().item()  # a GPU has done all of it
    begun, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begun < seconds:
        trainer.update().item()  # a GPU has done it: what waiting costs is a part of a trial's reports too
        count += 1
    return count / (time.perf_counter() - begun)


def updates_per_second_packed(config: TrialConfig, seconds: float, lanes: int, device: str) -> float:
    """Updates a second of each of so many trials that are trained as one model.

    Args:
        config: Of the first; the others differ in seed.
        seconds: How long to look, at least one update.
        lanes: Trials.
        device: Where they train.

    Raises:
        ConfigError: They cannot be trained here, or not stacked.
    """
    check_stackable(config)
    dataset, few = open_dataset(locate(config.dataset)), Evaluation(report_rows=2, probe_rows=2)
    trainers = [Trainer(dataclasses.replace(config, seed=seed), few, dataset, device) for seed in range(lanes)]
    stack = Stack(trainers[0], Resident(dataset, trainers[0].device), width_of(lanes), FORM, COMPILED)
    stack.take(trainers)
    stack.run(WARM_UP)
    stack.finite.cpu()  # a GPU has done all of it
    begun, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begun < seconds:
        stack.run(1)
        stack.finite.cpu()
        count += 1
    return count / (time.perf_counter() - begun)
