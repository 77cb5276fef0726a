"""One trial as the page's script reads it: its audit, scores, configuration and curves, and how to load its model."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.openings import latents_of, openings
from trainables.config import TrialConfig, family_reads, written

POINTS = 60
"""Reports drawn of a trial, evenly taken from all."""
UNKNOWN = "-"
ENDINGS = ("", "_calibrated", "_null", "_ceiling", "_sd")


def described(
    trial: dict[str, Any], audit: dict[str, Any], scored: Sequence[str], reports: pd.DataFrame | None
) -> dict[str, Any]:
    """What the page says of a trial beside its pictures, as JSON takes it.

    Args:
        trial: Its row of `Frames.trials`.
        audit: Its row of `scorecard.audit`.
        scored: The scores to tell, as `scorecard.scored` gives them.
        reports: Its rows; None where none are stored.

    Returns:
        `audit` and `config`: pairs of a name and a text. `scores`: of each its name, then as text its raw and
        calibrated value, null, ceiling and the sd of one. `curves`: KL along training in nats, None without reports.
    """
    return {
        "audit": _audit(audit),
        "scores": [[name, *(_text(trial.get(f"{name}{ending}")) for ending in ENDINGS)] for name in scored],
        "config": _config(trial),
        "curves": None if reports is None else _curves(reports.sort_values(by="step"), trial),
    }


def _audit(audit: dict[str, Any]) -> list[list[str]]:
    bare = ("resolved", "verdict")  # no nats
    told = [(name, value) for name, value in audit.items() if name not in ("key", "setting", "seed")]
    return [[name, value if name in bare or value == UNKNOWN else f"{value} nats"] for name, value in told]


def _config(trial: dict[str, Any]) -> list[list[str]]:
    annealed = plain(trial.get("beta_start")) is not None
    names = [
        field.name for field in dataclasses.fields(TrialConfig) if family_reads(trial["family"], field.name, annealed)
    ]
    return [[name, written(plain(trial[name]))] for name in names if plain(trial.get(name)) is not None]


def _curves(reports: pd.DataFrame, trial: dict[str, Any]) -> dict[str, Any]:
    """KL of the latents and of all, and C, at the same updates; where each latent opened, of all reports."""
    opened = [[opening.latent, round(opening.step)] for opening in openings(reports, trial)]
    places = np.unique(np.linspace(0, len(reports) - 1, POINTS).round().astype(int))
    few = reports.iloc[places]
    latents = {str(j): _numbers(few[f"kl_{j}"]) for j in latents_of(reports.columns)}
    latents = {j: values for j, values in latents.items() if values[-1] is not None}
    capacity = _numbers(few["capacity"]) if "capacity" in few else []
    return {
        "steps": [int(step) for step in few["step"]],
        "kl": _numbers(few["kl"]),
        "capacity": capacity if any(value is not None for value in capacity) else None,
        "latents": latents,
        "opened": opened,
    }


def plain(value: Any) -> Any:
    """A config value as JSON takes it: None for NaN, Python's own numbers for numpy's."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def number(value: Any) -> float | None:
    """Five significant digits: none of these numbers is known better."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Two decimals, as curves are drawn."""
    return [round(value, 2) if math.isfinite(value) else None for value in map(float, values)]


def _text(value: Any) -> str:
    return UNKNOWN if number(value) is None else f"{value:.3f}"
