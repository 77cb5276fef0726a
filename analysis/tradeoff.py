"""What reconstruction costs in disentanglement: the table of settings."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frames import READ_BY, varied_fields
from analysis.statistics import Estimate, over_seeds

TARGETS = {"recon": ".1f", "kl": ".1f", "mig_calibrated": ".3f"}
"""Columns of the table that are averaged over seeds, and how they are printed."""


@dataclass(frozen=True)
class Setting:
    """One setting's replicates, summarised.

    Attributes:
        family: beta or capacity.
        fields: The config fields that tell the study's settings apart; absent where the family does not read them.
        estimates: Of each of `TARGETS`, over the finished seeds.
        verdicts: How many finished seeds got which verdict of the audit.
        statuses: How many seeds have which status.
    """

    family: str
    fields: dict[str, Any]
    estimates: dict[str, Estimate]
    verdicts: dict[str, int]
    statuses: dict[str, int]


def settings(trials: pd.DataFrame) -> list[Setting]:
    """The settings of a study, best reconstruction first inside each family.

    Args:
        trials: `Frames.trials`, whatever their status.
    """
    if trials.empty:
        return []
    names = varied_fields(trials)
    foreign = {family: [name for other in READ_BY if other != family for name in READ_BY[other]] for family in READ_BY}
    found = []
    for _, group in trials.groupby("setting", sort=False):
        first = group.iloc[0]
        finished = group[group["status"] == "finished"]
        found.append(
            Setting(
                family=str(first["family"]),
                fields={name: first[name] for name in names if name not in foreign[str(first["family"])]},
                estimates={name: over_seeds(finished[name].tolist() if name in finished else []) for name in TARGETS},
                verdicts=dict(Counter(finished["verdict"].tolist() if "verdict" in finished else [])),
                statuses=dict(Counter(group["status"].tolist())),
            )
        )

    def order(setting: Setting) -> tuple[str, bool, float]:
        recon = setting.estimates["recon"]
        return setting.family, not recon.values, recon.mean if recon.values else 0.0

    return sorted(found, key=order)


def table(rows: list[Setting]) -> pd.DataFrame:
    """The settings as text, one row each, for the terminal and the report."""
    names = list(dict.fromkeys(name for row in rows for name in row.fields))
    return pd.DataFrame(
        {
            "family": row.family,
            **{name: number(row.fields.get(name)) for name in names},
            **{name: format(row.estimates[name], spec) for name, spec in TARGETS.items()},
            "verdict": _shared(row.verdicts),
            "seeds": _finished(row.statuses),
        }
        for row in rows
    )


def number(value: object) -> str:
    """A config value as it is printed: `100` for 100.0, nothing for None."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _shared(verdicts: dict[str, int]) -> str:
    """`fine` where all seeds agree, else `1 fine, 1 not informative`."""
    if len(verdicts) == 1:
        return next(iter(verdicts))
    return ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items())) or "-"


def _finished(statuses: dict[str, int]) -> str:
    """`2` where all seeds have finished, else `1 of 2, 1 diverged`."""
    finished, started = statuses.get("finished", 0), sum(statuses.values())
    others = [f"{count} {name}" for name, count in sorted(statuses.items()) if name != "finished"]
    return ", ".join([f"{finished} of {started}" if others else str(finished), *others])
