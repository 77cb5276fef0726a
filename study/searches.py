"""The named searches: one table, name -> search. A search turns a protocol into the trials of a study."""

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from study.config import Axes, StudyConfig
from study.pilot import PilotSearch
from study.protocols import PROTOCOLS, Protocol, published
from study.source import Grid, Search, Source
from study.store import Study
from study.tradeoff import TradeoffSearch
from trainables.checks import ConfigError, check_choice
from trainables.config import TrialConfig, is_own


@dataclass(frozen=True)
class GridSearch(Search):
    """A complete grid: the product of the axes of each of its families.

    Attributes:
        families: The axes of each family; every family names its objective.
        change: What the search changes in a protocol.
    """

    families: Callable[[Protocol], list[Axes]]
    change: Callable[[Protocol], Protocol] = lambda protocol: protocol

    def changed(self, protocol: Protocol) -> Protocol:
        """The protocol with the grid of this search."""
        return self.change(protocol)

    def planned(self, study: StudyConfig, protocol: Protocol, store: Study | None) -> dict[str, TrialConfig]:
        """All cells by key, without duplicates: all settings with the first seed, then with the second, ...

        One's own objective is a family of its own, whose axes are what is pinned.

        Raises:
            ConfigError: The search has no family of a pinned objective, or a cell cannot be run.
        """
        families = self.families(protocol)
        if "objective" in study.pinned:
            wanted = {TrialConfig(objective=name).family for name in study.pinned["objective"]}
            families = [axes for axes in families if TrialConfig(objective=axes["objective"][0]).family in wanted]
            families += [{"objective": (name,)} for name in study.pinned["objective"] if is_own(name)]
            if not families:
                raise ConfigError(
                    f"search {study.search} has no family of objective={study.pinned['objective'][0]}; "
                    "choose another search or objective"
                )
        by_key: dict[str, TrialConfig] = {}
        for seed in study.seeds_of(protocol):
            for axes in families:
                for config in _product(protocol.trial, axes | _pinned(study, axes) | {"seed": (seed,)}):
                    by_key.setdefault(config.key(), config)
        return by_key

    def source(
        self, study: StudyConfig, protocol: Protocol, store: Study, retry_failed: bool, limit: int | None
    ) -> Source:
        """The cells that the store has no result of."""
        return Grid(self.planned(study, protocol, store), store.status(), retry_failed, limit)


def _beta(protocol: Protocol) -> Axes:
    return {"objective": ("beta_vae",), "beta": protocol.betas}


def _capacity(protocol: Protocol) -> Axes:
    return {
        "objective": ("capacity",),
        "capacity_max": protocol.capacities,
        "gamma": protocol.gammas,
        "ramp_steps": protocol.ramps,
    }


def _gamma_ramp(protocol: Protocol) -> Axes:
    return {
        "objective": ("capacity",),
        "capacity_max": (protocol.middle_capacity,),
        "gamma": protocol.gamma_ladder,
        "ramp_steps": protocol.ramp_ladder,
    }


SEARCHES: dict[str, Search] = {
    "capacity_grid": GridSearch(
        "C_max x gamma x ramp length, against the fixed-beta family",
        families=lambda protocol: [_capacity(protocol), _beta(protocol)],
    ),
    "beta_grid": GridSearch("the fixed-beta family alone", families=lambda protocol: [_beta(protocol)]),
    "gamma_ramp": GridSearch(
        "gamma x ramp length at one C_max: where does KL follow C, and do the nats carry information?",
        families=lambda protocol: [_gamma_ramp(protocol)],
    ),
    "tradeoff": TradeoffSearch("Optuna over both families, by two targets averaged over replicates"),
    "pilot": PilotSearch("advice for a new dataset: which C_max, and which gamma?"),
    "benchmark": GridSearch(
        "the published reference grid of both families (on a laptop shortened: a smoke run)",
        families=lambda protocol: [_capacity(protocol), _beta(protocol)],
        change=published,
    ),
}


def protocol_of(study: StudyConfig) -> Protocol:
    """The study's protocol as its search runs it.

    Raises:
        ConfigError: The search is unknown.
    """
    check_choice("search", study.search, tuple(SEARCHES))
    return SEARCHES[study.search].changed(PROTOCOLS[study.protocol])


def identity_of(study: StudyConfig, dataset_sha256: str) -> dict[str, Any]:
    """What a store must hold for this study to go on in it: an adaptive search cannot change its mind half-way."""
    protocol = protocol_of(study)
    return study.identity(dataset_sha256) | SEARCHES[study.search].identity(study, protocol)


def planned(study: StudyConfig, store: Study | None = None) -> dict[str, TrialConfig]:
    """Every trial of a study by key, stand-ins for those that an adaptive search has yet to choose included.

    Args:
        study: Of any search.
        store: What it has so far.

    Raises:
        ConfigError: The search is unknown, or a trial cannot be run.
    """
    protocol = protocol_of(study)
    return SEARCHES[study.search].planned(study, protocol, store)


def source_of(study: StudyConfig, store: Study, retry_failed: bool, limit: int | None) -> Source:
    """What a run trains now, at most `limit` trials."""
    return SEARCHES[study.search].source(study, protocol_of(study), store, retry_failed, limit)


def _pinned(study: StudyConfig, axes: Axes) -> Axes:
    """The pinned settings, of objectives only those of this family."""
    family = TrialConfig(objective=axes["objective"][0]).family
    return {
        name: tuple(v for v in values if name != "objective" or TrialConfig(objective=v).family == family)
        for name, values in study.pinned.items()
    }


def _product(base: TrialConfig, axes: Axes) -> list[TrialConfig]:
    settings = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    return [dataclasses.replace(base, **setting).canonical() for setting in settings]
