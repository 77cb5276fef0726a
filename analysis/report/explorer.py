"""What the interactive part of the page shows: studies -> one JSON payload, and the markup that its script fills.

The script chooses, sorts and draws; every mean and interval is computed here. Intervals are over seeds.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import scorecard
from analysis.figures.sheets import rows_by_kl
from analysis.figures.style import FAMILY_NAMES, RECON, colours
from analysis.frames import Frames, records
from analysis.report import pictures
from analysis.report.trial import UNKNOWN, described, number, plain
from analysis.statistics import over_seeds
from analysis.tradeoff import arms
from analysis.tradeoff.settings import SYMBOLS, Setting, by_setting
from study.store import StoreError
from trainables.checks import printable
from trainables.config import written

SAMPLED = 6
"""Trials whose pictures are encoded to find out how much of all fits."""
JUDGED_BY = {
    "dataset": "dataset",
    "protocol": "protocol",
    "eval_seed": "evaluation seed",
    "probe_rows": "number of held-out images",
}
"""What two studies must share for their numbers to be compared, and how sentences call it."""
OWN_AXES = "So each study has its own axes: values of one cannot be compared with those of another."
MARKERS = {"beta": "circle", "capacity": "square"}
OTHER_MARKERS = ("diamond", "triangle-up", "star", "hexagon")
"""Each family its own shape beside its colour."""


def payload(studies: Sequence[Frames]) -> dict[str, Any]:
    """All that the page's script reads, as JSON takes it: missing and infinite numbers are None.

    Args:
        studies: One, or several to be shown side by side. Only finished trials are shown.
    """
    told = [(frames, by_setting(frames.trials)) for frames in studies]
    columns = ["recon", "kl", *_scores(studies)]
    names = list(dict.fromkeys(name for _, rows in told for row in rows for name in row.fields))
    trials, settings, sources = [], [], []
    for place, (frames, rows) in enumerate(told):
        audits = iter(records(scorecard.audit(frames, rows)))  # in the same order
        reports = dict(iter(frames.rows.groupby("key"))) if len(frames.rows) else {}
        scored = scorecard.scored(frames.finished)
        for row, group in _by_seed(frames, rows):
            settings.append(_setting(row, group, columns) | {"study": place})
            for trial in records(group):
                key = trial["key"]
                about = {"study": place, "setting": len(settings) - 1, "key": key, "seed": int(trial["seed"])}
                about["values"] = {name: number(trial.get(name)) for name in columns}
                about["fields"] = _fields(trial, row, names)
                about["load"] = f"open_study({str(frames.study.path)!r}).trial({key!r}).model()"
                trials.append(about | described(trial, next(audits), scored, reports.get(key)))
                sources.append((frames, trial))
    sentence = _add_pictures(trials, sources)
    return {
        "studies": [_study(frames, name) for frames, name in zip(studies, _names(studies), strict=True)],
        "comparable": not incomparable(studies),
        "notes": _notes(studies, columns[2:], sentence),
        "families": _families([row.family for _, rows in told for row in rows]),
        "scores": [{"name": name, "title": _score_title(name)} for name in columns[2:]],
        "recon": RECON,
        "fields": _filters(trials, names),
        "settings": settings,
        "trials": trials,
    }


def incomparable(studies: Sequence[Frames]) -> list[str]:
    """A sentence about each thing that keeps the numbers of these studies apart; none where they can be compared."""
    sentences = []
    for name, words in JUDGED_BY.items():
        values = [frames.study.identity.get(name) for frames in studies]
        if len({str(value) for value in values}) > 1:
            known = [_of_study(frames, name) for frames in studies]
            each = ", ".join(f"{value} in {study}" for value, study in zip(known, _names(studies), strict=True))
            sentences.append(f"The {words} differs: {each}.")
    return [*sentences, OWN_AXES] if sentences else []


def fragment(told: dict[str, Any]) -> str:
    """The markup that the script fills; without a script, its sentences.

    Args:
        told: As `payload` gives it.
    """
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in told["notes"])
    return (
        '<section id="explorer" aria-labelledby="explorer-title">\n'
        f'<h2 id="explorer-title">Every trial</h2>\n{notes}'
        "<noscript><p>Here a browser with JavaScript shows every trial, its pictures and its scores; "
        "the figures and tables below need none.</p></noscript>\n"
        '<div class="columns"><div class="all"><form class="controls"></form>\n'
        '<figure class="front"><div class="plot"></div><p class="status" role="status"></p>'
        '<figcaption></figcaption></figure>\n<div class="trials"></div></div>\n'
        '<aside class="detail" aria-label="The selected trial"></aside></div>\n'
        "</section>"
    )


def _scores(studies: Iterable[Frames]) -> list[str]:
    """Supervised scores that any trial has, `mig_calibrated` first."""
    found = dict.fromkeys(name for frames in studies for name in scorecard.supervised(frames.finished))
    return sorted(found, key=lambda name: name != "mig_calibrated")


def _score_title(name: str) -> str:
    return f"{name} (1 = a perfect code)" if name.endswith("_calibrated") else f"{name}; more is better"


def _names(studies: Sequence[Frames]) -> list[str]:
    """Of the folders; numbered where two are called alike."""
    names = [frames.study.name for frames in studies]
    return [f"{name} ({place + 1})" if names.count(name) > 1 else name for place, name in enumerate(names)]


def _of_study(frames: Frames, name: str) -> str:
    value = str(frames.study.identity.get(name, "unknown"))
    return printable(f"{frames.dataset.get('name', 'unnamed')} ({value[:8]})" if name == "dataset" else value)


def _study(frames: Frames, name: str) -> dict[str, Any]:
    mixed = arms.mixed(frames.finished)
    return {"name": name, "entropy": number(frames.dataset.get("entropy")), "front": not mixed}


def _notes(studies: Sequence[Frames], scores: list[str], about_pictures: str) -> list[str]:
    said = list(incomparable(studies))
    if not said and len(studies) > 1:
        said.append("The studies share dataset, protocol and evaluation seed: their axes are the same.")
    if not scores:
        said.append("No finished trial has a disentanglement score: shown is what the nats of KL buy.")
    said += dict.fromkeys(words for frames in studies if (words := arms.mixed(frames.finished)))
    return [*said, about_pictures] if about_pictures else said


def _families(families: list[str]) -> list[dict[str, str]]:
    names = list(dict.fromkeys(families))
    palette, others = colours(names), [name for name in names if name not in MARKERS]
    markers = MARKERS | {name: OTHER_MARKERS[place % len(OTHER_MARKERS)] for place, name in enumerate(others)}
    return [
        {"name": name, "title": FAMILY_NAMES.get(name, name), "colour": palette[name], "marker": markers[name]}
        for name in names
    ]


def _by_seed(frames: Frames, rows: list[Setting]) -> list[tuple[Setting, pd.DataFrame]]:
    """Each setting with its finished trials by seed; settings without any are left out."""
    groups = dict(iter(frames.finished.sort_values(by="seed").groupby("setting"))) if len(frames.trials) else {}
    return [(row, groups[row.id]) for row in rows if row.id in groups]


def _setting(row: Setting, trials: pd.DataFrame, columns: list[str]) -> dict[str, Any]:
    means = {}
    for name in columns:
        estimate = over_seeds(trials[name].tolist() if name in trials else [])
        means[name] = [number(value) for value in (estimate.mean, estimate.low, estimate.high)]
    return {"family": row.family, "label": row.label, "means": means}


def _fields(trial: dict[str, Any], row: Setting, names: list[str]) -> dict[str, Any]:
    """What a trial is filtered by; None where its family does not read a field."""
    own = {name: plain(row.fields.get(name)) for name in names}
    return {"family": row.family, **own, "seed": int(trial["seed"]), "verdict": plain(trial.get("verdict")) or UNKNOWN}


def _filters(trials: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    """Each field with its values, ascending, and how they are written."""
    filters = []
    for name in ("family", *names, "seed", "verdict"):
        values = {trial["fields"][name] for trial in trials} - {None}
        numeric = all(isinstance(value, int | float) for value in values)
        ordered = sorted(values) if numeric else sorted(values, key=str)
        texts = [FAMILY_NAMES.get(value, value) if name == "family" else written(value) for value in ordered]
        filters.append(
            {"name": name, "title": SYMBOLS.get(name, name), "values": list(zip(ordered, texts, strict=True))}
            | {"numeric": numeric}
        )
    return filters


def _add_pictures(trials: list[dict[str, Any]], sources: list[tuple[Frames, dict[str, Any]]]) -> str:
    """Give each trial its `pictures`, or a sentence why it has none as `missing`; what was left out of all."""
    sample, places = [], np.linspace(0, len(sources) - 1, min(SAMPLED, len(sources))).round().astype(int)
    for place in places:
        found = _arrays(*sources[place])
        sample += [] if isinstance(found, str) else [found]
    level = pictures.level(sample, len(trials))
    for about, source in zip(trials, sources, strict=True):
        found = _arrays(*source)
        about |= {"missing": found} if isinstance(found, str) else {"pictures": pictures.sheets(*found, level)}
    return level.words


def _arrays(frames: Frames, trial: dict[str, Any]) -> pictures.Sample | str:
    """A trial's arrays and rows, or why there are no pictures of it."""
    try:
        arrays = frames.study.arrays(trial["key"])
    except StoreError as error:
        return f"No pictures: {error}."
    lacking = [name for name in ("traversals", "originals", "reconstructions") if name not in arrays]
    if lacking:
        return f"No pictures: the trial's arrays have no {' and no '.join(lacking)}."
    return arrays, rows_by_kl(trial, arrays, frames.factors)
