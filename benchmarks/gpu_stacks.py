"""What gpu_pack.py times: stacks of so many lanes, and whether what they learn is right."""

import dataclasses
import functools
import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu_floor import timed, wait_for
from study.protocols import LAPTOP
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.data.resident import Resident
from trainables.metrics import audit
from trainables.packing.stack import MOMENTS, Stack
from trainables.trainer import Trainer

FEW = Evaluation(report_rows=2, probe_rows=2)
DIFFERENT = 4
"""Trainers that fill the lanes in turn: which numbers a lane holds does not change its speed."""
STATES = (0, 4)
"""Updates before the one that is held against each trainer's own."""


@dataclass(frozen=True, eq=False)
class Setup:
    """On what everything is timed.

    Attributes:
        dataset: Of all trials.
        images: The same, on the device.
        config: Of all trials, but for precision and seed.
        device: Where they train.
        seconds: That a repeat lasts.
        repeats: Of each rate.
        begun: The untrained state of each of the `trainers`, by precision.
    """

    dataset: Dataset
    images: Resident
    config: TrialConfig
    device: torch.device
    seconds: float
    repeats: int
    begun: dict[str, list[bytes]] = dataclasses.field(default_factory=dict)

    @functools.cache  # noqa: B019 - one setup a process
    def trainers(self, precision: str, copy: int = 0) -> list[Trainer]:
        """A few trials that differ in seed, each as whoever had it last has left it; and more copies of the same."""
        configs = [dataclasses.replace(self.config, precision=precision, seed=seed) for seed in range(DIFFERENT)]
        made = [Trainer(config, FEW, self.dataset, self.device) for config in configs]
        self.begun.setdefault(precision, [trainer.state() for trainer in made])
        return made

    def rates(self, advance: Callable[[int], object]) -> list[float]:
        """Updates a second of several repeats.

        Args:
            advance: Makes so many updates.
        """
        advance(1)
        most = max(1, int(self.seconds / timed(lambda: advance(1), self.device)))
        few = min(most, 20)
        updates = max(1, int(self.seconds * few / timed(lambda: advance(few), self.device)))
        return [updates / timed(lambda: advance(updates), self.device) for _ in range(self.repeats)]


@dataclass(frozen=True)
class Cell:
    """A stack to be timed."""

    form: str
    precision: str
    compiled: bool
    lanes: int


def speed(setup: Setup, cell: Cell) -> dict[str, Any]:
    """Model-steps a second of a stack, and the memory it took."""
    on_gpu = setup.device.type == "cuda"
    many = min(cell.lanes, DIFFERENT)
    alone, packed = _begun(setup, cell.precision)
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setup.device)
    stack = Stack(packed[0], setup.images, cell.lanes, cell.form, cell.compiled)
    stack.take([packed[lane % many] for lane in range(cell.lanes)])
    ready = timed(lambda: stack.run(1), setup.device)
    stack.give(packed[:many])
    for trainer in alone[:many]:
        trainer.update()
    rates = [cell.lanes * rate for rate in setup.rates(stack.run)]
    return {
        **dataclasses.asdict(cell),
        "first_update_relative_difference": _difference(packed[:many], alone[:many]),
        "captured": stack.graph is not None,
        "notice": stack.notice,
        **spread(rates),
        "ready_seconds": ready,  # kernels compiled, chosen and captured
        "peak_allocated_mb": torch.cuda.max_memory_allocated(setup.device) / 1e6 if on_gpu else None,
        "peak_reserved_mb": torch.cuda.max_memory_reserved(setup.device) / 1e6 if on_gpu else None,
    }


def spread(rates: list[float]) -> dict[str, Any]:
    """The median of several rates, model-steps a second, and how far they lie apart."""
    return {"model_steps_per_s": statistics.median(rates), "slowest": min(rates), "fastest": max(rates)}


def one_update(setup: Setup, form: str, precision: str) -> dict[str, Any]:
    """How far an update of a stack is from that of each trainer alone: the captured graph's, where there is one.

    See `_difference`; the largest over the states begun from.
    """
    differences = {}
    for steps in STATES:
        alone, packed = _begun(setup, precision)
        for one, other in zip(alone, packed, strict=True):
            for _ in range(steps):
                one.update()
            other.load(one.state())
            one.update()
        stack = Stack(packed[0], setup.images, len(packed), form)
        stack.take(packed)
        stack.run(1)
        stack.give(packed)
        differences[f"after_{steps}_updates"] = _difference(packed, alone)
    return {
        "form": form,
        "precision": precision,
        "largest_relative_difference": max(differences.values()),
        **differences,
    }


def _begun(setup: Setup, precision: str) -> tuple[list[Trainer], list[Trainer]]:
    """The trainers and their copies, untrained."""
    pair = setup.trainers(precision), setup.trainers(precision, copy=1)
    for made in pair:
        for trainer, state in zip(made, setup.begun[precision], strict=True):
            trainer.load(state)
    return pair


def _difference(ours: list[Trainer], theirs: list[Trainer]) -> float:
    """The largest of a moment's difference against its largest number, over lanes and tensors.

    Adam's moments are the gradient's after a first update.
    """
    pairs = zip(map(_moments, ours), map(_moments, theirs), strict=True)
    return max(
        float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        for one, other in pairs
        for a, b in zip(one, other, strict=True)
    )


def _moments(trainer: Trainer) -> list[torch.Tensor]:
    parameters = list(trainer.model.parameters())
    return [trainer.optimizer.state[parameter][name] for parameter in parameters for name in MOMENTS]


def learning(setup: Setup, arm: str, precision: str, form: str, seeds: int, steps: int) -> dict[str, Any]:
    """Held-out reconstruction and KL of trials of the laptop protocol after so many steps.

    Args:
        setup: Where; its config is not read, but for the dataset.
        arm: `stacked` or `alone`.
        precision: Of the trials.
        form: Of the stack.
        seeds: Trials.
        steps: In all; four fifths of them are the ramp.
    """
    whole = LAPTOP.trial
    batch = min(whole.batch_size, setup.config.batch_size)
    config = dataclasses.replace(
        whole, dataset=setup.config.dataset, precision=precision, steps=steps, ramp_steps=max(1, steps * 4 // 5)
    )
    config = dataclasses.replace(config, batch_size=batch, gamma=100.0, capacity_max=LAPTOP.middle_capacity)
    evaluation = dataclasses.replace(LAPTOP.evaluation, probe_rows=LAPTOP.evaluation.report_rows)
    trainers = [
        Trainer(dataclasses.replace(config, seed=seed), evaluation, setup.dataset, setup.device)
        for seed in range(seeds)
    ]
    if arm == "stacked":
        stack = Stack(trainers[0], setup.images, seeds, form)
        stack.take(trainers)
        stack.run(steps)
        stack.give(trainers)
    else:
        for trainer in trainers:
            for _ in range(steps):
                trainer.update()
    wait_for(setup.device)
    found = [trainer.evaluator.report(trainer.model, trainer.step) for trainer in trainers]
    kls = [float(audit.kl_per_latent(measured.mean, measured.log_std).sum()) for measured in found]
    return {
        "arm": arm,
        "precision": precision,
        "form": form if arm == "stacked" else None,
        "steps": steps,
        "batch_size": batch,
        "recon": _summary([measured.recon for measured in found]),
        "kl": _summary(kls),
    }


def _summary(values: list[float]) -> dict[str, Any]:
    """Nats per image, over seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "sd": deviation, "seeds": values}
