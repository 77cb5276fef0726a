"""Tune's Searcher, Callback and Stopper, and the shelf actor: thin faces between Tune and the store."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from study.plan import duration
from study.progress import Snapshot, snapshot
from study.store import Store, open_study
from trainables.config import TrialConfig, from_dict
from trainables.trial import ARRAYS, DIVERGED, LOG, ROW, STATE

PROGRESS_SECONDS = 15.0


class PlanSearcher(Searcher):
    """Hands out the configs of a plan, each once, then says FINISHED."""

    def __init__(self, configs: list[TrialConfig], stop: "GracefulStop") -> None:
        super().__init__()
        self.left, self.stop = list(reversed(configs)), stop

    def suggest(self, trial_id: str) -> Any:
        """The next config, or FINISHED once the plan is empty or the study is told to stop."""
        if self.stop.asked or not self.left:
            return Searcher.FINISHED
        return {"trial": asdict(self.left.pop())}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """A grid learns nothing from its trials."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the plan minus the store says what is left."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""


class GracefulStop(Stopper):
    """Once asked, ends every trial at its next report, when whatever checkpoint came with it has been stored."""

    def __init__(self) -> None:
        self.asked = False
        self.running: set[str] = set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends at this report."""
        return self.asked

    def stop_all(self) -> bool:
        """Whether Tune may end at once: no trial is left between two reports."""
        return self.asked and not self.running


class StoreCallback(Callback):
    """Writes what trials report into the store, and keeps Tune's own copy of a result small.

    Args:
        store: Open for writing.
        cells: Every trial of the plan.
        stop: Told which trials are running.
        show: Takes a line for the user.
        seconds: After which the study stops for today, as if asked to; None for never.
    """

    def __init__(
        self,
        store: Store,
        cells: list[TrialConfig],
        stop: GracefulStop,
        show: Callable[[str], None],
        seconds: float | None = None,
    ) -> None:
        self.store, self.stop, self.show, self.seconds = store, stop, show, seconds
        study = open_study(store.path)
        self.attempts, self.status = study.attempts(), study.status()
        self.steps = study.steps()
        self.targets = {config.key(): config.steps for config in cells}
        self.began, self.shown = time.monotonic(), 0.0
        self.began_steps = sum(self.steps.values())

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A first or another attempt begins."""
        config = config_of(trial)
        key = config.key()
        self.attempts[key] = self.attempts.get(key, 0) + 1
        self._event(key, "started", json.dumps(asdict(config)))
        self.stop.running.add(key)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Store a report: first its row, then the checkpoint that belongs to it."""
        key = config_of(trial).key()
        row, state, arrays = result.pop(ROW, {}), result.pop(STATE, None), result.pop(ARRAYS, None)
        self.store.append_log(key, result.pop(LOG, ""))
        result.pop("config", None)  # Tune repeats the config in every result that it keeps
        diverged_at = result.pop(DIVERGED, None)
        if diverged_at is not None:
            self._event(key, "diverged", f"the loss was not finite before step {diverged_at}")
            return
        self.steps[key] = row["step"]
        if arrays is not None:
            self.store.finish(key, self.attempts[key], row, arrays, state)
            self.status[key] = "finished"
            return
        self.store.add_row(key, self.attempts[key], row)
        if state is not None:
            self.store.save_checkpoint(key, state)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A failed attempt that Tune will repeat, from the last checkpoint."""
        key = self._begun(trial)
        self._log_failure(key, trial)
        self._event(key, "retried", _last_line(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The last attempt has failed."""
        key = self._begun(trial)
        self._log_failure(key, trial)
        self._event(key, "failed", _last_line(trial))
        self.stop.running.discard(key)
        self.show(f"trial {key} failed: {_last_line(trial)}; see {self.store.log_path(key)}")

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has left Tune; without a result of its own it was interrupted."""
        key = config_of(trial).key()
        if self.status.get(key) not in ("finished", "diverged"):
            self._event(key, "interrupted", "")
        self.stop.running.discard(key)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Flush what waits, and show the progress from time to time."""
        self.store.tick()
        if self.seconds is not None and not self.stop.asked and time.monotonic() - self.began >= self.seconds:
            self.stop.asked = True
            spent = duration(self.seconds)
            self.show(f"the budget of {spent} is spent: every trial goes to its next report and is stored")
        if time.monotonic() - self.shown >= PROGRESS_SECONDS:
            self.shown = time.monotonic()
            self.show(str(self.snapshot(self.shown - self.began)))

    def snapshot(self, seconds: float) -> Snapshot:
        """Where the study stands, `seconds` after this driver began."""
        trained = sum(self.steps.values()) - self.began_steps  # here, not what a diverged trial leaves undone
        return snapshot(self.targets, self.status, self.steps, max(0, trained) / seconds if seconds > 0 else 0.0)

    def _event(self, key: str, kind: str, detail: str) -> None:
        self.store.add_event(key, self.attempts[key], kind, detail)
        self.status[key] = "running" if kind in ("started", "retried") else kind

    def _begun(self, trial: Trial) -> str:
        """The trial's key; one whose process died before it had started is started first."""
        key = config_of(trial).key()
        if key not in self.stop.running:
            self.on_trial_start(0, [], trial)
        return key

    def _log_failure(self, key: str, trial: Trial) -> None:
        self.store.append_log(key, f"{failure(trial)}\n")


def config_of(trial: Trial) -> TrialConfig:
    """The TrialConfig of a Tune trial."""
    return from_dict(TrialConfig, trial.config["trial"])


def failure(trial: Trial) -> str:
    """Traceback of a trial's last failed attempt, from Tune's own folder (`get_error` reads where it is synced to)."""
    path = Path(trial.error_file) if trial.error_file else None
    text = path.read_text() if path and path.exists() else "the process has died"
    return text[max(0, text.rfind("Failure # ")) :].strip()


def _last_line(trial: Trial) -> str:
    """The line that names the exception."""
    lines = failure(trial).splitlines()
    return next((line for line in reversed(lines) if re.match(r"[\w.]*(Error|Exception|Exit)\b", line)), lines[-1])


@ray.remote(num_cpus=0)
class Shelf:
    """Gives trials on any node the checkpoints of the driver's store."""

    def __init__(self, path: str) -> None:
        self.path = path

    def get(self, key: str) -> bytes | None:
        """The last checkpoint of a trial, if it has one."""
        return open_study(self.path).checkpoint(key)
