"""The factor-conditioned generator of Fig. 3: which factors are worth their nats when the decoder is told the truth?

q(z | f) = N(a f, s^2): each factor, standardised, is scaled by a learned a and gets learned noise s. So the KL of each
factor with N(0, 1) is a number that training sets, under the same bottleneck as a VAE's.

Source: Burgess et al. 2018, section 4.3 and Eq. 7.
"""

from typing import Any

import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.factors import Values, check_factors, coded

SCALE, LOG_STD = 0.426, -0.1
"""At the start: about 0.1 nats a latent."""


class FactorCode(nn.Module):
    """Posterior of the latents given the classes of the factors; the latents of a factor share one scale and noise.

    Args:
        values: The values of each factor by class.
        code: How a factor is seen (`trainables.factors`).
    """

    table: Tensor
    """Standardised value of each class in each latent, 0 where a factor has no part: (factors, classes, latents)."""
    group: Tensor
    """Which factor each latent tells of: int64 (latents,)."""

    def __init__(self, values: Values, code: str) -> None:
        super().__init__()
        columns = coded(values, code)
        widths = [column.shape[1] for column in columns]
        table = torch.zeros(len(columns), max(map(len, columns)), sum(widths))
        start = 0
        for factor, column in enumerate(columns):
            table[factor, : len(column), start : start + widths[factor]] = torch.from_numpy(column)
            start += widths[factor]
        self.register_buffer("table", table)
        self.register_buffer("group", torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths)))
        self.scale = nn.Parameter(torch.full((len(widths),), SCALE))
        self.log_std = nn.Parameter(torch.full((len(widths),), LOG_STD))

    def forward(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log std, (batch, latents) each, of class indices int64 (batch, factors)."""
        factors = torch.arange(classes.shape[1], device=classes.device)
        standardised = self.table[factors, classes].sum(1)
        mean = self.scale[self.group] * standardised
        return mean, self.log_std[self.group].expand_as(mean)


class Generator(nn.Module):
    """The decoder of A.1 behind a `FactorCode`: `encode` takes class indices of the factors in place of images.

    Args:
        config: Says how a factor is seen, and how many latents there are.
        values: The values of each factor of the dataset by class.
        decoder: Takes as many latents.

    Raises:
        ConfigError: The dataset has no factors, or another number of latents than configured is needed.
    """

    def __init__(self, config: TrialConfig, values: Values, decoder: nn.Module) -> None:
        super().__init__()
        check_factors(config, values)
        self.code = FactorCode(values, config.factor_code)
        self.decoder = decoder

    def encode(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log standard deviation, (batch, latents) each, of classes int64 (batch, factors)."""
        with torch.autocast(classes.device.type, enabled=False):
            return self.code(classes)

    def decode(self, codes: Tensor) -> Tensor:
        """Bernoulli logits, float32, (batch, channels, 64, 64), of codes (batch, latents)."""
        return self.decoder(codes).float()


def rates(model: nn.Module, learning_rate: float, factor_lr: float) -> list[dict[str, Any]]:
    """Adam's parameter groups: the scales and noises of a generator learn at a rate of their own.

    They move by at most a rate an update, and have to travel far while C rises: at the decoder's rate no factor would
    open before the ramp is over.
    """
    if not isinstance(model, Generator):
        return [{"params": list(model.parameters()), "lr": learning_rate}]
    return [
        {"params": list(model.decoder.parameters()), "lr": learning_rate},
        {"params": list(model.code.parameters()), "lr": factor_lr},
    ]
