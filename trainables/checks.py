"""Bad input: its errors, and the checks that raise them; each one sentence with value, limit and remedy."""

import dataclasses
import difflib
import math
from typing import Any


class InputError(ValueError):
    """Bad input: one sentence that names the value, the limit and the remedy. The command line exits with 2."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(InputError):
    """A setting that cannot be run; the message names the value, the limit and the remedy."""


def check_types(config: Any) -> None:
    """Refuse fields whose value is not of the annotated type; an int is welcome where a float is meant.

    Raises:
        ConfigError: Naming the field, its value and the type that it takes.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        kinds: Any = field.type
        if type(value) is int and kinds in (float, float | None):
            object.__setattr__(config, field.name, float(value))
            continue
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ConfigError(
                f"{field.name}={value!r} is of type {type(value).__name__}; give a value of type {kind_name(kinds)}"
            )


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse a number outside [low, high]; None means not set and passes.

    Raises:
        ConfigError: Naming the value and the limits.
    """
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{name}={value} is outside [{low}, {high}]; choose a value inside")


def check_choice(name: str, value: str, choices: tuple[str, ...] | list[str]) -> None:
    """Refuse a word that is not one of `choices`, with the near ones first.

    Raises:
        ConfigError: Naming the word, the near ones and all choices.
    """
    if value not in choices:
        raise ConfigError(f"unknown {name} {value!r}; {near(str(value), choices)}")


def near(word: str, choices: tuple[str, ...] | list[str]) -> str:
    """The remedy for a mistyped word: `did you mean ...?` where something is near, else all choices."""
    close = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(choices)}"


def printable(text: str) -> str:
    r"""Text as it may be printed: what a terminal would obey, `\x1b` or a line break, stands as its escape."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def kind_name(kinds: Any) -> str:
    """`int`, `float`, `int | None`: an annotation as a person reads it."""
    return kinds.__name__ if isinstance(kinds, type) else str(kinds)
