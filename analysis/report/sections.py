"""The sections of the report page of one study, in reading order: what is said, drawn and tabled."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from analysis import findings, scorecard, selection
from analysis.figures import sheets, tradeoff, training
from analysis.frames import Frames, records
from analysis.paper import experiments
from analysis.parts import Part, Picture
from analysis.report import words
from analysis.tradeoff.settings import Setting, by_setting, table
from study.store import StoreError


@dataclass(frozen=True)
class Told:
    """What the page of a study with at least one finished trial is made from.

    Attributes:
        frames: Of the study.
        named: Keys of the trials whose pictures somebody asked for; empty for the rule that takes the least seed.
    """

    frames: Frames
    named: tuple[str, ...] = ()

    @cached_property
    def settings(self) -> list[Setting]:
        """Its settings."""
        return by_setting(self.frames.trials)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Its finished trials, as `findings.by_trial` gives them."""
        return findings.by_trial(self.frames, self.settings)

    @cached_property
    def shown(self) -> list[str]:
        """Keys of the trials whose pictures are shown."""
        return findings.chosen(self.frames, self.settings, list(self.named))

    @cached_property
    def sentences(self) -> list[str]:
        """What the experiment says first, where the study is one of the paper's."""
        return [*experiments.sentences(self.frames), *findings.sentences(self.frames, self.settings, self.trials)]


Section = tuple[str, Iterator[Part]]


def sections(told: Told) -> Iterator[Section]:
    """The title and the parts of each section; those that the study has nothing for are left out."""
    if experiment := experiments.experiment_of(told.frames):
        yield experiment.title, experiments.parts(told.frames)
    yield "The trade-off", _tradeoff(told)
    yield "Settings", iter([table(told.settings), words.IN_BRACKETS])
    if scorecard.scored(told.frames.finished):
        yield "Scores", _scores(told)
    yield "Does the KL follow, and is it used?", _follows(told)
    yield "The audit: where the nats go", iter([scorecard.audit(told.frames, told.settings), words.AUDIT])
    yield "Choosing without labels", _label_free(told)
    yield "Trials looked at", _trials(told)


def _tradeoff(told: Told) -> Iterator[Part]:
    finished, rows = told.frames.finished, told.settings
    if told.frames.study.identity.get("search") == "headline":
        yield "The arms are compared above: the front of a family would mix them."
    elif any(row.estimates["mig_calibrated"].values for row in rows):
        figure = Figure(figsize=(7.4, 4.9))
        tradeoff.tradeoff(figure.subplots(), finished, rows)
        yield Picture(figure, "tradeoff", "Reconstruction against mig_calibrated", words.as_drawn(rows))
    else:
        yield "No finished trial has a disentanglement score: there is no front to draw."
    figure = Figure(figsize=(7.4, 4.6))
    tradeoff.rate_distortion(figure.subplots(), finished, rows, told.frames.dataset.get("entropy"))
    yield Picture(figure, "rate_distortion", "Reconstruction against KL", words.as_drawn(rows))


def _scores(told: Told) -> Iterator[Part]:
    yield scorecard.scores(told.frames.finished, told.settings)
    yield f"{words.SCORES} {words.RESCORE}"


def _follows(told: Told) -> Iterator[Part]:
    if "capacity" in {row.family for row in told.settings}:
        figure = Figure(figsize=(7.4, 3.8))
        training.tracking(figure.subplots(), told.frames.rows, told.frames.finished)
        yield Picture(figure, "tracking", "KL minus C along training, one line a capacity trial")
    yield findings.table(told.trials)
    yield words.COLUMNS


def _label_free(told: Told) -> Iterator[Part]:
    """How well scores without labels stand in for those with labels: where replicates allow to ask."""
    finished = told.frames.finished
    seeds = selection.seeds_of(finished)
    if warning := selection.caution(seeds):
        yield warning
    if seeds < selection.MISSING_UNDER:
        return
    try:
        scores = selection.label_free(told.frames)
    except StoreError as error:
        yield f"Not computed: {error}."
        return
    yield selection.by_setting(scores, {row.id: row.label for row in told.settings})
    yield words.LABEL_FREE
    if targets := scorecard.supervised(finished):
        yield selection.table(scores.merge(finished[["key", *targets]], on="key"), targets)
        yield words.SELECTION


def _trials(told: Told) -> Iterator[Part]:
    yield f"{words.shown_trials(len(told.settings), len(told.shown), bool(told.named))} {words.SHEETS}"
    by_key = {row["key"]: row for row in records(told.trials)}
    for key in told.shown:
        try:
            figure = sheets.trial_figure(told.frames, key)
        except StoreError as error:
            yield f"Trial {key} has no pictures: {error}."
            continue
        row = by_key[key]
        about = f"KL along training, reconstructions and traversals of trial {key}"
        caption = f"{row['family']}, {row['setting']}, seed {row['seed']}: {row['verdict']}. Trial {key}."
        yield Picture(figure, f"trial-{key}", about, caption)
