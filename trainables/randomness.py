"""Counter-based random numbers: every number is a function of (seed, stream, step, element) and of nothing else.

So a trial's batches and noise do not depend on interruptions, on neighbours in a pack, or on the device. The generator
is Philox4x32-10 in int64 arithmetic, which wraps the same way on CPU and GPU; normals are made in float64 and rounded
last, so that the devices' different logarithms do not show.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

import torch
from torch import Tensor

INIT, ORDER, NOISE, EVALUATION = range(4)
"""The streams of a seed."""

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = 0xFFFFFFFF
_ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Philox4x32-10: four random words for each counter.

    Args:
        counter: Four int64 tensors of words in [0, 2^32), of shapes that broadcast.
        key: Two such tensors.

    Returns:
        Four int64 tensors of words in [0, 2^32), of the broadcast shape.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def _multiply(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    product = a * b  # wraps modulo 2^64; both halves survive
    return (product >> 32) & _LOW, product & _LOW


def words(
    seed: int | Tensor, stream: int, step: int | Tensor, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Random 32-bit words.

    Args:
        seed: One seed, or a tensor of them, one a lane.
        stream: Which of the seed's streams.
        step: One step, or a tensor of them, one a lane.
        count: Words a lane; a longer request begins with the words of a shorter one.
        device: Where the words are made.

    Returns:
        int64 in [0, 2^32), shape (*lanes, count).
    """
    seed = torch.as_tensor(seed, dtype=torch.int64, device=device)[..., None]
    step = torch.as_tensor(step, dtype=torch.int64, device=device)[..., None]
    block = torch.arange((count + 3) // 4, dtype=torch.int64, device=device)
    zero = torch.zeros_like(block)
    counter = (block, (step & _LOW) + zero, (step >> 32) + zero, zero)
    quads = torch.stack(philox(counter, (seed, zero + stream)), dim=-1)
    return quads.flatten(-2)[..., :count]


def uniforms(
    seed: int | Tensor, stream: int, step: int | Tensor, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniforms in (0, 1), float64, shape (*lanes, count); arguments as in `words`."""
    return (words(seed, stream, step, count, device).double() + 0.5) / 2**32


def integers(
    seed: int | Tensor,
    stream: int,
    step: int | Tensor,
    count: int,
    high: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Integers in [0, high), int64, shape (*lanes, count); their bias is below high / 2^32."""
    return (words(seed, stream, step, count, device) * high) >> 32


def normals(
    seed: int | Tensor, stream: int, step: int | Tensor, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normals by Box and Muller, float32, shape (*lanes, count); arguments as in `words`."""
    pairs = uniforms(seed, stream, step, count + count % 2, device).unflatten(-1, (-1, 2))
    radius = torch.sqrt(-2 * torch.log(pairs[..., 0]))
    angle = 2 * torch.pi * pairs[..., 1]
    both = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
    return both.flatten(-2)[..., :count].float()


def permutation(seed: int, stream: int, step: int, count: int) -> Tensor:
    """A random order of `count` elements, int64; ties of words, about count^2 / 2^33, keep their order."""
    return torch.argsort(words(seed, stream, step, count), stable=True)
