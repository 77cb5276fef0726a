"""The search that is a complete grid: the product of the axes of each of its families."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from study.config import Axes, StudyConfig
from study.protocols import Protocol
from study.source import Grid, Search, Source
from study.store import Study
from trainables.checks import ConfigError, check_choice
from trainables.config import TrialConfig, family_reads, is_own
from trainables.data.dataset import Dataset

MOST = 1_000_000
"""Trials of a grid at most: axes multiply, and a few words can ask for more than any memory lists."""


@dataclass(frozen=True)
class GridSearch(Search):
    """A complete grid: the product of the axes of each of its families.

    Attributes:
        families: The axes of each family; every family names its objective.
        change: What the search changes in a protocol.
        needs: Factors that the dataset must have.
        fixed: Fields that make a family what it is: where a family names one, what is pinned leaves it alone.
        chosen_by: Fields that tell families apart: of a pinned one, only the families of its values are left.
    """

    families: Callable[[Protocol], list[Axes]]
    change: Callable[[Protocol], Protocol] = lambda protocol: protocol

    needs: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    chosen_by: tuple[str, ...] = ()

    def check(self, study: StudyConfig, protocol: Protocol, dataset: Dataset) -> None:
        """Refuse a dataset without the factors that the search is about, too."""
        super().check(study, protocol, dataset)
        for name in self.needs:
            if name not in dataset.factors:
                known = ", ".join(dataset.factors) or "no factors at all"
                raise ConfigError(
                    f"search {study.search} asks for the factor {name!r}, and dataset {dataset.name} has {known}; "
                    "choose another dataset or search"
                )

    def changed(self, protocol: Protocol) -> Protocol:
        """The protocol with the grid of this search."""
        return self.change(protocol)

    def planned(self, study: StudyConfig, protocol: Protocol, store: Study | None) -> dict[str, TrialConfig]:
        """All cells by key, without duplicates: all settings with the first seed, then with the second, ...

        One's own objective is a family of its own, whose axes are what is pinned.

        Raises:
            ConfigError: The search has no family of a pinned objective, a cell cannot be run, or there are too many.
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
        for name in self.chosen_by:
            choices = tuple(dict.fromkeys(value for axes in families for value in axes[name]))
            for value in (wanted := study.pinned.get(name, choices)):
                check_choice(name, value, choices)
            families = [axes for axes in families if set(wanted) & set(axes[name])]
        for name in self.fixed:
            free = [axes for axes in families if name not in axes]
            if name in study.pinned and not any(_reads(axes, name) for axes in free):
                raise ConfigError(f"search {study.search} itself says {name} of each of its families; leave it out")
        by_key: dict[str, TrialConfig] = {}
        for seed in study.seeds_of(protocol):
            for axes in families:
                pinned = _pinned(study, axes, (*self.fixed, *self.chosen_by))
                for config in _product(protocol.trial, axes | pinned | {"seed": (seed,)}):
                    by_key.setdefault(config.key(), config)
            if len(by_key) > MOST:
                raise ConfigError(f"{len(by_key):,} trials are over {MOST:,}; give fewer seeds")
        return by_key

    def source(
        self, study: StudyConfig, protocol: Protocol, store: Study, retry_failed: bool, limit: int | None
    ) -> Source:
        """The cells that the store has no result of."""
        return Grid(self.planned(study, protocol, store), store.status(), retry_failed, limit)


def _reads(axes: Axes, name: str) -> bool:
    return family_reads(TrialConfig(objective=axes["objective"][0]).family, name)


def _pinned(study: StudyConfig, axes: Axes, fixed: tuple[str, ...]) -> Axes:
    """The pinned settings, of objectives only those of this family; without what is fixed in it."""
    family = TrialConfig(objective=axes["objective"][0]).family
    return {
        name: tuple(v for v in values if name != "objective" or TrialConfig(objective=v).family == family)
        for name, values in study.pinned.items()
        if not (name in fixed and name in axes)
    }


def _product(base: TrialConfig, axes: Axes) -> list[TrialConfig]:
    if (many := math.prod(map(len, axes.values()))) > MOST:
        raise ConfigError(f"a grid of {many:,} settings is over {MOST:,}; pin fewer values")
    settings = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    return [dataclasses.replace(base, **setting).canonical() for setting in settings]
