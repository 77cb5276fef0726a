"""A stored trial trained again by itself, in this process, as a worker of its own would. No Ray."""

from dataclasses import dataclass

import torch

from trainables import checkpoint, hardware
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.measurement import Arrays, Row
from trainables.trainer import Trainer


@dataclass(frozen=True, eq=False)
class Ended:
    """What a trial leaves behind at its last step.

    Attributes:
        row: Its last metrics row.
        arrays: Of the full evaluation.
        weights: Its checkpoint's bytes.
    """

    row: Row
    arrays: Arrays
    weights: bytes


def device_for(state: bytes, whose: str) -> tuple[str, str]:
    """Where a trial was trained, and where it can be trained again here: `cpu` or `cuda`.

    Args:
        state: Its checkpoint.
        whose: Named in messages.

    Raises:
        ConfigError: The bytes are no checkpoint.
    """
    trained_on = "cuda" if any(place.startswith("cuda") for place in checkpoint.places(state, whose)) else "cpu"
    return trained_on, trained_on if torch.cuda.is_available() else "cpu"


def train(config: TrialConfig, evaluation: Evaluation, dataset: Dataset, device: str) -> Ended | None:
    """Train a trial from its first step to its last; None where it diverges.

    Raises:
        ConfigError: As `Trainer`.
    """
    if device == "cpu":
        torch.set_num_threads(1)  # as a trial of a study has: other sums, other bits
        hardware.keep_freed_memory()
    trainer = Trainer(config, evaluation, dataset, device)
    while not (report := trainer.run_to_report()).done:
        pass
    return None if report.diverged else Ended(report.row, report.arrays or {}, trainer.state())
