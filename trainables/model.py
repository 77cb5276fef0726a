"""The network of Burgess et al. 2018, A.1, with its two initialisations; or one's own in its place."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.checks import ConfigError
from trainables.config import TrialConfig, check_image_shape, is_own
from trainables.generator import Generator
from trainables.own import load
from trainables.randomness import INIT, normals, uniforms

CHANNELS, HIDDEN = 32, 256


class EncoderDecoder(Protocol):
    """What trainer and evaluator ask of a model, beside being a `torch.nn.Module`."""

    def encode(self, images: Tensor, /) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, (batch, latents) each, of images (batch, channels, height, width)."""
        ...

    def decode(self, codes: Tensor, /) -> Tensor:
        """Bernoulli logits (batch, channels, height, width) of codes (batch, latents)."""
        ...


def build(
    config: TrialConfig, image_shape: tuple[int, ...], values: Mapping[str, Sequence[float]] | None = None
) -> nn.Module:
    """The untrained model of a trial, on the CPU: a function of its config and of what the dataset is like.

    Args:
        config: Says which model, with how many latents, from which seed.
        image_shape: (channels, height, width).
        values: The values of each factor of the dataset by class; only the generator asks for them.

    Raises:
        ConfigError: The images or factors do not fit our network, or one's own model is not what `trainables.own` asks
            for.
    """
    seed = config.spawned_seed("init")
    if config.is_generator:
        check_image_shape(image_shape)
        generator = Generator(config, values or {}, decoder(image_shape[0], config.latents))
        initialise(generator, config.init, seed)
        return generator
    if not is_own(config.model):
        model = VAE(image_shape, config.latents)
        initialise(model, config.init, seed)
        return model
    make = load(config.model)
    if not (isinstance(make, type) and issubclass(make, nn.Module)):  # a checkpoint of others may name os:system
        raise ConfigError(f"model {config.model} is no subclass of torch.nn.Module; give a class that is one")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            own: Any = make(image_shape, config.latents)
        _check_shapes(own.eval(), image_shape, config.latents)
    except Exception as error:  # whatever somebody's model does
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"model {config.model} does not work on images of {image_shape} with {config.latents} latents ({reason}); "
            "it takes (image_shape, latents) and has encode(images) and decode(codes)"
        ) from error
    return own.train()


@torch.no_grad()
def _check_shapes(model: EncoderDecoder, image_shape: tuple[int, ...], latents: int) -> None:
    images = torch.zeros(2, *image_shape)
    mean, log_std = model.encode(images)
    logits = model.decode(mean)
    for name, value, shape in (
        ("encode's mean", mean, (2, latents)),
        ("encode's log std", log_std, (2, latents)),
        ("decode's logits", logits, tuple(images.shape)),
    ):
        if tuple(value.shape) != shape:
            raise ValueError(f"{name} of 2 images are of shape {tuple(value.shape)}, not {shape}")


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

    def __init__(self, image_shape: tuple[int, ...], latents: int) -> None:
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
        self.decoder = decoder(colours, latents)

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
        return self.decoder(codes).float()


def decoder(colours: int, latents: int) -> nn.Sequential:
    """The transpose of the encoder: (batch, latents) -> logits (batch, colours, 64, 64)."""
    return nn.Sequential(
        *_dense(latents, HIDDEN),
        *_dense(HIDDEN, HIDDEN),
        *_dense(HIDDEN, CHANNELS * 16),
        nn.Unflatten(1, (CHANNELS, 4, 4)),
        Doubling(CHANNELS, CHANNELS),
        nn.ReLU(inplace=True),
        Doubling(CHANNELS, CHANNELS),
        nn.ReLU(inplace=True),
        Doubling(CHANNELS, CHANNELS),
        nn.ReLU(inplace=True),
        Doubling(CHANNELS, colours),
    )


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution of kernel 4, stride 2, padding 1, computed in its sub-pixel form.

    Each of the four pixels that an input pixel becomes sees a 2 x 2 window of the input: so it is one ordinary
    convolution to four times the channels, whose results are then interleaved. On CPUs that takes two thirds of the
    time. Parameters are those of `nn.ConvTranspose2d`.

    Source: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?".
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(batch, inputs, h, w) -> (batch, outputs, 2 h, 2 w)."""
        inputs, outputs = self.weight.shape[:2]
        assert self.bias is not None
        taps = self.weight.flip(2, 3).view(inputs, outputs, 2, 2, 2, 2)  # (.., window row, odd row, and so for columns)
        kernel = taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)
        windows = F.conv2d(input, kernel, self.bias.repeat(4), padding=1)  # (batch, 4 outputs, h + 1, w + 1)
        return _Interleave.apply(windows)  # type: ignore[return-value]


class _Interleave(torch.autograd.Function):
    """(batch, 4 c, h + 1, w + 1), channels by (odd row, odd column, c) -> (batch, c, 2 h, 2 w): one copy each way."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor) -> Tensor:
        ctx.shape = windows.shape
        batch, channels, height, width = windows.shape
        places = _places(windows.contiguous(memory_format=torch.channels_last))
        shape = (batch, channels // 4, 2 * (height - 1), 2 * (width - 1))
        output = torch.empty(shape, dtype=windows.dtype, device=windows.device, memory_format=torch.channels_last)
        output.permute(0, 2, 3, 1).view(places.shape).copy_(places)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (batch, channels, height, width) = gradients, ctx.shape
        windows = gradient.new_zeros((batch, height, width, channels)).permute(0, 3, 1, 2)
        places = _places(windows)
        places.copy_(gradient.permute(0, 2, 3, 1).reshape(places.shape))
        return windows


def _places(windows: Tensor) -> Tensor:
    """Where each pixel of the output is in `windows`, channels last in memory: a view (batch, h, 2, w, 2, c).

    Pixel (2 i + a, 2 j + b) is found at window (i + a, j + b).
    """
    batch, channels, height, width = windows.shape
    row, column, outputs = width * channels, channels, channels // 4
    shape = (batch, height - 1, 2, width - 1, 2, outputs)
    return windows.as_strided(shape, (height * row, row, row + 2 * outputs, column, column + outputs, 1))


def _halved(channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, CHANNELS, 4, stride=2, padding=1), nn.ReLU(inplace=True)


def _dense(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, outputs), nn.ReLU(inplace=True)


@torch.no_grad()
def initialise(model: nn.Module, init: str, seed: int) -> None:
    """Set every parameter from the counter generator: the same numbers on every device and torch release.

    Args:
        model: Its parameters are overwritten.
        init: `he`: normal with variance 2 / fan-in (a transposed convolution of stride 2 reaches each pixel through 4
            taps a channel, so its fan-in is 4 C_in), zero biases, and a head ten times smaller, where there is one,
            so that every posterior starts near the prior. `pytorch`: the library's default distributions.
        seed: Of the stream `INIT`.
    """
    head = getattr(model, "head", None)
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
        scale = (2 / fan_in) ** 0.5 * (0.1 if module is head else 1.0)
        weight.copy_(scale * normals(seed, INIT, index, weight.numel()).view(weight.shape))
        bias.zero_()
