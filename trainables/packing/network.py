"""Many networks of one structure as one: layers as products over stacked parameters, (lanes, *shape) each.

A GPU is idle under one model of this size: its time goes into starting kernels. Stacked, a layer of all lanes is one
kernel. Two forms are here, the same function of the same parameters; benchmarks/gpu_pack.py times both.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""Parameters by the name that they have in the network, stacked: (lanes, *shape)."""


class Form(Protocol):
    """How convolutions of all lanes are computed; features are in whatever layout a form likes best."""

    def enter(self, images: Tensor) -> Tensor:
        """Features of images (lanes, batch, h, w, c)."""
        ...

    def leave(self, features: Tensor, lanes: int) -> Tensor:
        """The way back: (lanes, batch, h, w, c)."""
        ...

    def halve(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Convolution of kernel 4, stride 2, padding 1; weight (lanes, outputs, inputs, 4, 4)."""
        ...

    def double(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Transposed convolution of kernel 4, stride 2, padding 1; weight (lanes, inputs, outputs, 4, 4)."""
        ...


class Windows:
    """Each layer as one batched matrix product over 2 x 2 windows; features are (lanes, batch, h, w, c).

    A 4 x 4 kernel of stride 2 is a 2 x 2 kernel of stride 1 on blocks of 2 x 2 pixels, and its transpose a 2 x 2
    kernel whose outputs are such blocks (see `trainables.model.Doubling`): so both have the same windows.
    """

    def enter(self, images: Tensor) -> Tensor:
        """As it is."""
        return images

    def leave(self, features: Tensor, lanes: int) -> Tensor:
        """As it is."""
        return features

    def halve(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(lanes, batch, h, w, inputs) -> (lanes, batch, h / 2, w / 2, outputs)."""
        lanes, outputs, inputs = weight.shape[:3]
        padded = F.pad(features, (0, 0, 1, 1, 1, 1))
        batch, height, width = padded.shape[1:4]
        blocks = padded.view(lanes, batch, height // 2, 2, width // 2, 2, inputs).permute(0, 1, 2, 4, 3, 5, 6)
        taps = weight.view(lanes, outputs, inputs, 2, 2, 2, 2)  # (.., window row, row in block, and so for columns)
        kernel = taps.permute(0, 3, 5, 4, 6, 2, 1).reshape(lanes, 16 * inputs, outputs)
        return _product(blocks.reshape(lanes, batch, height // 2, width // 2, 4 * inputs), kernel, bias)

    def double(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(lanes, batch, h, w, inputs) -> (lanes, batch, 2 h, 2 w, outputs)."""
        lanes, inputs, outputs = weight.shape[:3]
        # Pixel 2 i + a sees window i + a: with rows and columns of the blocks in turned order, blocks tile the plane
        # from pixel -1 on.
        taps = weight.view(lanes, inputs, outputs, 2, 2, 2, 2).flip(3, 5)
        kernel = taps.permute(0, 3, 5, 1, 4, 6, 2).reshape(lanes, 4 * inputs, 4 * outputs)
        blocks = _product(F.pad(features, (0, 0, 1, 1, 1, 1)), kernel, bias.repeat(1, 4))
        batch, height, width = blocks.shape[1:4]
        tiles = blocks.view(lanes, batch, height, width, 2, 2, outputs).permute(0, 1, 2, 4, 3, 5, 6)
        return tiles.reshape(lanes, batch, 2 * height, 2 * width, outputs)[:, :, 1:-1, 1:-1]


def _product(plane: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Products of all 2 x 2 windows: (lanes, batch, h + 1, w + 1, c) -> (lanes, batch, h, w, outputs)."""
    corners = (plane[:, :, a : plane.shape[2] - 1 + a, b : plane.shape[3] - 1 + b] for a in (0, 1) for b in (0, 1))
    windows = torch.cat(list(corners), dim=-1)
    return dense(windows.flatten(1, 3), kernel, bias).view(*windows.shape[:-1], -1)


class Grouped:
    """Each layer as one convolution with a group for every lane; features are (batch, lanes * c, h, w)."""

    def enter(self, images: Tensor) -> Tensor:
        """Channels of all lanes beside each other."""
        return images.permute(1, 0, 4, 2, 3).flatten(1, 2)

    def leave(self, features: Tensor, lanes: int) -> Tensor:
        """Lanes first."""
        return features.unflatten(1, (lanes, -1)).permute(1, 0, 3, 4, 2)

    def halve(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(batch, lanes * inputs, h, w) -> (batch, lanes * outputs, h / 2, w / 2)."""
        return F.conv2d(features, weight.flatten(0, 1), bias.flatten(), stride=2, padding=1, groups=len(weight))

    def double(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(batch, lanes * inputs, h, w) -> (batch, lanes * outputs, 2 h, 2 w)."""
        kernel, groups = weight.flatten(0, 1), len(weight)
        return F.conv_transpose2d(features, kernel, bias.flatten(), stride=2, padding=1, groups=groups)


FORMS: dict[str, Form] = {"windows": Windows(), "grouped": Grouped()}


def dense(inputs: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A dense layer of all lanes: (lanes, n, i), (lanes, i, o), (lanes, o) -> (lanes, n, o)."""
    return torch.baddbmm(bias[:, None].to(_computed_in(inputs)), inputs, kernel)


def _computed_in(inputs: Tensor) -> torch.dtype:
    """The type of a product under autocast, which does not turn the summand of `baddbmm` into it on every device."""
    device = inputs.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inputs.dtype


class StackedVAE:
    """The networks of all lanes, as functions of stacked parameters.

    Args:
        network: One of them, a `trainables.model.VAE` or one like it; its structure is read, not its parameters.
        form: How convolutions are computed.
    """

    def __init__(self, network: nn.Module, form: Form) -> None:
        self.network, self.form = network, form

    def encode(self, weights: Weights, images: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and log std (lanes, batch, latents) of images (lanes, batch, h, w, c)."""
        hidden = self._through("encoder", weights, self.form.enter(images))
        with torch.autocast(hidden.device.type, enabled=False):  # as in `VAE.encode`
            kernel, bias = weights["head.weight"], weights["head.bias"]
            return dense(hidden.to(kernel.dtype), kernel.mT, bias).chunk(2, dim=2)  # type: ignore[return-value]

    def decode(self, weights: Weights, codes: Tensor) -> Tensor:
        """Bernoulli logits (lanes, batch, h, w, c) of codes (lanes, batch, latents)."""
        logits = self._through("decoder", weights, codes)
        return self.form.leave(logits, len(codes)).to(codes.dtype)

    def _through(self, part: str, weights: Weights, features: Tensor) -> Tensor:
        """Features after all layers of a part of the network."""
        lanes = len(next(iter(weights.values())))
        for place, layer in self.network.get_submodule(part).named_children():
            weight, bias = (weights.get(f"{part}.{place}.{name}") for name in ("weight", "bias"))
            if weight is None or bias is None:
                if isinstance(layer, nn.ReLU):
                    features = features.relu()
                elif isinstance(layer, nn.Flatten):
                    features = self.form.leave(features, lanes).permute(0, 1, 4, 2, 3).flatten(2)
                elif isinstance(layer, nn.Unflatten):
                    planes = features.unflatten(2, layer.unflattened_size)  # type: ignore[arg-type]
                    features = self.form.enter(planes.permute(0, 1, 3, 4, 2))
                else:
                    raise TypeError(f"a layer of type {type(layer).__name__} cannot be stacked")
            elif isinstance(layer, nn.Linear):
                features = dense(features, weight.mT, bias)
            elif isinstance(layer, nn.ConvTranspose2d):
                features = self.form.double(features, weight, bias)
            else:
                features = self.form.halve(features, weight, bias)
        return features
