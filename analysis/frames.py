"""Store -> tidy frames; no torch, no ray."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from study.store import Study, open_study, read_scores
from trainables.checks import InputError, printable
from trainables.config import SEED_FIELDS, TrialConfig, family_reads

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
        trials: One row a trial: key, setting, family, config, status, the columns of its last full evaluation, and the
            scores of `analysis.rescore` where there are any.
        rows: One row a report: key, step and the columns of docs/metrics.md.
    """

    study: Study
    trials: pd.DataFrame
    rows: pd.DataFrame

    @property
    def factors(self) -> list[str]:
        """Names of the dataset's factors in the order of the arrays' columns; empty where it has none."""
        return [printable(name) for name in self.dataset.get("factors", [])]

    @property
    def dataset(self) -> dict[str, Any]:
        """What the driver recorded of the dataset: `name`, `factors`, `entropy` (nats) and more; empty if nothing."""
        recorded = [entry["dataset"] for entry in self.study.provenance if "dataset" in entry]
        return recorded[-1] if recorded else {}

    @property
    def finished(self) -> pd.DataFrame:
        """The trials that reached their last update: the only ones that tables and figures average."""
        return self.trials.query("status == 'finished'") if len(self.trials) else self.trials

    def trial(self, key: str) -> dict[str, Any]:
        """One trial's row of `trials`."""
        return records(self.trials.query("key == @key"))[0]

    def reports(self, key: str) -> pd.DataFrame:
        """One trial's rows, by step."""
        return self.rows.query("key == @key").sort_values(by="step")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as dicts, in order."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def load(path: Path | str) -> Frames:
    """Read a store, also while it is being written.

    Raises:
        StoreError: The folder holds no study, or a file of later scores cannot be read.
    """
    study = open_study(path)
    trials = study.trials()
    if len(trials):
        trials = _once_a_seed(trials)
    if study.identity.get("search") == "tradeoff" and len(trials):
        trials = _judged_whole(trials, len(study.identity["seeds"]))
    return Frames(study, _with_later(trials, read_scores(study.path)), study.rows())


def load_finished(path: Path | str) -> Frames:
    """Read a store of which something is to be said.

    Raises:
        InputError: No trial has finished, with the remedy.
        StoreError: As `load`.
    """
    frames = load(path)
    if frames.finished.empty:
        raise InputError(nothing_finished(frames))
    return frames


def nothing_finished(frames: Frames) -> str:
    """What to do about a store without finished trials."""
    counts = Counter(frames.trials["status"].tolist() if len(frames.trials) else [])
    if counts and set(counts) == {"diverged"}:
        remedy = "all have diverged; lower the learning rate or gamma"
    elif counts["failed"]:
        remedy = "mend what failed and add --retry-failed"
    else:
        remedy = "run the study again to continue it"
    return f"{frames.study.path}: no trial has finished yet; {remedy}"


def _once_a_seed(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of one setting and seed, of unequal init_seed say, are no independent replicates of each other.

    The first by these seeds stays; the other finished ones become `set aside`.
    """
    own = [name for name in SEED_FIELDS if name in trials and name != "seed"]
    finished = trials.loc[trials["status"] == "finished"].sort_values(by=own, na_position="first", kind="stable")
    repeated = finished.index[finished.duplicated(["setting", "seed"])]
    return trials.assign(status=trials["status"].mask(trials.index.isin(repeated), "set aside"))


def _judged_whole(trials: pd.DataFrame, replicates: int) -> pd.DataFrame:
    """An adaptive search judges settings whole: finished trials of one that lacks a replicate become `set aside`."""
    pairs = list(zip(trials["setting"], trials["status"], strict=True))
    finished = Counter(setting for setting, status in pairs if status == "finished")
    lacking = {setting for setting, count in finished.items() if count < replicates}
    aside = [status == "finished" and setting in lacking for setting, status in pairs]
    return trials.assign(status=trials["status"].mask(pd.Series(aside, index=trials.index), "set aside"))


def _with_later(trials: pd.DataFrame, later: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The trials with the scores of later where their own last row has none; `<score>_missing` says why one lacks."""
    if trials.empty or not later:
        return trials
    found = {}
    for name, scores in later.items():
        rows = scores.rename(columns={"missing": f"{name}_missing"}).set_index("key").reindex(trials["key"].tolist())
        for column in [str(column) for column in rows if str(column).startswith(name)]:
            values = pd.Series(rows[column].tolist(), index=trials.index)
            found[column] = trials[column].fillna(values) if column in trials else values
    kept = trials.drop(columns=[column for column in found if column in trials])
    return pd.concat([kept, pd.DataFrame(found)], axis=1)  # at once: a hundred columns one by one are slow


def varied_fields(trials: pd.DataFrame) -> list[str]:
    """The config fields that tell the settings of a study apart, in the order of `TrialConfig`.

    A field that only some families read counts as varied where the settings of those families differ in it.
    """
    families = set(trials["family"])
    names = []
    for name in SETTING_FIELDS:
        starts = trials["beta_start"] if "beta_start" in trials else [None] * len(trials)
        each = zip(trials["family"], trials[name], starts, strict=True)
        values = {str(value) for family, value, start in each if family_reads(family, name, not pd.isna(start))}
        if len(values) > 1 or any(LEADING.get(family) == name for family in families):
            names.append(name)
    return [name for name in names if name != "objective"]
