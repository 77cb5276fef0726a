"""VAE, beta-VAE and capacity objectives as pure functions; everything in nats per image.

Losses are summed over pixels and latents and averaged over the batch: with any other reduction beta, gamma and C lose
their meaning.
"""

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
