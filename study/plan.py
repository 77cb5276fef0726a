"""What is left to train, and its price in time and disk: pure functions."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from trainables.checks import InputError, check_range
from trainables.config import Evaluation, TrialConfig

ASSUMED_STEPS_PER_SECOND = {"bf16": 18.0, "fp32": 11.0, "gpu": 100.0}
"""One trial of batch 64 on one core of a laptop, by precision, until the study itself has measured.

For a GPU nothing is assumed of the price; the bound serves to space the reports.
"""
STEPS_PER_10K_PASSES = 130
"""A full evaluation of 10,000 rows costs as much as so many updates of batch 64 (measured)."""
STEPS_PER_1K_REPORT = 5
MAX_ROWS_PER_SECOND = 100.0
"""Above this Tune's own bookkeeping slows the study (Ray Tune 2.60)."""
START_SECONDS = 20.0
"""Ray's and the first workers' start, and the report (measured)."""
STORED_BYTES, CHECKPOINT_BYTES = 3_500_000, 6_100_000
"""Of a finished trial (weights, codes, sheets) and of a checkpoint with its optimiser, latents = 10."""
GPU_CHECKPOINT_SECONDS = 60.0
"""Least time between two checkpoints of a trial on a GPU; on CPUs there is one with each report."""

FINAL = ("finished", "diverged", "stopped", "dropped")
"""Statuses that are results: such a trial is never run again. One is stopped, or dropped before it began, with its
setting."""


@dataclass(frozen=True)
class Speed:
    """Updates a second of one trial.

    Attributes:
        steps_per_second: None where nobody knows.
        source: Who says so.
        trust: How many times longer or shorter it may take, by what such prices have turned out to be.
        of_batch: Images an update to which it applies; None for the trials' own.
    """

    steps_per_second: float | None
    source: str = "an assumed speed, measured once trials run"
    trust: float = 1.5
    of_batch: int | None = 64

    @classmethod
    def measured(cls, steps_per_second: float) -> "Speed":
        """As earlier trials of the store ran."""
        return cls(steps_per_second, "a speed measured in this store", trust=1.2, of_batch=None)

    @classmethod
    def calibrated(cls, steps_per_second: float, where: str) -> "Speed":
        """As a few seconds of training have just run."""
        return cls(steps_per_second, f"a speed measured just now on {where}", trust=1.3, of_batch=None)


@dataclass(frozen=True)
class Price:
    """What a plan will cost before it starts."""

    trials: int
    steps: int
    seconds: float | None
    """None where the speed is unknown."""
    disk_bytes: int
    speed: Speed
    seconds_per_trial: float | None = None
    """Of the first trial to end, as long as the others keep it company."""

    def __str__(self) -> str:
        time = "a time unknown until trials have run"
        if self.seconds is not None:
            between = span(self.seconds / self.speed.trust, self.seconds * self.speed.trust)
            time = f"about {duration(self.seconds)} ({between}; {self.speed.source})"
        return f"{self.trials} trials, {self.steps:,} updates, {time}, {self.disk_bytes / 1e6:,.0f} MB of disk"


@dataclass(frozen=True)
class Budget:
    """What a run may take; what it leaves over, the next one goes on with.

    Attributes:
        max_hours: Of this run; None for no limit.
        max_cost: In whatever currency `price_per_hour` is; None for no limit.
        price_per_hour: Of everything that the study runs on.

    Raises:
        InputError: A limit is out of range.
    """

    max_hours: float | None = None
    max_cost: float | None = None
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_hours", "max_cost", "price_per_hour"):
            check_range(f"--{name.replace('_', '-')}", getattr(self, name), 1e-6, 1e9)

    def priced(self, per_hour: float | None) -> "Budget":
        """The same with this price, where it has none of its own.

        Raises:
            InputError: A limit on the cost without either.
        """
        known = dataclasses.replace(self, price_per_hour=self.price_per_hour or per_hour)
        if known.max_cost is not None and known.price_per_hour is None:
            raise InputError(f"--max-cost={known.max_cost:g} needs the --price-per-hour of what the study runs on")
        return known

    @property
    def seconds(self) -> float | None:
        """The least that the limits allow; None without any."""
        hours = [] if self.max_hours is None else [self.max_hours]
        if self.max_cost is not None and self.price_per_hour is not None:
            hours.append(self.max_cost / self.price_per_hour)
        return min(hours) * 3600 if hours else None

    def check(self, price: Price) -> None:
        """Refuse a budget that admits no trial.

        Raises:
            InputError: Naming how long the first takes; never where that is unknown.
        """
        first = price.seconds_per_trial
        if self.seconds is not None and first is not None and first > self.seconds:
            raise InputError(
                f"a budget of {duration(self.seconds)} admits no trial: the first takes about {duration(first)}; raise "
                "--max-hours or --max-cost, or shorten the trials"
            )

    def so_far(self, seconds: float) -> str:
        """`, 1.25 so far`: what so many seconds have cost; nothing where no price was given."""
        return "" if self.price_per_hour is None else f", {seconds / 3600 * self.price_per_hour:.2f} so far"

    def cost(self, seconds: float | None) -> str:
        """`, 1.25 at 3 an hour`, or `, 3 an hour` where nobody knows the seconds; nothing where no price was given."""
        if self.price_per_hour is None:
            return ""
        if seconds is None:
            return f", {self.price_per_hour:g} an hour"
        return f", {seconds / 3600 * self.price_per_hour:.2f} at {self.price_per_hour:g} an hour"


def to_run(
    planned: Mapping[str, TrialConfig], status: Mapping[str, str], retry_failed: bool = False
) -> dict[str, TrialConfig]:
    """The planned trials without a result, by key, interrupted ones first.

    Args:
        planned: All trials, by key.
        status: Of each key that was ever started.
        retry_failed: Whether failed trials are tried again.
    """
    settled = FINAL if retry_failed else (*FINAL, "failed")
    left = [key for key in planned if status.get(key) not in settled]
    return {key: planned[key] for key in sorted(left, key=lambda key: key not in status)}  # stable within


def updates_of(config: TrialConfig, evaluation: Evaluation) -> float:
    """What a trial costs with its scoring, in updates of its own batches."""
    full = 2 if config.objective == "capacity" else 1
    reports = config.steps / evaluation.report_every
    scoring = full * evaluation.probe_rows / 10_000 * STEPS_PER_10K_PASSES
    scoring += reports * min(evaluation.report_rows, evaluation.probe_rows) / 1000 * STEPS_PER_1K_REPORT
    return config.steps + scoring * 64 / config.batch_size


def price(configs: Collection[TrialConfig], evaluation: Evaluation, slots: int, speed: Speed) -> Price:
    """Time and disk of training `configs`, `slots` at a time.

    Args:
        configs: What is left to train.
        evaluation: Says how often and on how many rows trials are scored.
        slots: Trials at a time.
        speed: Of one trial.
    """
    cost = 0.0
    for config in configs:
        own = config.batch_size / (speed.of_batch or config.batch_size)
        cost += updates_of(config, evaluation) * own
    rate = speed.steps_per_second
    busy = min(slots, len(configs)) or 1
    return Price(
        trials=len(configs),
        steps=sum(config.steps for config in configs),
        seconds=cost / rate / busy + START_SECONDS if rate else None,
        disk_bytes=len(configs) * STORED_BYTES + busy * CHECKPOINT_BYTES,
        speed=speed,
        seconds_per_trial=cost / rate / len(configs) + START_SECONDS if rate and configs else None,
    )


def report_sparingly(evaluation: Evaluation, slots: int, steps_per_second: float) -> Evaluation:
    """The evaluation with `report_every` raised until the study stays under `MAX_ROWS_PER_SECOND`."""
    rows_per_second = slots * steps_per_second / evaluation.report_every
    factor = max(1, -int(-rows_per_second // MAX_ROWS_PER_SECOND))
    return dataclasses.replace(evaluation, report_every=evaluation.report_every * factor)


def span(low: float, high: float) -> str:
    """`10 to 12 min`, or `12 min` where both ends are said alike."""
    first, last = duration(low), duration(high)
    if first == last:
        return first
    return f"{first.split()[0] if first.split()[1] == last.split()[1] else first} to {last}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h` or `2.1 days`: a length of time as a person says it."""
    for unit, size, digits in (("days", 86_400.0, 1), ("h", 3_600.0, 1), ("min", 60.0, 0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
