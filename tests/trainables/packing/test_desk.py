"""The desk between trials and their pack, on a pack that counts instead of training."""

import faulthandler
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainables.config import TrialConfig
from trainables.measurement import Measurement
from trainables.packing.desk import Desk, LeaseExpired, PackFailed, Tenant

STEPS = 3


class Counting:
    """A pack whose lanes count to `STEPS`; seeds above 100 do something else first."""

    DIVERGES, FAILS, REFUSED, BREAKS, BROKEN = 101, 102, 103, 104, 105

    def __init__(self) -> None:
        self.lanes: dict[str, list[int]] = {}
        self.joining: Callable[[], None] = lambda: None
        self.notices: list[str] = []
        self.rounds: list[set[str]] = []
        self.threads: set[int] = set()

    def join(self, name: str, config: TrialConfig, state: bytes | None) -> None:
        self.threads.add(threading.get_ident())
        self.joining()
        if config.seed == self.BROKEN:
            raise PackFailed("the device is gone")
        if config.seed == self.REFUSED:
            raise ValueError("no lane for this one")
        assert name not in self.lanes
        self.lanes[name] = [config.seed, int(state or 0)]

    def leave(self, name: str) -> None:
        self.threads.add(threading.get_ident())
        self.lanes.pop(name, None)

    def state(self, name: str) -> bytes:
        return str(self.lanes[name][1]).encode()

    def advance(self, names: Collection[str]) -> Iterator[tuple[str, Measurement | Exception]]:
        self.threads.add(threading.get_ident())
        self.rounds.append(set(names))
        for name in names:
            seed = self.lanes[name][0]
            if seed == self.BREAKS:
                raise RuntimeError("the device is gone\nand more words")
            if seed == self.FAILS:
                yield name, ArithmeticError("this lane alone")
                continue
            self.lanes[name][1] += 1
            step = self.lanes[name][1]
            diverged = seed == self.DIVERGES
            yield name, Measurement(step=step, done=diverged or step == STEPS, diverged=diverged)


@pytest.fixture
def pack() -> Counting:
    return Counting()


@pytest.fixture
def desk(pack: Counting) -> Iterator[Desk]:
    made = Desk(pack)
    thread = threading.Thread(target=serve, args=[made])
    thread.start()
    yield made
    made.close()
    thread.join(timeout=10)
    assert not thread.is_alive()


def serve(desk: Desk) -> None:
    try:
        desk.serve()
    except RuntimeError as error:
        assert "the device is gone" in str(error)  # noqa: PT017 -- in a thread of its own


def join(desk: Desk, seed: int, state: bytes | None = None, **more: float) -> int:
    return desk.join(f"trial {seed}", TrialConfig(seed=seed), state, **more)


def run(desk: Desk, seed: int) -> list[tuple[int, bytes | None]]:
    """Everything that a trial hears until its end."""
    ticket, heard = join(desk, seed), []
    while True:
        measured, state, _ = desk.report(ticket)
        heard.append((measured.step, state))
        if measured.done:
            return heard


def test_every_trial_hears_its_own_steps_in_order_with_their_checkpoints(desk: Desk, pack: Counting) -> None:
    with ThreadPoolExecutor(20) as pool:
        heard = list(pool.map(run, [desk] * 20, range(20)))
    assert heard == [[(1, b"1"), (2, b"2"), (3, b"3")]] * 20
    assert pack.lanes == {}
    assert desk.tenants == {}
    assert len(pack.threads) == 1
    assert threading.get_ident() not in pack.threads


def test_a_trial_goes_on_from_its_checkpoint(desk: Desk) -> None:
    assert desk.report(join(desk, 0, b"1"))[0].step == 2


def test_checkpoints_come_when_due_and_at_the_end(desk: Desk) -> None:
    ticket = join(desk, 0, checkpoint_seconds=1e6)
    assert [desk.report(ticket)[1] for _ in range(STEPS)] == [None, None, b"3"]


def test_the_time_to_a_checkpoint_runs_from_the_last_one(desk: Desk) -> None:
    ticket = join(desk, 0, checkpoint_seconds=1e6)
    desk.tenants[ticket].saved -= 1e6
    assert [desk.report(ticket)[1] for _ in range(2)] == [b"1", None]


def test_a_lane_that_diverges_ends_alone_without_a_checkpoint(desk: Desk, pack: Counting) -> None:
    other, bad = join(desk, 0), join(desk, Counting.DIVERGES)
    measured, state, _ = desk.report(bad)
    assert (measured.diverged, state) == (True, None)
    assert f"trial {Counting.DIVERGES}" not in pack.lanes
    assert desk.report(other)[0].step == 1
    with pytest.raises(LeaseExpired):
        desk.report(bad)


@pytest.mark.parametrize(("seed", "error"), [(Counting.FAILS, ArithmeticError), (Counting.REFUSED, ValueError)])
def test_a_lane_that_fails_fails_alone(desk: Desk, pack: Counting, seed: int, error: type[Exception]) -> None:
    other, bad = join(desk, 0), join(desk, seed)
    with pytest.raises(error):
        desk.report(bad)
    assert [desk.report(other)[0].step for _ in range(STEPS)] == [1, 2, 3]
    assert (pack.lanes, desk.tenants) == ({}, {})


def test_a_lane_rests_until_its_trial_asks_again(desk: Desk, pack: Counting) -> None:
    slow, fast = join(desk, 0), join(desk, 1)
    desk.report(slow)
    assert [desk.report(fast)[0].step for _ in range(STEPS)] == [1, 2, 3]
    assert pack.lanes == {"trial 0": [0, 1]}
    assert desk.report(slow)[0].step == 2


def test_the_next_round_waits_a_little_for_who_is_still_scoring(pack: Counting) -> None:
    desk = Desk(pack)
    desk.round_seconds = 1e6  # so that the share of it that is waited never passes
    one, two = join(desk, 0), join(desk, 1)
    threading.Thread(target=desk.serve, daemon=True).start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(desk.report, one)
        second = pool.submit(desk.report, two)
        assert {first.result()[0].step, second.result()[0].step} == {1}
    assert pack.rounds == [{"trial 0", "trial 1"}]
    desk.close()


def test_what_is_said_of_the_pack_is_said_once(desk: Desk, pack: Counting) -> None:
    pack.notices += ["narrow", "and slow"]
    assert [desk.report(join(desk, seed)).notice for seed in (0, 1)] == ["narrow; and slow", ""]


def test_who_leaves_is_gone_and_keeps_nobody_waiting(desk: Desk, pack: Counting) -> None:
    gone, other = join(desk, 0), join(desk, 1)
    desk.report(gone)
    desk.leave(gone)
    desk.leave(gone)  # twice is once
    assert desk.report(other)[0].step == 1
    assert list(pack.lanes) == ["trial 1"]
    with pytest.raises(LeaseExpired, match="has been given up"):
        desk.report(gone)


def test_a_trial_that_joins_again_has_one_lane(desk: Desk, pack: Counting) -> None:
    before = join(desk, 0)
    desk.report(before)
    again = join(desk, 0, b"1")
    assert desk.report(again)[0].step == 2
    assert pack.lanes == {"trial 0": [0, 2]}
    with pytest.raises(LeaseExpired):
        desk.report(before)
    desk.leave(before)  # the late word of a trial that is no more
    assert desk.report(again)[0].step == 3


@pytest.mark.parametrize("again", [False, True])
def test_who_is_sent_away_while_the_lane_is_being_taken_leaves_none(desk: Desk, pack: Counting, again: bool) -> None:
    taking, gone = threading.Event(), threading.Event()
    pack.joining = lambda: (taking.set(), gone.wait(10)) and None
    ticket = join(desk, 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desk.report, ticket)
        assert taking.wait(10)
        other = join(desk, 0, b"1") if again else join(desk, 1)  # the former drops the first trial too
        desk.leave(ticket)
        gone.set()
        with pytest.raises(LeaseExpired, match="joins again"):
            waiting.result()
    assert desk.report(other)[0].step == (2 if again else 1)
    assert list(pack.lanes) == [f"trial {0 if again else 1}"]


def test_a_trial_that_never_calls_again_loses_its_lane(desk: Desk, pack: Counting) -> None:
    desk.lease_seconds = 60.0
    silent, other = join(desk, 0), join(desk, 1)
    desk.report(silent)
    desk.tenants[silent].seen -= 61
    assert desk.report(other)[0].step == 1
    assert list(pack.lanes) == ["trial 1"]
    with pytest.raises(LeaseExpired):
        desk.report(silent)


def test_a_pack_that_fails_tells_all_and_takes_no_more(desk: Desk) -> None:
    tickets = [join(desk, seed) for seed in (Counting.BREAKS, 0, 1)]
    desk.round_seconds = 1e6
    with ThreadPoolExecutor(3) as pool:
        heard = [pool.submit(desk.report, ticket) for ticket in tickets]
        for each in heard:
            with pytest.raises(PackFailed, match=r"RuntimeError: the device is gone$"):
                each.result()
    with pytest.raises(PackFailed):
        join(desk, 7)
    with pytest.raises(PackFailed):
        desk.report(tickets[0])


def test_a_device_that_fails_while_a_lane_is_taken_fails_for_all(desk: Desk) -> None:
    tickets = [join(desk, seed) for seed in (Counting.BROKEN, 0)]
    desk.round_seconds = 1e6  # so that both are in one round
    with ThreadPoolExecutor(2) as pool:
        for heard in [pool.submit(desk.report, ticket) for ticket in tickets]:
            with pytest.raises(PackFailed):
                heard.result()


def test_a_hang_is_told_by_the_time_since_the_last_report(pack: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, **how: heard.append(f"{seconds:g}"))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: heard.append("off"))
    desk = Desk(pack, hang_seconds=9)
    desk._train([Tenant(f"trial {seed}", TrialConfig(seed=seed), None, 0.0, 0.0, 0.0) for seed in range(3)])
    assert heard == ["9", "9", "9", "9", "off"]


def test_closing_sends_who_waits_away(pack: Counting) -> None:
    desk = Desk(pack)  # nobody serves
    ticket = join(desk, 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(desk.report, ticket)
        while not desk.tenants[ticket].waiting:
            pass
        desk.close()
        with pytest.raises(LeaseExpired):
            waiting.result()
