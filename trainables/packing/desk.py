"""Between the trials of a pack, which ask from threads of their own, and the pack, which one thread trains. No Ray.

A lane trains only while its trial waits for a report, so no lane ever runs ahead of its trial's decisions. A trial that
has not been heard of for the length of its lease has lost its lane.
"""

import faulthandler
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from trainables.config import TrialConfig
from trainables.measurement import Measurement

LEASE_SECONDS = 900.0
"""A trial scores a full evaluation in less, whatever the machine; a lane that nobody asks for costs memory alone."""
PATIENCE = 0.25
"""Share of the last round that the next one waits for lanes whose trials are still scoring: who misses it loses all."""
_STDERR = 2  # the descriptor itself: Ray replaces sys.stderr


class Trains(Protocol):
    """What the desk asks of a pack; see `trainables.packing.pack.Pack`."""

    @property
    def notices(self) -> list[str]:
        """What is to be said of the pack itself, a line each; emptied once it is."""
        ...

    def join(self, name: str, config: TrialConfig, state: bytes | None, /) -> None:
        """A trial takes a lane; `PackFailed` where there is none for anybody, any other exception is its own."""
        ...

    def leave(self, name: str, /) -> None:
        """A trial gives its lane up."""
        ...

    def state(self, name: str, /) -> bytes:
        """A lane's checkpoint."""
        ...

    def advance(self, names: Collection[str], /) -> Iterable[tuple[str, Measurement | Exception]]:
        """Train these lanes, at least one of them to its next report; each that has come to one, or has failed."""
        ...


class Outcome(NamedTuple):
    """What a trial hears at a report."""

    measured: Measurement
    state: bytes | None
    """The lane's checkpoint, where one is due."""
    notice: str
    """What is to be said of the pack itself; mostly nothing."""


class PackFailed(RuntimeError):
    """The pack itself, not one of its lanes: its process must end, and every trial goes on in another one."""


class LeaseExpired(RuntimeError):
    """The lane was given up, since its trial had not been heard of for too long, or has joined again since."""


@dataclass
class Tenant:
    """A trial that holds a lane, or will once training comes to it."""

    name: str
    config: TrialConfig
    state: bytes | None
    checkpoint_seconds: float
    seen: float
    """When its trial last called, seconds of the monotonic clock."""
    saved: float
    """When it last got a checkpoint."""
    joined: bool = False
    waiting: bool = False
    outcome: Outcome | Exception | None = None


class Desk:
    """Hands each trial of a pack its own reports.

    Args:
        pack: Touched by the thread that calls `serve` alone.
        lease_seconds: For how long a lane is kept for a trial that does not call.
        hang_seconds: A wait for the next report of any lane that is longer dumps the stacks and ends the process; None:
            never.
    """

    def __init__(self, pack: Trains, lease_seconds: float = LEASE_SECONDS, hang_seconds: float | None = None) -> None:
        self.pack, self.lease_seconds, self.hang_seconds = pack, lease_seconds, hang_seconds
        self.tenants: dict[int, Tenant] = {}
        self.changed = threading.Condition()
        self.abandoned: list[str] = []
        """Names whose lanes the thread that trains is to give up."""
        self.tickets, self.closed, self.round_seconds = 0, False, 0.0

    def join(self, name: str, config: TrialConfig, state: bytes | None, checkpoint_seconds: float = 0.0) -> int:
        """Take a place; the lane is taken when training comes to it.

        Args:
            name: Of the trial; an older one under the same name is given up.
            config: Of the trial.
            state: A checkpoint to go on from.
            checkpoint_seconds: Least time between two checkpoints; 0 for one at each report.

        Returns:
            A ticket for `report` and `leave`.

        Raises:
            PackFailed: No training will come.
        """
        with self.changed:
            if self.closed:
                raise PackFailed("the pack is closed")
            self.tickets += 1
            for ticket in [ticket for ticket, tenant in self.tenants.items() if tenant.name == name]:
                self._drop(ticket)
            now = time.monotonic()
            self.tenants[self.tickets] = Tenant(name, config, state, checkpoint_seconds, seen=now, saved=now)
            return self.tickets

    def report(self, ticket: int) -> Outcome:
        """Wait until the lane has come to its next report; at its end the lane is given up.

        Args:
            ticket: From `join`.

        Returns:
            What was measured there, and the lane's checkpoint if one is due or it is the last report.

        Raises:
            LeaseExpired: The lane is no longer held.
            PackFailed: No training will come.
            Exception: Whatever the training of this lane has raised.
        """
        with self.changed:
            tenant = self.tenants.get(ticket)
            if tenant is None:
                raise LeaseExpired(f"the lane of ticket {ticket} has been given up; join again")
            if self.closed:
                raise PackFailed("the pack is closed")
            tenant.waiting = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: tenant.outcome is not None)
            outcome, tenant.outcome = tenant.outcome, None
            tenant.seen = time.monotonic()
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None
        return outcome

    def leave(self, ticket: int) -> None:
        """Give the lane up; nothing if it is no longer held."""
        with self.changed:
            if ticket in self.tenants:
                self._drop(ticket)

    def close(self) -> None:
        """Let `serve` end, and every waiting trial hear of it."""
        with self.changed:
            self.closed = True
            for ticket in list(self.tenants):
                self._drop(ticket)
            self.changed.notify_all()

    def serve(self) -> None:
        """Train whatever is asked for until closed.

        Raises:
            Exception: The pack itself has failed; every waiting trial has heard of it as `PackFailed`.
        """
        try:
            while tenants := self._next_round():
                began = time.monotonic()
                self._train(tenants)
                self.round_seconds = time.monotonic() - began
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}".splitlines()[0])
            raise

    def _train(self, tenants: list[Tenant]) -> None:
        """A round: lanes for those that have none yet, and at least one report."""
        self._watch(self.hang_seconds)
        self._admit(tenants)
        names = {tenant.name: tenant for tenant in tenants if tenant.joined}
        for name, measured in self.pack.advance(list(names)) if names else ():
            self._deliver(names[name], measured)
            self._watch(self.hang_seconds)
        self._watch(None)

    def _watch(self, seconds: float | None) -> None:
        """Wind the clock up that ends a process which hangs, or stop it; there is one in a process."""
        if seconds:
            faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)
        elif self.hang_seconds:
            faulthandler.cancel_dump_traceback_later()

    def _fail(self, reason: str) -> None:
        with self.changed:
            self.closed = True
            for tenant in self.tenants.values():
                self._answer(tenant, PackFailed(reason))

    def _next_round(self) -> list[Tenant]:
        """Those whose trials wait, once there are any, and the others have had their chance; none once closed."""
        with self.changed:
            while not self.closed:
                if any(tenant.waiting for tenant in self.tenants.values()):
                    self.changed.wait_for(self._all_wait, PATIENCE * self.round_seconds)
                self._expire()
                if waiting := [tenant for tenant in self.tenants.values() if tenant.waiting]:
                    return waiting
                self.changed.wait(timeout=self.lease_seconds / 4)
            return []

    def _all_wait(self) -> bool:
        return self.closed or all(tenant.waiting for tenant in self.tenants.values())

    def _expire(self) -> None:
        """Drop whoever has not called for too long, and give up the lanes of all that were dropped; under the lock."""
        now = time.monotonic()
        for ticket, tenant in list(self.tenants.items()):
            if not tenant.waiting and now - tenant.seen > self.lease_seconds:
                self._drop(ticket)
        while self.abandoned:
            self.pack.leave(self.abandoned.pop())

    def _admit(self, tenants: list[Tenant]) -> None:
        """Give lanes to those that have none yet; who cannot have one is told, and the others go on."""
        for tenant in tenants:
            if tenant.joined:
                continue
            try:
                self.pack.join(tenant.name, tenant.config, tenant.state)
                tenant.joined, tenant.state = True, None
            except PackFailed:
                raise
            except Exception as error:
                self._deliver(tenant, error)

    def _deliver(self, tenant: Tenant, measured: Measurement | Exception) -> None:
        """Hand over what a lane has come to; after its last report, or a failure, the lane is given up."""
        ended = isinstance(measured, Exception) or measured.done
        if isinstance(measured, Exception):
            outcome = measured
        else:
            outcome = Outcome(measured, self._checkpoint(tenant, measured), "; ".join(self.pack.notices))
            self.pack.notices.clear()
        if ended:
            self.pack.leave(tenant.name)
        with self.changed:
            if ended:
                self.tenants = {ticket: held for ticket, held in self.tenants.items() if held is not tenant}
            self._answer(tenant, outcome)

    def _checkpoint(self, tenant: Tenant, measured: Measurement) -> bytes | None:
        due = measured.done or time.monotonic() - tenant.saved >= tenant.checkpoint_seconds
        if measured.diverged or not due:
            return None
        tenant.saved = time.monotonic()
        return self.pack.state(tenant.name)

    def _answer(self, tenant: Tenant, outcome: Outcome | Exception) -> None:
        """Hand the outcome over, if the trial waits for one; the lock is held."""
        if tenant.waiting:
            tenant.waiting, tenant.outcome, tenant.seen = False, outcome, time.monotonic()
            self.changed.notify_all()

    def _drop(self, ticket: int) -> None:
        """Send a tenant away; the lock is held. The thread that trains gives its lane up, or will once it has it."""
        tenant = self.tenants.pop(ticket)
        self.abandoned.append(tenant.name)
        self._answer(tenant, LeaseExpired(f"trial {tenant.name} has lost its lane; it joins again"))
        self.changed.notify_all()
