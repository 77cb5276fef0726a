"""What the report and the notebook say of a search that is an experiment of the paper: sentences, figures, tables."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis.figures import matched as matched_figure
from analysis.figures import sheets
from analysis.frames import Frames, load, records, varied_fields
from analysis.paper import blobs, generator
from analysis.parts import Part, Picture, lay_out
from analysis.tradeoff import arms, matched, matched_words
from study.store import StoreError


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments, as the report tells it.

    Attributes:
        title: Of its section.
        varies: Config fields that may differ between its settings; where others do too, nothing is averaged.
        sentences: What it says of the paper's claim; nothing where too little has finished.
        parts: Its figures, tables and what is to be known of them.
    """

    title: str
    varies: tuple[str, ...]
    sentences: Callable[[Frames], list[str]]
    parts: Callable[[Frames], Iterator[Part]]


def experiment_of(frames: Frames) -> Experiment | None:
    """The experiment that a study is, by its search; None where it is none of the paper's."""
    return EXPERIMENTS.get(frames.study.identity.get("search", ""))


def sentences(frames: Frames) -> list[str]:
    """What a study that is an experiment of the paper says of its claim; nothing where it is none."""
    experiment = experiment_of(frames)
    if experiment is None or frames.finished.empty:
        return []
    try:
        return [crossed] if (crossed := _crossed(frames, experiment)) else experiment.sentences(frames)
    except StoreError as error:
        return [f"{experiment.title}: not told, since {error}."]


def parts(frames: Frames) -> Iterator[Part]:
    """The section of such a study; a file that cannot be read ends it with a sentence."""
    experiment = experiment_of(frames)
    if experiment is None or frames.finished.empty:
        return
    if crossed := _crossed(frames, experiment):
        yield crossed
        return
    try:
        yield from experiment.parts(frames)
    except StoreError as error:
        yield f"The rest of this section is not shown: {error}."


def _crossed(frames: Frames, experiment: Experiment) -> str:
    """Settings that differ in more than the experiment is about are no replicates of each other: said, not averaged."""
    more = [name for name in varied_fields(frames.finished) if name not in experiment.varies]
    if not more or not experiment.varies:
        return ""
    return f"{', '.join(more)} varies too, and trials of different settings are not averaged: give each a --store."


def show(store: Path | str, display: Callable[[Any], object]) -> None:
    """Print and display an experiment's section, as the report has it.

    Args:
        store: Of its study; where there is none, the command that makes it is printed.
        display: Shows a `Picture` or a frame: a notebook's own.
    """
    store = Path(store)
    if not (store / "study.json").exists():
        search, _, protocol = store.name.partition("-")
        flags = f"--search {search}" + (" --protocol paper" if protocol == "paper" else "")
        makes = f": python study/run.py {flags} makes it" if search in EXPERIMENTS else ""
        print(f"no study in {store} yet{makes}")
        return
    frames = load(store)
    if experiment_of(frames) is None or frames.finished.empty:
        print(f"{store} holds no finished trial of an experiment of the paper")
        return
    print(*sentences(frames), sep="\n\n")
    lay_out(parts(frames), display)


def _blobs(frames: Frames) -> Iterator[Part]:
    rungs = blobs.ladder(frames)
    if not rungs:
        yield "No finished trial has a position map."
        return
    null, _ = blobs.rotation_null(blobs.ASPECTS.get(frames.dataset.get("name", ""), 1.0))
    caption = "A point a seed, a line through the means. Definitions: docs/metrics.md."
    yield Picture(blobs.ladder_figure(rungs, null), "blobs_ladder", "The position code against beta", caption)
    yield blobs.table(rungs)
    for beta in dict.fromkeys([min(rungs), max(rungs)]):
        yield _sheet(frames, rungs[beta][0]["key"], f"beta = {beta:g}, the least seed.")


def _generator(frames: Frames) -> Iterator[Part]:
    for code in generator.codes(frames):
        about = "one number a factor" if code == "scalar" else "shape one-hot, orientation as cos and sin"
        caption = f"Factor code {code}: {about}. {_SNAPSHOTS}"
        drawn = generator.figure(frames, code)
        yield Picture(drawn, f"generator_{code}", f"KL of each factor, factor code {code}", caption)
    yield generator.opening_table(frames)
    yield _OPENINGS
    for code in generator.codes(frames):
        for measure, word in generator.MEASURES.items():
            yield f"In how many seeds the row opens before the column, by {word}, factor code {code}:"
            yield generator.matrix_table(frames, code, measure)


def _traversals(frames: Frames) -> Iterator[Part]:
    for trial in sorted(records(frames.finished), key=lambda trial: trial["seed"]):
        about = f"Seed {trial['seed']}: recon {trial['recon']:.1f}, KL {trial['kl']:.1f} nats; {trial['verdict']}."
        yield _sheet(frames, trial["key"], about)


def compared(frames: Frames) -> Iterator[Part]:
    """The arms at equal reconstruction and at equal disentanglement, of any study that has two of them."""
    comparisons = _comparisons(frames)
    trials = arms.with_arms(frames.finished)
    for number, comparison in enumerate(comparisons):
        figure = Figure(figsize=(9.5, 4.2), layout="constrained")
        wide, narrow = figure.subplots(1, 2, width_ratios=[1.7, 1])
        matched_figure.curves(wide, trials, comparison)
        matched_figure.gaps(narrow, comparison)
        about = f"{comparison.a} against {comparison.b} at equal reconstruction"
        seeds = f"n = {len(comparison.delta.values)} of {len(comparison.gaps)} seeds with a gap"
        yield Picture(figure, f"matched_{number}", about, f"{about[0].upper()}{about[1:]}; {seeds}.")
    yield matched_words.table(comparisons)
    yield _MATCHED
    yield matched_words.reached(comparisons)
    yield _REACHED


def _comparisons(frames: Frames) -> list[matched.Comparison]:
    return matched.summary(frames.finished, frames.study.identity.get("protocol", ""))


def _sheet(frames: Frames, key: str, caption: str) -> Picture:
    about = f"Samples, reconstructions and traversals of trial {key}"
    return Picture(sheets.paper_sheet(frames, key), f"sheet-{key}", about, f"{caption} {_SHEET} Trial {key}.")


EXPERIMENTS = {
    "blobs": Experiment("Fig. 2: the position of a blob", ("beta",), blobs.sentences, _blobs),
    "blobs_wide": Experiment("Fig. 2, control: x ranges twice as far as y", ("beta",), blobs.sentences, _blobs),
    "generator": Experiment(
        "Fig. 3: which factor opens at which capacity",
        ("factor_code", "latents", "capacity_max"),
        generator.sentences,
        _generator,
    ),
    "traversals": Experiment("Fig. 4: traversals", (), lambda frames: [], _traversals),
    "headline": Experiment(
        "The claim: disentangling at equal reconstruction",
        (),
        lambda frames: matched_words.sentences(_comparisons(frames)),
        compared,
    ),
}
"""By search. Traversals average nothing; of the headline `matched` itself says where an arm is crossed."""

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
