from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trainables import speed
from trainables.checks import ConfigError
from trainables.config import TrialConfig
from trainables.packing.stack import Stack
from trainables.trainer import Trainer

TICK = 0.25


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still between updates."""
    now = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "updates"), [(0.0, 1), (1.0, 4)])
def test_updates_are_counted_once_warm_and_for_as_long_as_asked(
    tiny_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch, seconds: float, updates: int
) -> None:
    trained, update = [0], Trainer.update

    def ticking(trainer: Trainer) -> torch.Tensor:
        trained[0] += 1
        clock[0] += 100 if trained[0] <= speed.WARM_UP else TICK
        return update(trainer)

    monkeypatch.setattr(Trainer, "update", ticking)
    config = TrialConfig(batch_size=2, dataset=str(tiny_path))
    assert speed.updates_per_second(config, seconds, "cpu") == 1 / TICK
    assert trained[0] == speed.WARM_UP + updates


def test_a_packs_rate_is_that_of_each_lane(
    tiny_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    widths, run = [], Stack.run

    def ticking(stack: Stack, updates: int) -> None:
        widths.append(stack.width)
        clock[0] += TICK * updates
        run(stack, updates)

    monkeypatch.setattr(Stack, "run", ticking)
    config = TrialConfig(batch_size=2, dataset=str(tiny_path))
    assert speed.updates_per_second_packed(config, 0.0, lanes=3, device="cpu") == 1 / TICK
    assert widths == [4] * (speed.WARM_UP + 1)


def test_what_cannot_be_stacked_is_not_timed(tiny_path: Path) -> None:
    config = TrialConfig(objective="a.b:c", dataset=str(tiny_path))
    with pytest.raises(ConfigError, match=r"objective a\.b:c cannot be stacked; use --executor loop"):
        speed.updates_per_second_packed(config, 0.0, lanes=2, device="cpu")
