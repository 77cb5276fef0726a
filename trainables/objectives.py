"""VAE, beta-VAE and capacity objectives as pure functions; everything in nats per image.

Losses are summed over pixels and latents and averaged over the batch: with any other reduction beta, gamma and C lose
their meaning.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.checks import ConfigError
from trainables.config import TrialConfig, is_own
from trainables.own import load


def gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) of every latent of every image, nats.

    Args:
        mean: Posterior means, shape (batch, latents).
        log_std: Logarithms of the posterior standard deviations, shape (batch, latents).

    Returns:
        Shape (batch, latents).
    """
    return 0.5 * (mean.square() + torch.exp(2 * log_std) - 1) - log_std


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Bernoulli cross-entropy of every image, summed over its pixels, nats.

    Args:
        logits: Shape (batch, channels, height, width).
        images: Pixels in [0, 1], same shape.

    Returns:
        Shape (batch,).
    """
    return F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)


def capacity(step: int, config: TrialConfig) -> float:
    """The capacity C after `step` completed updates: linear over the ramp, then held; nats.

    Source: Burgess et al. 2018, A.2.
    """
    return _ramped(config.capacity_start, config.capacity_max, step, config)


def beta(step: int, config: TrialConfig) -> float:
    """The weight of the KL after `step` completed updates: fixed, or on its way from `beta_start` over the ramp."""
    if config.objective == "vae":
        return 1.0
    return _ramped(config.beta_start, config.beta, step, config) if config.beta_start is not None else config.beta


def _ramped(start: float, end: float, step: int, config: TrialConfig) -> float:
    return start + (end - start) * min(1.0, step / config.ramp_steps)


def objective(recon: Tensor, kl: Tensor, step: int, config: TrialConfig) -> Tensor:
    """The training loss of one batch, nats per image.

    Args:
        recon: Reconstruction loss of each image, shape (batch,).
        kl: KL of each latent of each image, shape (batch, latents).
        step: Completed updates.
        config: Says which objective, with which coefficients.

    Returns:
        A scalar: Eq. 3 for `vae`, Eq. 5 for `beta_vae`, Eq. 8 for `capacity`, each with its sign turned. Eq. 8 takes
        the deviation of the *batch mean* of the KL from C, not the mean of each image's deviation. Else whatever
        one's own objective gives.

    Raises:
        ConfigError: One's own objective gives something that cannot be descended.

    Source: Burgess et al. 2018.
    """
    if is_own(config.objective):
        return _own(recon, kl, step, config)
    total = kl.sum(1).mean()
    if config.objective == "capacity":
        return recon.mean() + config.gamma * (total - capacity(step, config)).abs()
    return recon.mean() + beta(step, config) * total


def _own(recon: Tensor, kl: Tensor, step: int, config: TrialConfig) -> Tensor:
    loss = load(config.objective)(recon, kl, step, config)
    if not (isinstance(loss, Tensor) and loss.ndim == 0 and loss.requires_grad == recon.requires_grad):
        shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
        raise ConfigError(f"objective {config.objective} gave a loss of {shape}; return a scalar made of recon and kl")
    return loss


@dataclass(frozen=True)
class Coefficients:
    """What the objectives of many lanes read, (lanes,) each; made by `of`, refilled in place by `copy_`."""

    is_capacity: Tensor
    gamma: Tensor
    start: Tensor
    """C or beta at step 0; without a ramp it equals `end`."""
    end: Tensor
    ramp_steps: Tensor

    @classmethod
    def of(cls, configs: Sequence[TrialConfig], device: torch.device) -> "Coefficients":
        """Those of so many trials, float64; only of our own objectives."""
        rows = []
        for config in configs:
            if config.objective == "capacity":
                start, end = config.capacity_start, config.capacity_max
            else:
                start, end = beta(0, config), beta(config.steps, config)
            rows.append((config.objective == "capacity", config.gamma, start, end, config.ramp_steps))
        is_capacity, *others = torch.tensor(rows, dtype=torch.float64, device=device).T
        return cls(is_capacity.bool(), *others)

    def copy_(self, others: "Coefficients") -> None:
        """Take the values of others into one's own first places in memory."""
        for field in dataclasses.fields(self):
            theirs = getattr(others, field.name)
            getattr(self, field.name)[: len(theirs)] = theirs

    def objective(self, recon: Tensor, kl: Tensor, step: Tensor) -> Tensor:
        """The training loss of every lane's batch, nats per image: what `objective` gives each alone.

        Args:
            recon: Reconstruction loss, averaged over the batch, (lanes,).
            kl: KL, summed over latents and averaged over the batch, (lanes,).
            step: Completed updates, int64 (lanes,).

        Returns:
            (lanes,).
        """
        ramped = self.start + (self.end - self.start) * (step / self.ramp_steps).clamp(max=1)
        ramped, gamma = ramped.to(kl.dtype), self.gamma.to(kl.dtype)
        return recon + torch.where(self.is_capacity, gamma * (kl - ramped).abs(), ramped * kl)
