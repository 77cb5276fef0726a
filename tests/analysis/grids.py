"""Studies of which the truth is known: `Frames.finished` from a function of the config, and noise."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.tradeoff.settings import Setting, by_setting
from trainables.config import TrialConfig

Axes = Mapping[str, Sequence[Any]]
THREE_BY_TWO: Axes = {"gamma": (300.0, 1000.0, 3000.0), "capacity_max": (5.0, 10.0, 25.0), "ramp_steps": (50, 100)}


def study(
    value: Callable[[TrialConfig], Mapping[str, float]], axes: Axes, seeds: int, objective: str = "capacity"
) -> tuple[pd.DataFrame, list[Setting]]:
    """The finished trials of a full factorial, and its settings.

    Args:
        value: The columns of a trial's row.
        axes: Levels by config field.
        seeds: Replicates of each setting.
        objective: Of all trials.
    """
    found = []
    for levels in itertools.product(*axes.values()):
        for seed in range(seeds):
            config = TrialConfig(objective=objective, seed=seed, **dict(zip(axes, levels, strict=True))).canonical()
            row = {"key": config.key(), "setting": config.setting(), "family": config.family, "status": "finished"}
            found.append(dataclasses.asdict(config) | row | dict(value(config)))
    trials = pd.DataFrame(found)
    return trials, by_setting(trials)


def noise(seed: int, *columns: str) -> Callable[[TrialConfig], dict[str, float]]:
    """Columns of independent standard normal numbers."""
    rng = np.random.default_rng(seed)
    return lambda config: dict(zip(columns, rng.normal(size=len(columns)).tolist(), strict=True))
