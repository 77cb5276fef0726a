"""Many trials on one device, each still its own: lanes join, train side by side to their reports, and leave. No Ray.

A lane is a `Trainer`: config, weights, optimiser and checkpoints are those of a trial alone. An executor advances many
of them: `loop` one after another, bit for bit as alone; `stacked` as one model with a leading dimension.
"""

import functools
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch

from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig, is_own
from trainables.data.dataset import Dataset
from trainables.data.resident import Resident
from trainables.evaluation import Passed
from trainables.measurement import Measurement
from trainables.packing.desk import PackFailed
from trainables.packing.stack import Stack, structure
from trainables.trainer import Trainer

WIDTHS = (1, 2, 4, 8, 16, 32, 64)
"""Lanes of a stack: the least that holds all is taken, so that few graphs are captured; spare ones train nothing."""
FORM, COMPILED = "windows", False
"""For benchmarks/gpu_pack.py to choose; it has not run on a card yet."""


class Pack:
    """The lanes on one device.

    Args:
        evaluation: How trials are measured.
        dataset: Of all trials.
        executor: `loop` or `stacked`.
        device: Where to train; by default a GPU where there is one.
    """

    def __init__(
        self, evaluation: Evaluation, dataset: Dataset, executor: str, device: torch.device | str | None = None
    ) -> None:
        self.evaluation, self.dataset, self.executor, self.device = evaluation, dataset, executor, device
        self.lanes: dict[str, Trainer] = {}
        self.stacks = Stacks(dataset)

    def join(self, name: str, config: TrialConfig, state: bytes | None = None) -> None:
        """A trial takes a lane, from its first step or from a checkpoint.

        Raises:
            ConfigError: The trial cannot be trained here, or the checkpoint is not its own.
            PackFailed: The device has failed.
        """
        if self.executor == "stacked":
            check_stackable(config)
        try:
            trainer = Trainer(config, self.evaluation, self.dataset, self.device)
            if state is not None:
                trainer.load(state)
        except torch.AcceleratorError as error:
            raise PackFailed(f"{type(error).__name__}: {error}") from error
        self.lanes[name] = trainer

    def leave(self, name: str) -> None:
        """A trial gives its lane up; nothing if it has none."""
        self.lanes.pop(name, None)

    def state(self, name: str) -> bytes:
        """A lane's checkpoint: what its trial alone would write."""
        return self.lanes[name].state()

    @property
    def notices(self) -> list[str]:
        """What is to be said of the pack itself, a line each."""
        return self.stacks.notices

    def advance(self, names: Collection[str]) -> Iterator[tuple[str, Measurement | Exception]]:
        """Train each of these lanes to its next report.

        Yields:
            A lane that has come to its report, and what was measured there, as soon as it is; or what went wrong in
            this lane alone.
        """
        if self.executor == "loop":
            for name in names:
                yield name, _alone(self.lanes[name])
            return
        alike = defaultdict(dict)
        for name in names:
            trainer = self.lanes[name]
            alike[structure(trainer.config)][name] = trainer
        for lanes in alike.values():
            yield from self.stacks.advance(lanes)


class Stacks:
    """The stacked executor: advances trainers of one structure together, as many at once as the device has room for.

    Args:
        dataset: Of all trainers; its images are copied to their device when the first of them trains.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.notices = dataset, list[str]()
        self.images: Resident | None = None
        self.stack: Stack | None = None
        self.most = WIDTHS[-1]
        """Lanes at once; fewer after the device had no memory for them."""

    def advance(self, lanes: Mapping[str, Trainer]) -> Iterator[tuple[str, Measurement | Exception]]:
        """As `Pack.advance`, of lanes of one structure."""
        try:
            self.images = self.images or Resident(self.dataset, next(iter(lanes.values())).device)
        except torch.OutOfMemoryError as error:
            size, reason = self.dataset.images.nbytes / 1e9, str(error).splitlines()[0]
            told = f"{size:.1f} GB of images do not fit the device's memory ({reason}); use --executor loop"
            yield from ((name, ConfigError(f"{told} with another --store")) for name in lanes)
            return
        # Targets are told once: memory may end in a report too, when the lanes are there, and none is to be passed by.
        waiting, targets = dict(lanes), {name: trainer.next_report for name, trainer in lanes.items()}
        while waiting:
            some = dict(itertools.islice(waiting.items(), self.most))
            try:
                for name, measured in self._together(some, targets):
                    del waiting[name]
                    yield name, measured
                continue
            except torch.OutOfMemoryError as error:
                reason = str(error)
            self.stack = None  # only here: the error has kept its memory until now
            torch.cuda.empty_cache()
            if len(some) > 1:
                self._narrow(len(some))
                continue
            (name,) = some
            yield name, _too_large(waiting.pop(name), reason)

    def _narrow(self, lanes: int) -> None:
        self.most = max(width for width in WIDTHS if width < lanes)
        self.notices.append(f"no memory for {lanes} lanes at once: they train {self.most} at a time")

    def _together(
        self, lanes: Mapping[str, Trainer], targets: Mapping[str, int]
    ) -> Iterator[tuple[str, Measurement | Exception]]:
        """Advance so few lanes that they are one stack, each to the step of its next report."""
        began, first = time.perf_counter(), {name: trainer.step for name, trainer in lanes.items()}
        on_the_way = dict(lanes)
        while on_the_way:
            trainers = list(on_the_way.values())
            stack = self._stack_of(trainers)
            stack.take(trainers)
            stack.run(min(targets[name] - trainer.step for name, trainer in on_the_way.items()))
            stack.give(trainers)
            if stack.notice:
                self.notices.append(stack.notice)
                stack.notice = None  # said
            seconds = time.perf_counter() - began  # `give` has waited for the device
            there = [place for place, name in enumerate(on_the_way) if on_the_way[name].step == targets[name]]
            passed = _passes(stack, [trainers[place] for place in there], there)
            for name, place in [(list(on_the_way)[place], place) for place in there]:
                trainer = on_the_way.pop(name)
                made = functools.partial(trainer.measure, trainer.step - first[name], seconds, passed.get(place))
                yield name, _tried(made)
            del stack  # else the next one, where it is narrower, has to fit beside it

    def _stack_of(self, trainers: Sequence[Trainer]) -> Stack:
        """The least stack that holds them: the last one if it does."""
        width = width_of(len(trainers))
        assert self.images is not None
        if self.stack is None or self.stack.width != width or not self.stack.is_like(trainers[0]):
            self.stack = None  # its memory first
            self.stack = Stack(trainers[0], self.images, width, FORM, COMPILED)
        return self.stack


def width_of(lanes: int) -> int:
    """Of the least stack that holds so many lanes."""
    return min(width for width in WIDTHS if width >= lanes)


def _passes(stack: Stack, trainers: Sequence[Trainer], places: Sequence[int]) -> dict[int, Passed]:
    """Each lane's passes over the probe, all lanes together, by place in the stack."""
    found = {}
    for full in (False, True):
        chosen = [place for place, trainer in zip(places, trainers, strict=True) if trainer.is_full_due is full]
        if not chosen:
            continue
        evaluator = trainers[0].evaluator  # lanes of one structure share the probe
        probe, rows = evaluator.probe, None if full else evaluator.report_rows
        held_out = stack.evaluate(probe.rows[:rows], probe.noise)
        train = stack.evaluate(probe.train_rows, probe.train_noise)[0] if full else None
        for place in chosen:
            losses, mean, log_std = (values[place] for values in held_out)
            found[place] = Passed(losses, mean, log_std, None if train is None else train[place])
    return found


def check_stackable(config: TrialConfig) -> None:
    """Refuse what has no stacked form.

    Raises:
        ConfigError: Naming the remedy.
    """
    for what, name in (("model", config.model), ("objective", config.objective)):
        if is_own(name) or config.is_generator:
            raise ConfigError(f"{what} {name} cannot be stacked; use --executor loop")


def _alone(trainer: Trainer) -> Measurement | Exception:
    """What a lane has come to by itself."""
    try:
        return _tried(trainer.advance)
    except torch.OutOfMemoryError as error:
        return _too_large(trainer, str(error))


def _too_large(trainer: Trainer, reason: str) -> ConfigError:
    size, reason = trainer.config.batch_size, reason.splitlines()[0]
    return ConfigError(f"batch_size={size} does not fit the device's memory ({reason}); lower it")


def _tried(measure: Callable[[], Measurement]) -> Measurement | Exception:
    """What a lane has come to, or its failure; that of the device is not the lane's, and raised."""
    try:
        return measure()
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:
        return error
