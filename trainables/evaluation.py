"""Held-out evaluation of one model: the passes of cheap reports and full evaluations, on a probe that all trials share.

Probe rows, training rows and noise are functions of `eval_seed` and the dataset alone, so trials, steps and
restarts are compared on the same images with the same draws. Scores are made of them by `trainables.scoring`.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from trainables import objectives, position
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.generator import Generator
from trainables.measurement import Full, Measurement, Place
from trainables.metrics import audit
from trainables.model import EncoderDecoder
from trainables.passes import NotFinite, Passes, finite
from trainables.pictures import sheets
from trainables.randomness import EVALUATION, integers, normals, permutation

OUTER_ROWS = 1000
"""Draws whose density in the aggregate of `aggregate_rows` training images is asked for."""
_HELD_OUT, _TRAIN, _NOISE, _TRAIN_NOISE, _COLOURS, _TRAIN_COLOURS = range(6)  # counters of the evaluation stream


class Evaluator:
    """Measures models of one dataset, always on the same rows with the same noise.

    Args:
        dataset: Its held-out part gives the probe.
        evaluation: Sizes and seed.
        config: Of the trial whose models are to come.
        device: Where the models are.
    """

    def __init__(self, dataset: Dataset, evaluation: Evaluation, config: TrialConfig, device: torch.device) -> None:
        self.dataset, self.config = dataset, config
        self.passes = Passes(dataset, config, device)
        seed, latents = evaluation.eval_seed, config.latents
        self.seed = seed
        self.probe = self._sample(dataset.held_out_rows, evaluation.probe_rows, _HELD_OUT, _COLOURS)
        most = max(len(self.probe), evaluation.aggregate_rows)
        seen = self._sample(dataset.train_rows, most, _TRAIN, _TRAIN_COLOURS)
        self.train_rows, self.aggregate_rows = seen[: len(self.probe)], seen[: evaluation.aggregate_rows]
        self.report_rows = min(evaluation.report_rows, len(self.probe))
        self.positions = position.position_rows(dataset, self.probe[0])
        count = len(self.probe) * latents
        self.noise = normals(seed, EVALUATION, _NOISE, count).view(-1, latents)
        count = len(self.train_rows) * latents
        self.train_noise = normals(seed, EVALUATION, _TRAIN_NOISE, count).view(-1, latents)

    def _sample(self, part: np.ndarray, count: int, order: int, colours: int) -> np.ndarray:
        """So many rows of a part in random order, each stored image once, in a random one of its colourings."""
        chosen = permutation(self.seed, EVALUATION, order, len(part))[:count].numpy()
        many = self.dataset.colourings
        colouring = integers(self.seed, EVALUATION, colours, len(chosen), many).numpy()
        return self.dataset.drawn(part, chosen * many + colouring)

    @torch.no_grad()
    def report(self, model: EncoderDecoder, step: int) -> Measurement:
        """A cheap report: reconstruction and posteriors of the first `report_rows` probe rows.

        Raises:
            NotFinite: The model has diverged.
        """
        return self.basics(step, *self.passes.losses(model, self.probe[: self.report_rows], self.noise))

    @torch.no_grad()
    def full(self, model: EncoderDecoder, step: int, done: bool) -> Measurement:
        """The full evaluation on the whole probe.

        Args:
            model: To be measured.
            step: Completed updates.
            done: No step is left: pictures and the position map are made too.

        Raises:
            NotFinite: The model has diverged.
        """
        held_out = self.passes.losses(model, self.probe, self.noise)
        at_mean = self.passes.at_mean(model, self.probe, held_out[1])
        train, _, _ = self.passes.losses(model, self.train_rows, self.train_noise)
        return self.completed(model, step, done, held_out, at_mean, train)

    @torch.no_grad()
    def completed(
        self,
        model: EncoderDecoder,
        step: int,
        done: bool,
        held_out: tuple[Tensor, Tensor, Tensor],
        at_mean: tuple[float, float],
        train: Tensor,
    ) -> Measurement:
        """The full evaluation, given its three passes over many rows.

        Args:
            model: That the passes were of.
            step: Completed updates.
            done: No step is left.
            held_out: Losses (rows,), mean and log std (rows, latents) of `probe` with `noise`, on the CPU.
            at_mean: Reconstruction loss and squared error of `probe` at z = mean.
            train: Losses (rows,) of `train_rows` with `train_noise`, on the CPU.

        Raises:
            NotFinite: The model has diverged.
        """
        basics = self.basics(step, *held_out)
        _, mean, log_std = held_out
        is_generator = isinstance(model, Generator)
        full = Full(
            probe_rows=self.probe,
            recon_mean=at_mean[0],
            mse=at_mean[1],
            recon_train=train.mean().item(),
            sampled=(mean + log_std.exp() * self.noise).numpy(),
            aggregate=self._aggregate(model) if len(self.aggregate_rows) else None,
            sheets=sheets(self.passes, model, self.probe, mean) if done else {},
            latent_factors=model.code.group.cpu().numpy() if is_generator else None,
            place=self._place(model, basics) if done and not is_generator else None,
        )
        return dataclasses.replace(basics, done=done, full=full)

    def basics(self, step: int, losses: Tensor, mean: Tensor, log_std: Tensor) -> Measurement:
        """What any report is made of, on the CPU: a cheap report, or the beginning of a full evaluation.

        Args:
            step: Completed updates.
            losses: Reconstruction loss of each image, nats, (rows,).
            mean: Of the posteriors, (rows, latents).
            log_std: Likewise.

        Raises:
            NotFinite: The model has diverged.
        """
        config = self.config
        if not (losses.isfinite().all() and finite(mean, log_std)):
            raise NotFinite(f"the model of trial {config.key()} has no finite posterior or loss at step {step}")
        objective = objectives.objective(losses, objectives.gaussian_kl(mean, log_std), step, config)
        return Measurement(
            step=step,
            recon=losses.mean().item(),
            objective_value=objective.item(),
            capacity=objectives.capacity(step, config) if config.objective == "capacity" else float("nan"),
            mean=mean.numpy(),
            log_std=log_std.numpy(),
        )

    def _aggregate(self, model: EncoderDecoder) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Posteriors of `aggregate_rows` training images, and a draw of each of the first ones."""
        mean, log_std = self.passes.posteriors(model, self.aggregate_rows)
        outer = min(OUTER_ROWS, len(self.train_noise), len(mean))
        draws = mean[:outer] + log_std[:outer].exp() * self.train_noise[:outer]
        return mean.numpy(), log_std.numpy(), draws.numpy()

    def _place(self, model: EncoderDecoder, basics: Measurement) -> Place | None:
        """The position map; where position is all there is to know, what traversals show of it too."""
        if self.positions is None:
            return None
        place = position.mapped(self.passes, model, self.positions)
        if set(self.dataset.factors) != set(position.AXES):
            return place  # traversals show much besides
        info = audit.information_per_latent(basics.mean, basics.log_std)
        return position.traversed(self.passes, model, place, info.kl, info.info)
