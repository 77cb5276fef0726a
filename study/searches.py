"""The named searches: one table, name -> search. A search turns a protocol into the settings to train."""

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from study.config import Axes, StudyConfig
from study.protocols import PROTOCOLS, Protocol, published
from trainables.config import ConfigError, TrialConfig, check_choice, is_own


@dataclass(frozen=True)
class Search:
    """A complete grid: the product of the axes of each of its families.

    Attributes:
        purpose: One line for `--list`.
        families: The axes of each family; every family names its objective.
        changed: The protocol as this search runs it.
    """

    purpose: str
    families: Callable[[Protocol], list[Axes]]
    changed: Callable[[Protocol], Protocol] = lambda protocol: protocol


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


SEARCHES = {
    "capacity_grid": Search(
        "C_max x gamma x ramp length, against the fixed-beta family",
        families=lambda protocol: [_capacity(protocol), _beta(protocol)],
    ),
    "beta_grid": Search("the fixed-beta family alone", families=lambda protocol: [_beta(protocol)]),
    "gamma_ramp": Search(
        "gamma x ramp length at one C_max: where does KL follow C, and do the nats carry information?",
        families=lambda protocol: [_gamma_ramp(protocol)],
    ),
    "benchmark": Search(
        "the published reference grid of both families (on a laptop shortened: a smoke run)",
        families=lambda protocol: [_capacity(protocol), _beta(protocol)],
        changed=published,
    ),
}


def protocol_of(study: StudyConfig) -> Protocol:
    """The study's protocol as its search runs it.

    Raises:
        ConfigError: The search is unknown.
    """
    check_choice("search", study.search, tuple(SEARCHES))
    return SEARCHES[study.search].changed(PROTOCOLS[study.protocol])


def seeds_of(study: StudyConfig) -> tuple[int, ...]:
    """The seeds that each setting is trained with."""
    return study.pinned.get("seed") or tuple(range(study.seeds or protocol_of(study).seeds))


def cells(study: StudyConfig) -> list[TrialConfig]:
    """Every trial of a study, without duplicates: all settings with the first seed, then with the second, ...

    One's own objective is a family of its own, whose axes are what is pinned.

    Raises:
        ConfigError: The search is unknown, has no family of a pinned objective, or a cell cannot be run.
    """
    protocol = protocol_of(study)
    families = SEARCHES[study.search].families(protocol)
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
    for seed in seeds_of(study):
        for axes in families:
            for config in _product(protocol.trial, axes | _pinned(study, axes) | {"seed": (seed,)}):
                by_key.setdefault(config.key(), config)
    return list(by_key.values())


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
