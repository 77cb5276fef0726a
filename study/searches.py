"""The named searches: one table, name -> search. A search turns a protocol into the settings to train."""

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from study.config import Axes, StudyConfig
from study.protocols import PROTOCOLS, Protocol
from trainables.config import ConfigError, TrialConfig, check_choice, is_own


@dataclass(frozen=True)
class Search:
    """A complete grid: the product of the axes of each of its families."""

    purpose: str
    """One line for `--list`."""
    families: Callable[[Protocol], list[Axes]]
    """The axes of each family; every family names its objective."""


def _capacity_grid(protocol: Protocol) -> list[Axes]:
    return [
        {
            "objective": ("capacity",),
            "capacity_max": protocol.capacities,
            "gamma": protocol.gammas,
            "ramp_steps": protocol.ramps,
        },
        {"objective": ("beta_vae",), "beta": protocol.betas},
    ]


SEARCHES = {
    "capacity_grid": Search("C_max x gamma x ramp length, against the fixed-beta family", families=_capacity_grid),
}


def cells(study: StudyConfig) -> list[TrialConfig]:
    """Every trial of a study, without duplicates: all settings with the first seed, then with the second, ...

    One's own objective is a family of its own, whose axes are what is pinned.

    Raises:
        ConfigError: The search is unknown, has no family of a pinned objective, or a cell cannot be run.
    """
    check_choice("search", study.search, tuple(SEARCHES))
    protocol = PROTOCOLS[study.protocol]
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
    for seed in study.replicate_seeds:
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
