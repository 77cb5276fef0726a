"""What an adaptive search may choose from: ranges and choices, some of them of one family alone."""

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainables.config import READ_BY, ConfigError, TrialConfig, check_choice, field_names, is_own

if TYPE_CHECKING:
    from optuna import Trial

LOGARITHMIC = ("beta", "gamma", "ramp_steps", "learning_rate")
DIGITS = 3
"""Significant digits of a chosen value: a setting that a person can repeat, and a repetition that is seen as one."""

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

    def suggest(self, trial: "Trial") -> TrialConfig:
        """The setting that an Optuna trial chooses, at `DIGITS` digits."""
        objective = self.objectives[0]
        if len(self.objectives) > 1:
            objective = trial.suggest_categorical("objective", self.objectives)
        values: dict[str, Any] = {}
        for name, bounds in self.ranges.items():
            if reads(objective, name):
                log, whole = name in LOGARITHMIC, _is_whole(name)
                if whole:
                    value = trial.suggest_int(name, int(bounds.low), int(bounds.high), log=log)
                else:
                    value = trial.suggest_float(name, bounds.low, bounds.high, log=log)
                values[name] = bounds.rounded(value, whole)
        for name, among in self.choices.items():
            if reads(objective, name):
                values[name] = trial.suggest_categorical(name, among)
        return self.config(objective, values)

    def described(self) -> dict[str, Any]:
        """As it stands in a store."""
        ranges = {name: str(bounds) for name, bounds in self.ranges.items()}
        return {"objective": list(self.objectives), **ranges, **{k: list(v) for k, v in self.choices.items()}}


def read_ranges(words: list[str]) -> tuple[dict[str, Range], list[str]]:
    """The words `key=low:high` as ranges, and all others.

    Raises:
        ConfigError: An empty range, a key that is unknown or not a number, or a bound outside what the field takes.
    """
    ranges: dict[str, Range] = {}
    others = []
    for word in words:
        name, _, value = (part.strip() for part in word.partition("="))
        found = re.fullmatch(r"([-+.\deE]+):([-+.\deE]+)", value)
        if not found:
            others.append(word)
            continue
        check_choice("key", name, field_names(TrialConfig))
        try:
            low, high = (float(bound) for bound in found.groups())
        except ValueError:
            raise ConfigError(f"{name}={value} is not a range of numbers; write for example gamma=10:1000") from None
        if name in ranges:
            raise ConfigError(f"{name} is given two ranges; give one")
        if type(getattr(TrialConfig, name)) not in (int, float) or name == "seed":
            raise ConfigError(f"{name}={value}: only numbers that are searched take a range; list the values")
        if not (math.isfinite(low) and math.isfinite(high)) or low >= high:
            raise ConfigError(f"{name}={value} is an empty range; give low:high, or one value to pin it")
        if name in LOGARITHMIC and low <= 0:
            raise ConfigError(f"{name}={value} is searched on a logarithmic scale; give a lower end above 0")
        if _is_whole(name) and not (low.is_integer() and high.is_integer()):
            raise ConfigError(f"{name}={value} counts whole steps; give whole numbers")
        ranges[name] = Range(low, high)
    return ranges, others


def reads(objective: str, name: str) -> bool:
    """Whether an objective reads a field; one's own may read any."""
    family = TrialConfig(objective=objective).family
    others = {field for key, fields in READ_BY.items() if key != family for field in fields}
    if objective == "vae":
        others.add("beta")
    return is_own(objective) or name not in others


def _is_whole(name: str) -> bool:
    return type(getattr(TrialConfig, name)) is int


def typed(name: str, value: float) -> Any:
    """A bound as a value of its field."""
    return int(value) if _is_whole(name) else value
