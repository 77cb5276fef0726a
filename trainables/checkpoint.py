"""Checkpoints as bytes: what a trainer writes, read and checked; and the trained model back from one."""

import io
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from trainables.checks import ConfigError
from trainables.config import TrialConfig, from_dict
from trainables.model import build

MOST_PIXELS = 2**20
"""Numbers of an image at most: a checkpoint that says more is refused before its model is made."""


def read(state: bytes, whose: str, placed: Callable[[Any, str], Any] | str = "cpu") -> dict[str, Any]:
    """What `Trainer.state` wrote, on the CPU.

    Args:
        state: Bytes from anywhere: nothing but tensors and plain data is unpickled.
        whose: Named in messages.
        placed: As `map_location` of `torch.load`.

    Raises:
        ConfigError: The bytes are no checkpoint.
    """
    try:
        loaded = torch.load(io.BytesIO(state), map_location=placed, weights_only=True)
        if not (isinstance(loaded, dict) and isinstance(loaded.get("config"), dict)):
            raise TypeError("it holds no trial")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "weights" in reason.lower():  # torch advises to unpickle it all the same
            reason = "it is damaged, or holds more than tensors and plain data"
        raise ConfigError(f"checkpoint of {whose} cannot be read ({reason}); give its own") from error
    return loaded


def places(state: bytes, whose: str) -> set[str]:
    """The devices that a checkpoint's tensors were on: `cpu`, `cuda:0`.

    Raises:
        ConfigError: As `read`.
    """
    found = set()

    def told(storage: Any, place: str) -> Any:
        found.add(place)
        return storage

    read(state, whose, told)
    return found


def model_of(state: bytes, whose: str) -> nn.Module:
    """The model of a checkpoint with its weights, on the CPU and ready for evaluation.

    Args:
        state: A checkpoint's bytes.
        whose: Named in messages.

    Returns:
        A module with encode(images (n, channels, 64, 64) in [0, 1]) -> mean and log std, each (n, latents), and
        decode(codes (n, latents)) -> Bernoulli logits (n, channels, 64, 64). A generator encodes the classes of the
        factors, int64 (n, factors).

    Raises:
        ConfigError: The bytes are no checkpoint, its weights are not the model's, or a model of one's own cannot be
            imported.
    """
    loaded = read(state, whose)
    try:
        shape = tuple(loaded["image_shape"])
        if not (len(shape) == 3 and all(type(side) is int for side in shape) and 0 < math.prod(shape) <= MOST_PIXELS):
            raise ValueError(f"images of shape {shape}")
        model = build(from_dict(TrialConfig, loaded["config"]), shape, loaded.get("factor_values"))
        model.load_state_dict(loaded["model"])
    except ConfigError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"checkpoint of {whose} does not fit its own config ({reason}); give its own") from error
    return model.eval()
