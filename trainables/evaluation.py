"""Held-out evaluation of one model: the passes of cheap reports and full evaluations, on a probe that all trials share.

Probe rows, training rows and noise are functions of `eval_seed` and the dataset alone, so trials, steps and
restarts are compared on the same images with the same draws. Scores are made of them by `trainables.scoring`.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import NamedTuple

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


@dataclass(frozen=True, eq=False)
class Probe:
    """The rows that every model of a study is measured on, and the noise of their codes."""

    rows: np.ndarray
    """(n,), held-out."""
    noise: Tensor
    """(n, latents)."""
    train_rows: np.ndarray
    """(m,), as many training rows where there are so many."""
    train_noise: Tensor
    """(m, latents)."""
    aggregate_rows: np.ndarray
    """Training rows of the aggregate posterior; none: the probe's own."""
    positions: np.ndarray | None
    """(nx, ny), rows that differ in position alone (`position.position_rows`)."""


@functools.lru_cache(maxsize=4)  # to draw one takes half a second of a full dSprites; all lanes of a pack share theirs
def probe_of(dataset: Dataset, evaluation: Evaluation, latents: int) -> Probe:
    """The probe of a study, a function of dataset and seed alone."""
    seed = evaluation.eval_seed
    rows = _sample(dataset, seed, dataset.held_out_rows, evaluation.probe_rows, (_HELD_OUT, _COLOURS))
    most = max(len(rows), evaluation.aggregate_rows)
    seen = _sample(dataset, seed, dataset.train_rows, most, (_TRAIN, _TRAIN_COLOURS))
    train_rows = seen[: len(rows)]
    noise, train_noise = (
        normals(seed, EVALUATION, counter, len(part) * latents).view(-1, latents)
        for counter, part in ((_NOISE, rows), (_TRAIN_NOISE, train_rows))
    )
    positions = position.position_rows(dataset, rows[0])
    return Probe(rows, noise, train_rows, train_noise, seen[: evaluation.aggregate_rows], positions)


def _sample(dataset: Dataset, seed: int, part: np.ndarray, count: int, counters: tuple[int, int]) -> np.ndarray:
    """So many rows of a part in random order, each stored image once, in a random one of its colourings."""
    order, colours = counters
    chosen = permutation(seed, EVALUATION, order, len(part))[:count].numpy()
    many = dataset.colourings
    colouring = integers(seed, EVALUATION, colours, len(chosen), many).numpy()
    return dataset.drawn(part, chosen * many + colouring)


class Passed(NamedTuple):
    """What passes of a model over the probe gave, on the CPU."""

    losses: Tensor
    """(rows,), reconstruction losses, nats."""
    mean: Tensor
    """(rows, latents)."""
    log_std: Tensor
    """(rows, latents)."""
    train_losses: Tensor | None = None
    """(rows,), of the training rows; of a full evaluation."""


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
        self.probe = probe_of(dataset, evaluation, config.latents)
        self.report_rows = min(evaluation.report_rows, len(self.probe.rows))

    @torch.no_grad()
    def report(self, model: EncoderDecoder, step: int, passed: Passed | None = None) -> Measurement:
        """A cheap report: reconstruction and posteriors of the first `report_rows` rows of the probe.

        Args:
            model: To be measured.
            step: Completed updates.
            passed: Its pass over these rows, where that was made.

        Raises:
            NotFinite: The model has diverged.
        """
        rows = self.probe.rows[: self.report_rows]
        return self._basics(step, passed or Passed(*self.passes.losses(model, rows, self.probe.noise)))

    @torch.no_grad()
    def full(self, model: EncoderDecoder, step: int, done: bool, passed: Passed | None = None) -> Measurement:
        """The full evaluation on the whole probe.

        Args:
            model: To be measured.
            step: Completed updates.
            done: No step is left: pictures and the position map are made too.
            passed: Its passes over the probe and over the training rows, where they were made.

        Raises:
            NotFinite: The model has diverged.
        """
        passes, probe = self.passes, self.probe
        passed = passed or Passed(*passes.losses(model, probe.rows, probe.noise))
        basics = self._basics(step, passed)
        train = passed.train_losses
        if train is None:
            train, _, _ = passes.losses(model, probe.train_rows, probe.train_noise)
        recon_mean, mse = passes.at_mean(model, probe.rows, passed.mean)
        is_generator = isinstance(model, Generator)
        full = Full(
            probe_rows=probe.rows,
            recon_mean=recon_mean,
            mse=mse,
            recon_train=train.mean().item(),
            sampled=(passed.mean + passed.log_std.exp() * probe.noise).numpy(),
            aggregate=self._aggregate(model) if len(probe.aggregate_rows) else None,
            sheets=sheets(passes, model, probe.rows, passed.mean) if done else {},
            latent_factors=model.code.group.cpu().numpy() if is_generator else None,
            place=self._place(model, basics) if done and not is_generator else None,
        )
        return dataclasses.replace(basics, done=done, full=full)

    def _basics(self, step: int, passed: Passed) -> Measurement:
        """What any report is made of: a cheap report, or the beginning of a full evaluation."""
        losses, mean, log_std, _ = passed
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
        mean, log_std = self.passes.posteriors(model, self.probe.aggregate_rows)
        train_noise = self.probe.train_noise
        outer = min(OUTER_ROWS, len(train_noise), len(mean))
        draws = mean[:outer] + log_std[:outer].exp() * train_noise[:outer]
        return mean.numpy(), log_std.numpy(), draws.numpy()

    def _place(self, model: EncoderDecoder, basics: Measurement) -> Place | None:
        """The position map; where position is all there is to know, what traversals show of it too."""
        if self.probe.positions is None:
            return None
        place = position.mapped(self.passes, model, self.probe.positions)
        if set(self.dataset.factors) != set(position.AXES):
            return place  # traversals show much besides
        info = audit.information_per_latent(basics.mean, basics.log_std)
        return position.traversed(self.passes, model, place, info.kl, info.info)
