"""Scores and the audit as tables: what each number is worth, beside the number.

A raw score says little: noise has one too, and a perfect code seldom 1. So each stands beside its null (permuted
factors), its ceiling (a perfect code), the calibrated value between the two, and its spread (docs/metrics.md).
"""

from typing import Any

import pandas as pd

from analysis.frames import Frames, records
from analysis.statistics import over_seeds
from analysis.tradeoff.settings import Setting


def scored(trials: pd.DataFrame) -> list[str]:
    """The scores that any of the trials has with a null, in the order of the columns."""
    ending = "_null"
    names = [str(name).removesuffix(ending) for name in trials.columns if str(name).endswith(ending)]
    return [name for name in names if len(_present(trials, f"{name}{ending}"))]


def supervised(trials: pd.DataFrame) -> list[str]:
    """Columns that say how well codes are disentangled: calibrated, or raw where a score has no ceiling."""
    calibrated = {name: f"{name}_calibrated" for name in scored(trials)}
    return [column if len(_present(trials, column)) else name for name, column in calibrated.items()]


def scores(finished: pd.DataFrame, rows: list[Setting]) -> pd.DataFrame:
    """Every score of every setting, as text.

    Args:
        finished: Finished trials, with `setting` and the scores.
        rows: Their settings, in their order.

    Returns:
        `score`, `family`, `setting`, `raw` and `calibrated` (mean over seeds with both values, or the interval),
        `null` (mean, and the sd of one permutation), `ceiling`, `sd of one` (of the value of one trial, over samples of
        its rows or over the score's draws).
    """
    table = []
    for name in scored(finished):
        for row in rows:
            trials = finished.query("setting == @row.id")
            if trials.empty:
                continue
            table.append(
                {
                    "score": name,
                    "family": row.family,
                    "setting": row.label,
                    "raw": format(over_seeds(trials[name].tolist()), ".3f"),
                    "calibrated": format(over_seeds(_column(trials, f"{name}_calibrated")), ".3f"),
                    "null": _null(trials, name),
                    "ceiling": _mean(trials, f"{name}_ceiling"),
                    "sd of one": _mean(trials, f"{name}_sd", 4),
                }
            )
    return pd.DataFrame(table)


def audit(frames: Frames, rows: list[Setting]) -> pd.DataFrame:
    """The audit of every finished trial, as text; all in nats.

    Returns:
        `KL` = `sum of I_j` + `dim KL`; `I(x;z)` and `TC` as brackets, and whether n has `resolved` them; `excess` over
        H(images); `tracking` (mean KL - C over the ramp); `verdict`.
    """
    finished, table = frames.finished.sort_values(by="seed"), []
    for row in rows:
        for trial in records(finished.query("setting == @row.id")):
            table.append(
                {
                    "key": trial["key"][:8],
                    "setting": row.label,
                    "seed": trial["seed"],
                    "KL": _number(trial.get("kl")),
                    "sum of I_j": _number(trial.get("info_sum")),
                    "dim KL": _number(trial.get("dim_kl")),
                    "I(x;z)": _bracket(trial, "info"),
                    "TC": _bracket(trial, "tc"),
                    "resolved": _resolved(trial),
                    "excess": _number(trial.get("excess")),
                    "tracking": _number(trial.get("tracking")),
                    "verdict": trial.get("verdict", "-"),
                }
            )
    return pd.DataFrame(table)


def _bracket(trial: dict[str, Any], name: str) -> str:
    low, high = trial.get(f"{name}_low"), trial.get(f"{name}_high")
    if low is None or high is None or pd.isna(low):
        return "-"
    return f"{low:.1f} to {high:.1f}"


def _resolved(trial: dict[str, Any]) -> str:
    if pd.isna(trial.get("info_low", float("nan"))):
        return "-"
    return "yes" if trial["info_resolved"] else "no"


def _null(trials: pd.DataFrame, name: str) -> str:
    mean, sd = _mean(trials, f"{name}_null", 4), _mean(trials, f"{name}_null_sd", 4)
    return mean if sd == "-" else f"{mean} ± {sd}"


def _column(trials: pd.DataFrame, name: str) -> list[float]:
    return trials[name].tolist() if name in trials else []


def _present(trials: pd.DataFrame, name: str) -> list[float]:
    return [value for value in _column(trials, name) if not pd.isna(value)]


def _mean(trials: pd.DataFrame, name: str, places: int = 3) -> str:
    values = _present(trials, name)
    return f"{sum(values) / len(values):.{places}f}" if values else "-"


def _number(value: Any) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.2f}"
