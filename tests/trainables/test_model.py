import re
import sys

import pytest
import torch
from torch import nn

from trainables.checks import ConfigError
from trainables.config import TrialConfig
from trainables.model import VAE, Doubling, build, initialise


def test_the_encoder_is_the_papers() -> None:
    model = VAE((1, 64, 64), latents=10)
    convolutions = [module for module in model.encoder if isinstance(module, nn.Conv2d)]
    dense = [module for module in model.encoder if isinstance(module, nn.Linear)]
    assert [(c.out_channels, c.kernel_size, c.stride) for c in convolutions] == [(32, (4, 4), (2, 2))] * 4
    assert [layer.out_features for layer in dense] == [256, 256]
    assert model.head.out_features == 20


def test_the_decoder_is_its_transpose() -> None:
    model = VAE((3, 64, 64), latents=10)
    down = [m for m in model.encoder if isinstance(m, nn.Conv2d | nn.Linear)]
    up = [m for m in model.decoder if isinstance(m, nn.ConvTranspose2d | nn.Linear)]
    shapes = [tuple(m.weight.shape) for m in reversed(down)]
    turned = [tuple(m.weight.shape) if m.weight.ndim == 4 else tuple(m.weight.T.shape) for m in up[1:]]
    assert turned == shapes
    assert tuple(up[0].weight.shape) == (256, 10)


@pytest.mark.parametrize("colours", [1, 3])
def test_shapes(colours: int) -> None:
    model = VAE((colours, 64, 64), latents=7)
    mean, log_std = model.encode(torch.rand(5, colours, 64, 64))
    assert mean.shape == log_std.shape == (5, 7)
    assert model.decode(mean).shape == (5, colours, 64, 64)


@pytest.mark.parametrize(("inputs", "outputs", "height", "width"), [(32, 32, 4, 4), (3, 1, 5, 7), (1, 3, 1, 2)])
def test_doubling_is_a_transposed_convolution(inputs: int, outputs: int, height: int, width: int) -> None:
    layer = Doubling(inputs, outputs).double()
    features = torch.randn(2, inputs, height, width, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, outputs, 2 * height, 2 * width, dtype=torch.float64)
    both = layer(features), nn.ConvTranspose2d.forward(layer, features)
    torch.testing.assert_close(*both)
    ours, theirs = (torch.autograd.grad(out, [features, *layer.parameters()], upstream) for out in both)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_doubling_takes_any_memory_format() -> None:
    layer, features = Doubling(4, 2), torch.randn(2, 4, 3, 3)
    plain = nn.ConvTranspose2d.forward(layer, features)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        layer.to(memory_format=memory_format)  # type: ignore[call-overload]
        torch.testing.assert_close(layer(features.contiguous(memory_format=memory_format)), plain)


def test_other_image_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match=re.escape("images of 32 x 32 pixels do not fit the network")):
        VAE((1, 32, 32), latents=10)


@pytest.mark.parametrize("init", ["he", "pytorch"])
def test_initialisation_is_a_function_of_its_seed(init: str) -> None:
    first, again, other = (VAE((1, 64, 64), 10) for _ in range(3))
    initialise(first, init, seed=3)
    initialise(again, init, seed=3)
    initialise(other, init, seed=4)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs if a.ndim > 1)


def test_pytorch_initialisation_has_the_librarys_spread() -> None:
    torch.manual_seed(0)
    ours, theirs = VAE((1, 64, 64), 10), VAE((1, 64, 64), 10)
    initialise(ours, "pytorch", seed=0)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        if a.numel() > 1000:
            assert a.std().item() == pytest.approx(b.std().item(), rel=0.05)


def test_he_initialisation_keeps_the_scale_of_its_input() -> None:
    model = VAE((1, 64, 64), 10)
    initialise(model, "he", seed=0)
    features = torch.relu(torch.randn(16, 32, 16, 16))
    layers = [model.decoder[index] for index in (7, 9, 11)]
    for layer in layers:
        before, features = features, torch.relu(layer(features))
        ratio = features[:, :, 2:-2, 2:-2].square().mean() / before.square().mean()
        assert 0.6 < ratio.item() < 1.6
    mean, log_std = model.encode((torch.rand(64, 1, 64, 64) > 0.95).float())
    assert mean.std().item() < 0.3
    assert log_std.std().item() < 0.3


class Narrow(nn.Module):
    """Forgets a latent."""

    def __init__(self, image_shape: tuple[int, int, int], latents: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Flatten(), nn.Linear(12, latents - 1))

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner(images), self.inner(images)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes


class Mute(nn.Module):
    def __init__(self, image_shape: tuple[int, int, int], latents: int) -> None:
        super().__init__()


def test_our_model_is_built_from_the_init_seed_alone() -> None:
    one, same, other = (build(TrialConfig(seed=seed, init_seed=init), (1, 64, 64)) for seed, init in
                        ((0, 3), (1, 3), (0, 4)))  # fmt: skip
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_a_model_of_ones_own_initialises_itself_from_the_seed_and_disturbs_nobody() -> None:
    config = TrialConfig(model="examples.dense_vae:DenseVAE", latents=3, seed=5)
    before = torch.random.get_rng_state()
    one, same = build(config, (1, 4, 3)), build(config, (1, 4, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.training
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    other = build(TrialConfig(model="examples.dense_vae:DenseVAE", latents=3, seed=6), (1, 4, 3))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Narrow", "encode's mean of 2 images are of shape (2, 2), not (2, 3)"),
        ("Mute", "has no attribute 'encode'"),
        ("build", "is no subclass of torch.nn.Module; give a class that is one"),  # a function, and so never called
    ],
)
def test_a_model_that_does_not_work_is_refused(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "own_models", sys.modules[__name__])
    with pytest.raises(ConfigError, match=re.escape(said)):
        build(TrialConfig(model=f"own_models:{name}", latents=3), (1, 4, 3))
