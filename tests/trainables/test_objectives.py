import dataclasses
import math
import re
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables import objectives
from trainables.checks import ConfigError
from trainables.config import TrialConfig

FINITE = st.floats(-5, 5)


def test_kl_is_zero_only_at_the_prior() -> None:
    assert objectives.gaussian_kl(torch.zeros(1, 1), torch.zeros(1, 1)).item() == 0


@given(mean=FINITE, log_std=st.floats(-3, 2))
def test_kl_agrees_with_torch(mean: float, log_std: float) -> None:
    mu, log_sd = (torch.tensor([[value]], dtype=torch.float64) for value in (mean, log_std))
    prior = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    theirs = torch.distributions.kl_divergence(torch.distributions.Normal(mu, log_sd.exp()), prior)
    assert objectives.gaussian_kl(mu, log_sd).item() == pytest.approx(theirs.item())


def test_reconstruction_is_summed_over_pixels_of_each_image() -> None:
    logits, images = torch.zeros(2, 1, 64, 64), torch.ones(2, 1, 64, 64)
    assert objectives.reconstruction_loss(logits, images).tolist() == pytest.approx([4096 * math.log(2)] * 2)


@pytest.mark.parametrize(("step", "nats"), [(0, 0.5), (50, 12.75), (100, 25.0), (101, 25.0), (10_000, 25.0)])
def test_capacity_rises_linearly_and_holds(step: int, nats: float) -> None:
    config = TrialConfig(capacity_start=0.5, capacity_max=25.0, ramp_steps=100, steps=200)
    assert objectives.capacity(step, config) == pytest.approx(nats)


def test_without_a_ramp_the_capacity_is_there_after_one_update() -> None:
    config = TrialConfig(capacity_max=9.0, ramp_steps=1)
    assert [objectives.capacity(step, config) for step in (0, 1, 2)] == [0.0, 9.0, 9.0]


RECON, KL = torch.tensor([10.0, 20.0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("config", "loss"),
    [
        (TrialConfig(objective="vae"), 15 + 5),
        (TrialConfig(objective="beta_vae", beta=4.0), 15 + 4 * 5),
        # KL is 3 and 7: the batch mean is exactly C, so nothing is paid. Per-image deviations would cost 2 gamma.
        (TrialConfig(gamma=100.0, capacity_max=5.0, ramp_steps=1), 15),
        (TrialConfig(gamma=100.0, capacity_max=4.0, ramp_steps=1), 15 + 100),
        (TrialConfig(gamma=100.0, capacity_max=6.0, ramp_steps=1), 15 + 100),
    ],
)
def test_objectives_against_the_equations(config: TrialConfig, loss: float) -> None:
    assert objectives.objective(RECON, KL, 1, config).item() == pytest.approx(loss)


def own(recon: torch.Tensor, kl: torch.Tensor, step: int, config: TrialConfig) -> torch.Tensor:
    return recon.sum() + config.beta * step * kl.sum()


def per_image(recon: torch.Tensor, kl: torch.Tensor, step: int, config: TrialConfig) -> torch.Tensor:
    return recon


def cut(recon: torch.Tensor, kl: torch.Tensor, step: int, config: TrialConfig) -> torch.Tensor:
    return recon.mean().detach()


def number(recon: torch.Tensor, kl: torch.Tensor, step: int, config: TrialConfig) -> float:
    return 1.0


def named(function: str, monkeypatch: pytest.MonkeyPatch) -> TrialConfig:
    monkeypatch.setitem(sys.modules, "own_losses", sys.modules[__name__])
    return TrialConfig(objective=f"own_losses:{function}", beta=3.0)


def test_an_objective_of_ones_own_is_called_with_what_ours_get(monkeypatch: pytest.MonkeyPatch) -> None:
    recon, kl = torch.ones(4), torch.full((4, 2), 2.0)
    assert objectives.objective(recon, kl, 5, named("own", monkeypatch)).item() == 4 + 3 * 5 * 16


@pytest.mark.parametrize(
    ("function", "said"), [("per_image", "shape (4,)"), ("cut", "shape ()"), ("number", "type float")]
)
def test_what_cannot_be_descended_is_refused(function: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recon, kl = torch.ones(4, requires_grad=True), torch.ones(4, 2, requires_grad=True)
    with pytest.raises(ConfigError, match=re.escape(f"gave a loss of {said}; return a scalar")):
        objectives.objective(recon, kl, 5, named(function, monkeypatch))


def test_beta_goes_linearly_from_its_start_over_the_ramp_and_stays() -> None:
    config = TrialConfig(objective="beta_vae", beta=4.0, beta_start=64.0, ramp_steps=10, steps=20)
    assert [objectives.beta(step, config) for step in (0, 5, 10, 15)] == [64.0, 34.0, 4.0, 4.0]
    assert objectives.beta(3, dataclasses.replace(config, beta_start=None)) == 4.0
    assert objectives.beta(3, dataclasses.replace(config, objective="vae")) == 1.0
    recon, kl = torch.tensor([100.0, 102.0]), torch.tensor([[1.0, 0.5], [0.0, 1.5]])
    assert objectives.objective(recon, kl, 5, config).item() == pytest.approx(101 + 34 * 1.5)
