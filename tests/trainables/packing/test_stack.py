"""One update of a stack against one of each trainer alone, from several saved states, on the real model."""

import contextlib
import dataclasses
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables import objectives
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.data.resident import Resident
from trainables.hardware import cpu_has_bf16
from trainables.packing.network import FORMS
from trainables.packing.stack import MOMENTS, WARM_UP, Stack, adam_
from trainables.trainer import ADAM_BETAS, ADAM_EPSILON, Trainer

EVALUATION = Evaluation(report_every=20, report_rows=20, probe_rows=40)
BASE = TrialConfig(steps=100, ramp_steps=50, batch_size=2, capacity_max=5.0, gamma=100.0, dataset="tiny", latents=4)
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"seed": 3, "gamma": 7.0, "capacity_max": 9.0, "capacity_start": 1.0, "ramp_steps": 3},
    {"objective": "beta_vae", "beta": 4.0, "seed": 7, "learning_rate": 1e-3},
    {"objective": "vae", "noise_seed": 9, "init": "pytorch"},
    {"objective": "beta_vae", "beta": 4.0, "beta_start": 1.0, "order_seed": 5, "ramp_steps": 10},
)
"""What may differ between the lanes of a stack."""
CPU = torch.device("cpu")


def trainers(dataset: Dataset, **changes: Any) -> list[Trainer]:
    return [
        Trainer(dataclasses.replace(BASE, **lane, **changes), EVALUATION, dataset, device="cpu") for lane in CHANGES
    ]


def doubled(made: list[Trainer]) -> list[Trainer]:
    for trainer in made:
        trainer.model.double()
    return made


def update_in_float64(trainer: Trainer) -> Tensor:
    """`Trainer.update` in plain words and double precision."""
    rows, noise = trainer._batch()
    images, model = trainer.passes.images(rows).double(), trainer.model
    mean, log_std = model.head(model.encoder(images)).chunk(2, dim=1)
    logits = model.decoder(mean + log_std.exp() * noise.double())
    recon, kl = objectives.reconstruction_loss(logits, images), objectives.gaussian_kl(mean, log_std)
    loss = objectives.objective(recon, kl, trainer.step, trainer.config)
    trainer.optimizer.zero_grad()
    loss.backward()
    trainer.optimizer.step()
    trainer.step += 1
    return loss.detach()


def state(trainer: Trainer) -> list[Tensor]:
    """Parameters and moments."""
    parameters = list(trainer.model.parameters())
    return [
        *(p.detach() for p in parameters),
        *(trainer.optimizer.state[p][name] for p in parameters for name in MOMENTS),
    ]


def distance(one: Trainer, other: Trainer) -> float:
    """Largest difference of a parameter or moment, against the largest of its tensor."""
    pairs = zip(state(one), state(other), strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs)


@pytest.mark.parametrize("form", FORMS)
def test_20_updates_are_those_of_each_alone_in_float64(tiny: Dataset, form: str) -> None:
    alone, packed = doubled(trainers(tiny)[:3]), doubled(trainers(tiny)[:3])
    stack = Stack(packed[0], Resident(tiny, CPU), width=4, form=form)
    stack.take(packed)
    for update in range(20):
        losses = torch.stack([update_in_float64(trainer) for trainer in alone])
        torch.testing.assert_close(stack.update()[: len(alone)], losses, rtol=1e-10, atol=1e-9)
        if update == 0:
            stack.give(packed)
            assert max(map(distance, packed, alone)) < 1e-10
    stack.give(packed)
    assert [trainer.step for trainer in packed] == [20] * len(packed)
    assert max(map(distance, packed, alone)) < 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("steps", [0, 1, 12])
def test_an_update_is_that_of_each_alone_from_saved_states(tiny: Dataset, form: str, steps: int) -> None:
    alone, packed = trainers(tiny), trainers(tiny)
    for one, other in zip(alone, packed, strict=True):
        for _ in range(steps + one.config.seed % 2):  # lanes need not be at one step
            one.update()
        other.load(one.state())
    stack = Stack(packed[0], Resident(tiny, CPU), width=len(packed), form=form)
    stack.take(packed)
    losses = stack.update()
    stack.give(packed)
    torch.testing.assert_close(losses, torch.stack([trainer.update() for trainer in alone]), rtol=1e-6, atol=0)
    assert max(map(distance, packed, alone)) < 1e-4
    for one, other in zip(alone, packed, strict=True):
        assert one.step == other.step
        assert one.optimizer.state_dict()["state"].keys() == other.optimizer.state_dict()["state"].keys()
        parameter = next(other.model.parameters())
        assert other.optimizer.state[parameter]["step"] == one.step


def test_an_update_knows_no_order_and_no_company_in_float64(tiny: Dataset) -> None:
    images, quiet, turned, few = Resident(tiny, CPU), *(doubled(trainers(tiny)[:3]) for _ in range(3))
    for lanes in (quiet, turned[::-1], few[1:2]):
        stack = Stack(lanes[0], images, width=4)
        stack.take(lanes)
        stack.update()
        stack.give(lanes)
    assert max(map(distance, turned, quiet)) < 1e-10
    assert distance(few[1], quiet[1]) < 1e-10


@pytest.mark.skipif(not cpu_has_bf16(), reason="no native bf16")
def test_bf16_is_as_near_to_fp32_as_bf16_alone_is(tiny: Dataset) -> None:
    exact, alone, packed = trainers(tiny), trainers(tiny, precision="bf16"), trainers(tiny, precision="bf16")
    stack = Stack(packed[0], Resident(tiny, CPU), width=len(packed))
    stack.take(packed)
    stack.update()
    stack.give(packed)
    for one, other, wanted in zip(alone, packed, exact, strict=True):
        one.update()
        wanted.update()
        noise = [(a - b).norm() for a, b in zip(state(one), state(wanted), strict=True)]
        ours = [(a - b).norm() for a, b in zip(state(other), state(wanted), strict=True)]
        assert 0.2 < float(torch.stack(ours).sum() / torch.stack(noise).sum()) < 3


def test_spare_lanes_and_what_was_before_change_nothing(tiny: Dataset) -> None:
    small, large = trainers(tiny)[:2], trainers(tiny)[:2]
    images = Resident(tiny, CPU)
    narrow, wide = Stack(small[0], images, width=2), Stack(large[0], images, width=4)
    with torch.no_grad():
        wide.flat.fill_(float("nan"))
        wide.moments.fill_(float("inf"))
        wide.finite.fill_(False)
    for stack, lanes in ((narrow, small), (wide, large)):
        stack.take(lanes)
        stack.run(2)
        stack.give(lanes)
    assert max(map(distance, small, large)) < 1e-5
    assert all(trainer.finite for trainer in large)


def test_a_lane_that_is_not_finite_leaves_the_others_as_they_are(tiny: Dataset) -> None:
    healthy, beside = trainers(tiny), trainers(tiny)
    with torch.no_grad():
        next(beside[1].model.parameters()).fill_(float("nan"))
    images = Resident(tiny, CPU)
    for lanes in (healthy, beside):
        stack = Stack(lanes[0], images, width=len(lanes))
        stack.take(lanes)
        stack.run(2)
        stack.give(lanes)
    assert [bool(trainer.finite) for trainer in beside] == [True, False, True, True, True]
    others = [0, 2, 3, 4]
    assert max(distance(beside[lane], healthy[lane]) for lane in others) == 0


def test_all_lanes_are_measured_together_as_each_alone(tiny: Dataset) -> None:
    lanes = trainers(tiny)
    probe = lanes[0].evaluator.probe
    stack = Stack(lanes[0], Resident(tiny, CPU), width=8)
    stack.take(lanes)
    together = stack.evaluate(probe.rows[:11], probe.noise)
    with torch.no_grad():
        for place, trainer in enumerate(lanes):
            alone = trainer.passes.losses(trainer.model, probe.rows[:11], probe.noise)
            for ours, theirs in zip(together, alone, strict=True):
                torch.testing.assert_close(ours[place], theirs, rtol=1e-4, atol=1e-5)


def test_adam_is_pytorchs_with_a_rate_and_a_count_for_each_lane() -> None:
    rates, begun = (1e-3, 0.3, 0.02), (0, 7, 100)
    stacked = torch.randn(3, 6, dtype=torch.float64)
    alone = [row.clone().requires_grad_() for row in stacked]
    optimizers = [
        torch.optim.Adam([row], lr=rate, betas=ADAM_BETAS, eps=ADAM_EPSILON)
        for row, rate in zip(alone, rates, strict=True)
    ]
    first, second = torch.zeros(2, 3, 6, dtype=torch.float64)
    for lane, (row, optimizer) in enumerate(zip(alone, optimizers, strict=True)):
        first[lane], second[lane] = torch.randn(6), torch.rand(6)
        optimizer.state[row] = {
            "step": torch.tensor(float(begun[lane])),
            "exp_avg": first[lane].clone(),
            "exp_avg_sq": second[lane].clone(),
        }
    for update in range(1, 4):
        gradient = torch.randn(3, 6, dtype=torch.float64)
        adam_(stacked, gradient, first, second, torch.tensor(begun) + update, torch.tensor(rates, dtype=torch.float64))
        for row, optimizer, grad in zip(alone, optimizers, gradient, strict=True):
            row.grad = grad
            optimizer.step()
    torch.testing.assert_close(stacked, torch.stack([row.detach() for row in alone]), rtol=1e-12, atol=1e-12)


def test_a_stack_gives_its_memory_back_when_it_is_dropped(tiny: Dataset) -> None:
    # Not when the garbage is next collected: on a GPU the next stack needs it at once.
    made = trainers(tiny)[:1]
    gc.disable()
    try:
        stack = Stack(made[0], Resident(tiny, CPU), width=1)
        stack.take(made)
        stack.run(1)
        gone = weakref.ref(stack)
        del stack
        assert gone() is None
    finally:
        gc.enable()


class Capturing(contextlib.AbstractContextManager["Capturing"]):
    """`torch.cuda.graph` where an update cannot be captured."""

    def __init__(self, graph: object) -> None: ...

    def __exit__(self, *about: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nsecond line")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """What capturing asks of a GPU, without one."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, fake in (
        ("Stream", lambda device: stream),
        ("current_stream", lambda device: stream),
        ("stream", lambda stream: contextlib.nullcontext()),
        ("CUDAGraph", SimpleNamespace),
        ("graph", Capturing),
    ):
        monkeypatch.setattr(torch.cuda, name, fake)


@pytest.mark.usefixtures("card")
def test_a_stack_that_cannot_be_captured_trains_without_and_says_so(tiny: Dataset) -> None:
    plain, fallen = trainers(tiny)[:2], trainers(tiny)[:2]
    images, notices = Resident(tiny, CPU), []
    for lanes, captures in ((plain, False), (fallen, True)):
        stack = Stack(lanes[0], images, width=2)
        stack.captures = captures
        stack.take(lanes)
        stack.run(1)  # warm-up and the failed attempt leave no trace
        stack.run(1)
        stack.give(lanes)
        notices.append(stack.notice)
    assert notices[0] is None
    assert "RuntimeError: operation not permitted when stream is capturing)" in notices[1]
    assert [trainer.step for trainer in fallen] == [2, 2]
    assert max(map(distance, fallen, plain)) == 0


@pytest.mark.usefixtures("card")
def test_a_capture_without_memory_is_out_of_memory(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    # Also where ending the capture then fails in turn: the pack is to narrow.
    lanes = trainers(tiny)[:1]
    stack = Stack(lanes[0], Resident(tiny, CPU), width=1)
    stack.captures = True
    stack.take(lanes)
    whole, made = stack.update, []

    def update() -> Tensor:
        made.append(1)
        if len(made) > WARM_UP:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole()

    monkeypatch.setattr(stack, "update", update)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        stack.run(1)
