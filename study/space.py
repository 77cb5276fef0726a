"""What an adaptive search may choose from: ranges and choices, some of them of one family alone."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trainables.checks import ConfigError, check_choice
from trainables.config import SEED_FIELDS, Evaluation, TrialConfig, family_reads, field_names, written

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LOGARITHMIC = ("beta", "gamma", "ramp_steps", "learning_rate")
DIGITS = 3
"""Significant digits of a chosen value: a setting that a person can repeat, and a repetition that is seen as one."""

MANY = 10_000
"""Settings that are told apart one by one; a space of more is as good as infinite."""

Choices = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both possible."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}"

    def rounded(self, value: float, whole: bool) -> float:
        """`value` at `DIGITS` digits, inside the range."""
        kept = min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)
        return int(kept) if whole else kept

    def middle(self, log: bool) -> float:
        """Half along the range, by its logarithm or by itself."""
        return math.sqrt(self.low * self.high) if log else (self.low + self.high) / 2

    def values(self, whole: bool) -> tuple[float, ...]:
        """All that `rounded` can give, or the first `MANY` and one more."""
        found, value = [self.rounded(self.low, whole)], self.low
        while value < self.high and len(found) <= MANY:
            step = max(10.0 ** (math.floor(math.log10(max(abs(value), 1e-9))) + 1 - DIGITS), 1.0 if whole else 0.0)
            value = float(f"{value + step:.{DIGITS}g}")
            kept = self.rounded(min(value, self.high), whole)
            if kept != found[-1]:
                found.append(kept)
        return tuple(found)


@dataclass(frozen=True)
class Space:
    """The settings that a search may visit.

    Attributes:
        base: Every field that is neither searched nor chosen.
        objectives: One or several.
        ranges: By field.
        choices: By field; several values each.

    Raises:
        ConfigError: No family reads a field, or a corner of the space cannot be trained.
    """

    base: TrialConfig
    objectives: tuple[str, ...]
    ranges: Mapping[str, Range]
    choices: Choices

    def __post_init__(self) -> None:
        for name in (*self.ranges, *self.choices):
            if not any(reads(objective, name) for objective in self.objectives):
                raise ConfigError(f"no objective of {', '.join(self.objectives)} reads {name}; leave it out")
        ends = {name: (typed(name, bounds.low), typed(name, bounds.high)) for name, bounds in self.ranges.items()}
        corners = {**ends, **self.choices}
        for objective, *values in itertools.product(self.objectives, *corners.values()):
            self.config(objective, dict(zip(corners, values, strict=True)))

    def config(self, objective: str, values: Mapping[str, Any]) -> TrialConfig:
        """The setting of an objective with these values, of which it takes those that it reads."""
        read = {name: value for name, value in values.items() if reads(objective, name)}
        return dataclasses.replace(self.base, objective=objective, **read).canonical()

    def suggest(self, trial: "BaseTrial") -> TrialConfig:
        """The setting that an Optuna trial chooses, at `DIGITS` digits."""
        objective = self.objectives[0]
        if len(self.objectives) > 1:
            objective = trial.suggest_categorical("objective", self.objectives)
        values: dict[str, Any] = {}
        for name, bounds in self.ranges.items():
            if not reads(objective, name):
                continue
            log = name in LOGARITHMIC
            if is_whole(name):
                values[name] = trial.suggest_int(name, int(bounds.low), int(bounds.high), log=log)
            else:
                values[name] = trial.suggest_float(name, bounds.low, bounds.high, log=log)
        for name, among in self.choices.items():
            if reads(objective, name):
                values[name] = trial.suggest_categorical(name, among)
        return self._setting(objective, values)

    @property
    def size(self) -> float:
        """How many settings there are; infinite where there are more than `MANY`."""
        return len(self.points) or math.inf

    def typical(self) -> list[TrialConfig]:
        """A setting of each objective from the middle of the space, for its price."""
        middle = {name: typed(name, bounds.middle(name in LOGARITHMIC)) for name, bounds in self.ranges.items()}
        middle |= {name: among[len(among) // 2] for name, among in self.choices.items()}
        return [self._setting(objective, middle) for objective in self.objectives]

    def label(self, config: TrialConfig) -> str:
        """`capacity, gamma 30, capacity_max 12`: what a search has chosen."""
        names = [name for name in (*self.ranges, *self.choices) if reads(config.objective, name)]
        return ", ".join([config.objective, *(f"{name} {written(getattr(config, name))}" for name in names)])

    @cached_property
    def points(self) -> dict[str, dict[str, Any]]:
        """What an Optuna trial holds of every setting, by its hash; empty where there are more than `MANY`."""
        found: dict[str, dict[str, Any]] = {}
        for objective in self.objectives:
            axes = {name: bounds.values(is_whole(name)) for name, bounds in self.ranges.items()}
            axes = {name: values for name, values in (axes | self.choices).items() if reads(objective, name)}
            if math.prod(len(values) for values in axes.values()) > MANY:
                return {}
            own = {"objective": objective} if len(self.objectives) > 1 else {}
            for point in itertools.product(*axes.values()):
                values = dict(zip(axes, point, strict=True))
                found[self._setting(objective, values).setting()] = own | values
        return found

    def _setting(self, objective: str, values: Mapping[str, Any]) -> TrialConfig:
        found = {n: self.ranges[n].rounded(v, is_whole(n)) if n in self.ranges else v for n, v in values.items()}
        return self.config(objective, found)

    def described(self) -> dict[str, Any]:
        """As it stands in a store."""
        ranges = {name: str(bounds) for name, bounds in self.ranges.items()}
        searched = {"objective": list(self.objectives), **ranges, **{k: list(v) for k, v in self.choices.items()}}
        unsearched = {name: value for name, value in dataclasses.asdict(self.base).items() if name not in searched}
        known = ("dataset", *SEED_FIELDS)  # the one by its sha256, the others by the replicates
        default = dataclasses.asdict(TrialConfig())
        return searched | {k: v for k, v in unsearched.items() if k not in known and v != default[k]}


def read_ranges(words: list[str]) -> tuple[dict[str, Range], list[str]]:
    """The words `key=low:high` as ranges, and all others.

    Raises:
        ConfigError: An empty range, a key that is unknown or not a number, or a bound outside what the field takes.
    """
    ranges: dict[str, Range] = {}
    others = []
    for word in words:
        name, _, value = (part.strip() for part in word.partition("="))
        numeric = type(getattr(TrialConfig, name, None)) in (int, float)
        if ":" not in value or (name in field_names(TrialConfig) and not numeric):
            others.append(word)
            continue
        if name in field_names(Evaluation):
            raise ConfigError(f"{name}={value}: all trials of a study are measured alike; give one value")
        check_choice("key", name, field_names(TrialConfig))
        try:
            low, high = (float(bound) for bound in value.split(":"))
        except ValueError:
            raise ConfigError(f"{name}={value} is not a range low:high; write for example gamma=10:1000") from None
        if name in ranges:
            raise ConfigError(f"{name} is given two ranges; give one")
        if name == "seed":
            raise ConfigError(f"{name}={value}: replicates are not searched; give --seeds N, or list them")
        if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
            raise ConfigError(f"{name}={value} is an empty range; give low:high, or one value to pin it")
        if name in LOGARITHMIC and low <= 0:
            raise ConfigError(f"{name}={value} is searched on a logarithmic scale; give a lower end above 0")
        if is_whole(name) and not (low.is_integer() and high.is_integer()):
            raise ConfigError(f"{name}={value} counts whole steps; give whole numbers")
        ranges[name] = Range(low, high)
    return ranges, others


def reads(objective: str, name: str) -> bool:
    """Whether an objective reads a field; one's own may read any."""
    return family_reads(TrialConfig(objective=objective).family, name) and (objective, name) != ("vae", "beta")


def is_whole(name: str) -> bool:
    """Whether a field counts something."""
    return type(getattr(TrialConfig, name)) is int


def typed(name: str, value: float) -> Any:
    """A bound as a value of its field."""
    return int(value) if is_whole(name) else value
