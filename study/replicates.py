"""Optuna, asked once per setting and told the mean of its replicates; without Ray.

A search over two targets suggests a setting, R seeds of it are trained, and the vector of their means is the answer.
Stock Tune and Optuna cannot do this: `Repeater` takes one metric. The journal is Optuna's own, and optuna-dashboard
opens it as it is.
"""

import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from study.futility import Futility
from study.journal import NAME, make_sampler
from study.plan import FINAL
from study.source import Row, Source, with_stand_ins
from study.space import Space, reads
from trainables.config import TrialConfig, from_dict, written

DUPLICATES = 20
"""Suggestions in a row that were all made before: the space is exhausted."""


@dataclass(frozen=True)
class Known:
    """What a store knows of a trial: its status, and its last metrics row if it has finished."""

    status: str
    row: Row = dataclasses.field(default_factory=dict)


@dataclass
class _Setting:
    """One Optuna trial and the replicates that it stands for."""

    number: int
    configs: list[TrialConfig]
    verdict: str = ""
    """Why it is told, once it is; replicates that still run end at their next report."""


class Replicates(Source):
    """A source of trials whose settings Optuna chooses by two targets: `recon`, minimised, and a score, maximised.

    Args:
        journal: As `study.journal.open_journal` gives it.
        space: Where settings are looked for.
        seeds: Of the replicates of each setting.
        settings: How many to try.
        target: The score; a column of a finished trial's row.
        sampler: `tpe` or `nsga2`.
        search_seed: Of the sampler; with one trial at a time the search is a function of it.
        known: What the store knows, by key.
        reports: Earlier metrics rows, by key, for the judgement of futility.
        stop_futile: Whether settings are given up inside the ramp.
        retry_failed: Whether settings with a failed replicate are tried again.
        limit: Trials at most now; a setting begins only if all its replicates fit.
    """

    def __init__(
        self,
        journal: BaseStorage,
        space: Space,
        seeds: Sequence[int],
        settings: int,
        target: str,
        sampler: str = "tpe",
        search_seed: int = 0,
        known: Mapping[str, Known] | None = None,
        reports: Mapping[str, Sequence[Row]] | None = None,
        stop_futile: bool = False,
        retry_failed: bool = False,
        limit: int | None = None,
    ) -> None:
        self.journal, self.space, self.seeds, self.settings, self.target = journal, space, seeds, settings, target
        self.study = optuna.load_study(study_name=NAME, storage=journal)
        self._study_id = journal.get_study_id_from_name(NAME)
        self.sampler, self.search_seed = sampler, search_seed
        self.futility = Futility() if stop_futile else None
        self.room = math.inf if limit is None else limit
        self.ends = {key: end for key, end in (known or {}).items() if end.status in (*FINAL, "failed")}
        self.exhausted = False
        self._queue: deque[TrialConfig] = deque()
        self._dropped: list[TrialConfig] = []
        self._by_key: dict[str, _Setting] = {}
        self._known_settings: set[str] = set()
        self._again: deque[dict[str, Any]] = deque()
        for trial in self.study.get_trials(deepcopy=False):
            self._recall(trial, reports or {}, retry_failed)

    @property
    def has_more(self) -> bool:
        """Whether a replicate waits, a setting can be asked for, or dropped ones are still to be recorded."""
        return bool(self._queue or self._dropped) or self._may_ask()

    def next(self) -> TrialConfig | None:
        """The next replicate; a new setting where none waits and the budget admits one."""
        if not self._queue and not self._ask():
            return None
        if self.room < 1:
            return None
        self.room -= 1
        return self._queue.popleft()

    def gives_up(self, config: TrialConfig, row: Row) -> str:
        """Why a replicate ends here: its setting is told already, or all its replicates have been futile."""
        setting = self._by_key[config.key()]
        if not setting.verdict and self.futility and self.futility.see(config, row):
            keys = [replicate.key() for replicate in setting.configs]
            if all(self.futility.is_futile(key) for key in keys):
                self._tell(setting, "futile: its nats say nothing of the image", TrialState.PRUNED)
        return setting.verdict

    def ended(self, config: TrialConfig, status: str, row: Row) -> None:
        """Take a replicate's result; the last one's makes the setting's."""
        self.ends[config.key()] = Known(status, row)
        self._judge(self._by_key[config.key()])

    def take_dropped(self) -> list[TrialConfig]:
        """Replicates that never began, of settings that are told."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def planned(self) -> dict[str, TrialConfig]:
        """The replicates of all settings so far, and stand-ins for those to come."""
        known = {config.key(): config for setting in self._by_key.values() for config in setting.configs}
        total = 0 if self.exhausted else self.settings * len(self.seeds)
        return with_stand_ins(known, total, self.space.base)

    def closing(self) -> list[str]:
        """The front, and how many settings were told what."""
        states = [
            trial.state.name.lower() for trial in self.study.get_trials(deepcopy=False) if "config" in trial.user_attrs
        ]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        lines = [f"{len(states)} settings: {counts}; on the front of their means (recon, {self.target}):"]
        best = self.study.best_trials if "complete" in states else []
        for trial in sorted(best, key=lambda trial: trial.values[0]):
            lines.append(f"  {trial.values[0]:.1f}  {trial.values[1]:.3f}  {trial.user_attrs['label']}")
        if self.exhausted:
            lines.append("the space has no new setting: widen a range to try more")
        return lines

    def _ask(self) -> bool:
        """Have a new setting's replicates in the queue."""
        while self._may_ask():
            config, number = self._suggested()
            if config is None:
                self.exhausted = True
                return False
            self._open(_Setting(number, self._replicates(config)))
            if self._queue:  # else the store knows all its replicates, and it is told
                return True
        return False

    def _may_ask(self) -> bool:
        wanted = bool(self._again) or len(self._known_settings) < self.settings
        return wanted and not self.exhausted and self.room >= len(self.seeds)

    def _suggested(self) -> tuple[TrialConfig | None, int]:
        """A setting not tried before, under its number."""
        for _ in range(DUPLICATES):
            again = bool(self._again)
            if again:
                self.study.enqueue_trial(self._again.popleft())
            self.study.sampler = make_sampler(
                self.sampler, self.search_seed, len(self.study.get_trials(deepcopy=False))
            )
            trial = self.study.ask()
            config = self.space.suggest(trial)
            if config.setting() in self._known_settings and not again:
                self._fail(trial.number, "duplicate of an earlier setting")
                continue
            for name, value in (("setting", config.setting()), ("label", label(config, self.space)),
                                ("config", dataclasses.asdict(config))):  # fmt: skip
                trial.set_user_attr(name, value)  # `config` last: it says that the others are there
            return config, trial.number
        return None, -1

    def _replicates(self, config: TrialConfig) -> list[TrialConfig]:
        return [dataclasses.replace(config, seed=seed) for seed in self.seeds]

    def _recall(self, trial: FrozenTrial, reports: Mapping[str, Sequence[Row]], retry_failed: bool) -> None:
        """Take up an Optuna trial of an earlier run."""
        if "config" not in trial.user_attrs:
            if trial.state == TrialState.RUNNING:
                self._fail(trial.number, "the driver died while it asked")
            return
        reason = trial.user_attrs.get("reason", "")
        setting = _Setting(trial.number, self._replicates(from_dict(TrialConfig, trial.user_attrs["config"])))
        if trial.state != TrialState.RUNNING:
            setting.verdict = reason or "told"
            self._known_settings.add(setting.configs[0].setting())
            self._by_key |= {config.key(): setting for config in setting.configs}
            failed = [config for config in setting.configs if self._status(config) == "failed"]
            if failed and retry_failed:
                for config in setting.configs:
                    if self._status(config) not in ("finished", "diverged"):
                        self.ends.pop(config.key(), None)
                self._again.append(trial.params)
            else:
                self._dropped += [config for config in setting.configs if not self._status(config)]
            return
        if self.futility:
            for config in setting.configs:
                for row in reports.get(config.key(), ()):
                    self.futility.see(config, row)
        self._open(setting)

    def _open(self, setting: _Setting) -> None:
        self._known_settings.add(setting.configs[0].setting())
        self._by_key |= {config.key(): setting for config in setting.configs}
        self._queue += [config for config in setting.configs if not self._status(config)]
        self._judge(setting)

    def _status(self, config: TrialConfig) -> str:
        end = self.ends.get(config.key())
        return end.status if end else ""

    def _judge(self, setting: _Setting) -> None:
        """Tell Optuna what the replicates so far decide."""
        if setting.verdict:
            return
        for config in setting.configs:
            if self._status(config) not in ("", "finished"):
                self._tell(setting, f"its seed {config.seed} has {self._status(config)}", TrialState.FAIL)
                return
        if any(not self._status(config) for config in setting.configs):
            return
        rows = [self.ends[config.key()].row for config in setting.configs]
        values = [[_number(row.get(name)) for name in ("recon", self.target)] for row in rows]
        for config, (recon, score) in zip(setting.configs, values, strict=True):
            self._note(setting.number, f"seed {config.seed}", [recon, score if math.isfinite(score) else None])
        means = [float(np.mean(column)) for column in zip(*values, strict=True)]
        if all(math.isfinite(mean) for mean in means):
            setting.verdict = "told"
            self.study.tell(setting.number, means)
        else:  # told as it is, a NaN would leave the Optuna trial running for ever
            self._tell(setting, f"a replicate has no {self.target}", TrialState.FAIL)

    def _tell(self, setting: _Setting, reason: str, state: TrialState) -> None:
        setting.verdict = reason
        self._dropped += [config for config in setting.configs if config in self._queue]
        self._queue = deque(config for config in self._queue if config not in setting.configs)
        self._note(setting.number, "reason", reason)
        self.study.tell(setting.number, state=state)

    def _fail(self, number: int, reason: str) -> None:
        self._note(number, "reason", reason)
        self.study.tell(number, state=TrialState.FAIL)

    def _note(self, number: int, name: str, value: Any) -> None:
        trial = self.journal.get_trial_id_from_study_id_trial_number(self._study_id, number)
        self.journal.set_trial_user_attr(trial, name, value)


def label(config: TrialConfig, space: Space) -> str:
    """`capacity, gamma 30, C_max 12`: what a search has chosen."""
    names = [name for name in (*space.ranges, *space.choices) if reads(config.objective, name)]
    return ", ".join([config.objective, *(f"{name} {written(getattr(config, name))}" for name in names)])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
