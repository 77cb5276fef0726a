"""A model of one's own: two dense layers each way.

python study/run.py --store results/dense --set model=examples.dense_vae:DenseVAE
"""

import math

from torch import Tensor, nn


class DenseVAE(nn.Module):
    """What a study asks of a model: made from (image_shape, latents), with `encode` and `decode`.

    Args:
        image_shape: (channels, height, width).
        latents: Number of Gaussian latents.
    """

    def __init__(self, image_shape: tuple[int, int, int], latents: int) -> None:
        super().__init__()
        pixels = math.prod(image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 256), nn.ReLU(), nn.Linear(256, 2 * latents))
        self.decoder = nn.Sequential(
            nn.Linear(latents, 256), nn.ReLU(), nn.Linear(256, pixels), nn.Unflatten(1, image_shape)
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, (batch, latents) each, of images (batch, channels, height, width)."""
        mean, log_std = self.encoder(images).chunk(2, dim=1)
        return mean, log_std

    def decode(self, codes: Tensor) -> Tensor:
        """Bernoulli logits (batch, channels, height, width) of codes (batch, latents)."""
        return self.decoder(codes)
