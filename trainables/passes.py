"""Batched passes of one model over a dataset, in the precision of its trial."""

import numpy as np
import torch
from torch import Tensor

from trainables import objectives
from trainables.config import TrialConfig
from trainables.data.dataset import Dataset
from trainables.model import EncoderDecoder

CHUNK = 128
"""Images a forward pass."""
MAX_LOG_STD = 85.0
"""Beyond it the square of a standard deviation leaves fp32's range."""


class NotFinite(ArithmeticError):
    """The model has diverged: a reconstruction or a posterior is infinite or NaN."""


class Passes:
    """Encodes, decodes and scores rows of a dataset; results are on the CPU.

    Args:
        dataset: Where rows come from.
        config: Says what the encoder reads, and the precision.
        device: Where the models are.
    """

    def __init__(self, dataset: Dataset, config: TrialConfig, device: torch.device) -> None:
        self.dataset, self.config, self.device = dataset, config, device

    def images(self, rows: np.ndarray) -> Tensor:
        """Pixels of rows (n,), (n, channels, h, w), on the device."""
        return torch.from_numpy(self.dataset.batch(rows)).to(self.device)

    def inputs(self, rows: np.ndarray, images: Tensor | None = None) -> Tensor:
        """What the encoder sees of rows (n,), on the device: their images, or the classes of their factors.

        Args:
            rows: Of the dataset.
            images: Of these rows, where they are at hand.
        """
        if self.config.is_generator:
            return torch.from_numpy(self.dataset.factors_of(rows)).to(self.device)
        return self.images(rows) if images is None else images

    def autocast(self) -> torch.autocast:
        """The precision of the trial, for convolutions and dense layers."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def losses(self, model: EncoderDecoder, rows: np.ndarray, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction loss (rows,), mean and log std (rows, latents), of codes drawn with `noise`."""
        found = []
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            images = self.images(chunk)
            with self.autocast():
                mean, log_std = (values.float() for values in model.encode(self.inputs(chunk, images)))
                draws = noise[start : start + len(images)].to(self.device)
                logits = model.decode(mean + log_std.exp() * draws)
            found.append((objectives.reconstruction_loss(logits, images).cpu(), mean.cpu(), log_std.cpu()))
        losses, mean, log_std = (torch.cat(parts) for parts in zip(*found, strict=True))
        return losses, mean, log_std

    def posteriors(self, model: EncoderDecoder, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Mean and log std (rows, latents).

        Raises:
            NotFinite: One cannot be scored.
        """
        found = []
        for start in range(0, len(rows), CHUNK):
            with self.autocast():
                pair = model.encode(self.inputs(rows[start : start + CHUNK]))
            found.append([values.float().cpu() for values in pair])
        mean, log_std = (torch.cat(parts) for parts in zip(*found, strict=True))
        if not finite(mean, log_std):
            raise NotFinite("the model has an infinite posterior")
        return mean, log_std

    def at_mean(self, model: EncoderDecoder, rows: np.ndarray, mean: Tensor) -> tuple[float, float]:
        """Reconstruction loss at z = mean, nats per image, and squared error summed over pixels."""
        losses, errors = [], []
        for start in range(0, len(mean), CHUNK):
            images = self.images(rows[start : start + CHUNK])
            logits = self.decode(model, mean[start : start + CHUNK])
            losses.append(objectives.reconstruction_loss(logits, images).cpu())
            errors.append((torch.sigmoid(logits) - images).square().flatten(1).sum(1).cpu())
        return torch.cat(losses).mean().item(), torch.cat(errors).mean().item()

    def decode(self, model: EncoderDecoder, codes: Tensor) -> Tensor:
        """Logits (n, channels, h, w), on the device, of a few codes (n, latents)."""
        with self.autocast():
            return model.decode(codes.to(self.device)).float()

    def brightness(self, model: EncoderDecoder, codes: np.ndarray) -> np.ndarray:
        """Decoded probabilities of a few codes (n, latents), meaned over channels: (n, h, w)."""
        return torch.sigmoid(self.decode(model, torch.from_numpy(codes))).mean(1).cpu().numpy()

    def pictures(self, model: EncoderDecoder, codes: Tensor) -> np.ndarray:
        """Decoded probabilities of any number of codes (n, latents): uint8 (n, h, w, c)."""
        chunks = [torch.sigmoid(self.decode(model, codes[at : at + CHUNK])) for at in range(0, len(codes), CHUNK)]
        return np.concatenate([as_bytes(chunk) for chunk in chunks])


def as_bytes(pixels: Tensor) -> np.ndarray:
    """Pixels in [0, 1], (n, c, h, w), as uint8 (n, h, w, c)."""
    return (pixels * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def finite(mean: Tensor, log_std: Tensor) -> bool:
    """Whether posteriors can be scored."""
    return bool(mean.isfinite().all() and log_std.isfinite().all() and log_std.abs().max() <= MAX_LOG_STD)
