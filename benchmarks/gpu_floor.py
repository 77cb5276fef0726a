"""The least time that a model-step takes on a device: by the operations and bytes that it cannot do without.

Counted for one model and one batch, layer by layer:
- operations: 2 for each multiply-add of a product, forward; backward the same for the gradient of the weights, and,
  but for the first layer, for that of the inputs;
- activations: what each layer gives, in the given precision, written and read once forward, its gradient written and
  read once backward;
- parameters, fp32: read forward and backward, their gradient written and read, and by Adam the parameter and both its
  moments read and written: 10 times 4 bytes each.
Not counted, so that this stays a floor: images, noise, activations that are read again backward, arithmetic by element.
What the device can do is measured beside it: a large copy, a large product.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BYTES = {"fp32": 4, "bf16": 2}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ACTIVATION_PASSES, PARAMETER_PASSES = 4, 10
TRIES = 10


@dataclass(frozen=True)
class Work:
    """Of one model-step."""

    operations: float
    bytes: float


@dataclass(frozen=True)
class Card:
    """What a device was seen to do."""

    bytes_per_second: float
    """Of a large copy, read and written."""
    operations_per_second: dict[str, float]
    """Of a large matrix product, by precision; fp32 is not TF32."""

    def floor(self, work: Work, precision: str) -> float:
        """Seconds of a model-step if memory and arithmetic each ran at their best, and side by side."""
        return max(work.operations / self.operations_per_second[precision], work.bytes / self.bytes_per_second)


def work(network: nn.Module, image_shape: tuple[int, ...], batch: int, precision: str) -> Work:
    """The work of one update of a `trainables.model.VAE`.

    Args:
        network: Its layers are counted; on any device.
        image_shape: (channels, height, width).
        batch: Images an update.
        precision: Of the activations.
    """
    products, outputs = [], []  # multiply-adds and numbers, of one image

    def count(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        pixels = given[0].numel() if isinstance(layer, nn.ConvTranspose2d) else made.numel()
        products.append(pixels * weight[0].numel())
        outputs.append(made.numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    first = next(network.parameters())
    with torch.no_grad():
        mean, _ = network.encode(first.new_zeros((1, *image_shape)))  # type: ignore[operator]
        network.decode(mean)  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Work(
        operations=2 * batch * (3 * sum(products) - products[0]),
        bytes=ACTIVATION_PASSES * BYTES[precision] * batch * sum(outputs) + PARAMETER_PASSES * 4 * parameters,
    )


def measured(device: torch.device, smoke: bool) -> Card:
    """The best of several copies and products."""
    size, side = (2**22, 256) if smoke else (2**30, 8192)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * size / _best(lambda: target.copy_(source), device)
    done = {}
    for precision, dtype in DTYPES.items():
        a, b = torch.rand((2, side, side), device=device).to(dtype)
        out = torch.empty_like(a)

        def product(a: Tensor = a, b: Tensor = b, out: Tensor = out) -> Tensor:
            return torch.mm(a, b, out=out)

        done[precision] = 2 * side**3 / _best(product, device)
    return Card(copied, done)


def _best(act: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of several tries."""
    act()  # kernels are loaded, workspaces made
    return min(timed(act, device) for _ in range(TRIES))


def timed(act: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    wait_for(device)
    began = time.perf_counter()
    act()
    wait_for(device)
    return time.perf_counter() - began


def wait_for(device: torch.device) -> None:
    """Return when the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
