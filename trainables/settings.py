"""Command-line words as typed settings of a trial and of its evaluation."""

import dataclasses
from typing import Any

from trainables.checks import ConfigError, check_choice, kind_name
from trainables.config import Evaluation, TrialConfig, field_names


def read_settings(texts: list[str]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Command-line words `key=value` or `key=value,value` as typed values.

    Returns:
        The values of each `TrialConfig` field, and the value of each `Evaluation` field.

    Raises:
        ConfigError: Not of that form, an unknown key (with the near ones), or a value of the wrong type.
    """
    trial: dict[str, list[Any]] = {}
    evaluation: dict[str, Any] = {}
    for text in texts:
        name, equals, words = (part.strip() for part in text.partition("="))
        if not (equals and name and words):
            raise ConfigError(f"--set {text!r} is not of the form key=value; write for example --set gamma=30")
        check_choice("key", name, field_names(TrialConfig) + field_names(Evaluation))
        if name in trial or name in evaluation:
            raise ConfigError(f"{name} is set twice; give several values as --set {name}=VALUE,VALUE")
        if name in field_names(TrialConfig):
            trial[name] = [_parse(TrialConfig, name, word.strip()) for word in words.split(",")]
        else:
            evaluation[name] = _parse(Evaluation, name, words)
    return trial, evaluation


def _parse(kind: type[Any], name: str, word: str) -> Any:
    kinds: Any = next(field.type for field in dataclasses.fields(kind) if field.name == name)
    if kinds is str:
        return word
    if kinds not in (int, float) and word.lower() == "none":
        return None
    try:
        return float(word) if kinds in (float, float | None) else int(word)
    except ValueError:
        raise ConfigError(f"{name}={word!r} is not of type {kind_name(kinds)}; give one such value") from None
