"""What the report says of a search that is an experiment of the paper: sentences, and a section with its figure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis import arms, blobs, generator, matched, matched_figure, matched_words, sheets
from analysis.frames import Frames, records
from analysis.page import Page

Save = Callable[[Figure, str], Path]
"""Stores a figure under a name; gives the path of its PNG."""


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments, as the report tells it.

    Attributes:
        title: Of its section.
        sentences: What it says of the paper's claim; nothing where too little has finished.
        write: Adds figures and tables to the page.
    """

    title: str
    sentences: Callable[[Frames], list[str]]
    write: Callable[[Page, Frames, Save], None]


def experiment_of(frames: Frames) -> Experiment | None:
    """The experiment that a study is, by its search; None where it is none of the paper's."""
    return EXPERIMENTS.get(frames.study.identity.get("search", ""))


def _first_of(frames: Frames, **fields: Any) -> str | None:
    """The finished trial with these fields that has the least seed, so that nobody picks the prettiest; None: none."""
    trials = sorted(records(frames.finished), key=lambda trial: trial["seed"])
    return next((t["key"] for t in trials if all(t.get(name) == value for name, value in fields.items())), None)


def _write_blobs(page: Page, frames: Frames, save: Save) -> None:
    rungs = blobs.ladder(frames)
    if not rungs:
        page.paragraph("No finished trial has a position map.")
        return
    null, _ = blobs.rotation_null(blobs.ASPECTS.get(frames.study.identity["search"], 1.0))
    caption = "A point a seed; docs/metrics.md has the definitions. An open question where seeds are few."
    page.picture(save(blobs.ladder_figure(rungs, null), "blobs_ladder"), "The position code against beta", caption)
    page.table(blobs.table(rungs))
    for beta in dict.fromkeys([min(rungs), max(rungs)]):
        key = _first_of(frames, beta=beta)
        assert key is not None
        _sheet(page, frames, save, key, f"beta = {beta:g}, least seed.")


def _write_generator(page: Page, frames: Frames, save: Save) -> None:
    for code in generator.codes(frames):
        path = save(generator.figure(frames, code), f"generator_{code}")
        about = "one number a factor" if code == "scalar" else "shape one-hot, orientation as cos and sin"
        page.picture(path, f"KL of each factor, factor code {code}", f"Factor code {code}: {about}. {_SNAPSHOTS}")
    page.table(generator.opening_table(frames))
    page.paragraph(_OPENINGS)
    for code in generator.codes(frames):
        for measure, word in generator.MEASURES.items():
            page.paragraph(f"In how many seeds the row opens before the column, by {word}, factor code {code}:")
            page.table(generator.matrix_table(frames, code, measure))


def _write_traversals(page: Page, frames: Frames, save: Save) -> None:
    for trial in sorted(records(frames.finished), key=lambda trial: trial["seed"]):
        caption = f"Seed {trial['seed']}: recon {trial['recon']:.1f}, KL {trial['kl']:.1f} nats; {trial['verdict']}."
        _sheet(page, frames, save, trial["key"], caption)


def _write_headline(page: Page, frames: Frames, save: Save) -> None:
    comparisons = _comparisons(frames)
    for number, comparison in enumerate(comparisons):
        figure = Figure(figsize=(9.0, 3.4), layout="constrained")
        wide, narrow = figure.subplots(1, 2, width_ratios=[2.4, 1])
        matched_figure.curves(wide, arms.with_arms(frames.finished), comparison)
        matched_figure.gaps(narrow, comparison)
        page.picture(
            save(figure, f"matched_{number}"), f"{comparison.a} against {comparison.b} at equal reconstruction"
        )
    page.table(matched_words.table(comparisons))
    page.paragraph(_MATCHED)
    page.table(matched_words.reached(comparisons))
    page.paragraph(_REACHED)


def _comparisons(frames: Frames) -> list[matched.Comparison]:
    return matched.summary(frames.finished, frames.study.identity.get("protocol", ""))


def _sheet(page: Page, frames: Frames, save: Save, key: str, caption: str) -> None:
    path = save(sheets.paper_sheet(frames, key), f"sheet-{key}")
    page.picture(path, f"Samples, reconstructions and traversals of trial {key}", f"{caption} {_SHEET} Trial {key}.")


EXPERIMENTS = {
    "blobs": Experiment("Fig. 2: the position of a blob", blobs.sentences, _write_blobs),
    "blobs_wide": Experiment("Fig. 2, control: x ranges twice as far as y", blobs.sentences, _write_blobs),
    "generator": Experiment("Fig. 3: which factor opens at which capacity", generator.sentences, _write_generator),
    "traversals": Experiment("Fig. 4: traversals", lambda frames: [], _write_traversals),
    "headline": Experiment(
        "The claim: disentangling at equal reconstruction",
        lambda frames: matched_words.sentences(_comparisons(frames)),
        _write_headline,
    ),
}

_SHEET = (
    "Held-out images, their reconstructions, then a row a latent by KL, high to low: the first image with this latent "
    "from -3 to 3 and the others as inferred. Grey: inactive."
)
_SNAPSHOTS = (
    "All seeds; images of the least one, decoded at the mean when C first came to 3.1, 7.3, 15.4 and 23.8 nats."
)
_OPENINGS = (
    "C (nats) at which a factor's KL, or its information, rises through 0.2 nats for the last time; mean over the "
    "seeds in which it does before C_max. By KL alone a factor may open that says nothing: its noise shrinks because "
    "that is the cheapest way to come to C."
)
_MATCHED = (
    "For each seed the score as a function of reconstruction, linear between an arm's settings, is compared over "
    "the reconstruction that both arms reach; under 10 nats of it a seed is not comparable. Gap: first minus second."
)
_REACHED = "The least reconstruction loss among the settings that reach a score; censored where none does."
