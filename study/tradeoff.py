"""The adaptive search: what Optuna may choose, and how a store's settings are taken up again."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from study.config import Adaptive, StudyConfig
from study.protocols import Protocol
from study.source import Source, with_stand_ins
from study.space import Range, Space, reads, typed
from study.store import Study
from trainables.config import ConfigError, InputError, TrialConfig, is_own, written
from trainables.data.dataset import Dataset

OBJECTIVES = ("beta_vae", "capacity")


@dataclass(frozen=True)
class TradeoffSearch:
    """Settings that Optuna suggests, each judged by the means of its replicates (`study.replicates`).

    Attributes:
        purpose: One line for `--list`.
    """

    purpose: str

    def changed(self, protocol: Protocol) -> Protocol:
        """As it is."""
        return protocol

    def identity(self, study: StudyConfig, protocol: Protocol) -> dict[str, Any]:
        """All that decides which settings are asked for, and how they are judged."""
        how = options(study)
        return {
            "sampler": how.sampler,
            "target": how.target,
            "search_seed": how.search_seed,
            "stop_futile": how.stop_futile,
            "seeds": list(study.seeds_of(protocol)),
            "space": space(study, protocol).described(),
        }

    def planned(
        self, study: StudyConfig, protocol: Protocol, started: Mapping[str, TrialConfig]
    ) -> dict[str, TrialConfig]:
        """The trials started so far, and stand-ins for the others."""
        total = (options(study).settings or protocol.settings) * len(study.seeds_of(protocol))
        return with_stand_ins(started, total, space(study, protocol).base)

    def source(
        self, study: StudyConfig, protocol: Protocol, store: Study, retry_failed: bool, limit: int | None
    ) -> Source:
        """The store's Optuna study, gone on with.

        Raises:
            InputError: The limit admits no setting, or the journal is not this study's.
        """
        seeds, how = study.seeds_of(protocol), options(study)
        check_limit(limit, len(seeds))
        from study.journal import open_journal  # Optuna takes a second to load
        from study.replicates import Known, Replicates

        last = store.last_rows()
        known = {key: Known(state, last.get(key, {})) for key, state in store.status().items()}
        reports: dict[str, list[dict[str, Any]]] = {}
        for row in store.rows().to_dict("records") if how.stop_futile else []:
            reports.setdefault(row["key"], []).append({str(name): value for name, value in row.items()})
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


def check_limit(limit: int | None, replicates: int) -> None:
    """Refuse `--max-trials` that no setting fits into.

    Raises:
        InputError: Naming both.
    """
    if limit is not None and limit < replicates:
        raise InputError(
            f"--max-trials={limit} admits no setting: each is judged on {replicates} replicates; give as many"
        )


def check_target(target: str, dataset: Dataset) -> None:
    """Refuse a target that no trial's row would have.

    Raises:
        InputError: The dataset has no factors, or not those that the score reads.
    """
    if not dataset.factors:
        raise InputError(f"no row has the target {target}: the dataset has no factors; use a grid search")
    from trainables.metrics.table import metrics_of  # scikit-learn

    some = dataset.factors_of(dataset.held_out_rows)
    names = {name for metric in metrics_of(some, dataset.factors) if metric.cheap for name in metric.names}
    if target.removesuffix("_calibrated").removesuffix("_active").removesuffix("_sampled") not in names:
        raise InputError(
            f"no row has the target {target}: the dataset has no orientation that it reads; choose another"
        )


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
    values |= {name: among[0] for name, among in pinned.items()}
    base = dataclasses.replace(protocol.trial, objective=objectives[0], **values)
    return Space(base, tuple(objectives), ranges, choices)
