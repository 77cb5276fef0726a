"""What reconstruction costs in disentanglement: the table of settings."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.frames import varied_fields
from analysis.statistics import Estimate, over_seeds
from study.progress import pareto
from trainables.config import family_reads, written

TARGETS = {"recon": ".1f", "kl": ".1f", "mig_calibrated": ".3f"}
"""Columns of the table that are averaged over seeds, and how they are printed."""
SYMBOLS = {"beta": "β", "capacity_max": "C", "ramp_steps": "ramp"}
"""How labels call config fields that have a shorter name."""


@dataclass(frozen=True)
class Setting:
    """One setting's replicates, summarised.

    Attributes:
        id: The hash of `TrialConfig.setting`.
        family: beta, capacity, or the name of one's own objective.
        fields: The config fields that tell the study's settings apart; absent where the family does not read them.
        estimates: Of each of `TARGETS`, over the finished seeds.
        verdicts: How many finished seeds got which verdict of the audit.
        statuses: How many seeds have which status.
    """

    id: str
    family: str
    fields: dict[str, Any]
    estimates: dict[str, Estimate]
    verdicts: dict[str, int]
    statuses: dict[str, int]

    @property
    def label(self) -> str:
        """Its fields as figures write them, `C = 12, gamma = 100`; the family's name where nothing varies."""
        words = [f"{SYMBOLS.get(name, name)} = {written(value)}" for name, value in self.fields.items()]
        return ", ".join(words) or self.family


def by_setting(trials: pd.DataFrame) -> list[Setting]:
    """The settings of a study, best reconstruction first inside each family.

    Args:
        trials: `Frames.trials`, whatever their status.
    """
    if trials.empty:
        return []
    names = varied_fields(trials)
    found = []
    for setting, group in trials.groupby("setting", sort=False):
        first = group.iloc[0]
        finished = group[group["status"] == "finished"]
        found.append(
            Setting(
                id=str(setting),
                family=str(first["family"]),
                fields={
                    name: first[name]
                    for name in names
                    if family_reads(str(first["family"]), name, not pd.isna(first.get("beta_start")))
                    and not pd.isna(first[name])  # not set
                },
                estimates={name: over_seeds(finished[name].tolist() if name in finished else []) for name in TARGETS},
                verdicts=dict(Counter(finished["verdict"].tolist() if "verdict" in finished else [])),
                statuses=dict(Counter(group["status"].tolist())),
            )
        )

    def order(setting: Setting) -> tuple[str, bool, float]:
        recon = setting.estimates["recon"]
        return setting.family, not recon.values, recon.mean if recon.values else 0.0

    return sorted(found, key=order)


def front(rows: list[Setting], score: str = "mig_calibrated") -> list[Setting]:
    """The settings that no other of these beats on both targets, best reconstruction first.

    The means over finished seeds are compared; a setting without a value on both targets is left out, and of equal
    ones all are kept. With few seeds a front is a description, not an estimate.

    Args:
        rows: The settings that compete.
        score: The disentanglement target; more is better. The other is `recon`, nats per image; less is better.
    """
    complete = [row for row in rows if row.estimates["recon"].values and row.estimates[score].values]
    points = [(row.estimates["recon"].mean, row.estimates[score].mean) for row in complete]
    return [complete[place] for place in pareto(points)]


def table(rows: list[Setting]) -> pd.DataFrame:
    """The settings as text, one row each, for the terminal and the report."""
    names = list(dict.fromkeys(name for row in rows for name in row.fields))
    return pd.DataFrame(
        {
            "family": row.family,
            **{name: written(row.fields.get(name)) for name in names},
            **{name: format(row.estimates[name], spec) for name, spec in TARGETS.items()},
            "verdict": _shared(row.verdicts),
            "seeds": _finished(row.statuses),
        }
        for row in rows
    )


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
