"""The adaptive search: what Optuna may choose, and how a store's settings are taken up again."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from study.config import Adaptive, StudyConfig
from study.protocols import Protocol
from study.source import Search, Source, with_stand_ins
from study.space import Range, Space, reads, typed
from study.store import Study
from trainables.checks import ConfigError, InputError
from trainables.config import TrialConfig, is_own, written
from trainables.data.dataset import Dataset

OBJECTIVES = ("beta_vae", "capacity")


@dataclass(frozen=True)
class TradeoffSearch(Search):
    """Settings that Optuna suggests, each judged by the means of its replicates (`study.replicates`)."""

    def identity(self, study: StudyConfig, protocol: Protocol) -> dict[str, Any]:
        """All that decides which settings are asked for, and how they are judged."""
        how = options(study)
        return {
            "sampler": how.sampler,
            "target": how.target,
            "search_seed": how.search_seed,
            "stop_futile": how.stop_futile,
            "seeds": list(study.seeds_of(protocol)),
            **{f"space: {name}": value for name, value in space(study, protocol).described().items()},
        }

    def check(self, study: StudyConfig, protocol: Protocol, dataset: Dataset) -> None:
        """Refuse a target that no trial's row would have, too."""
        super().check(study, protocol, dataset)
        check_target(options(study).target, dataset, study.evaluation.probe_rows)

    def planned(self, study: StudyConfig, protocol: Protocol, store: Study | None) -> dict[str, TrialConfig]:
        """The trials that the store knows, and stand-ins for the others."""
        where = space(study, protocol)
        settings = min(options(study).settings or protocol.settings, where.size)
        total = int(settings) * len(study.seeds_of(protocol))
        return with_stand_ins(store.configs() if store else {}, total, where.typical())

    def source(
        self, study: StudyConfig, protocol: Protocol, store: Study, retry_failed: bool, limit: int | None
    ) -> Source:
        """The store's Optuna study, gone on with.

        Raises:
            StoreError: The journal is not this study's.
        """
        seeds, how = study.seeds_of(protocol), options(study)
        from study.journal import open_journal  # Optuna takes a second to load
        from study.replicates import Known, Replicates

        last = store.last_rows()
        known = {key: Known(state, last.get(key, {})) for key, state in store.status().items()}
        reports: dict[str, list[dict[str, Any]]] = {}
        if how.stop_futile and len(rows := store.rows()):
            for key, step, verdict in rows[["key", "step", "verdict"]].itertuples(index=False):
                reports.setdefault(key, []).append({"step": step, "verdict": verdict})
        return Replicates(
            open_journal(store.path / "optuna.journal", store.identity, how.target),
            space(study, protocol),
            seeds,
            how.settings or protocol.settings,
            how.target,
            how.sampler,
            how.search_seed,
            known=known,
            reports=reports,
            stop_futile=how.stop_futile,
            retry_failed=retry_failed,
            limit=limit,
        )


def options(study: StudyConfig) -> Adaptive:
    """How the search is run; the defaults where nobody has said."""
    return study.adaptive or Adaptive()


def whole_settings(limit: int | None, replicates: int) -> int | None:
    """`--max-trials` as so many trials as begin: a setting begins only with all its replicates.

    Raises:
        InputError: No setting fits.
    """
    if limit is not None and limit < replicates:
        raise InputError(
            f"--max-trials={limit} admits no setting: each is judged on {replicates} replicates; give as many"
        )
    return None if limit is None else limit - limit % replicates


def check_target(target: str, dataset: Dataset, probe_rows: int) -> None:
    """Refuse a target that no trial's row would have.

    Raises:
        InputError: The dataset has no factors, not those that the score reads, or too few rows for it.
    """
    if not dataset.factors:
        raise InputError(f"no row has the target {target}: the dataset has no factors; use a grid search")
    from trainables.metrics.table import measured, metrics_of  # scikit-learn

    part = dataset.held_out_rows
    picks = np.linspace(0, len(part) * dataset.colourings - 1, min(probe_rows, len(part))).astype(np.int64)
    factors = dataset.factors_of(dataset.drawn(part, picks))
    name = target.removesuffix("_calibrated").removesuffix("_active").removesuffix("_sampled")
    metric = next((metric for metric in metrics_of(factors, dataset.factors) if name in metric.names), None)
    if metric is None:
        raise InputError(f"no row has the target {target}: the dataset has no orientation; choose another")
    codes = np.random.default_rng(0).standard_normal((len(factors), 10))
    if reason := measured(metric, codes, factors)[name].missing:
        raise InputError(f"no row has the target {target}: {reason}; choose another --target")


def space(study: StudyConfig, protocol: Protocol) -> Space:
    """What Optuna may choose from: the protocol's ranges, but for what is pinned or has a range or values of its own.

    Raises:
        ConfigError: It is empty or contradicts itself.
    """
    given = options(study).ranges
    for name in given:
        if name in study.pinned:
            values = ",".join(map(written, study.pinned[name]))
            raise ConfigError(f"{name} has a range and is pinned to {values}; give one")
    objectives = study.pinned.get("objective", OBJECTIVES)
    pinned = {name: values for name, values in study.pinned.items() if name not in ("objective", "seed")}
    choices = {name: values for name, values in pinned.items() if len(values) > 1}
    built_in = [name for name in objectives if not is_own(name)]  # one's own has the ranges that are given, no others
    ours = {
        name: bounds
        for name, bounds in protocol.ranges.items()
        if name not in pinned and any(reads(objective, name) for objective in built_in)
    }
    ranges = {name: Range(*bounds) for name, bounds in {**ours, **given}.items()}
    if not (ranges or choices or len(objectives) > 1):
        raise ConfigError("nothing is left to search: every setting is pinned; give a range such as gamma=10:1000")
    values = {name: typed(name, bounds.low) for name, bounds in ranges.items()}  # any: each setting has its own
    if "beta_start" in pinned:  # an annealed beta has no range of ramps: it takes the protocol's
        values.pop("ramp_steps", None)
    values |= {name: among[0] for name, among in pinned.items()}
    base = dataclasses.replace(protocol.trial, objective=objectives[0], **values)
    return Space(base, tuple(objectives), ranges, choices)
