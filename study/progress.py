"""A snapshot of a study and the lines that show it: the same for a terminal, a log file, `--status` and a notebook.

>>> from study.progress import progress
>>> print(progress("results/capacity_grid-laptop"))  # doctest: +SKIP
"""

import dataclasses
import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from study.config import StudyConfig
from study.lock import has_driver
from study.plan import span
from study.searches import planned, protocol_of
from study.store import Study, open_study
from trainables.checks import printable
from trainables.config import READ_BY, SEED_FIELDS, TrialConfig, family_reads, written

RECENT_ROWS = 20
"""Reports that say how fast a study goes now; all of them say how fast it has gone."""


@dataclass(frozen=True)
class Snapshot:
    """Where a study stands."""

    total: int
    counts: Mapping[str, int]
    """Trials by status; those never started are missing here."""
    steps_done: int
    steps_total: int
    rates: tuple[float, ...]
    """Updates a second of the whole study, so far and lately; empty or 0 where nothing has been measured."""
    cost: str = ""
    """What this run has cost so far; empty where nobody has said what an hour costs."""
    front: Sequence[str] = ()
    """The settings that no other beats so far, best reconstruction first."""
    target: str = "mig_calibrated"

    @property
    def steps_per_second(self) -> float:
        """So far; 0 where nothing has been measured."""
        return self.rates[0] if self.rates else 0.0

    @property
    def eta_seconds(self) -> tuple[float, float] | None:
        """Seconds until the last trial ends, at the faster and the slower of the rates; None where unknown or done."""
        left, rates = self.steps_total - self.steps_done, [rate for rate in self.rates if rate > 0]
        return (left / max(rates), left / min(rates)) if left > 0 and rates else None

    def __str__(self) -> str:
        shown = ["finished", "running", "interrupted", "diverged", "failed", "stopped", "dropped"]
        always = ("finished", "running", "diverged", "failed")
        words = [f"{name} {self.counts.get(name, 0)}" for name in shown if self.counts.get(name) or name in always]
        waiting = self.total - sum(self.counts.values())
        eta = self.eta_seconds
        line = (
            f"{self.total} trials: {', '.join(words)}, waiting {waiting} | "
            f"{self.steps_done / max(1, self.steps_total):4.0%} of {self.steps_total:,} updates"
            + (f", {self.steps_per_second:.1f}/s" if self.steps_per_second else "")
            + (f", {span(*eta)} left" if eta is not None else "")
            + self.cost
        )
        if not self.front:
            return line
        return "\n".join([line, f"front so far (recon, {self.target}):", *(f"  {point}" for point in self.front)])


class Front:
    """The settings that have finished trials, and which of them no other beats on both targets.

    Args:
        target: The score, more is better; the other is `recon`, nats per image, less is better.
        replicates: Finished seeds without which a setting counts for nothing.
    """

    def __init__(self, target: str = "mig_calibrated", replicates: int = 1) -> None:
        self.target, self.replicates = target, replicates
        self._points: dict[str, tuple[TrialConfig, dict[str, tuple[float, float]]]] = {}

    def add(self, config: TrialConfig, row: Mapping[str, float]) -> None:
        """Take a finished trial; one without a finite value of both targets counts for nothing."""
        recon, score = row.get("recon", math.nan), row.get(self.target, math.nan)
        if isinstance(score, int | float) and math.isfinite(score) and math.isfinite(recon):
            points = self._points.setdefault(config.setting(), (config, {}))[1]
            points[config.key()] = (recon, score)  # by key: one that is made again counts once

    def lines(self) -> list[str]:
        """`112.0  0.201  gamma 100, capacity_max 10, ramp_steps 3000 (2 seeds)`, best reconstruction first."""
        entries = [entry for entry in self._points.values() if len(entry[1]) >= self.replicates]
        names = searched([config for config, _ in self._points.values()])
        columns = [zip(*points.values(), strict=True) for _, points in entries]
        means = [(statistics.fmean(recons), statistics.fmean(scores)) for recons, scores in columns]
        lines = []
        for place in pareto(means):
            config, points = entries[place]
            seeds = f"{len(points)} seed{'s' * (len(points) > 1)}"
            lines.append(f"{means[place][0]:.1f}  {means[place][1]:.3f}  {named(config, names)} ({seeds})")
        return lines


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the points that no other beats on both targets, best reconstruction first; equal ones all stay.

    Args:
        points: (recon, less is better; score, more is better) of each setting.
    """
    best, kept = -math.inf, []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if points[place][1] > best or (kept and points[place] == points[kept[-1]]):
            best = points[place][1]
            kept.append(place)
    return kept


def searched(configs: Sequence[TrialConfig]) -> list[str]:
    """The fields in which settings differ, or that the objective of one of them reads alone."""
    own = [name for config in configs for name in READ_BY.get(config.family, ())]
    optional = ("capacity_start", "beta_start")
    own = [name for name in own if name not in optional or any(getattr(config, name) for config in configs)]
    every = [field.name for field in dataclasses.fields(TrialConfig) if field.name not in ("objective", *SEED_FIELDS)]
    varied = [name for name in every if len({str(getattr(config, name)) for config in configs}) > 1]
    return list(dict.fromkeys([*own, *varied]))


def named(config: TrialConfig, names: Sequence[str]) -> str:
    """`beta 4`, `gamma 100, capacity_max 10, ramp_steps 3000`: those of `names` that the objective reads."""
    read = [name for name in names if family_reads(config.family, name, config.is_annealed)]
    shown = [name for name in read if getattr(config, name) is not None]
    return printable(", ".join(f"{name} {written(getattr(config, name))}" for name in shown) or config.objective)


def progress(store: Path | str) -> Snapshot:
    """Where a study stands by its store alone, also while a driver in another process is writing it.

    Raises:
        StoreError: The folder holds no study.
    """
    study = open_study(store)
    plans, started = [StudyConfig.from_json(entry["study"]) for entry in study.plan], study.configs()
    targets = {key: config.steps for plan in plans for key, config in planned(plan, study).items()}
    status = study.status()
    driven = has_driver(study.path)
    if not driven:
        status = {key: "interrupted" if state == "running" else state for key, state in status.items()}
    running = sum(state == "running" for state in status.values())
    adaptive = plans[-1].adaptive if plans else None
    front = Front(adaptive.target, len(plans[-1].seeds_of(protocol_of(plans[-1])))) if adaptive else Front()
    for key, row in study.last_rows().items():
        front.add(started[key], row)
    rates = tuple(pace * running for pace in _paces(study.rows()))
    return snapshot(targets, status, study.steps(), rates, _cost(study) if driven else "", front)


def _paces(rows: pd.DataFrame) -> list[float]:
    """Updates a second of one trial with its reports, over all of them and over the last; empty without any."""
    if rows.empty:
        return []
    rows = rows.sort_values(by=["key", "step"])
    rows["trained"] = rows["step"] - rows.groupby("key")["step"].shift(fill_value=0)
    pairs = rows.sort_values(by="time")[["trained", "seconds"]].to_numpy(dtype=float)
    sums = [part.sum(axis=0) for part in (pairs, pairs[-RECENT_ROWS:])]
    return [float(trained / seconds) for trained, seconds in sums if seconds > 0]


def _cost(study: Study) -> str:
    run = study.provenance[-1] if study.provenance else {}
    if not run.get("price_per_hour"):
        return ""
    return f", {(time.time() - run['began']) / 3600 * run['price_per_hour']:.2f} so far"


def measured_speed(study: Study) -> float | None:
    """Updates a second of one trial, the median over the store's reports; None without any."""
    rows = study.rows()
    speeds = rows["steps_per_second"].dropna() if "steps_per_second" in rows else []
    return statistics.median(speeds) if len(speeds) else None


def snapshot(
    targets: Mapping[str, int],
    status: Mapping[str, str],
    steps: Mapping[str, int],
    rates: tuple[float, ...] = (),
    cost: str = "",
    front: Front | None = None,
) -> Snapshot:
    """Count a study's trials and updates.

    Args:
        targets: Updates that each planned trial takes.
        status: Of each trial that was ever started.
        steps: Completed updates of each trial that has reported.
        rates: As `Snapshot.rates`.
        cost: As `Snapshot.cost`.
        front: Of the finished trials.
    """
    ended = ("finished", "diverged", "failed", "stopped", "dropped")  # what they did not train is not ahead of us
    done = {
        key: target if status.get(key) in ended else min(steps.get(key, 0), target) for key, target in targets.items()
    }
    return Snapshot(
        total=len(targets),
        counts=Counter(status[key] for key in targets if key in status),
        steps_done=sum(done.values()),
        steps_total=sum(targets.values()),
        rates=rates,
        cost=cost,
        front=front.lines() if front else (),
        target=front.target if front else "mig_calibrated",
    )
