import dataclasses
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainables import objectives, trainer
from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.hardware import cpu_has_bf16
from trainables.trainer import Tracking, Trainer

CONFIG = TrialConfig(steps=7, ramp_steps=5, batch_size=4, capacity_max=3.0, gamma=10.0, dataset="tiny")
EVALUATION = Evaluation(report_every=2, report_rows=20, probe_rows=40)
UNTIMED = ("seconds", "steps_per_second")
PRECISIONS = [
    "fp32",
    pytest.param("bf16", marks=pytest.mark.skipif(not cpu_has_bf16(), reason="no native bf16")),
]


def make(dataset: Dataset, **changes: Any) -> Trainer:
    return Trainer(dataclasses.replace(CONFIG, **changes), EVALUATION, dataset, device="cpu")


def finish(run: Trainer) -> list[dict[str, Any]]:
    rows = []
    while True:
        report = run.run_to_report()
        rows.append({name: value for name, value in report.row.items() if name not in UNTIMED})
        if report.done:
            return rows


def same(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def weights(run: Trainer) -> list[torch.Tensor]:
    return list(run.model.state_dict().values())


def test_reports_are_at_the_interval_the_ramps_end_and_the_end(tiny: Dataset) -> None:
    rows = finish(make(tiny))
    assert [(row["step"], row["full"], row["done"]) for row in rows] == [
        (2, False, False), (4, False, False), (5, True, False), (6, False, False), (7, True, True),
    ]  # fmt: skip
    assert "mig_calibrated" in rows[-1]
    assert "mig_calibrated" not in rows[2]
    assert [row["capacity"] for row in rows] == pytest.approx([1.2, 2.4, 3.0, 3.0, 3.0])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("reports", [1, 2, *(pytest.param(number, marks=pytest.mark.slow) for number in (3, 4))])
def test_resumed_is_uninterrupted_bit_for_bit(tiny: Dataset, reports: int, precision: str) -> None:
    whole = make(tiny, precision=precision)
    expected = finish(whole)
    first = make(tiny, precision=precision)
    for _ in range(reports):
        first.run_to_report()
    second = make(tiny, precision=precision, seed=0)
    second.load(first.state())
    rows = finish(second)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))
    for row, wanted in zip(rows, expected[reports:], strict=True):
        assert {name for name in wanted if not same(row[name], wanted[name])} == set()


class Noisy(nn.Module):
    """A model of one's own that draws random numbers of torch's own while it trains."""

    def __init__(self, image_shape: tuple[int, int, int], latents: int) -> None:
        super().__init__()
        pixels = math.prod(image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(pixels, 2 * latents))
        self.decoder = nn.Sequential(nn.Linear(latents, pixels), nn.Unflatten(1, image_shape))

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.encoder(images).chunk(2, dim=1)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return self.decoder(codes)


def test_an_own_models_dropout_is_a_function_of_seed_and_step(tiny: Dataset) -> None:
    own = f"{__name__}:Noisy"
    whole, first, second = (make(tiny, model=own) for _ in range(3))
    finish(whole)
    first.run_to_report()
    torch.rand(3)  # whatever else the process draws
    second.load(first.state())
    finish(second)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))
    other = make(tiny, model=own, noise_seed=5, learning_rate=0.01)
    plain = make(tiny, model=own, noise_seed=5, learning_rate=0.01)
    plain.model.eval()  # no dropout
    assert other.update() != plain.update()


def test_a_final_state_gives_the_final_report_again(tiny: Dataset) -> None:
    # A driver killed between the final weights and the final event asks for this.
    first = make(tiny, ramp_steps=7)
    expected = finish(first)[-1]
    again = make(tiny, ramp_steps=7)
    again.load(first.state())
    row = finish(again)[0]
    assert {name for name in expected if not same(row[name], expected[name])} == set()


def test_a_finished_state_keeps_weights_only(tiny: Dataset) -> None:
    run = make(tiny)
    run.run_to_report()
    running = run.state()
    finish(run)
    assert len(run.state()) < 0.4 * len(running)
    assert torch.load(io.BytesIO(run.state()), weights_only=True)["optimizer"] is None


def test_another_trials_state_is_refused(tiny: Dataset) -> None:
    with pytest.raises(ConfigError, match="give its own"):
        make(tiny).load(make(tiny, gamma=11.0).state())
    with pytest.raises(ConfigError, match="cannot be read"):
        make(tiny).load(make(tiny).state()[:-100])


def test_an_update_is_adam_on_the_objective_of_the_drawn_batch(tiny: Dataset) -> None:
    run, plain = make(tiny), make(tiny)
    rows, noise = plain._batch()
    images = torch.from_numpy(tiny.batch(rows))
    mean, log_std = plain.model.encode(images)
    logits = plain.model.decode(mean + log_std.exp() * noise)
    recon = objectives.reconstruction_loss(logits, images)
    loss = objectives.objective(recon, objectives.gaussian_kl(mean, log_std), 0, plain.config)
    gradients = torch.autograd.grad(loss, list(plain.model.parameters()))
    rate = plain.config.learning_rate
    assert run.update().item() == pytest.approx(loss.item(), rel=1e-6)
    for before, after, gradient in zip(plain.model.parameters(), run.model.parameters(), gradients, strict=True):
        # Adam's first step: bias correction makes it rate * g / (|g| + eps).
        torch.testing.assert_close(after, before - rate * gradient / (gradient.abs() + 1e-8), atol=2e-5, rtol=0)


def test_training_never_sees_held_out_rows(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    original = Dataset.batch
    monkeypatch.setattr(Dataset, "batch", lambda self, rows: (seen.update(map(int, rows)), original(self, rows))[1])
    run = make(tiny)
    for _ in range(30):
        run.update()
    assert seen
    assert not seen & set(map(int, tiny.held_out_rows))


def test_seeds_and_only_seeds_change_the_draws(tiny: Dataset) -> None:
    rows, noise = make(tiny)._batch()
    other_gamma, other_gamma_noise = make(tiny, gamma=3.0)._batch()
    assert rows.tolist() == other_gamma.tolist()
    assert torch.equal(noise, other_gamma_noise)
    ordered, ordered_noise = make(tiny, order_seed=9)._batch()
    assert rows.tolist() != ordered.tolist()
    assert torch.equal(noise, ordered_noise)


def test_a_loss_that_is_not_finite_ends_as_diverged(tiny: Dataset) -> None:
    run = make(tiny, learning_rate=1.0, gamma=1e9)
    reports = [run.run_to_report()]
    while not reports[-1].done:
        reports.append(run.run_to_report())
    assert reports[-1].diverged
    assert reports[-1].row == {}


def test_weights_that_are_not_finite_end_as_diverged(tiny: Dataset) -> None:
    run = make(tiny)
    run.run_to_report()
    original = run.update

    def spoil() -> torch.Tensor:
        loss = original()
        with torch.no_grad():
            run.model.head.bias.fill_(float("inf"))
        run.finite.fill_(True)
        return loss

    run.update = spoil  # type: ignore[method-assign]
    assert run.run_to_report().diverged


def test_posteriors_too_narrow_for_their_precision_end_as_diverged(tiny: Dataset) -> None:
    run = make(tiny)
    with torch.no_grad():
        run.model.head.bias[10:] = -120.0
    run.update = lambda: setattr(run, "step", run.step + 1) or torch.zeros(())  # type: ignore[method-assign]
    assert run.run_to_report().diverged


def test_without_a_ramp_there_is_nothing_to_track_and_no_ramps_end(tiny: Dataset) -> None:
    rows = finish(make(tiny, ramp_steps=1))
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    assert [row["full"] for row in rows] == [False, False, False, True]
    assert all(math.isnan(row["tracking"]) for row in rows)
    assert "KL cannot follow" not in {row["verdict"] for row in rows}


def test_tracking_averages_over_the_ramp_and_counts_a_report_once() -> None:
    tracking = Tracking().with_report(2, 1.0).with_report(4, 2.0).with_report(4, 2.0)
    assert tracking.mean == 1.5
    assert math.isnan(Tracking().mean)


def test_the_command_trains_and_goes_on_from_its_checkpoint(
    tiny_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for setting in (
        f"dataset={tiny_path}", "steps=4", "ramp_steps=2", "batch_size=4", "report_every=2", "probe_rows=30",
        "report_rows=20", "capacity_max=2",
    ) for word in ("--set", setting)]  # fmt: skip
    checkpoint = tmp_path / "model.pt"
    assert trainer.main([*words, "--checkpoint", str(checkpoint)]) == 0
    first = capsys.readouterr().out
    assert [line.split(":")[0] for line in first.splitlines()] == ["step 2", "step 4"]
    assert trainer.main([*words, "--checkpoint", str(checkpoint)]) == 0
    assert capsys.readouterr().out.splitlines()[0].split(", seconds")[0] in first


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("gama=1", "did you mean gamma"),
        ("gamma=1,2", "gamma has several values"),
        ("dataset=dsprite", "dsprites"),
    ],
)
def test_the_command_refuses_bad_input_in_one_line(setting: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert trainer.main(["--set", setting]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert said in errors[0]
