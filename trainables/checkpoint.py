"""Checkpoints as bytes: what a trainer writes, read and checked; and the trained model back from one."""

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from trainables.checks import ConfigError
from trainables.config import TrialConfig, from_dict
from trainables.model import build


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
        if not (isinstance(loaded, dict) and "config" in loaded):
            raise TypeError("it holds no trial")
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
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
        ConfigError: The bytes are no checkpoint, or a model of one's own cannot be imported.
    """
    loaded = read(state, whose)
    model = build(from_dict(TrialConfig, loaded["config"]), tuple(loaded["image_shape"]), loaded.get("factor_values"))
    model.load_state_dict(loaded["model"])
    return model.eval()
