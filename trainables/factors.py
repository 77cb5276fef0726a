"""How the generator of Fig. 3 sees the true factors: as standardised numbers, one or several a factor; without torch.

Source: Burgess et al. 2018, section 4.3; the paper scales "the factors" and names no code for shape and orientation.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trainables.checks import ConfigError
from trainables.config import TrialConfig

ONE_HOT, ANGLE = "shape", "orientation"
"""Factors that one number describes badly: classes without an order, and angles that go round."""

Values = Mapping[str, Sequence[float]]


def coded(values: Values, code: str) -> list[np.ndarray]:
    """The standardised numbers of each factor by class: float64 (classes, numbers), one table a factor.

    Args:
        values: The values of each factor by class.
        code: `scalar`: each factor is its value. `grouped`: shape is one-hot, and an orientation that goes a whole turn
            in radians is (cos, sin).

    Each column is standardised over the values, every one taken once: over the dataset, where it is complete.
    """
    return [_standardised(_numbers(name, np.asarray(listed, float), code)) for name, listed in values.items()]


def check_factors(config: TrialConfig, values: Values) -> None:
    """Refuse a generator whose latents are not those that the dataset's factors need.

    Raises:
        ConfigError: The dataset has no factors, or needs another number of latents.
    """
    if not values:
        raise ConfigError("the generator needs a dataset with factors, and this one has none; choose another")
    needed = sum(table.shape[1] for table in coded(values, config.factor_code))
    if needed != config.latents:
        raise ConfigError(
            f"latents={config.latents} does not fit the generator, which has one for each number that describes a "
            f"factor; give latents={needed} for factor_code={config.factor_code} of {', '.join(values)}, or leave "
            "latents out"
        )


def _numbers(name: str, values: np.ndarray, code: str) -> np.ndarray:
    if code == "grouped" and name == ONE_HOT:
        return np.eye(len(values))
    if code == "grouped" and name == ANGLE and math.isclose(np.ptp(values), 2 * math.pi):
        return np.column_stack([np.cos(values), np.sin(values)])
    return values[:, None]


def _standardised(columns: np.ndarray) -> np.ndarray:
    centred = columns - columns.mean(axis=0)
    return centred / np.maximum(np.sqrt((centred**2).mean(axis=0)), 1e-12)
