"""One command after a study: the trade-off table, the figures, and the report page.

python -m analysis.report results/capacity_grid-laptop
"""

import argparse
import hashlib
import json
import sys
import textwrap
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from analysis import findings, scorecard, selection
from analysis.figures import sheets, style, tradeoff, training
from analysis.frames import Frames, load, records
from analysis.paper import experiments
from analysis.report.page import Page
from analysis.tradeoff.settings import Setting, by_setting, table
from study.store import StoreError
from trainables.checks import InputError


def main(words: list[str]) -> int:
    """Print the table and what can be said, and write the page; 0 done, 2 bad input, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("store", type=Path, help="the folder of a study")
    parser.add_argument("--trials", nargs="+", default=[], metavar="KEY", help="the trials whose pictures to show")
    arguments = parser.parse_args(words)
    matplotlib.use("Agg")  # files only, also where there is a display
    try:
        frames = load(arguments.store)
        _warn(frames)
        if frames.finished.empty:
            failed = len(frames.trials) > 0 and "failed" in frames.trials["status"].tolist()
            remedy = "mend what failed and add --retry-failed" if failed else "run the study again to continue it"
            print(f"{arguments.store}: no trial has finished yet; {remedy}")
            return 0
        rows = by_setting(frames.trials)
        keys = findings.chosen(frames, rows, arguments.trials)
        trials = findings.by_trial(frames, rows)
        _print(rows, _sentences(frames, rows, trials))
        print(f"report: {write(frames, rows, trials, keys, bool(arguments.trials))}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"error: the report cannot be written ({error}); free {arguments.store / 'report'}", file=sys.stderr)
        return 2
    return 0


def write(frames: Frames, rows: list[Setting], trials: pd.DataFrame, keys: list[str], named: bool = False) -> Path:
    """Draw every figure into the store's `report/`, and the page that holds them; the page's path.

    Args:
        frames: Of a study with at least one finished trial.
        rows: Its settings.
        trials: As `findings.by_trial` gives them.
        keys: Trials whose pictures are shown.
        named: Whether somebody asked for these, rather than the rule that takes the least seed.
    """
    study, finished = frames.study, frames.finished
    folder = study.path / "report"
    folder.mkdir(exist_ok=True)
    style.use()
    seeds = finished["seed"].nunique()
    about = (
        f"{len(finished)} finished trials, {len(rows)} settings, {seeds} seeds; "
        f"scored on n = {max(finished['probe_rows']):,.0f} held-out images"
    )
    page = Page(study.path.name, about)
    page.findings(_sentences(frames, rows, trials))
    if experiment := experiments.experiment_of(frames):
        page.heading(experiment.title)
        for part in experiments.parts(frames):
            if isinstance(part, experiments.Picture):
                page.picture(_saved(part.figure, frames, part.name), part.description, part.caption)
            elif isinstance(part, str):
                page.paragraph(part)
            else:
                page.table(part)
    page.heading("The trade-off")
    if study.identity.get("search") == "headline":
        page.paragraph("The arms are compared above: the front of a family would mix them.")
    elif any(row.estimates["mig_calibrated"].values for row in rows):
        figure, axes = plt.subplots(figsize=(7.4, 4.9))
        tradeoff.tradeoff(axes, finished, rows)
        page.picture(_saved(figure, frames, "tradeoff"), "Reconstruction against mig_calibrated", _as_drawn(rows))
    else:
        page.paragraph("No finished trial has a disentanglement score: there is no front to draw.")
    figure, axes = plt.subplots(figsize=(7.4, 4.6))
    tradeoff.rate_distortion(axes, finished, rows, frames.dataset.get("entropy"))
    page.picture(_saved(figure, frames, "rate_distortion"), "Reconstruction against KL", _as_drawn(rows))
    page.heading("Settings")
    page.table(table(rows))
    page.paragraph(_IN_BRACKETS)
    if scorecard.scored(finished):
        page.heading("Scores")
        page.table(scorecard.scores(finished, rows))
        page.paragraph(f"{_SCORES} {_RESCORE}")
    page.heading("Does the KL follow, and is it used?")
    if "capacity" in {row.family for row in rows}:
        figure, axes = plt.subplots(figsize=(7.4, 3.8))
        training.tracking(axes, frames.rows, finished)
        page.picture(_saved(figure, frames, "tracking"), "KL minus C along training, one line a capacity trial")
    page.table(findings.table(trials))
    page.paragraph(_COLUMNS)
    page.heading("The audit: where the nats go")
    page.table(scorecard.audit(frames, rows))
    page.paragraph(_AUDIT)
    _selection(page, frames, rows)
    page.heading("Trials looked at")
    page.paragraph(f"{_shown_trials(rows, keys, named)} {_SHEETS}")
    by_key = {row["key"]: row for row in records(trials)}
    for key in keys:
        try:
            figure = sheets.trial_figure(frames, key)
        except StoreError as error:
            page.paragraph(f"Trial {key} has no pictures: {error}.")
            continue
        row, path = by_key[key], _saved(figure, frames, f"trial-{key}")
        caption = f"{row['family']}, {row['setting']}, seed {row['seed']}: {row['verdict']}. Trial {key}."
        page.picture(path, f"KL along training, reconstructions and traversals of trial {key}", caption)
    path = folder / "index.html"
    page.write(path, f"{_source(frames)}. Columns: docs/metrics.md.")
    return path


def _sentences(frames: Frames, rows: list[Setting], trials: pd.DataFrame) -> list[str]:
    """What the experiment says first, where the study is one of the paper's."""
    return [*experiments.sentences(frames), *findings.sentences(frames, rows, trials)]


def _selection(page: Page, frames: Frames, rows: list[Setting]) -> None:
    """How well scores without labels stand in for those with labels: where replicates allow to ask."""
    page.heading("Choosing without labels")
    seeds = selection.seeds_of(frames.finished)
    if warning := selection.caution(seeds):
        page.paragraph(warning)
    if seeds < selection.MISSING_UNDER:
        return
    try:
        scores = selection.label_free(frames)
    except StoreError as error:
        page.paragraph(f"Not computed: {error}.")
        return
    page.table(selection.by_setting(scores, {row.id: row.label for row in rows}))
    page.paragraph(_LABEL_FREE)
    if targets := scorecard.supervised(frames.finished):
        page.table(selection.table(scores.merge(frames.finished[["key", *targets]], on="key"), targets))
        page.paragraph(_SELECTION)


def _as_drawn(rows: list[Setting]) -> str:
    seeds = [len(row.estimates["recon"].values) for row in rows if row.estimates["recon"].values]
    words = ["Small points are trials, large ones means over seeds."]
    if min(seeds) <= 2:
        words.append("Settings of one or two seeds have no interval; a front of so few describes this run alone.")
    if max(seeds) > 2:
        words.append("Bars are 95 % intervals of the means.")
    return " ".join(words)


def _shown_trials(rows: list[Setting], keys: list[str], named: bool) -> str:
    if named:
        return "The trials asked for."
    some = "Of each setting" if len(keys) == len(rows) else f"Of {len(keys)} of the {len(rows)} settings, evenly taken,"
    return f"{some} the trial with the least seed."


_IN_BRACKETS = (
    "Reconstruction (nats per image), KL (nats) and scores are means over seeds of held-out values; in brackets both "
    "values of two seeds, or the 95 % interval of three and more."
)
_COLUMNS = (
    "follows: mean |KL - C| over the ramp, nats. opened: latents in the order in which I_j rose through 0.2 nats, and "
    "C there in nats (for fixed beta: the update). position R^2: of x and y, the lesser, predicted jointly from the "
    "first two latents to open; tie where the third opens within a report of the second."
)
_SCORES = (
    "Calibrated: (raw - null) / (ceiling - null), 0 for codes that know nothing and 1 for a perfect code; missing "
    "where there is no ceiling or the two nearly meet. Null: permuted factors. Ceiling: the class indices as codes, "
    "the rest constant. Brackets: both seeds, or the 95 % interval over seeds. sd of one: of one trial's value, over "
    "samples of as many rows or over the score's draws (docs/metrics.md)."
)
_RESCORE = (
    "Others, DCI and InfoMEC among them, from the stored codes: python -m analysis.rescore STORE, then this page again."
)
_AUDIT = (
    "All in nats. KL = sum of I_j + dim KL, and sum of I_j = I(x;z) + TC: dim KL carries nothing, TC is said twice, "
    "excess is more than the images hold. I(x;z) and TC are brackets, own row in and out of the aggregate posterior "
    "of n images; wider than 0.5 nats is not resolved at this n."
)
_SELECTION = (
    "Spearman's correlation over trials of each score without labels, turned so that more is better, with each "
    "supervised one (interval: settings resampled, from ten on); and the mean regret of choosing a setting by it on "
    "all seeds but one, against choosing by the supervised score itself, read on the seed left out. UDR alone "
    "compares all seeds, the left-out one too."
)
_LABEL_FREE = (
    "Mean over seeds. UDR: how nearly the latents of a setting's replicates match one to one, by Lasso coefficients "
    "or by Spearman's correlation."
)
_SHEETS = (
    "Traversals: one held-out image, each latent from -3 to 3 while the "
    "others stay at their means; rows by held-out KL, with KL and I_j in nats and the factor that the latent says most "
    "of, as a share of that factor's entropy. Inactive latents are grey. Other trials: "
    "python -m analysis.report STORE --trials KEY ..."
)


def _print(rows: list[Setting], sentences: list[str]) -> None:
    print()
    print(table(rows).to_string(index=False))
    print(f"\n{textwrap.fill(_IN_BRACKETS, 118)}\n")
    for sentence in sentences:
        print(textwrap.fill(sentence, 118, initial_indent="- ", subsequent_indent="  "))
    print()


def _warn(frames: Frames) -> None:
    for problem in [*frames.study.problems, *frames.study.unreadable_arrays]:
        print(f"warning: {problem}", file=sys.stderr)
    for key in frames.trials.loc[frames.trials["status"] == "failed", "key"] if len(frames.trials) else []:
        print(f"trial {key} failed: see {frames.study.log_path(key)}")


def _source(frames: Frames) -> str:
    study = frames.study
    commit = study.provenance[-1].get("commit", "unknown") if study.provenance else "unknown"
    identity = hashlib.sha256(json.dumps(study.identity, sort_keys=True).encode()).hexdigest()[:12]
    return f"Study {study.path.name}, identity {identity}, commit {commit}"


def _saved(figure: Figure, frames: Frames, name: str) -> Path:
    """The figure as PNG and PDF in the store's `report/`, its source in the files' metadata; the PNG's path."""
    path = frames.study.path / "report" / f"{name}.png"
    figure.savefig(path, metadata={"Description": _source(frames)})
    figure.savefig(path.with_suffix(".pdf"), metadata={"Subject": _source(frames)})
    plt.close(figure)
    return path
