"""A search, and its source: what a run trains, one trial after another, as Tune's faces know it; without Ray."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.config import StudyConfig
from study.plan import to_run
from study.protocols import Protocol
from study.store import Study
from trainables.config import TrialConfig, check_image_shape, is_own
from trainables.data.dataset import Dataset
from trainables.factors import check_factors

Row = Mapping[str, Any]


class Source(ABC):
    """Hands out trials, and hears how each ends; without Ray.

    Attributes:
        target: The score that is weighed against reconstruction; more is better.
        replicates: Finished seeds without which a setting counts for nothing.
    """

    target = "mig_calibrated"
    replicates = 1

    @property
    @abstractmethod
    def has_more(self) -> bool:
        """Whether there is anything to do."""

    @property
    def waiting(self) -> bool:
        """Whether there is nothing to hand out now but may be once a running trial has ended."""
        return False

    @abstractmethod
    def next(self) -> TrialConfig | None:
        """The next trial to begin, or None."""

    @abstractmethod
    def planned(self) -> dict[str, TrialConfig]:
        """Every trial, by key; one that nobody has chosen yet under a name of its own."""

    def gives_up(self, config: TrialConfig, row: Row) -> str:
        """Why a trial that has just reported is to end here; empty where it goes on."""
        return ""

    def ended(self, config: TrialConfig, status: str, row: Row) -> None:  # noqa: B027
        """A trial has a result.

        Args:
            config: Of the trial.
            status: finished, diverged or failed.
            row: Its last metrics row; empty but for finished ones.
        """

    def take_dropped(self) -> list[TrialConfig]:
        """Trials that will never begin, since their setting has been given up; each is returned once."""
        return []

    def closing(self) -> list[str]:
        """What is to be said at the end beside the report, a line each."""
        return []


@dataclass(frozen=True)
class Search(ABC):
    """Turns a protocol into the trials of a study.

    Attributes:
        purpose: One line for `--list`.
    """

    purpose: str

    def changed(self, protocol: Protocol) -> Protocol:
        """The protocol as this search runs it."""
        return protocol

    def identity(self, study: StudyConfig, protocol: Protocol) -> dict[str, Any]:
        """What else a store must hold for the study to go on in it; nothing where it may grow every way."""
        return {}

    def check(self, study: StudyConfig, protocol: Protocol, dataset: Dataset) -> None:
        """Refuse a dataset that no trial of the study could use; before anything starts.

        Raises:
            InputError: It lacks what the search asks for, or the trials do not fit it.
        """
        if not is_own(study.identity("")["model"]):
            check_image_shape(dataset.image_shape)
        for config in {config.setting(): config for config in self.planned(study, protocol, None).values()}.values():
            if config.is_generator:
                check_factors(config, dataset.values)

    @abstractmethod
    def planned(self, study: StudyConfig, protocol: Protocol, store: Study | None) -> dict[str, TrialConfig]:
        """Every trial by key, stand-ins for those that are yet to be chosen included.

        Args:
            study: Of this search.
            protocol: As the search runs it.
            store: What the study has so far.

        Raises:
            ConfigError: A trial cannot be run.
        """

    @abstractmethod
    def source(
        self, study: StudyConfig, protocol: Protocol, store: Study, retry_failed: bool, limit: int | None
    ) -> Source:
        """What a run trains now, at most `limit` trials."""


class Grid(Source):
    """The cells of a complete grid that have no result yet.

    Args:
        cells: All, by key.
        status: Of each that was ever started.
        retry_failed: Whether failed ones are tried again.
        limit: At most so many now.
    """

    def __init__(
        self,
        cells: Mapping[str, TrialConfig],
        status: Mapping[str, str],
        retry_failed: bool = False,
        limit: int | None = None,
    ) -> None:
        self.cells = dict(cells)
        self.left = list(reversed(list(to_run(cells, status, retry_failed).values())[:limit]))

    @property
    def has_more(self) -> bool:
        """Whether a cell is left."""
        return bool(self.left)

    def next(self) -> TrialConfig | None:
        """The next cell."""
        return self.left.pop() if self.left else None

    def planned(self) -> dict[str, TrialConfig]:
        """The grid."""
        return self.cells


def with_stand_ins(known: Mapping[str, TrialConfig], total: int, like: Sequence[TrialConfig]) -> dict[str, TrialConfig]:
    """The known trials, and as many stand-ins as are missing of `total`, as long as those of `like` in turn."""
    missing = range(len(known), max(total, len(known)))
    return {**known, **{f"to be chosen, trial {number}": like[number % len(like)] for number in missing}}
