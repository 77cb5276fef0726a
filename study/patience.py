"""Which failures count against a trial or the study, and which trials have been silent for too long; without Ray."""

import math
from collections import Counter
from collections.abc import Mapping

MAX_FAILURES = 2
"""Attempts of a trial beyond its first, in a row: one that gets further has them all again."""
MOST_MACHINES = 20
"""Machines that a trial may lose without getting further: whoever loses more may be what kills them."""
MOST_FAILED = 10
"""Trials that fail in a row, or without any report of their own: then the machine is at fault, and not they."""
OTHER_SOFTWARE = "runs other software than the driver"
"""Our own words (`trainables.software`)."""
LOST = ("its node has died", "Failed to retrieve object", "task may or may not have been executed on the actor")
"""Ray's words for a node, a result on it, or the way to it, that is gone."""


class Patience:
    """Counts, and watches the clock.

    Args:
        steps: At which each trial has reported last, by key.
        hang_seconds: A trial that is silent for longer hangs.
    """

    def __init__(self, steps: Mapping[str, int], hang_seconds: float = math.inf) -> None:
        self.hang_seconds = hang_seconds
        self._furthest = dict(steps)
        self._heard: dict[str, float] = {}
        self._machines: Counter[str] = Counter()
        self._in_a_row, self._unheard, self._looked = 0, 0, math.inf

    def begun(self, key: str, now: float) -> None:
        """An attempt begins, at `now` seconds of the monotonic clock."""
        self._heard[key] = now

    def reported(self, key: str, step: int, now: float) -> bool:
        """A trial has reported; whether it has never been so far, so that earlier failures were not its own."""
        self._heard[key], self._in_a_row = now, 0
        further = step > self._furthest.get(key, 0)
        if further:
            self._furthest[key] = step
            self._machines[key] = 0
        return further

    def lost_machine(self, key: str) -> bool:
        """A trial's machine has gone; whether that costs it no attempt."""
        self._machines[key] += 1
        return self._machines[key] <= MOST_MACHINES

    def failed(self, key: str) -> bool:
        """A trial has failed for good; whether the study had better stop."""
        self._in_a_row += 1
        self._unheard += key not in self._furthest
        return MOST_FAILED in (self._in_a_row, self._unheard)

    def ended(self, key: str) -> None:
        """An attempt has ended, one way or the other."""
        self._heard.pop(key, None)

    def silence(self, key: str, now: float) -> float:
        """For how many seconds a running trial has not been heard of; 0 where it is not running."""
        return now - self._heard.get(key, now)

    def silent(self, now: float) -> dict[str, float]:
        """The running trials that hang, each told once, and for how long they have been silent.

        If nobody has asked for long, the driver itself stood still: what its trials said meanwhile is yet to be heard.
        """
        stood = max(0.0, now - self._looked)
        if stood > self.hang_seconds / 10:
            self._heard = {key: heard + stood for key, heard in self._heard.items()}
        self._looked = now
        found = {key: now - heard for key, heard in self._heard.items() if now - heard > self.hang_seconds}
        for key in found:
            self.ended(key)
        return found


def is_machines(failure: str) -> bool:
    """Whether a failed attempt was the fault of its machine, by what it left behind."""
    return OTHER_SOFTWARE in failure or is_lost(failure)


def is_lost(failure: str) -> bool:
    """Whether its machine has gone."""
    return any(words in failure for words in LOST)
