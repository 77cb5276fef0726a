"""The network of Burgess et al. 2018, A.1: one plain module, and its two initialisations."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.config import check_image_shape
from trainables.randomness import INIT, normals, uniforms

CHANNELS, HIDDEN = 32, 256


class VAE(nn.Module):
    """Encoder: 4 convolutions (32 channels, 4x4, stride 2), 2 dense of 256, one dense for mean and log std.

    The decoder is the transpose; its outputs are Bernoulli logits. ReLU throughout.

    Args:
        image_shape: (channels, 64, 64).
        latents: Number of Gaussian latents.

    Raises:
        ConfigError: The images are not 64 pixels on a side.

    Source: Burgess et al. 2018, A.1.
    """

    def __init__(self, image_shape: tuple[int, int, int], latents: int) -> None:
        super().__init__()
        check_image_shape(image_shape)
        colours = image_shape[0]
        self.encoder = nn.Sequential(  # (batch, colours, 64, 64) -> (batch, 256)
            *_halved(colours),
            *_halved(CHANNELS),
            *_halved(CHANNELS),
            *_halved(CHANNELS),
            nn.Flatten(),  # (batch, 32 * 4 * 4)
            *_dense(CHANNELS * 16, HIDDEN),
            *_dense(HIDDEN, HIDDEN),
        )
        self.head = nn.Linear(HIDDEN, 2 * latents)
        self.decoder = nn.Sequential(  # (batch, latents) -> (batch, colours, 64, 64)
            *_dense(latents, HIDDEN),
            *_dense(HIDDEN, HIDDEN),
            *_dense(HIDDEN, CHANNELS * 16),
            nn.Unflatten(1, (CHANNELS, 4, 4)),
            *_doubled(),
            *_doubled(),
            *_doubled(),
            ToPixels(CHANNELS, colours, 4, stride=2, padding=1),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log standard deviation, float32.

        Args:
            images: Pixels in [0, 1], shape (batch, channels, 64, 64).

        Returns:
            Two tensors of shape (batch, latents).
        """
        hidden = self.encoder(images)
        with torch.autocast(hidden.device.type, enabled=False):  # the log std is exponentiated: keep its bits
            mean, log_std = self.head(hidden.float()).chunk(2, dim=1)
        return mean, log_std

    def decode(self, codes: Tensor) -> Tensor:
        """Bernoulli logits, float32, shape (batch, channels, 64, 64), of codes of shape (batch, latents)."""
        return self.decoder(codes)


class ToPixels(nn.ConvTranspose2d):
    """The last transposed convolution as one matrix product and a fold: half the time with one output channel."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Features (batch, 32, 32, 32) to logits, float32, (batch, colours, 64, 64)."""
        batch, channels, height, width = input.shape
        assert self.bias is not None
        features = input.permute(0, 2, 3, 1).reshape(-1, channels)  # a view, where channels are last in memory
        patches = (features @ self.weight.flatten(1)).view(batch, height * width, -1).transpose(1, 2)
        folded = F.fold(patches.float(), (2 * height, 2 * width), 4, stride=2, padding=1)
        return folded + self.bias.float()[:, None, None]


def _halved(channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, CHANNELS, 4, stride=2, padding=1), nn.ReLU(inplace=True)


def _doubled() -> tuple[nn.Module, ...]:
    return nn.ConvTranspose2d(CHANNELS, CHANNELS, 4, stride=2, padding=1), nn.ReLU(inplace=True)


def _dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs), nn.ReLU(inplace=True)


@torch.no_grad()
def initialise(model: VAE, init: str, seed: int) -> None:
    """Set every parameter from the counter generator: the same numbers on every device and torch release.

    Args:
        model: Its parameters are overwritten.
        init: `he`: normal with variance 2 / fan-in (a transposed convolution of stride 2 reaches each pixel through 4
            taps a channel, so its fan-in is 4 C_in), zero biases, and a head ten times smaller, so that every
            posterior starts near the prior. `pytorch`: the library's default distributions.
        seed: Of the stream `INIT`.
    """
    for index, module in enumerate(model.modules()):
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        weight, bias = module.weight, module.bias
        assert bias is not None
        if init == "pytorch":
            bound = weight[0].numel() ** -0.5
            draws = uniforms(seed, INIT, index, weight.numel() + bias.numel()) * (2 * bound) - bound
            weight.copy_(draws[: weight.numel()].view(weight.shape))
            bias.copy_(draws[weight.numel() :])
            continue
        transposed = isinstance(module, nn.ConvTranspose2d)
        fan_in = 4 * weight.shape[0] if transposed else weight[0].numel()
        scale = (2 / fan_in) ** 0.5 * (0.1 if module is model.head else 1.0)
        weight.copy_(scale * normals(seed, INIT, index, weight.numel()).view(weight.shape))
        bias.zero_()
