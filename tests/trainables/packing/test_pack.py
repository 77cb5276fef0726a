"""Laws of a pack, whatever its executor: nothing that happens in one lane is felt in another."""

import dataclasses
import gc
import itertools
import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.measurement import Measurement
from trainables.packing import pack as packing
from trainables.packing.desk import PackFailed
from trainables.packing.pack import Pack
from trainables.packing.stack import Stack
from trainables.trainer import Trainer

EVALUATION = Evaluation(report_every=2, report_rows=8, probe_rows=12)
BASE = TrialConfig(steps=5, ramp_steps=3, batch_size=2, latents=3, capacity_max=3.0, gamma=10.0, dataset="tiny")
EXECUTORS = ("loop", "stacked")
Heard = dict[str, list[Measurement]]
"""What each lane's trial was told, in order."""
FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def lane(**changes: Any) -> TrialConfig:
    return dataclasses.replace(BASE, **changes)


lanes = st.builds(
    lane,
    objective=st.sampled_from(["capacity", "beta_vae", "vae"]),
    beta=st.sampled_from([1.0, 8.0]),
    gamma=st.sampled_from([1.0, 100.0]),
    seed=st.integers(0, 99),
    ramp_steps=st.integers(1, 5),
    learning_rate=st.sampled_from([1e-4, 1e-3]),
)
"""Trials that one pack may hold."""
packs = st.lists(lanes, min_size=2, max_size=4, unique_by=TrialConfig.key)


def pack(dataset: Dataset, executor: str, configs: list[TrialConfig]) -> Pack:
    made = Pack(EVALUATION, dataset, executor, device="cpu")
    for config in configs:
        made.join(config.key(), config)
    return made


def step_of(measured: Measurement | Exception) -> int:
    assert isinstance(measured, Measurement), measured
    return measured.step


def finish(running: Pack) -> Heard:
    """Every measurement of every lane, lanes leaving at their ends."""
    heard: Heard = {name: [] for name in running.lanes}
    while running.lanes:
        for name, measured in list(running.advance(list(running.lanes))):
            assert isinstance(measured, Measurement), measured
            heard[name].append(measured)
            if measured.done:
                running.leave(name)
    return heard


def alone(dataset: Dataset, config: TrialConfig) -> list[Measurement]:
    trainer, heard = Trainer(config, EVALUATION, dataset, device="cpu"), []
    while not heard or not heard[-1].done:
        heard.append(trainer.advance())
    return heard


def assert_same(ours: Measurement, theirs: Measurement, executor: str) -> None:
    """Bit for bit by the loop; stacked, as near as the order of sums in float32 lets few updates be."""
    assert (ours.step, ours.done, ours.updates, ours.full is None) == (
        theirs.step, theirs.done, theirs.updates, theirs.full is None,
    )  # fmt: skip
    for name in ("recon", "objective_value", "capacity", "tracking", "mean", "log_std"):
        one, other = (np.asarray(getattr(each, name)) for each in (ours, theirs))
        if executor == "loop":
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-3)


def assert_all_same(heard: Heard, expected: Heard, executor: str) -> None:
    """Every report of every lane that was heard of."""
    for name, ours in heard.items():
        for one, other in zip(ours, expected[name], strict=True):
            assert_same(one, other, executor)


@pytest.mark.parametrize("executor", EXECUTORS)
@given(configs=packs)
@FEW
def test_a_lane_is_its_trial_alone_with_one_report_at_each_of_its_steps(
    tiny: Dataset, executor: str, configs: list[TrialConfig]
) -> None:
    heard = finish(pack(tiny, executor, configs))
    assert_all_same(heard, {config.key(): alone(tiny, config) for config in configs}, executor)
    assert all(a.step < b.step for ours in heard.values() for a, b in itertools.pairwise(ours))


@pytest.mark.parametrize("executor", EXECUTORS)
@given(configs=packs, data=st.data())
@FEW
def test_order_company_and_moves_change_nothing(
    tiny: Dataset, executor: str, configs: list[TrialConfig], data: st.DataObject
) -> None:
    quiet = finish(pack(tiny, executor, configs))
    others = data.draw(st.permutations(configs))
    busy = pack(tiny, executor, others[:-1])
    late: TrialConfig | None = others[-1]
    heard: Heard = {config.key(): [] for config in configs}
    while busy.lanes:
        resting = data.draw(st.sampled_from(sorted(busy.lanes)))
        awake = [name for name in busy.lanes if name != resting or len(busy.lanes) == 1]
        for name, measured in list(busy.advance(awake)):
            assert isinstance(measured, Measurement)
            heard[name].append(measured)
            moved = None if measured.done else busy.state(name)
            busy.leave(name)
            if moved:  # out and in again by its checkpoint
                config = next(each for each in configs if each.key() == name)
                busy.join(name, config, moved)
        if late:
            busy.join(late.key(), late)
            late = None
    assert_all_same(heard, quiet, executor)


@pytest.mark.parametrize("executor", EXECUTORS)
@given(configs=packs, data=st.data())
@FEW
def test_a_lane_that_diverges_ends_alone(
    tiny: Dataset, executor: str, configs: list[TrialConfig], data: st.DataObject
) -> None:
    quiet = finish(pack(tiny, executor, configs))
    busy = pack(tiny, executor, configs)
    spoilt = data.draw(st.sampled_from(sorted(busy.lanes)))
    with torch.no_grad():
        next(busy.lanes[spoilt].model.parameters()).fill_(float("nan"))
    heard = finish(busy)
    (end,) = heard.pop(spoilt)
    assert (end.diverged, end.done) == (True, True)
    assert_all_same(heard, quiet, executor)
    assert all(math.isfinite(each.recon) for ours in heard.values() for each in ours)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_checkpoint_is_that_of_the_trial_alone(tiny: Dataset, executor: str) -> None:
    running, trainer = pack(tiny, executor, [BASE]), Trainer(BASE, EVALUATION, tiny, device="cpu")
    list(running.advance([BASE.key()]))
    trainer.advance()
    fresh = Trainer(BASE, EVALUATION, tiny, device="cpu")
    fresh.load(running.state(BASE.key()))
    ours, theirs = fresh.advance(), trainer.advance()
    assert_same(ours, theirs, executor)
    assert len(running.state(BASE.key())) == pytest.approx(len(fresh.state()), rel=0.01)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_ended_lane_only_measures_again(tiny: Dataset, executor: str) -> None:
    trainer = Trainer(BASE, EVALUATION, tiny, device="cpu")
    while not (last := trainer.advance()).done:
        pass
    running = pack(tiny, executor, [])
    running.join("again", BASE, trainer.state())
    ((_, measured),) = running.advance(["again"])
    assert isinstance(measured, Measurement)
    assert (measured.step, measured.done, measured.updates) == (5, True, 0)
    assert measured.recon == pytest.approx(last.recon, rel=1e-5)


def test_lanes_of_other_structure_are_stacked_apart(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    take = Stack.take
    monkeypatch.setattr(
        Stack, "take", lambda stack, some: seen.append((some[0].config.latents, len(some))) or take(stack, some)
    )
    others = [dataclasses.replace(BASE, seed=seed, latents=4) for seed in (1, 2)]
    heard = finish(pack(tiny, "stacked", [BASE, *others]))
    assert {count for count in seen if count[0] == 3} == {(3, 1)}
    assert {count for count in seen if count[0] == 4} == {(4, 2)}
    assert all(measured[-1].done for measured in heard.values())


def rationed(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A device with memory for so many lanes."""
    run, update = Stack.run, Trainer.update

    def check(lanes: int) -> None:
        if lanes > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words.")

    monkeypatch.setattr(Stack, "run", lambda stack, updates: check(stack.width) or run(stack, updates))
    monkeypatch.setattr(Trainer, "update", lambda trainer: check(1) or update(trainer))


def test_lanes_that_do_not_fit_train_in_turn_and_lose_nothing(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [dataclasses.replace(BASE, seed=seed) for seed in range(5)]
    quiet = finish(pack(tiny, "stacked", configs))
    rationed(monkeypatch, room=2)
    narrow = pack(tiny, "stacked", configs)
    heard = finish(narrow)
    assert narrow.notices == [
        "no memory for 5 lanes at once: they train 4 at a time",
        "no memory for 4 lanes at once: they train 2 at a time",
    ]
    assert_all_same(heard, quiet, "stacked")


@pytest.mark.parametrize("where", ["evaluate", "measure"])
def test_a_report_that_does_not_fit_is_made_again_and_not_passed_by(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    configs = [dataclasses.replace(BASE, seed=seed) for seed in range(3)]
    quiet = finish(pack(tiny, "stacked", configs))
    owner, calls = Stack if where == "evaluate" else Trainer, itertools.count()
    made = getattr(owner, where)

    def made_at_the_second_try(*arguments: Any) -> Any:
        if next(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return made(*arguments)

    monkeypatch.setattr(owner, where, made_at_the_second_try)
    heard = finish(pack(tiny, "stacked", configs))
    assert next(calls) > 2
    for name, ours in heard.items():
        assert [each.step for each in ours] == [each.step for each in quiet[name]]


def test_what_a_stack_has_to_say_is_said_once(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Stack.run

    def run_without_a_graph(stack: Stack, updates: int) -> None:
        if stack.captures is False:
            stack.captures, stack.notice = True, "no CUDA graph"  # as `_captured` leaves it, once a stack
        run(stack, updates)

    monkeypatch.setattr(Stack, "run", run_without_a_graph)
    monkeypatch.setattr(Stack, "_captured", lambda stack: None)
    running, said = pack(tiny, "stacked", [BASE]), []
    for _ in range(2):
        list(running.advance([BASE.key()]))
        said += running.notices
        running.notices.clear()  # as the desk does
    assert said == ["no CUDA graph"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_lane_that_does_not_fit_alone_is_told_why(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    rationed(monkeypatch, room=0)
    running = pack(tiny, executor, [BASE, dataclasses.replace(BASE, seed=1)])
    told = dict(running.advance([BASE.key()]))
    with pytest.raises(ConfigError, match=r"batch_size=2 does not fit the device's memory \(CUDA .* GiB\.\); lower it"):
        raise told[BASE.key()]  # type: ignore[misc]


def test_a_dataset_that_does_not_fit_is_told_to_every_lane(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 5.90 GiB.")

    monkeypatch.setattr(packing, "Resident", full)
    configs = [BASE, dataclasses.replace(BASE, seed=1)]
    told = dict(pack(tiny, "stacked", configs).advance([config.key() for config in configs]))
    assert [str(error) for error in told.values()] == [
        "0.0 GB of images do not fit the device's memory (CUDA out of memory. Tried to allocate 5.90 GiB.); use "
        "--executor loop with another --store"
    ] * 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"objective": "a.b:c"}, "objective a.b:c"), ({"model": "a.b:C"}, "model a.b:C"),
     ({"model": "burgess2018-generator"}, "model burgess2018-generator")],
)  # fmt: skip
def test_what_has_no_stacked_form_is_refused(tiny: Dataset, changes: dict[str, Any], named: str) -> None:
    config = dataclasses.replace(BASE, **changes)
    with pytest.raises(ConfigError, match=f"{named} cannot be stacked; use --executor loop"):
        pack(tiny, "stacked", [config])


def test_a_failure_of_one_lane_is_its_own(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(BASE, seed=1)
    for executor in EXECUTORS:
        running = pack(tiny, executor, [BASE, other])
        monkeypatch.setattr(running.lanes[other.key()], "_measured", lambda passed: 1 / 0)
        told = dict(running.advance([BASE.key(), other.key()]))
        assert isinstance(told[other.key()], ZeroDivisionError)
        assert step_of(told[BASE.key()]) == 2


def test_a_failure_of_the_device_is_everybodys(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(passed: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert")

    for executor in EXECUTORS:
        running = pack(tiny, executor, [BASE])
        monkeypatch.setattr(running.lanes[BASE.key()], "_measured", lost)
        with pytest.raises(torch.AcceleratorError):
            list(running.advance([BASE.key()]))


def test_a_device_that_fails_as_a_lane_is_taken_has_failed_for_all(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*arguments: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert")

    monkeypatch.setattr(packing, "Trainer", lost)
    with pytest.raises(PackFailed, match="AcceleratorError: CUDA error: device-side assert"):
        pack(tiny, "loop", [BASE])


def test_the_least_width_that_holds_all_is_taken(tiny: Dataset) -> None:
    running = pack(tiny, "stacked", [dataclasses.replace(BASE, seed=seed) for seed in range(3)])
    widths = []
    while running.lanes:
        list(running.advance(list(running.lanes)))
        assert running.stacks.stack is not None
        widths.append(running.stacks.stack.width)
        running.leave(next(iter(running.lanes)))
    assert widths == [4, 2, 1]
    assert set(widths) <= set(packing.WIDTHS)


@pytest.mark.parametrize("room", [1, 4])
def test_a_stack_is_gone_before_the_next_one_is_made(tiny: Dataset, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    # On a GPU the two would have to fit beside each other.
    made, begin, run = list[weakref.ref[Stack]](), Stack.__init__, Stack.run

    def run_if_it_fits(stack: Stack, updates: int) -> None:
        if stack.width > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        run(stack, updates)

    def init(stack: Stack, *told: Any, **more: Any) -> None:
        assert [ref for ref in made if ref() is not None] == []
        made.append(weakref.ref(stack))
        begin(stack, *told, **more)

    monkeypatch.setattr(Stack, "__init__", init)
    monkeypatch.setattr(Stack, "run", run_if_it_fits)
    running = pack(tiny, "stacked", [lane(ramp_steps=1), lane(seed=1, steps=1, ramp_steps=1), lane(seed=2)])
    gc.disable()  # it would hide what still holds them
    try:
        finish(running)
    finally:
        gc.enable()
    assert len(made) > 1
