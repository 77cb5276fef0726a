"""What a study lets us say, trial by trial and in sentences; and what it does not."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import Frames, records
from analysis.openings import Opening, first_two, openings, resolved
from analysis.tradeoff.cells import some
from analysis.tradeoff.settings import Setting
from study.store import StoreError, Trial
from trainables.metrics.position import LEAST_ROWS, position_r2

POSITION = ("x", "y")
"""Names of the factors that say where the object is."""
PREDICTS = 0.8
"""R^2 from which on two latents count as knowing the position (docs/metrics.md)."""
FOLLOWS = 1.0
"""Nats of mean |KL - C| under which KL counts as following C."""
SHOWN = 3
"""Openings named of a trial."""
SEARCH_CLAIM = (
    "A search chose the settings, each by the results of those before: they are no fair sample of a family, and the "
    "best of them look better than they are. Train the front again under new seeds before you believe it."
)
LAPTOP_CLAIM = (
    "A laptop study shows whether trials leave the plateau, whether KL follows C, which factors open first, and the "
    "audit. It does not show which family disentangles better, matched gaps, variance shares, best settings, or "
    "anything at convergence."
)


def by_trial(frames: Frames, rows: list[Setting]) -> pd.DataFrame:
    """The finished trials, one row each, in the order of the settings.

    Returns:
        `key`, `family`, `setting` (its label), `seed`, `recon`, `kl`, `follows` (mean |KL - C| over the ramp, nats),
        `verdict`, `mig`, `mig_sd`, `mig_calibrated`, `active_latents`, `position_r2` (of the first two open latents,
        the lesser of x and y; NaN where it cannot be told), `resolved` (whether the reports tell which two were
        first) and `opened` (the latents in their order, with C in nats or the update).
    """
    finished, table = frames.finished.sort_values(by="seed"), []
    for row in rows:
        for trial in records(finished.query("setting == @row.id")):
            reports = frames.reports(trial["key"])
            opened = openings(reports, trial)
            kept = ("key", "seed", "recon", "kl", "verdict", "mig", "mig_sd", "mig_calibrated", "active_latents")
            table.append(
                {"family": row.family, "setting": row.label}
                | {name: trial.get(name, np.nan) for name in kept}
                | {"follows": _deviation(reports, trial)}
                | {"position_r2": _position_r2(frames, trial["key"], first_two(opened))}
                | {"resolved": resolved(opened)}
                | {"opened": _in_words(opened)}  # last: it is the widest
            )
    return pd.DataFrame(table)


def table(trials: pd.DataFrame) -> pd.DataFrame:
    """The frame of `by_trial` as text, for the page and the notebook; KL and verdict are in `scorecard.audit`."""
    digits = {"recon": 1, "follows": 2, "mig": 3, "mig_calibrated": 3, "active_latents": 0, "position_r2": 2}
    shown = trials.drop(columns=["family", "resolved", "mig_sd", "kl", "verdict"]).assign(key=trials["key"].str[:8])
    for name, places in digits.items():
        shown[name] = [f"{value:.{places}f}" if pd.notna(value) else "-" for value in trials[name]]
    pairs = zip(shown["mig"], trials["mig_sd"], strict=True)
    shown["mig"] = [f"{value} ± {sd:.3f}" if pd.notna(sd) else value for value, sd in pairs]
    shown.loc[~trials["resolved"], "position_r2"] = "tie"
    return shown.rename(columns={"active_latents": "active", "position_r2": "position R^2"})


def sentences(frames: Frames, rows: list[Setting], trials: pd.DataFrame) -> list[str]:
    """What the study shows and what cannot be said, most important first.

    Args:
        frames: Of the study.
        rows: Its settings.
        trials: As `by_trial` gives them, at least one.
    """
    laptop = frames.study.identity.get("protocol") == "laptop"
    said = [
        _off_plateau(frames.finished),
        _lost(frames.trials),
        _follows(trials),
        _position(frames, trials),
        _verdicts(trials),
        _empty_nats(trials),
        _one_family(rows),
        _few_seeds(rows),
        SEARCH_CLAIM if frames.study.identity.get("search") == "tradeoff" else "",
        *_missing_scores(frames.finished),
        LAPTOP_CLAIM if laptop else "",
    ]
    return [sentence for sentence in said if sentence]


def chosen(frames: Frames, rows: list[Setting], keys: list[str]) -> list[str]:
    """Keys of the trials to look at: of each setting the one with the least seed, so that nobody picks the prettiest.

    Args:
        frames: Of the study.
        rows: Its settings, in their order.
        keys: Asked for by name: then these and no others; a beginning that no other key shares will do.

    Raises:
        StoreError: A key that no trial has, with the near ones, or whose trial has not finished.
    """
    if keys:
        return [_finished(frames.study.trial(key)) for key in keys]
    trials = records(frames.finished.sort_values(by="seed"))
    first = {trial["setting"]: trial["key"] for trial in reversed(trials)}
    return [first[row.id] for row in rows if row.id in first]


def _finished(trial: Trial) -> str:
    if trial.status != "finished":
        raise StoreError(f"trial {trial.key} is {trial.status} and has no pictures; name a finished one")
    return trial.key


def _deviation(reports: pd.DataFrame, trial: dict[str, Any]) -> float:
    if trial["family"] != "capacity" or trial["ramp_steps"] <= 1:
        return np.nan
    ramp = reports["step"].to_numpy() <= trial["ramp_steps"]
    return float(np.abs(reports["kl"].to_numpy() - reports["capacity"].to_numpy())[ramp].mean())


def _in_words(opened: list[Opening]) -> str:
    """`z6 1.0, z0 1.2, +3`: C in nats, or the update where there is no ramp; the number of others."""
    words = [f"z{o.latent} " + (f"{o.step:.0f}" if np.isnan(o.capacity) else f"{o.capacity:.1f}") for o in opened]
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f", +{more}" if more > 0 else "")


def _position_r2(frames: Frames, key: str, latents: tuple[int, int] | None) -> float:
    if latents is None or not set(POSITION) <= set(frames.factors):
        return np.nan
    try:
        arrays = frames.study.arrays(key)
    except StoreError:  # the report says which file it is
        return np.nan
    columns = [frames.factors.index(name) for name in POSITION]
    if len(arrays["factors"]) < LEAST_ROWS:
        return np.nan
    return float(position_r2(arrays["mean"][:, list(latents)], arrays["factors"][:, columns]).min())


def _off_plateau(finished: pd.DataFrame) -> str:
    off, r0 = finished["off_plateau"].tolist().count(True), finished["constant_loss"].iloc[0]
    floor = finished["recon_floor"].iloc[0] if "recon_floor" in finished else 0.0
    rule = f"recon < 0.35 R0, R0 = {r0:.1f} nats"
    if floor > 0:
        rule += f", both above the pixels' own entropy of {floor:.1f}"
    return f"{off} of {len(finished)} finished trials are off the plateau ({rule})."


def _lost(trials: pd.DataFrame) -> str:
    counts = Counter(status for status in trials["status"] if status != "finished")
    words = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    aside = "Set aside: another trial has the same setting and seed, or the setting lacks a seed."
    why = f" {aside}" if counts["set aside"] else ""
    return f"Of {len(trials)} trials started, some enter no table or figure: {words}.{why}" if words else ""


def _follows(trials: pd.DataFrame) -> str:
    deviations = [value for value in trials["follows"] if not np.isnan(value)]
    if not deviations:
        return ""
    close = sum(value < FOLLOWS for value in deviations)
    return (
        f"Over the ramp KL stays within {FOLLOWS:g} nat of C on average in {close} of {len(deviations)} capacity "
        f"trials (mean |KL - C| from {min(deviations):.2f} to {max(deviations):.2f} nats)."
    )


def _position(frames: Frames, trials: pd.DataFrame) -> str:
    """Of all trials: one in which no two latents open does not know the position either."""
    if not set(POSITION) <= set(frames.factors):
        return "The dataset names no factors x and y: whether the first latents to open know the position is not told."
    if min(frames.finished["probe_rows"].tolist()) < LEAST_ROWS:
        return f"Under {LEAST_ROWS} probe rows tell not whether the first latents to open know the position."
    counts, tied = [], []
    for family, group in trials.groupby("family", sort=False):
        ties = group["resolved"].tolist().count(False)
        tied += [f"{ties} {family} trials"] if ties else []
        if ties < len(group):
            counts.append(f"{sum(group['position_r2'] >= PREDICTS)} of {len(group) - ties} {family} trials")
    words = (
        f"The first two latents to open jointly predict x and y (R^2 >= {PREDICTS:g}) in {' and in '.join(counts)}. "
    )
    ties = (
        f"Which two were first cannot be told of {' and '.join(tied)}: the third opens within a report of the second."
    )
    return ((words if counts else "") + (ties if tied else "")).strip()


def _verdicts(trials: pd.DataFrame) -> str:
    by_verdict = trials.groupby("verdict", sort=False)["setting"]
    if len(by_verdict) == 1:
        return f"The audit's verdict on every trial: {trials['verdict'].iloc[0]}."
    words = [
        f"{verdict} {len(settings)}" + (f" ({some(dict.fromkeys(settings))})" if verdict != "fine" else "")
        for verdict, settings in by_verdict
    ]
    return f"The audit's verdicts: {', '.join(words)}."


def _empty_nats(trials: pd.DataFrame) -> str:
    """The trap of Eq. 8: a constant mean has KL too."""
    empty = trials[(trials["follows"] < FOLLOWS) & (trials["verdict"] == "not informative")]
    if empty.empty:
        return ""
    settings = some(dict.fromkeys(empty["setting"]))
    return (
        f"In {len(empty)} capacity trials KL follows C, but under half of it says anything of the image, or the image "
        f"is not reconstructed ({settings})."
    )


def _one_family(rows: list[Setting]) -> str:
    one = len({row.family for row in rows}) == 1
    return f"All trials are of the family {rows[0].family}: it cannot be compared with another." if one else ""


def _few_seeds(rows: list[Setting]) -> str:
    seeds = max(len(row.estimates["recon"].values) for row in rows)
    only = {1: "one seed has", 2: "two seeds have"}.get(seeds)
    if only is None:
        return ""
    return f"Of no setting more than {only} finished: the spread over seeds is unknown, and no interval is given."


def _missing_scores(finished: pd.DataFrame) -> list[str]:
    """Once a trial, whether its last row or a later rescoring says it, or both."""
    later = [str(name) for name in finished if str(name).endswith("_missing")]
    reasons: Counter[str] = Counter()
    for trial in records(finished):
        told = {name: trial[name] for name in ("missing_scores", *later) if isinstance(trial.get(name), str)}
        own = told.pop("missing_scores", "")
        said = [own, *(f"{name.removesuffix('_missing')}: {reason}" for name, reason in told.items() if reason)]
        reasons.update(sentence for sentence in said if sentence and (sentence is own or sentence not in own))
    return [f"Scores are missing in {count} trials: {reason}." for reason, count in reasons.items()]
