"""One command after a study: the trade-off table, the figures, and the report page.

python -m analysis.report results/capacity_grid-laptop
python -m analysis.report results/capacity_grid-laptop results/beta_grid-laptop
"""

import argparse
import hashlib
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from analysis import findings
from analysis.figures import style
from analysis.frames import Frames, load, nothing_finished
from analysis.parts import Picture
from analysis.report import words
from analysis.report.explorer import payload
from analysis.report.page import Page
from analysis.report.sections import Told, sections
from analysis.tradeoff.settings import table
from trainables.checks import InputError, printable


def main(arguments: list[str]) -> int:
    """Print what the studies say and write the page; 0 done, 2 bad input, 130 Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "stores", nargs="+", type=Path, metavar="STORE", help="the folder of a study; several: side by side"
    )
    parser.add_argument(
        "--trials", nargs="+", default=[], metavar="KEY", help="trials whose sheets to draw (one study)"
    )
    asked = parser.parse_args(arguments)
    if asked.trials and len(asked.stores) > 1:
        parser.error(f"--trials takes one study, not {len(asked.stores)}; every trial is on the page of several anyway")
    matplotlib.use("Agg")  # files only, also where there is a display
    try:
        stores = {store.resolve(): store for store in asked.stores}  # one study by two paths is one study
        told = [one for store in stores.values() if (one := _told(store, asked.trials))]
        for one in told:
            _print(one)
        if told:
            path = write(told[0]) if len(told) == 1 else write_beside(told)
            _say(f"report: {printable(str(path))}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"error: the report cannot be written ({error}); free {asked.stores[0] / 'report'}", file=sys.stderr)
        return 2
    return 0


def _told(store: Path, keys: list[str]) -> Told | None:
    """What the store's page is made from; None where no trial has finished, which is said."""
    frames = load(store)
    _warn(frames)
    if frames.finished.empty:
        _say(nothing_finished(frames))
        return None
    return Told(frames, tuple(findings.chosen(frames, [], keys)))  # a key that no trial has is an error at once


def write(told: Told) -> Path:
    """Draw every figure into the store's `report/`, and the page that holds them; the page's path."""
    frames = told.frames
    folder = frames.study.path / "report"
    folder.mkdir(exist_ok=True)
    style.use()
    page = Page(frames.study.name, _about(told))
    page.answer(told.answer)
    page.findings(told.sentences)
    page.explorer(payload([frames]))
    for title, parts in sections(told):
        page.heading(title)
        for part in parts:
            if isinstance(part, Picture):
                page.picture(_saved(part, frames), part.description, part.caption)
            elif isinstance(part, str):
                if part:
                    page.paragraph(part)
            else:
                page.table(part)
    path = folder / "index.html"
    page.write(path, f"{_source(frames)}. Columns: docs/metrics.md.")
    return path


def write_beside(told: list[Told]) -> Path:
    """One page of several studies side by side, in the `report/` of the first; the page's path.

    What each says alone, its figures included, is on its own page; nothing is averaged over studies.
    """
    folder = told[0].frames.study.path / "report"
    folder.mkdir(exist_ok=True)
    names = [one.frames.study.name for one in told]
    page = Page(", ".join(names), "Studies side by side")
    page.findings([f"{name}: {one.answer}" for name, one in zip(names, told, strict=True)])
    page.explorer(payload([one.frames for one in told]))
    for name, one in zip(names, told, strict=True):
        page.heading(name)
        page.paragraph(_about(one))
        page.table(table(one.settings))
        page.findings(one.sentences)
    path = folder / f"beside-{'-'.join(names[1:])}.html"
    page.write(path, f"{'. '.join(_source(one.frames) for one in told)}. Columns: docs/metrics.md.")
    return path


def _about(told: Told) -> str:
    finished = told.frames.finished
    return (
        f"{len(finished)} finished trials, {len(told.settings)} settings, {finished['seed'].nunique()} seeds; "
        f"scored on n = {max(finished['probe_rows']):,.0f} held-out images"
    )


def _print(told: Told) -> None:
    _say(f"\n{told.frames.study.name}\n")
    _say(table(told.settings).to_string(index=False))
    _say(f"\n{textwrap.fill(words.IN_BRACKETS, 118)}\n")
    for sentence in [told.answer, *told.sentences]:
        _say(textwrap.fill(sentence, 118, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False))
    print()


def _say(text: str, **where: Any) -> None:
    """Print lines in which a store's names are text: none can clear a terminal."""
    print("\n".join(map(printable, text.split("\n"))), **where)


def _warn(frames: Frames) -> None:
    for problem in [*frames.study.problems, *frames.study.unreadable_arrays]:
        _say(f"warning: {problem}", file=sys.stderr)
    for key in frames.trials.loc[frames.trials["status"] == "failed", "key"] if len(frames.trials) else []:
        _say(f"trial {key} failed: see {frames.study.log_path(key)}")


def _source(frames: Frames) -> str:
    study = frames.study
    commit = study.provenance[-1].get("commit", "unknown") if study.provenance else "unknown"
    identity = hashlib.sha256(json.dumps(study.identity, sort_keys=True).encode()).hexdigest()[:12]
    return printable(f"Study {study.name}, identity {identity}, commit {commit}")


def _saved(picture: Picture, frames: Frames) -> Path:
    """The figure as PNG and PDF in the store's `report/`, its source in the files' metadata; the PNG's path."""
    path = frames.study.path / "report" / f"{picture.name}.png"
    picture.figure.savefig(path, metadata={"Description": _source(frames)})
    picture.figure.set_layout_engine("none")  # it lies where it lies: to lay it out takes as long as to draw it
    picture.figure.savefig(path.with_suffix(".pdf"), metadata={"Subject": _source(frames)})
    plt.close(picture.figure)
    return path
