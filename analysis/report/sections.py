"""The sections of the report page of one study, in reading order: what is said, drawn and tabled."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from analysis import findings, scorecard, selection
from analysis.figures import agreement as agreement_figure
from analysis.figures import fronts as fronts_figure
from analysis.figures import rates as rates_figure
from analysis.figures import shares as shares_figure
from analysis.figures import sheets, tradeoff, training
from analysis.frames import Frames, records
from analysis.paper import experiments
from analysis.parts import Part, Picture
from analysis.report import words
from analysis.tradeoff import agreement, arms, attainment, fronts, importance, matched_words, rates, shares, spread
from analysis.tradeoff.answer import answer
from analysis.tradeoff.choice import Preference, choose, sentence
from analysis.tradeoff.choice import table as choice_table
from analysis.tradeoff.matched import TARGET
from analysis.tradeoff.settings import Setting, by_setting, table
from study.store import StoreError

OFF_PLATEAU = 0.35
"""Of R0: a setting that reconstructs worse has hardly learned (docs/metrics.md)."""


@dataclass(frozen=True)
class Told:
    """What the page of a study with at least one finished trial is made from.

    Attributes:
        frames: Of the study.
        named: Keys of the trials whose sheets somebody asked for, as files too.
    """

    frames: Frames
    named: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """Of the study."""
        return str(self.frames.study.identity.get("protocol", ""))

    @cached_property
    def settings(self) -> list[Setting]:
        """Its settings."""
        return by_setting(self.frames.trials)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Its finished trials, as `findings.by_trial` gives them."""
        return findings.by_trial(self.frames, self.settings)

    @cached_property
    def answer(self) -> str:
        """The answer in a sentence with its interval; of the paper's experiments, what they say of the claim first."""
        claim = experiments.sentences(self.frames)
        return claim[0] if claim else answer(self.frames.finished, self.protocol)

    @cached_property
    def sentences(self) -> list[str]:
        """What the study shows beside the answer, and what cannot be said."""
        claim = experiments.sentences(self.frames)
        return [*claim[1:], *findings.sentences(self.frames, self.settings, self.trials)]


Section = tuple[str, Iterator[Part]]


def sections(told: Told) -> Iterator[Section]:
    """The title and the parts of each section; those that the study has nothing for are left out."""
    experiment = experiments.experiment_of(told.frames)
    if experiment:
        yield experiment.title, experiments.parts(told.frames)
    yield "The trade-off", _front(told)
    if not experiment and not matched_words.lacking(told.frames.finished):
        yield "Does raising the capacity pay?", experiments.compared(told.frames)
    yield "Rate and distortion: what the nats buy", _rates(told)
    yield "Settings", _settings(told)
    yield "What matters?", _matters(told)
    if not experiment:
        yield "Which setting should I use?", _choice(told)
    if scorecard.scored(told.frames.finished):
        yield "Scores", _scores(told)
        yield "Would another score say the same?", _agreement(told)
    yield "Does the KL follow, and is it used?", _follows(told)
    yield "The audit: where the nats go", iter([scorecard.audit(told.frames, told.settings), words.AUDIT])
    yield "Choosing without labels", _label_free(told)
    if told.named:
        yield "Trials asked for", _trials(told)


def _front(told: Told) -> Iterator[Part]:
    finished, rows = told.frames.finished, told.settings
    if not any(row.estimates[TARGET].values and row.estimates["recon"].values for row in rows):
        yield "No finished trial has a disentanglement score: there is no front to draw."
        return
    if mixed := arms.mixed(finished):
        yield mixed
        return
    figure = Figure(figsize=(7.4, 4.9))
    tradeoff.tradeoff(figure.subplots(), finished, rows)
    yield Picture(figure, "tradeoff", f"Reconstruction against {TARGET}", words.as_drawn(rows))
    if told.protocol == "laptop":
        yield words.LAPTOP
    standings = fronts.standings(finished, rows)
    if any(one.p_family is not None for one in standings):
        likeliest = fronts.likeliest(standings, fronts_figure.MAX_ROWS)
        figure = Figure(figsize=(7.4, 1.2 + 0.28 * len(likeliest)))
        fronts_figure.on_front(figure.subplots(), likeliest)
        yield Picture(
            figure,
            "on_front",
            "Probability of each setting to be on a front",
            fronts_figure.on_front_caption(likeliest, len(standings)),
        )
    yield fronts.table(standings)
    yield fronts.caution(standings)
    attained = attainment.attainment(finished)
    if any(one.levels for one in attained):
        figure = Figure(figsize=(7.4, 4.9))
        fronts_figure.attainment(figure.subplots(), attained)
        caption = fronts_figure.attainment_caption(attained)
        yield Picture(figure, "attainment", "What the best and the worst seeds attain", caption)
    volumes = attainment.volumes(finished)
    yield attainment.volume_table(volumes)
    yield words.VOLUME
    yield from (attainment.volume_sentence(attainment.volume_gap(a, b)) for a, b in itertools.combinations(volumes, 2))


def _rates(told: Told) -> Iterator[Part]:
    finished, rows = told.frames.finished, told.settings
    figure = Figure(figsize=(7.4, 4.6))
    tradeoff.rate_distortion(figure.subplots(), finished, rows, told.frames.dataset.get("entropy"))
    yield Picture(figure, "rate_distortion", "Reconstruction against KL", words.as_drawn(rows))
    compared = rates.summary(finished)
    if not compared:
        return
    figure = Figure(figsize=(12.6, 4.2))
    for axes, rate in zip(figure.subplots(1, len(rates.RATES)), rates.RATES, strict=True):
        rates_figure.rates(axes, rates.lines(finished, rate), rate, rates.unresolved(finished, rate))
    about = "Reconstruction along KL, the sum of I_j and I(x;z), a line an arm and seed"
    yield Picture(figure, "rates", about, rates_figure.caption(rates.lines(finished)))
    yield from rates.sentences(compared, told.protocol)
    yield rates.table(compared)


def _settings(told: Told) -> Iterator[Part]:
    yield table(told.settings)
    yield words.IN_BRACKETS
    spreads = spread.spreads(told.frames.finished, told.settings, TARGET, spread.SCORE_WIDTH)
    if any(one.sd is not None for one in spreads):
        yield from spread.sentences(spreads, TARGET, spread.SCORE_WIDTH)
        yield spread.table(spreads, spread.SCORE_WIDTH)


def _matters(told: Told) -> Iterator[Part]:
    identity = told.frames.study.identity
    if told.protocol == "laptop":
        yield words.LAPTOP
    for target in (TARGET, "recon"):
        if identity.get("search") == "tradeoff":
            found = importance.by_family(told.frames.finished, told.settings, target, identity, target == "recon")
            yield from importance.sentences(found)
            yield importance.table(found)
            continue
        apart = shares.by_family(told.frames.finished, told.settings, target, str(identity.get("search")))
        yield from shares.sentences(apart)
        yield shares.table(apart)
        if sources := [source for one in apart for source in one.by_source]:
            figure = Figure(figsize=(7.4, 1.8 + 0.34 * len(set(sources))))
            shares_figure.shares(figure.subplots(), apart)
            yield Picture(figure, f"shares_{target}", f"What the variance of {target} is due to", words.SHARES)


def _choice(told: Told) -> Iterator[Part]:
    finished, rows = told.frames.finished, told.settings
    first = finished.iloc[0]
    plateau = first["recon_floor"] + OFF_PLATEAU * (first["constant_loss"] - first["recon_floor"])
    wishes = (Preference(), Preference(recon_at_most=round(float(plateau), 1)))
    choices = [choose(finished, rows, wanted) for wanted in wishes]
    if told.protocol == "laptop":
        yield words.LAPTOP
    yield from (sentence(one) for one in choices)
    yield choice_table(choices)
    yield words.CHOICE


def _agreement(told: Told) -> Iterator[Part]:
    found = agreement.agreement(told.frames.finished, told.settings, scorecard.supervised(told.frames.finished))
    yield from agreement.sentences(found)
    if len(found.names) < 3:
        yield "One score alone: there is nothing to compare it with."
    else:
        figure = Figure(figsize=(2.4 + 0.62 * len(found.names), 1.6 + 0.55 * len(found.names)))
        agreement_figure.agreement(figure.subplots(), found)
        about = f"n = {found.trials} trials of {found.settings} settings. {words.AGREEMENT}"
        yield Picture(figure, "agreement", "Rank correlation of the scores over trials", about)


def _scores(told: Told) -> Iterator[Part]:
    yield scorecard.scores(told.frames.finished, told.settings)
    yield f"{words.SCORES} {words.RESCORE}"


def _follows(told: Told) -> Iterator[Part]:
    if "capacity" in {row.family for row in told.settings}:
        figure = Figure(figsize=(7.4, 3.8))
        training.tracking(figure.subplots(), told.frames.rows, told.frames.finished)
        yield Picture(
            figure, "tracking", "KL minus C along training, one line a capacity trial", words.tracked(told.trials)
        )
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
    yield words.SHEETS
    by_key = {row["key"]: row for row in records(told.trials)}
    for key in told.named:
        try:
            figure = sheets.trial_figure(told.frames, key)
        except StoreError as error:
            yield f"Trial {key} has no pictures: {error}."
            continue
        row = by_key[key]
        about = f"KL along training, reconstructions and traversals of trial {key}"
        caption = f"{row['family']}, {row['setting']}, seed {row['seed']}: {row['verdict']}. Trial {key}."
        yield Picture(figure, f"trial-{key}", about, caption)
