import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables import randomness

SEEDS = st.integers(0, 2**32 - 1)
STEPS = st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # known answers of Random123 1.14
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
         (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)  # fmt: skip
def test_philox_gives_the_known_answers(counter: tuple, key: tuple, words: tuple) -> None:
    c0, c1, c2, c3, k0, k1 = (torch.tensor([word]) for word in (*counter, *key))
    assert tuple(int(word) for word in randomness.philox((c0, c1, c2, c3), (k0, k1))) == words


@given(seeds=st.lists(SEEDS, min_size=1, max_size=4), step=STEPS, count=st.integers(1, 9))
def test_a_lane_gets_what_a_trial_alone_gets(seeds: list[int], step: int, count: int) -> None:
    steps = torch.arange(len(seeds)) + step
    packed = randomness.words(torch.tensor(seeds), randomness.NOISE, steps, count)
    alone = [randomness.words(seed, randomness.NOISE, step + i, count) for i, seed in enumerate(seeds)]
    assert torch.equal(packed, torch.stack(alone))


@given(seed=SEEDS, step=STEPS, short=st.integers(1, 20), more=st.integers(0, 20))
def test_a_longer_request_begins_with_the_shorter_one(seed: int, step: int, short: int, more: int) -> None:
    longer = randomness.normals(seed, randomness.NOISE, step, short + more)
    assert torch.equal(longer[:short], randomness.normals(seed, randomness.NOISE, step, short))


def test_seeds_streams_and_steps_differ() -> None:
    draws = {
        tuple(randomness.words(seed, stream, step, 4).tolist())
        for seed in range(3)
        for stream in range(4)
        for step in (0, 1, 2**32)
    }
    assert len(draws) == 3 * 4 * 3


def test_normals_are_normal_and_uncorrelated() -> None:
    draws = randomness.normals(1, randomness.NOISE, 2, 40_000).numpy()
    assert scipy.stats.kstest(draws, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(draws[::2], draws[1::2])[0, 1]) < 0.03


@given(seed=SEEDS, high=st.integers(1, 2**31 - 1))
def test_integers_stay_below_high(seed: int, high: int) -> None:
    draws = randomness.integers(seed, randomness.ORDER, 0, 100, high)
    assert 0 <= int(draws.min()) <= int(draws.max()) < high


def test_integers_are_uniform() -> None:
    counts = torch.bincount(randomness.integers(3, randomness.ORDER, 0, 50_000, 10), minlength=10)
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3


@given(seed=SEEDS, count=st.integers(1, 50))
def test_a_permutation_has_every_element_once(seed: int, count: int) -> None:
    order = randomness.permutation(seed, randomness.EVALUATION, 0, count)
    assert sorted(order.tolist()) == list(range(count))
