"""Optuna, asked once per setting and told the mean of its replicates; without Ray.

A search over two targets suggests a setting, R seeds of it are trained, and the vector of their means is the answer.
Stock Tune and Optuna cannot do this: `Repeater` takes one metric.

The store knows how each trial has ended, the journal what was asked and told. Either may be a step ahead of the other
when a driver is killed; a new one derives everything from both.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from study.futility import Futility
from study.journal import NAME, make_sampler
from study.plan import FINAL
from study.source import Row, Source, with_stand_ins
from study.space import Space
from trainables.config import TrialConfig, from_dict

DUPLICATES = 5
"""Suggestions in a row that were made before; then any setting that was not."""
DUPLICATE, CUT_SHORT = "duplicate of an earlier setting", "the driver died while it asked"


@dataclass(frozen=True)
class Known:
    """What a store knows of a trial: its status, and its last metrics row if it has finished."""

    status: str
    row: Row = field(default_factory=dict)


@dataclass
class _Setting:
    """One setting, its replicates, and the newest Optuna trial that stands for it."""

    configs: list[TrialConfig]
    number: int
    state: TrialState = TrialState.RUNNING
    reason: str = ""
    """Why it was told anything but its means; replicates that still run end at their next report."""
    waiting: list[TrialConfig] = field(default_factory=list)
    """Replicates that have not begun in this run."""


class Replicates(Source):
    """A source of trials whose settings Optuna chooses by two targets: `recon`, minimised, and a score, maximised.

    Args:
        journal: As `study.journal.open_journal` gives it.
        space: Where settings are looked for.
        seeds: Of the replicates of each setting.
        settings: How many to try; fewer where the space has fewer.
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
        self.journal, self.space, self.seeds, self.target = journal, space, seeds, target
        self.study = optuna.load_study(study_name=NAME, storage=journal)
        self._study_id = journal.get_study_id_from_name(NAME)
        self.settings, self.replicates = int(min(settings, space.size)), len(seeds)
        self.sampler, self.search_seed = sampler, search_seed
        self.futility = Futility() if stop_futile else None
        self.room = math.inf if limit is None else limit
        self.ends = {key: end for key, end in (known or {}).items() if end.status in (*FINAL, "failed")}
        self._settings: dict[str, _Setting] = {}
        self._by_key: dict[str, _Setting] = {}
        self._dropped: list[TrialConfig] = []
        for trial in self._trials():
            self._recall(trial)
        for setting in self._settings.values():
            self._take_up(setting, reports or {}, retry_failed)

    @property
    def has_more(self) -> bool:
        """Whether a replicate waits, a setting can be asked for, or dropped ones are still to be recorded."""
        return bool(self._dropped) or self._next_setting() is not None or self._may_ask()

    def next(self) -> TrialConfig | None:
        """The next replicate; a new setting where none waits and the budget admits one."""
        if (setting := self._next_setting() or self._ask()) is None:
            return None
        if setting.state == TrialState.FAIL:
            self._open_again(setting)
        self.room -= 1
        return setting.waiting.pop(0)

    def gives_up(self, config: TrialConfig, row: Row) -> str:
        """Why a replicate ends here: its setting is told, or by this report all its replicates have been futile."""
        setting = self._by_key[config.key()]
        if row.get("done"):
            return ""  # it has come to its end by itself
        if setting.state == TrialState.RUNNING and self.futility and self.futility.see(config, row):
            if all(self.futility.is_futile(replicate.key()) for replicate in setting.configs):
                self._tell(setting, TrialState.PRUNED, "futile: its nats say nothing of the image")
        return setting.reason

    def ended(self, config: TrialConfig, status: str, row: Row) -> None:
        """Take a replicate's result; the last one's makes the setting's."""
        self.ends[config.key()] = Known(status, row)
        self._judge(self._by_key[config.key()])

    def take_dropped(self) -> list[TrialConfig]:
        """Replicates that will not end, of settings that are told."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def planned(self) -> dict[str, TrialConfig]:
        """The replicates of all settings so far, and stand-ins for those to come."""
        known = {config.key(): config for setting in self._settings.values() for config in setting.configs}
        return with_stand_ins(known, self.settings * len(self.seeds), self.space.typical())

    def closing(self) -> list[str]:
        """How many settings were told what, and the front."""
        newest = {setting.number for setting in self._settings.values()}
        states = [trial.state.name.lower() for trial in self._trials() if trial.number in newest]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        best = self.study.best_trials if "complete" in states else []
        front = f"on the front of their means (recon, {self.target}):" if best else "none has a mean yet"
        lines = [f"{len(states)} setting{'s' * (len(states) != 1)}: {counts or 'none asked for'}; {front}"]
        for trial in sorted(best, key=lambda trial: trial.values[0]):
            lines.append(f"  {trial.values[0]:.1f}  {trial.values[1]:.3f}  {trial.user_attrs['label']}")
        if self.settings == self.space.size == len(newest):
            lines.append("the space has no other setting: widen a range to try more")
        return lines

    def _recall(self, trial: FrozenTrial) -> None:
        """Take note of an Optuna trial of an earlier run; a later one of the same setting replaces it."""
        if "config" not in trial.user_attrs:
            if trial.state == TrialState.RUNNING:
                self._fail(trial.number, CUT_SHORT)
            return
        config = from_dict(TrialConfig, trial.user_attrs["config"])
        self._add(_Setting(self._seeded(config), trial.number, trial.state, trial.user_attrs.get("reason", "")))

    def _take_up(self, setting: _Setting, reports: Mapping[str, Sequence[Row]], retry_failed: bool) -> None:
        """Go on with a setting where the journal and the store have left it."""
        statuses = [self._status(config) for config in setting.configs]
        if self.futility:
            for config in setting.configs:
                self.futility.see_all(config, reports.get(config.key(), ()))
        if retry_failed and "failed" in statuses and setting.state != TrialState.PRUNED:
            for config in setting.configs:
                if self._status(config) not in ("finished", "diverged"):
                    self.ends.pop(config.key(), None)
            setting.waiting = self._without_result(setting)
        elif setting.state == TrialState.COMPLETE:
            setting.waiting = self._without_result(setting)  # lost since it was told: made again, as in a grid
        elif setting.state != TrialState.RUNNING:
            self._dropped += self._without_result(setting)
        else:
            for config in setting.configs:
                if self._status(config) in ("stopped", "dropped"):  # before it was tried again
                    self.ends.pop(config.key())
            setting.waiting = self._without_result(setting)
            self._judge(setting)

    def _next_setting(self) -> _Setting | None:
        """The first setting with a replicate that may begin; one to be tried again needs room for all of them."""
        for setting in self._settings.values():
            needed = len(setting.waiting) if setting.state == TrialState.FAIL else 1
            if setting.waiting and self.room >= needed:
                return setting
        return None

    def _may_ask(self) -> bool:
        return len(self._settings) < self.settings and self.room >= len(self.seeds)

    def _ask(self) -> _Setting | None:
        """A new setting, all its replicates waiting."""
        if not self._may_ask():
            return None
        duplicates = 0
        while duplicates < DUPLICATES or not self.space.points:
            sampler = self.sampler if duplicates < DUPLICATES else "random"
            self.study.sampler = make_sampler(sampler, self.search_seed, self._asked())
            trial = self.study.ask()
            config = self.space.suggest(trial)
            if config.setting() not in self._settings:
                for name, value in self._described(config).items():
                    trial.set_user_attr(name, value)
                return self._opened(config, trial.number)
            self._fail(trial.number, DUPLICATE)
            duplicates += 1
        left = next(point for hashed, point in self.space.points.items() if hashed not in self._settings)
        return self._opened(*self._added(left))

    def _opened(self, config: TrialConfig, number: int) -> _Setting:
        setting = _Setting(self._seeded(config), number)
        setting.waiting = list(setting.configs)
        self._add(setting)
        return setting

    def _open_again(self, setting: _Setting) -> None:
        """Another Optuna trial for a setting that has failed."""
        _, setting.number = self._added(self._trials()[setting.number].params)
        setting.state, setting.reason = TrialState.RUNNING, ""

    def _added(self, params: dict[str, Any]) -> tuple[TrialConfig, int]:
        """The setting of these parameters, and the number of a new Optuna trial of it, written at once."""
        fixed = FixedTrial(params)
        config = self.space.suggest(fixed)
        attrs, kinds, running = self._described(config), fixed.distributions, TrialState.RUNNING
        self.study.add_trial(create_trial(state=running, params=params, distributions=kinds, user_attrs=attrs))
        return config, len(self._trials()) - 1

    def _described(self, config: TrialConfig) -> dict[str, Any]:
        """User attributes of an Optuna trial; `config` comes last: it says that all are there."""
        label, whole = self.space.label(config), dataclasses.asdict(config)
        return {"setting": config.setting(), "label": label, "config": whole}

    def _judge(self, setting: _Setting) -> None:
        """Tell Optuna what the replicates so far decide."""
        if setting.state != TrialState.RUNNING:
            return
        for config in setting.configs:
            if self._status(config) in ("diverged", "failed"):
                self._tell(setting, TrialState.FAIL, f"its seed {config.seed} has {self._status(config)}")
                return
        if self._without_result(setting):
            return
        rows = [self.ends[config.key()].row for config in setting.configs]
        values = [[_number(row.get(name)) for name in ("recon", self.target)] for row in rows]
        for config, pair in zip(setting.configs, values, strict=True):
            self._note(setting.number, f"seed {config.seed}", [x if math.isfinite(x) else None for x in pair])
        means = [float(np.mean(column)) for column in zip(*values, strict=True)]
        if all(math.isfinite(mean) for mean in means):
            setting.state = TrialState.COMPLETE
            self.study.tell(setting.number, means)
        else:  # told as it is, a NaN would leave the Optuna trial running for ever
            self._tell(setting, TrialState.FAIL, f"a replicate has no {self.target}")

    def _tell(self, setting: _Setting, state: TrialState, reason: str) -> None:
        setting.state, setting.reason = state, reason
        self._dropped += setting.waiting
        setting.waiting = []
        self._note(setting.number, "reason", reason)
        self.study.tell(setting.number, state=state)

    def _fail(self, number: int, reason: str) -> None:
        self._note(number, "reason", reason)
        self.study.tell(number, state=TrialState.FAIL)

    def _note(self, number: int, name: str, value: Any) -> None:
        trial = self.journal.get_trial_id_from_study_id_trial_number(self._study_id, number)
        self.journal.set_trial_user_attr(trial, name, value)

    def _add(self, setting: _Setting) -> None:
        self._settings[setting.configs[0].setting()] = setting
        self._by_key |= {config.key(): setting for config in setting.configs}

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _asked(self) -> int:
        """Suggestions so far; one that was cut short counts for nothing, and is made again."""
        return sum(trial.user_attrs.get("reason") != CUT_SHORT for trial in self._trials())

    def _seeded(self, config: TrialConfig) -> list[TrialConfig]:
        return [dataclasses.replace(config, seed=seed) for seed in self.seeds]

    def _without_result(self, setting: _Setting) -> list[TrialConfig]:
        return [config for config in setting.configs if not self._status(config)]

    def _status(self, config: TrialConfig) -> str:
        end = self.ends.get(config.key())
        return end.status if end else ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
