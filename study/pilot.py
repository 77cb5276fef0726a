"""Advice for a new dataset: a low-beta run says how many nats it takes, a ladder which gamma makes KL follow C.

Source of the two rules: the author's advice on C_max and gamma, and the three conditions of docs/searches.md.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.config import StudyConfig
from study.plan import FINAL, to_run
from study.protocols import Protocol
from study.source import Row, Search, Source, with_stand_ins
from study.store import Study
from trainables.checks import ConfigError
from trainables.config import TrialConfig, written

LOW_BETA = 1.0
TRACKING_NATS = 1.0
"""Of a gamma that is high enough, the mean of KL - C over the ramp is closer to 0: the audit's own measure."""
INFORMATIVE_SHARE = 0.8
"""info_sum / KL of nats that say something."""
RECONSTRUCTS = 0.9
"""Share of R0, the best constant image's loss."""


@dataclass(frozen=True)
class PilotSearch(Search):
    """Two steps: a VAE of low beta, then a ladder of gammas at the C_max that it asks for."""

    def identity(self, study: StudyConfig, protocol: Protocol) -> dict[str, Any]:
        """All but the ladder's gammas, which may grow: the first step's mean decides the second step's C_max."""
        low, _ = steps_of(study, protocol)
        return {"seeds": list(study.seeds_of(protocol)), "base": low.setting()}

    def planned(self, study: StudyConfig, protocol: Protocol, store: Study | None) -> dict[str, TrialConfig]:
        """Both steps; the second as stand-ins until the first has ended."""
        if store:
            return self.source(study, protocol, store, False, None).planned()
        return Pilot(*steps_of(study, protocol), study.seeds_of(protocol), {}, {}).planned()

    def source(
        self, study: StudyConfig, protocol: Protocol, store: Study, retry_failed: bool, limit: int | None
    ) -> Source:
        """Both steps, the second as soon as the first has ended."""
        first, ladder = steps_of(study, protocol)
        seeds = study.seeds_of(protocol)
        return Pilot(first, ladder, seeds, store.status(), store.last_rows(), retry_failed, limit)


class Pilot(Source):
    """The source of both steps.

    Args:
        first: The low-beta setting.
        ladder: The capacity settings, whose C_max is still open, by rising gamma.
        seeds: Of the replicates.
        status: Of each key that was ever started.
        rows: Last metrics row of the finished ones.
        retry_failed: Whether failed trials are tried again.
        limit: At most so many trials now.
    """

    def __init__(
        self,
        first: TrialConfig,
        ladder: Sequence[TrialConfig],
        seeds: Sequence[int],
        status: Mapping[str, str],
        rows: Mapping[str, Row],
        retry_failed: bool = False,
        limit: int | None = None,
    ) -> None:
        self.first, self.ladder, self.seeds = replicated(first, seeds), list(ladder), seeds
        self.status, self.rows = dict(status), dict(rows)
        self.retry_failed, self.room = retry_failed, math.inf if limit is None else limit
        self.begun: set[str] = set()
        self.first_keys = [config.key() for config in self.first]

    @property
    def has_more(self) -> bool:
        """Whether a trial of either step is left."""
        return bool(to_run(self.planned(), self.status, self.retry_failed))

    @property
    def waiting(self) -> bool:
        """Whether the first step still runs."""
        left = [key for key in self.first_keys if not self._done(key)]
        return self.room > 0 and bool(left) and all(key in self.begun for key in left)

    def next(self) -> TrialConfig | None:
        """The next trial of either step, or None where the second must wait."""
        left = [key for key in to_run(self.planned(), self.status, self.retry_failed) if key not in self.begun]
        known = self._known()
        key = next((key for key in left if key in known), None)
        if key is None or self.room < 1:
            return None
        self.room -= 1
        self.begun.add(key)
        return known[key]

    def ended(self, config: TrialConfig, status: str, row: Row) -> None:
        """The last result of the first step decides the second's C_max."""
        self.status[config.key()], self.rows[config.key()] = status, row

    def planned(self) -> dict[str, TrialConfig]:
        """Both steps; the second as stand-ins until the first has ended."""
        total = len(self.seeds) * (1 + len(self.ladder))
        if self._has_ended(self.first_keys) and self.capacity_max is None:
            total = 0  # there is no second step
        return with_stand_ins(self._known(), total, self.ladder)

    @property
    def capacity_max(self) -> float | None:
        """Mean KL of the low-beta replicates that reconstruct, nats at 2 digits; None before, or where none does."""
        if not self._has_ended(self.first_keys):
            return None
        finished = [self.rows[key] for key in self.first_keys if self.status.get(key) == "finished"]
        nats = [row["kl"] for row in finished if _of_constant(row) < RECONSTRUCTS]
        return float(f"{sum(nats) / len(nats):.2g}") if nats else None

    def closing(self) -> list[str]:
        """The advice."""
        if self.capacity_max is None:
            if self._has_ended(self.first_keys):
                return [
                    f"advice: none; beta {LOW_BETA:g} does not reconstruct after {self.first[0].steps:,} updates: "
                    "train longer, or raise the learning rate"
                ]
            return ["advice: not yet; the same command continues"]
        lines, chosen = [], None
        for config in self._ladder():
            keys = [replicate.key() for replicate in replicated(config, self.seeds)]
            if not self._has_ended(keys):
                return ["advice: not yet; the same command continues"]
            faults = [self._fault(key) for key in keys]
            bad = [fault for fault in faults if fault]
            if not bad and chosen is None:
                chosen = config
            lines.append(f"  gamma {written(config.gamma)}: {'; '.join(bad) if bad else 'holds'}")
        lines = [f"at C_max {self.capacity_max:g} (the KL of beta {LOW_BETA:g}), over {len(self.seeds)} seeds:", *lines]
        if chosen is None:
            return [*lines, "advice: no gamma of the ladder holds; try others (--set gamma=...) or a longer ramp"]
        words = f"--set gamma={written(chosen.gamma)} --set capacity_max={chosen.capacity_max:g}"
        return [*lines, f"advice: {words} --set ramp_steps={chosen.ramp_steps}"]

    def _known(self) -> dict[str, TrialConfig]:
        second = [] if self.capacity_max is None else self._ladder()
        configs = [*self.first, *(replicate for config in second for replicate in replicated(config, self.seeds))]
        return {config.key(): config for config in configs}

    def _ladder(self) -> list[TrialConfig]:
        assert self.capacity_max is not None
        return [dataclasses.replace(config, capacity_max=self.capacity_max) for config in self.ladder]

    def _has_ended(self, keys: Sequence[str]) -> bool:
        return all(self._done(key) for key in keys)

    def _done(self, key: str) -> bool:
        if self.retry_failed and self.status.get(key) == "failed" and key not in self.begun:
            return False
        return self.status.get(key) in (*FINAL, "failed")

    def _fault(self, key: str) -> str:
        """Which of the three conditions a trial breaks; empty where it holds."""
        if self.status[key] != "finished":
            return str(self.status[key])
        row = self.rows[key]
        if not abs(row["tracking"]) < TRACKING_NATS:
            return f"KL - C is {row['tracking']:+.1f} nats over the ramp"
        if not row["info_sum"] >= INFORMATIVE_SHARE * row["kl"]:
            return f"only {row['info_sum'] / row['kl']:.0%} of its nats say something"
        if not _of_constant(row) < RECONSTRUCTS:
            return f"recon {row['recon']:.0f} is no better than {RECONSTRUCTS:g} R0"
        return ""


def steps_of(study: StudyConfig, protocol: Protocol) -> tuple[TrialConfig, list[TrialConfig]]:
    """The low-beta setting, and the ladder by rising gamma; several `ramp_steps` are no pilot.

    Raises:
        ConfigError: More than gamma has several values, or a pinned setting is what the pilot is to find.
    """
    searched = ("objective", "beta", "capacity_max")
    pinned = {name: values for name, values in study.pinned.items() if name not in ("gamma", "seed")}
    for name, values in pinned.items():
        if name in searched or len(values) > 1:
            raise ConfigError(
                f"{name}={written(values[0])}{',...' * (len(values) > 1)}: the pilot chooses objective, beta and C_max "
                "itself, and takes one value of everything else but gamma"
            )
    fixed = {name: values[0] for name, values in pinned.items()}
    gammas = sorted(study.pinned.get("gamma", protocol.gamma_ladder))
    ladder = [dataclasses.replace(protocol.trial, objective="capacity", gamma=gamma, **fixed) for gamma in gammas]
    low = dataclasses.replace(protocol.trial, objective="beta_vae", beta=LOW_BETA, **fixed)
    return low.canonical(), [config.canonical() for config in ladder]


def replicated(config: TrialConfig, seeds: Sequence[int]) -> list[TrialConfig]:
    """One setting under each of its seeds."""
    return [dataclasses.replace(config, seed=seed) for seed in seeds]


def _of_constant(row: Row) -> float:
    """Reconstruction loss as a share of R0, both above the pixels' own entropy, which is 0 where none is stored."""
    floor = row.get("recon_floor", 0.0)
    return (row["recon"] - floor) / (row["constant_loss"] - floor)
