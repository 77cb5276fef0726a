"""A snapshot of a study and the line that shows it: the same for a terminal, a log file, `--status` and a notebook.

>>> from study.progress import progress
>>> print(progress("results/capacity_grid-laptop"))  # doctest: +SKIP
"""

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from study.config import StudyConfig
from study.lock import has_driver
from study.plan import duration
from study.searches import cells
from study.store import Study, open_study


@dataclass(frozen=True)
class Snapshot:
    """Where a study stands."""

    total: int
    counts: Mapping[str, int]
    """Trials by status; those never started are missing here."""
    steps_done: int
    steps_total: int
    steps_per_second: float
    """Of the whole study; 0 where nothing has been measured."""

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the last trial ends, at the present rate; None where unknown or done."""
        left = self.steps_total - self.steps_done
        return left / self.steps_per_second if left > 0 and self.steps_per_second > 0 else None

    def __str__(self) -> str:
        shown = ["finished", "running", "interrupted", "diverged", "failed", "stopped"]
        always = ("finished", "running", "diverged", "failed")
        words = [f"{name} {self.counts.get(name, 0)}" for name in shown if self.counts.get(name) or name in always]
        waiting = self.total - sum(self.counts.values())
        eta = self.eta_seconds
        return (
            f"{self.total} trials: {', '.join(words)}, waiting {waiting} | "
            f"{self.steps_done / max(1, self.steps_total):4.0%} of {self.steps_total:,} updates"
            + (f", {self.steps_per_second:.1f}/s" if self.steps_per_second else "")
            + (f", {duration(eta)} left" if eta is not None else "")
        )


def progress(store: Path | str) -> Snapshot:
    """Where a study stands by its store alone, also while a driver in another process is writing it.

    Raises:
        StoreError: The folder holds no study.
    """
    study = open_study(store)
    plans = [StudyConfig.from_json(entry["study"]) for entry in study.plan]
    targets = {config.key(): config.steps for plan in plans for config in cells(plan)}
    status = study.status()
    if not has_driver(study.path):
        status = {key: "interrupted" if state == "running" else state for key, state in status.items()}
    running = sum(state == "running" for state in status.values())
    return snapshot(targets, status, study.steps(), _pace(study) * running)


def _pace(study: Study) -> float:
    """Updates a second of one trial with its reports; 0 without any."""
    rows = study.rows()
    if rows.empty:
        return 0.0
    seconds = sum(rows["seconds"].tolist())
    return sum(study.steps().values()) / seconds if seconds > 0 else 0.0


def measured_speed(study: Study) -> float | None:
    """Updates a second of one trial, the median over the store's reports; None without any."""
    rows = study.rows()
    speeds = rows["steps_per_second"].dropna() if "steps_per_second" in rows else []
    return statistics.median(speeds) if len(speeds) else None


def snapshot(
    targets: Mapping[str, int],
    status: Mapping[str, str],
    steps: Mapping[str, int],
    steps_per_second: float,
) -> Snapshot:
    """Count a study's trials and updates.

    Args:
        targets: Updates that each planned trial takes.
        status: Of each trial that was ever started.
        steps: Completed updates of each trial that has reported.
        steps_per_second: Of the whole study.
    """
    ended = ("finished", "diverged", "failed", "stopped")  # whatever they did not train is not ahead of us
    done = {
        key: target if status.get(key) in ended else min(steps.get(key, 0), target) for key, target in targets.items()
    }
    return Snapshot(
        total=len(targets),
        counts=Counter(status[key] for key in targets if key in status),
        steps_done=sum(done.values()),
        steps_total=sum(targets.values()),
        steps_per_second=steps_per_second,
    )
