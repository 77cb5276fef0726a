"""Store -> tidy frames; no torch, no ray."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from study.store import Study, open_study
from trainables.config import SEED_FIELDS, TrialConfig

READ_BY = {"beta": ("beta",), "capacity": ("gamma", "capacity_max", "capacity_start", "ramp_steps")}
"""Config fields that only one family reads."""
LEADING = {"beta": "beta", "capacity": "capacity_max"}
"""The field that orders a family."""
SETTING_FIELDS = [
    field.name
    for field in dataclasses.fields(TrialConfig)
    if field.name not in (*SEED_FIELDS, "dataset")  # one dataset a study, wherever its file was
]


@dataclass(frozen=True)
class Frames:
    """One study as frames.

    Attributes:
        study: The reader that they came from.
        trials: One row a trial: key, setting, family, config, status, and the columns of its last full evaluation.
        rows: One row a report: key, step and the columns of docs/metrics.md.
    """

    study: Study
    trials: pd.DataFrame
    rows: pd.DataFrame

    @property
    def finished(self) -> pd.DataFrame:
        """The trials that reached their last update: the only ones that tables and figures average."""
        return self.trials.query("status == 'finished'") if len(self.trials) else self.trials


def load(path: Path | str) -> Frames:
    """Read a store, also while it is being written.

    Raises:
        StoreError: The folder holds no study.
    """
    study = open_study(path)
    return Frames(study, study.trials(), study.rows())


def varied_fields(trials: pd.DataFrame) -> list[str]:
    """The config fields that tell the settings of a study apart, in the order of `TrialConfig`.

    A field that only one family reads counts as varied where the settings of that family differ in it.
    """
    families = set(trials["family"])
    names = []
    for name in SETTING_FIELDS:
        readers = [family for family, own in READ_BY.items() if name in own] or sorted(families)
        values = {str(value) for value in trials.query("family in @readers")[name]}
        if len(values) > 1 or (name in LEADING.values() and families & set(readers)):
            names.append(name)
    return [name for name in names if name != "objective"]
