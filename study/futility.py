"""When a trial is hopeless inside its ramp: the only early stopping there is, and never in a grid.

A capacity ramp looks bad until C arrives, so no trial is compared with another before the ramp's end. But KL that
follows C and says nothing of the image seldom begins to: the audit sees it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from trainables.config import TrialConfig

REPORTS = 3
"""Successive reports inside the ramp whose verdict is *not informative*."""


class Futility:
    """Which trials have been futile; a trial once futile stays so."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        self._futile: set[str] = set()

    def see(self, config: TrialConfig, row: Mapping[str, Any]) -> bool:
        """Whether a trial is futile, by this report and those before; one that is made again counts once.

        Args:
            config: Of the trial; only the capacity objective has a ramp.
            row: Its metrics row, with `step` and `verdict`.
        """
        key = config.key()
        step, count = self._seen.get(key, (0, 0))
        if config.objective == "capacity" and step < row["step"] <= config.ramp_steps:
            count = count + 1 if row["verdict"] == "not informative" else 0
            self._seen[key] = (row["step"], count)
            if count >= REPORTS:
                self._futile.add(key)
        return key in self._futile

    def see_all(self, config: TrialConfig, rows: Iterable[Mapping[str, Any]]) -> None:
        """The reports of an earlier run, in order."""
        for row in rows:
            self.see(config, row)

    def is_futile(self, key: str) -> bool:
        """Whether a trial was futile at any report."""
        return key in self._futile
