"""Trains one model: batches, updates, reports, checkpoints. No Ray.

python -m trainables.trainer --set gamma=100 --set capacity_max=5 --set steps=3500 --set ramp_steps=3000
"""

import argparse
import dataclasses
import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables import checkpoint, hardware, objectives, randomness
from trainables.checks import ConfigError, InputError
from trainables.config import Evaluation, TrialConfig, from_dict, is_own
from trainables.data.cache import locate
from trainables.data.dataset import Dataset, open_dataset
from trainables.evaluation import Evaluator, Passed
from trainables.generator import rates
from trainables.measurement import Measurement, Report
from trainables.metrics import audit
from trainables.model import build
from trainables.own import load
from trainables.passes import NotFinite
from trainables.pictures import Snapshots
from trainables.scoring import Scorer
from trainables.settings import read_settings

ADAM_BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8
"""Burgess et al. 2018, A.1, names Adam and its rate; these are the defaults of Kingma and Ba 2015."""


class Trainer:
    """One trial, from its first step or from a checkpoint to its last report.

    Args:
        config: The trial.
        evaluation: How it is measured.
        dataset: Opened; its training rows are drawn from.
        device: Where to train; by default a GPU where there is one.

    Raises:
        ConfigError: The device cannot honour the trial's precision, the images do not fit the network, or one's own
            objective or model cannot be loaded.
    """

    def __init__(
        self,
        config: TrialConfig,
        evaluation: Evaluation,
        dataset: Dataset,
        device: torch.device | str | None = None,
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        hardware.require_precision(config.precision, on_gpu=self.device.type == "cuda")
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True  # fp32 means fp32
        self.config, self.evaluation, self.dataset = config, evaluation, dataset
        if is_own(config.objective):
            load(config.objective)  # refused now, not at the first update
        self.model: Any = build(config, dataset.image_shape, dataset.values)
        self.model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = rates(self.model, config.learning_rate, config.factor_lr)
        self.optimizer = torch.optim.Adam(groups, betas=ADAM_BETAS, eps=ADAM_EPSILON, fused=True)
        self.evaluator = Evaluator(dataset, evaluation, config, self.device)
        self.passes = self.evaluator.passes
        self.scorer = Scorer(dataset, evaluation, config)
        self.step = 0
        self.tracking, self.snapshots = Tracking(), Snapshots()
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)

    def update(self) -> Tensor:
        """One update; the batch's loss, nats per image, not synchronised with the device."""
        config = self.config
        if is_own(config.model) or is_own(config.objective):  # its dropout, say, is a function of seed and step too
            torch.manual_seed(config.spawned_seed("noise") << 32 | self.step)
        rows, noise = self._batch()
        images = self.passes.images(rows)
        with self.passes.autocast():
            mean, log_std = (values.float() for values in self.model.encode(self.passes.inputs(rows, images)))
            codes = mean + log_std.exp() * noise  # Eq. 4
            logits = self.model.decode(codes)
        recon = objectives.reconstruction_loss(logits, images)
        loss = objectives.objective(recon, objectives.gaussian_kl(mean, log_std), self.step, config)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self.finite &= loss.detach().isfinite()
        return loss.detach()

    def run_to_report(self) -> Report:
        """Train to the next report and make it; at the last step, only make it."""
        return self.scorer.report(self.advance())

    def advance(self) -> Measurement:
        """Train to the next report and measure, without scoring; at the last step, only measure."""
        began, before, target = time.perf_counter(), self.step, self.next_report
        while self.step < target:
            self.update()
        return self.measure(self.step - before, time.perf_counter() - began)

    def measure(self, updates: int, seconds: float, passed: Passed | None = None) -> Measurement:
        """What the model has come to at a report.

        Args:
            updates: Since the last report.
            seconds: That they took.
            passed: Its passes over the probe, where they were made.
        """
        began, diverged = time.perf_counter(), Measurement(diverged=True, done=True, step=self.step)
        if not self.finite.item():
            return diverged
        self.model.eval()  # one's own model may have layers that tell the difference
        try:
            measured = self._measured(passed)
        except NotFinite:  # the loss was still finite, its last update was not
            return diverged
        finally:
            self.model.train()
        took = seconds + time.perf_counter() - began
        return dataclasses.replace(measured, updates=updates, training_seconds=seconds, seconds=took)

    def state(self) -> bytes:
        """A checkpoint from which training goes on bit for bit; without the optimiser once training has ended."""
        buffer = io.BytesIO()
        ended = self.step == self.config.steps
        state = {
            "config": dataclasses.asdict(self.config),
            "image_shape": self.dataset.image_shape,
            "factor_values": self.dataset.values,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": None if ended else self.optimizer.state_dict(),
            "tracking": dataclasses.asdict(self.tracking),
            "snapshots": None if ended else self.snapshots.state(),
        }
        torch.save(state, buffer)
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        """Go on from a checkpoint of the same trial.

        Raises:
            ConfigError: The checkpoint cannot be read, or belongs to another trial.
        """
        loaded = checkpoint.read(state, f"trial {self.config.key()}")
        key = from_dict(TrialConfig, loaded["config"]).key()
        if key != self.config.key():
            raise ConfigError(f"checkpoint of trial {key} given to trial {self.config.key()}; give its own")
        self.model.load_state_dict(loaded["model"])
        if loaded["optimizer"] is not None:
            self.optimizer.load_state_dict(loaded["optimizer"])
        self.step = loaded["step"]
        self.tracking = Tracking(**loaded["tracking"])
        if taken := loaded.get("snapshots"):  # none in states of before there were any, or of an ended trial
            self.snapshots.load(taken)

    def _batch(self) -> tuple[np.ndarray, Tensor]:
        """Rows of the dataset (batch,) and noise (batch, latents) of the coming step."""
        config, rows = self.config, self.dataset.train_rows
        many = len(rows) * self.dataset.colourings
        picks = randomness.integers(config.spawned_seed("order"), randomness.ORDER, self.step, config.batch_size, many)
        noise = randomness.normals(
            config.spawned_seed("noise"),
            randomness.NOISE,
            self.step,
            config.batch_size * config.latents,
            self.device,
        )
        return self.dataset.drawn(rows, picks.numpy()), noise.view(config.batch_size, config.latents)

    @property
    def next_report(self) -> int:
        """The next step to report at: a multiple of `report_every`, the ramp's end or the last step."""
        every = self.evaluation.report_every
        ends = [self.config.steps, (self.step // every + 1) * every]
        if self._has_ramp and self.config.ramp_steps > self.step:
            ends.append(self.config.ramp_steps)
        return min(ends)

    @property
    def is_full_due(self) -> bool:
        """Whether a report at this step is a full evaluation: at the ramp's end and at the last step."""
        return self.step == self.config.steps or (self._has_ramp and self.step == self.config.ramp_steps)

    @property
    def _has_ramp(self) -> bool:
        """Whether C rises: the control arm without a ramp has nothing to track."""
        return self.config.objective == "capacity" and self.config.ramp_steps > 1

    def _measured(self, passed: Passed | None) -> Measurement:
        last = self.step == self.config.steps
        if self.is_full_due:
            measured = self.evaluator.full(self.model, self.step, last, passed)
        else:
            measured = self.evaluator.report(self.model, self.step, passed)
        if self._has_ramp and self.step <= self.config.ramp_steps:
            kl = float(audit.kl_per_latent(measured.mean, measured.log_std).sum())
            self.tracking = self.tracking.with_report(self.step, kl - measured.capacity)
            self.snapshots.add(self.passes, self.model, self.evaluator.probe.rows, measured.capacity)
        snapshots = self.snapshots.arrays if last else {}
        return dataclasses.replace(measured, tracking=self.tracking.mean, snapshots=snapshots)


@dataclass(frozen=True)
class Tracking:
    """How far the held-out KL was from C at the reports inside the ramp, nats."""

    total: float = 0.0
    reports: int = 0
    step: int = 0
    """Of the last report counted: one that is made again after a restart does not count twice."""

    @property
    def mean(self) -> float:
        """Mean of KL - C; NaN before the first report and for the beta family."""
        return self.total / self.reports if self.reports else float("nan")

    def with_report(self, step: int, deviation: float) -> "Tracking":
        """This and one more report, unless it was counted before."""
        return Tracking(self.total + deviation, self.reports + 1, step) if step > self.step else self


def main(words: list[str]) -> int:
    """Train one model from the command line; rows go to standard output.

    Returns:
        0 done, 1 diverged, 2 bad input, 130 Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m trainables.trainer", description="Train one model.")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any trial setting")
    parser.add_argument("--checkpoint", type=Path, help="written at each report; gone on from where it exists")
    arguments = parser.parse_args(words)
    try:
        trial, measured = read_settings(arguments.set)
        several = [name for name, values in trial.items() if len(values) > 1]
        if several:
            raise InputError(f"{several[0]} has several values; give one, or search with study/run.py")
        config = TrialConfig(**{name: values[0] for name, values in trial.items()})
        trainer = Trainer(config, Evaluation(**measured), open_dataset(locate(config.dataset)))
        path = arguments.checkpoint
        if path and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
            raise InputError(f"--checkpoint {path} cannot be written; give a file in a writable folder")
        if path and path.exists():
            trainer.load(path.read_bytes())
        return _train(trainer, path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _train(trainer: Trainer, kept_in: Path | None) -> int:
    while True:
        report = trainer.run_to_report()
        if report.diverged:
            print(f"diverged before step {trainer.step}: the loss is not finite", file=sys.stderr)
            return 1
        print(_line(report.row), flush=True)
        if kept_in:
            aside = kept_in.with_name(f"{kept_in.name}.aside")
            aside.write_bytes(trainer.state())
            os.replace(aside, kept_in)
        if report.done:
            return 0


def _line(row: dict[str, Any]) -> str:
    shown = (
        "recon",
        "kl",
        "capacity",
        "info_sum",
        "active_latents",
        "mig",
        "mig_calibrated",
        "verdict",
        "seconds",
    )
    words = [f"{name} {row[name]:.4g}" if isinstance(row[name], float) else f"{name} {row[name]}"
             for name in shown if name in row]  # fmt: skip
    return f"step {row['step']}: " + ", ".join(words)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    hardware.keep_freed_memory()
    sys.exit(main(sys.argv[1:]))
