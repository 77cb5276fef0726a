"""Tune's Searcher, Callback and Stopper: thin faces between Tune and the store."""

import json
import math
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from study.patience import MAX_FAILURES, MOST_FAILED, OTHER_SOFTWARE, Patience, is_lost, is_machines
from study.plan import Budget, duration
from study.progress import Front, Snapshot, snapshot
from study.source import Source
from study.store import Store, open_study
from trainables.config import TrialConfig, from_dict
from trainables.trial import ARRAYS, DIVERGED, LOG, NOTICE, ROW, STATE

PROGRESS_SECONDS = 15.0
DIED = ("The actor ", "the process has died")
"""How Ray begins to say that a trial's process has died, and how we do."""
RECENT_MARKS = 9
"""Progress lines back to which the rate lately is taken: two minutes."""


class SourceSearcher(Searcher):
    """Hands out what a source has, each trial once, then says FINISHED."""

    def __init__(self, source: Source, stop: "SourceStopper") -> None:
        super().__init__()
        self.source, self.stop = source, stop

    def suggest(self, trial_id: str) -> Any:
        """The next config; None while the source waits for results; FINISHED once it has no more or is told to stop."""
        if self.stop.asked:
            return Searcher.FINISHED
        config = self.source.next()
        if config is None:
            return None if self.source.waiting else Searcher.FINISHED
        return {"trial": asdict(config)}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing: the callback tells the source, which judges what the store has."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the source minus the store says what is left."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""


class SourceStopper(Stopper):
    """Ends a trial at a report when its source gives it up, and all of them once asked; what came with it is stored."""

    def __init__(self, source: Source) -> None:
        self.source, self.asked = source, False
        self.running: set[str] = set()
        self.given_up: dict[str, str] = {}
        """Why, by key."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial ends at this report."""
        if row := result.get(ROW):
            config = from_dict(TrialConfig, result["config"]["trial"])
            if reason := self.source.gives_up(config, row):
                self.given_up[config.key()] = reason
                return True
        return self.asked

    def stop_all(self) -> bool:
        """Whether Tune may end at once: no trial is left between two reports."""
        return self.asked and not self.running


class StoreCallback(Callback):
    """Writes what trials report into the store, and keeps Tune's own copy of a result small.

    Args:
        store: Open for writing.
        source: Of the trials; told how each has ended.
        stop: Told which trials are running.
        show: Takes a line for the user.
        budget: When the study stops for today, as if asked to, and what an hour costs.
        hang_seconds: A trial that is silent for longer is ended, from outside: its own watch has not ended it.
    """

    def __init__(
        self,
        store: Store,
        source: Source,
        stop: SourceStopper,
        show: Callable[[str], None],
        budget: Budget | None = None,
        hang_seconds: float = math.inf,
    ) -> None:
        self.store, self.source, self.stop, self.show, self.budget = store, source, stop, show, budget or Budget()
        study = open_study(store.path)
        self.attempts, self.status = study.attempts(), study.status()
        self.steps = study.steps()
        self.patience = Patience(self.steps, hang_seconds)
        self.front = Front(source.target, source.replicates)
        self.shown_front: Sequence[str] = ()
        self.began, self.shown = time.monotonic(), 0.0
        self.marks = deque([(self.began, sum(self.steps.values()))], maxlen=RECENT_MARKS)
        self.began_steps = self.marks[0][1]
        configs = study.configs()
        for key, row in study.last_rows().items():
            self.front.add(configs[key], row)
        self._record_dropped()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A first or another attempt begins."""
        config = config_of(trial)
        key = config.key()
        self.attempts[key] = self.attempts.get(key, 0) + 1
        self._event(key, "started", json.dumps(asdict(config)))
        self.stop.running.add(key)
        self.patience.begun(key, time.monotonic())

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Store a report: first its row, then the checkpoint that belongs to it."""
        key = config_of(trial).key()
        row, state, arrays = result.pop(ROW, {}), result.pop(STATE, None), result.pop(ARRAYS, None)
        self.store.append_log(key, result.pop(LOG, ""))
        if notice := result.pop(NOTICE, ""):
            self.show(f"the pack of trial {key}: {notice}")
        result.pop("config", None)  # Tune repeats the config in every result that it keeps
        diverged_at = result.pop(DIVERGED, None)
        if diverged_at is not None:
            self._event(key, "diverged", f"the loss was not finite before step {diverged_at}")
            self._ended(trial, {})
            return
        if self.patience.reported(key, row["step"], time.monotonic()):
            trial.max_failures = trial.num_failures + MAX_FAILURES
        self.steps[key] = row["step"]
        if arrays is not None:
            self.store.finish(key, self.attempts[key], row, arrays, state)
            self.status[key] = "finished"
            self.front.add(config_of(trial), row)
            self._ended(trial, row)
            return
        self.store.add_row(key, self.attempts[key], row)
        if state is not None:
            self.store.save_checkpoint(key, state)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A failed attempt that Tune will repeat, from the last checkpoint."""
        key, told = self._begun(trial), failure(trial)
        detail = self._detail(trial)
        if is_lost(told) and self.patience.lost_machine(key):  # a spot machine may be taken before a trial gets far
            trial.max_failures += 1
        self._log_failure(key, trial)
        self._event(key, "retried", detail)
        if OTHER_SOFTWARE in told and not self.stop.asked:  # it would take every trial, being always free
            self.stop.asked = True
            self.show(f"{_last_line(trial)}: stopping; then the same command goes on")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The last attempt has failed; one that its machine has cost is left for the next run."""
        key = self._begun(trial)
        detail = self._detail(trial)
        self._log_failure(key, trial)
        if is_machines(failure(trial)):
            self._event(key, "interrupted", detail)
            self.stop.running.discard(key)
            return
        self._event(key, "failed", detail)
        self._ended(trial, {})
        self.stop.running.discard(key)
        self.show(f"trial {key} failed: {detail}; see {self.store.log_path(key)}")
        if self.patience.failed(key):
            self.stop.asked = True
            many = f"{MOST_FAILED} trials have failed, in a row or without a report"
            self.show(f"{many}: stopping, before the rest does; mend it, and the command with --retry-failed goes on")

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has left Tune; without a result of its own it was given up or interrupted."""
        key = config_of(trial).key()
        reason = self.stop.given_up.pop(key, "")
        if self.status.get(key) not in ("finished", "diverged"):
            self._event(key, "stopped" if reason else "interrupted", reason)
        self._record_dropped()
        self.stop.running.discard(key)
        self.patience.ended(key)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Flush what waits, end what hangs, and show the progress from time to time."""
        self.store.tick()
        self._end_the_hung(trials)
        limit = self.budget.seconds
        if limit is not None and not self.stop.asked and time.monotonic() - self.began >= limit:
            self.stop.asked = True
            self.show(f"the budget of {duration(limit)} is spent: every trial goes to its next report and is stored")
        if time.monotonic() - self.shown >= PROGRESS_SECONDS:
            self.shown = time.monotonic()
            self.show(str(self.snapshot(self.shown)))

    def _end_the_hung(self, trials: list[Trial]) -> None:
        """Kill what its own watch has not ended: Tune hears that it has died, and tries the trial again."""
        for key, seconds in self.patience.silent(time.monotonic()).items():
            actor = next(trial for trial in trials if config_of(trial).key() == key).temporary_state.ray_actor
            if actor is not None:
                self.show(f"trial {key} has not reported for {duration(seconds)}: ended, and tried again")
                ray.kill(actor)

    def snapshot(self, now: float | None) -> Snapshot:
        """Where the study stands at `now`, seconds of the monotonic clock; without rates where that is None."""
        targets = {key: config.steps for key, config in self.source.planned().items()}
        if now is None:
            return snapshot(targets, self.status, self.steps)
        trained = sum(self.steps.values())  # here, not what a diverged trial leaves undone
        self.marks.append((now, trained))
        first = self.marks[0]
        rates = [(trained - self.began_steps) / (now - self.began), (trained - first[1]) / max(now - first[0], 1e-9)]
        cost = self.budget.so_far(now - self.began)
        whole = snapshot(targets, self.status, self.steps, tuple(max(0.0, rate) for rate in rates), cost, self.front)
        if whole.front == self.shown_front:  # said before
            return replace(whole, front=())
        self.shown_front = whole.front
        return whole

    def _event(self, key: str, kind: str, detail: str) -> None:
        self.store.add_event(key, self.attempts[key], kind, detail)
        self.status[key] = "running" if kind in ("started", "retried") else kind

    def _ended(self, trial: Trial, row: dict[str, Any]) -> None:
        config = config_of(trial)
        self.source.ended(config, self.status[config.key()], row)
        self._record_dropped()

    def _record_dropped(self) -> None:
        """Trials that will never begin: on record, so that the study is complete and says so."""
        for config in self.source.take_dropped():
            key = config.key()
            self.attempts.setdefault(key, 0)
            self._event(key, "dropped", json.dumps(asdict(config)))

    def _begun(self, trial: Trial) -> str:
        """The trial's key; one whose process died before it had started is started first."""
        key = config_of(trial).key()
        if key not in self.stop.running:
            self.on_trial_start(0, [], trial)
        return key

    def _detail(self, trial: Trial) -> str:
        """Why an attempt has ended; of a process that died, also for how long it had been silent: it may have hung."""
        key, line = config_of(trial).key(), _last_line(trial)
        silence = duration(self.patience.silence(key, time.monotonic()))
        self.patience.ended(key)
        return f"{line} (after {silence} without a report)" if line.startswith(DIED) else line

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
    named = re.compile(r"[\w.]*(Error|Exception|Exit|Failed|Expired)\b")  # the last two are those of a pack
    line = next((line for line in reversed(lines) if named.match(line)), lines[-1])
    return line.split(" Some common causes")[0]
