"""The state of many lanes as stacked tensors, and one update of all of them at once."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import randomness
from trainables.config import TrialConfig
from trainables.data.resident import Resident
from trainables.objectives import Coefficients, gaussian_kl
from trainables.packing.network import FORMS, StackedVAE, Weights
from trainables.trainer import ADAM_BETAS, ADAM_EPSILON, Trainer

WARM_UP = 3
"""Updates before a graph is captured: kernels are chosen and workspaces made in them."""
MOMENTS = ("exp_avg", "exp_avg_sq")


class Stack:
    """Up to `width` trainers of one structure, trained as one: takes their state, advances it, gives it back.

    Args:
        like: A trainer of the structure.
        images: Of the trainers' dataset, on their device.
        width: Lanes that there is room for; those beyond the trainers taken train along on whatever is in memory.
        form: How convolutions are computed, one of `network.FORMS`.
        compiled: Whether torch.compile makes the kernels.
    """

    def __init__(self, like: Trainer, images: Resident, width: int, form: str = "windows", compiled: bool = False):
        self.config, self.images, self.passes, self.device = like.config, images, like.passes, like.device
        self.network = StackedVAE(like.model, FORMS[form])
        named = dict(like.model.named_parameters())
        self.names, self.shapes = list(named), [parameter.shape for parameter in named.values()]
        self.sizes = [parameter.numel() for parameter in named.values()]
        first = next(iter(named.values()))
        self.flat = first.new_zeros((width, sum(self.sizes))).requires_grad_()
        self.moments = first.new_zeros((2, width, sum(self.sizes)))
        self.step, self.order_seed, self.noise_seed = torch.zeros((3, width), dtype=torch.int64, device=self.device)
        self.learning_rate = torch.zeros(width, dtype=torch.float64, device=self.device)
        self.coefficients = Coefficients.of([self.config] * width, self.device)
        self.finite = torch.ones(width, dtype=torch.bool, device=self.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self._losses = torch.compile(self.losses, dynamic=False) if compiled else self.losses
        self._adam = torch.compile(adam_, dynamic=False) if compiled else adam_

    @property
    def width(self) -> int:
        """Lanes that there is room for."""
        return len(self.flat)

    def is_like(self, trainer: Trainer) -> bool:
        """Whether a trainer is of the structure that this is a stack of."""
        return structure(trainer.config) == structure(self.config)

    @property
    def weights(self) -> Weights:
        """Parameters by name, (width, *shape): views of one tensor, so that Adam is one operation for all."""
        pieces = zip(self.names, self.flat.split(self.sizes, dim=1), self.shapes, strict=True)
        return {name: piece.view(self.width, *shape) for name, piece, shape in pieces}

    @torch.no_grad()
    def take(self, trainers: Sequence[Trainer]) -> None:
        """Copy the trainers' state into the first lanes."""
        configs = [trainer.config for trainer in trainers]
        for lane, trainer in enumerate(trainers):
            parameters = list(trainer.model.parameters())
            self.flat[lane] = _joined(parameters)
            for moment, name in zip(self.moments, MOMENTS, strict=True):
                known = [trainer.optimizer.state.get(parameter, {}).get(name) for parameter in parameters]
                moment[lane] = 0 if known[0] is None else _joined(known)
            self.finite[lane] = trainer.finite
        for ours, theirs in (
            (self.step, [trainer.step for trainer in trainers]),
            (self.order_seed, [config.spawned_seed("order") for config in configs]),
            (self.noise_seed, [config.spawned_seed("noise") for config in configs]),
            (self.learning_rate, [config.learning_rate for config in configs]),
        ):
            ours[: len(trainers)] = torch.tensor(theirs, dtype=ours.dtype)
        self.coefficients.copy_(Coefficients.of(configs, self.device))

    @torch.no_grad()
    def give(self, trainers: Sequence[Trainer]) -> None:
        """Copy the first lanes back into the trainers they were taken from."""
        for lane, (trainer, step) in enumerate(zip(trainers, self.step.tolist(), strict=False)):
            parameters = list(trainer.model.parameters())
            pieces = (values[lane].split(self.sizes) for values in (self.flat, *self.moments))
            for parameter, value, *moments in zip(parameters, *pieces, strict=True):
                parameter.copy_(value.view(parameter.shape))
                state = trainer.optimizer.state[parameter]
                state["step"] = torch.tensor(float(step), device=self.device)
                for name, moment in zip(MOMENTS, moments, strict=True):
                    state.setdefault(name, torch.empty_like(parameter)).copy_(moment.view(parameter.shape))
            trainer.finite.copy_(self.finite[lane])
            trainer.step = step

    def run(self, updates: int) -> None:
        """So many updates of every lane; on a GPU one update is captured once, and replayed without the host."""
        if self.device.type != "cuda":
            for _ in range(updates):
                self.update()
            return
        self.graph = self.graph or self._captured()
        for _ in range(updates):
            self.graph.replay()

    def update(self) -> Tensor:
        """One update of every lane; the losses of their batches (width,), nats per image."""
        losses = self._losses()
        (gradient,) = torch.autograd.grad(losses.sum(), self.flat)
        with torch.no_grad():
            self.step += 1
            self._adam(self.flat, gradient, self.moments[0], self.moments[1], self.step, self.learning_rate)
            self.finite &= losses.isfinite()
        return losses.detach()

    def losses(self) -> Tensor:
        """The training losses (width,) of every lane's coming batch, nats per image."""
        config, images = self.config, self.images
        picks = randomness.integers(
            self.order_seed, randomness.ORDER, self.step, config.batch_size, images.training_images, self.device
        )
        numbers = config.batch_size * config.latents
        noise = randomness.normals(self.noise_seed, randomness.NOISE, self.step, numbers, self.device)
        pixels = images.batch(images.drawn(picks)).to(self.flat.dtype)
        recon, mean, log_std = self.forward(pixels, noise.unflatten(1, (config.batch_size, config.latents)))
        kl = gaussian_kl(mean, log_std).sum(2)
        return self.coefficients.objective(recon.mean(1), kl.mean(1), self.step)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction loss (width, batch), mean and log std (width, batch, latents).

        Args:
            images: (width, batch, h, w, c).
            noise: (width, batch, latents).
        """
        weights = self.weights
        with self.passes.autocast():
            mean, log_std = self.network.encode(weights, images)
            codes = mean + log_std.exp() * noise.to(mean.dtype)  # Eq. 4
            logits = self.network.decode(weights, codes)
        recon = F.binary_cross_entropy_with_logits(logits, images, reduction="none").sum((2, 3, 4))
        return recon, mean, log_std

    @torch.no_grad()
    def evaluate(self, rows: np.ndarray, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of every lane on the same rows, as `Passes.losses` of each: on the CPU, lanes first.

        Args:
            rows: Of the dataset, (n,).
            noise: (n, latents).
        """
        found = []
        for start in range(0, len(rows), self.config.batch_size):  # as much memory as an update's forward half
            chunk = torch.from_numpy(np.asarray(rows[start : start + self.config.batch_size], np.int64))
            images = self.images.batch(chunk.to(self.device)).to(self.flat.dtype)
            draws = noise[start : start + len(chunk)].to(self.device)
            several = (values.expand(self.width, *values.shape) for values in (images, draws))
            found.append([values.cpu() for values in self.forward(*several)])
        losses, mean, log_std = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
        return losses, mean, log_std

    def _captured(self) -> torch.cuda.CUDAGraph:
        """One update as a CUDA graph; the state is as before."""
        state = (self.flat.data, self.moments, self.step, self.finite)
        before = [values.clone() for values in state]
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.update()
        torch.cuda.current_stream(self.device).wait_stream(side)
        for values, was in zip(state, before, strict=True):
            values.copy_(was)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.update()
        return graph


def structure(config: TrialConfig) -> tuple[object, ...]:
    """What lanes of one stack must share; all else is a number of each."""
    return config.latents, config.batch_size, config.precision


def adam_(
    parameters: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: Tensor, learning_rate: Tensor
) -> None:
    """One step of Adam in place, every lane with its own rate and count.

    Args:
        parameters: (lanes, n).
        gradient: (lanes, n).
        first: Running mean of the gradient, (lanes, n).
        second: Running mean of its square, (lanes, n).
        step: Steps with this one, (lanes,).
        learning_rate: (lanes,).

    Source: Kingma and Ba 2015, Algorithm 1, as `torch.optim.Adam` rounds it.
    """
    beta1, beta2 = ADAM_BETAS
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    exponent = step.double()
    rate = learning_rate / (1 - beta1**exponent)
    root = (1 - beta2**exponent).sqrt()
    spread = second.sqrt() / root.to(second.dtype)[:, None] + ADAM_EPSILON
    parameters.sub_(rate.to(first.dtype)[:, None] * first / spread)


def _joined(values: Sequence[Tensor]) -> Tensor:
    return torch.cat([value.reshape(-1) for value in values])
