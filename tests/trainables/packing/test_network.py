"""Both forms of a stacked network against the networks themselves, in float64 where nothing but a mistake shows."""

import pytest
import torch
from torch import Tensor, nn

from trainables.model import VAE, initialise
from trainables.packing.network import FORMS, StackedVAE, dense

LANES, LATENTS, BATCH = 3, 4, 2


def networks(colours: int) -> list[VAE]:
    made = [VAE((colours, 64, 64), LATENTS).double() for _ in range(LANES)]
    for seed, network in enumerate(made):
        initialise(network, "he", seed)
        for parameter in network.parameters():  # biases are not zero
            parameter.data += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return made


def stacked(alone: list[VAE]) -> dict[str, Tensor]:
    every = [dict(network.named_parameters()) for network in alone]
    return {name: torch.stack([each[name].detach() for each in every]).requires_grad_() for name in every[0]}


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_the_stack_is_its_networks_and_so_are_its_gradients(form: str, colours: int) -> None:
    alone = networks(colours)
    weights, network = stacked(alone), StackedVAE(alone[0], FORMS[form])
    images = torch.rand(LANES, BATCH, 64, 64, colours, dtype=torch.float64)
    mean, log_std = network.encode(weights, images)
    logits = network.decode(weights, mean + log_std.exp())
    upstream = torch.randn_like(logits)
    gradients = torch.autograd.grad((logits * upstream).sum(), list(weights.values()))
    for lane, each in enumerate(alone):
        posterior = each.head(each.encoder(images[lane].permute(0, 3, 1, 2))).chunk(2, dim=1)
        decoded = each.decoder(posterior[0] + posterior[1].exp())
        torch.testing.assert_close((mean[lane], log_std[lane]), posterior, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(logits[lane].permute(0, 3, 1, 2), decoded, rtol=1e-10, atol=1e-12)
        theirs = torch.autograd.grad((decoded * upstream[lane].permute(0, 3, 1, 2)).sum(), list(each.parameters()))
        for ours, wanted in zip(gradients, theirs, strict=True):
            torch.testing.assert_close(ours[lane], wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("inputs", "outputs", "height", "width"), [(3, 2, 6, 10), (1, 3, 2, 2)])
def test_layers_are_pytorchs(form: str, inputs: int, outputs: int, height: int, width: int) -> None:
    layer = FORMS[form]
    features = torch.randn(LANES, BATCH, height, width, inputs, dtype=torch.float64)
    bias = torch.randn(LANES, outputs, dtype=torch.float64)
    down = torch.randn(LANES, outputs, inputs, 4, 4, dtype=torch.float64)
    up = down.transpose(1, 2).contiguous()
    halved = layer.leave(layer.halve(layer.enter(features), down, bias), LANES)
    doubled = layer.leave(layer.double(layer.enter(features), up, bias), LANES)
    for lane in range(LANES):
        planes = features[lane].permute(0, 3, 1, 2)
        small = nn.functional.conv2d(planes, down[lane], bias[lane], stride=2, padding=1)
        large = nn.functional.conv_transpose2d(planes, up[lane], bias[lane], stride=2, padding=1)
        torch.testing.assert_close(halved[lane].permute(0, 3, 1, 2), small)
        torch.testing.assert_close(doubled[lane].permute(0, 3, 1, 2), large)


def test_a_dense_layer_is_one_for_each_lane() -> None:
    inputs, kernel, bias = torch.randn(3, 5, 2), torch.randn(3, 2, 4), torch.randn(3, 4)
    expected = torch.stack([inputs[lane] @ kernel[lane] + bias[lane] for lane in range(3)])
    torch.testing.assert_close(dense(inputs, kernel, bias), expected)


def test_autocast_computes_in_bf16_as_it_does_for_a_network_alone() -> None:
    alone = networks(1)[:1]
    alone[0].float()
    weights, network = stacked(alone), StackedVAE(alone[0], FORMS["windows"])
    images = torch.rand(1, BATCH, 64, 64, 1)
    with torch.autocast("cpu", torch.bfloat16):
        (mean, _), (wanted, _) = network.encode(weights, images), alone[0].encode(images[0].permute(0, 3, 1, 2))
        logits = network.decode(weights, mean)
    assert mean.dtype == logits.dtype == torch.float32
    exact = network.encode(weights, images)[0]
    assert 0 < (mean - exact).abs().max() < 0.05 * exact.abs().max()
    assert (mean[0] - wanted).abs().max() < 0.05 * exact.abs().max()


def test_other_layers_are_refused() -> None:
    odd = VAE((1, 64, 64), LATENTS)
    odd.encoder[1] = nn.Tanh()
    with pytest.raises(TypeError, match="a layer of type Tanh cannot be stacked"):
        StackedVAE(odd, FORMS["windows"]).encode(stacked([odd]), torch.rand(1, 1, 64, 64, 1))
