"""How fast does a trial train here? A few seconds of real updates."""

import time

import torch

from trainables import hardware
from trainables.config import Evaluation, TrialConfig
from trainables.data.cache import locate
from trainables.data.dataset import open_dataset
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
