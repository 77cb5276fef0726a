"""The named searches: one table, name -> search. A search turns a protocol into the trials of a study."""

from typing import Any

from study.config import Axes, StudyConfig
from study.grid import GridSearch
from study.paper import BLOBS, BLOBS_WIDE, GENERATOR, HEADLINE, TRAVERSALS
from study.pilot import PilotSearch
from study.protocols import PROTOCOLS, Protocol, published
from study.source import Search, Source
from study.store import Study
from study.tradeoff import TradeoffSearch
from trainables.checks import check_choice
from trainables.config import TrialConfig


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
    "blobs": BLOBS,
    "blobs_wide": BLOBS_WIDE,
    "generator": GENERATOR,
    "traversals": TRAVERSALS,
    "headline": HEADLINE,
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
