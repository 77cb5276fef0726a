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

from analysis.figures import style
from analysis.frames import Frames, load
from analysis.parts import Picture
from analysis.report import words
from analysis.report.page import Page
from analysis.report.sections import Told, sections
from analysis.tradeoff.settings import table
from trainables.checks import InputError


def main(arguments: list[str]) -> int:
    """Print the table and what can be said, and write the page; 0 done, 2 bad input, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("store", type=Path, help="the folder of a study")
    parser.add_argument("--trials", nargs="+", default=[], metavar="KEY", help="the trials whose pictures to show")
    asked = parser.parse_args(arguments)
    matplotlib.use("Agg")  # files only, also where there is a display
    try:
        frames = load(asked.store)
        _warn(frames)
        if frames.finished.empty:
            failed = len(frames.trials) > 0 and "failed" in frames.trials["status"].tolist()
            remedy = "mend what failed and add --retry-failed" if failed else "run the study again to continue it"
            print(f"{asked.store}: no trial has finished yet; {remedy}")
            return 0
        told = Told(frames, tuple(asked.trials))
        told.shown  # noqa: B018  # a key that no trial has is an error before anything is drawn
        _print(told)
        print(f"report: {write(told)}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"error: the report cannot be written ({error}); free {asked.store / 'report'}", file=sys.stderr)
        return 2
    return 0


def write(told: Told) -> Path:
    """Draw every figure into the store's `report/`, and the page that holds them; the page's path."""
    frames = told.frames
    folder = frames.study.path / "report"
    folder.mkdir(exist_ok=True)
    style.use()
    page = Page(frames.study.path.name, _about(told))
    page.findings(told.sentences)
    for title, parts in sections(told):
        page.heading(title)
        for part in parts:
            if isinstance(part, Picture):
                page.picture(_saved(part, frames), part.description, part.caption)
            elif isinstance(part, str):
                page.paragraph(part)
            else:
                page.table(part)
    path = folder / "index.html"
    page.write(path, f"{_source(frames)}. Columns: docs/metrics.md.")
    return path


def _about(told: Told) -> str:
    finished = told.frames.finished
    return (
        f"{len(finished)} finished trials, {len(told.settings)} settings, {finished['seed'].nunique()} seeds; "
        f"scored on n = {max(finished['probe_rows']):,.0f} held-out images"
    )


def _print(told: Told) -> None:
    print()
    print(table(told.settings).to_string(index=False))
    print(f"\n{textwrap.fill(words.IN_BRACKETS, 118)}\n")
    for sentence in told.sentences:
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


def _saved(picture: Picture, frames: Frames) -> Path:
    """The figure as PNG and PDF in the store's `report/`, its source in the files' metadata; the PNG's path."""
    path = frames.study.path / "report" / f"{picture.name}.png"
    picture.figure.savefig(path, metadata={"Description": _source(frames)})
    picture.figure.savefig(path.with_suffix(".pdf"), metadata={"Subject": _source(frames)})
    plt.close(picture.figure)
    return path
