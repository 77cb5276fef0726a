import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables import fragmentation as module
from trainables.fragmentation import VALUES, Fragmentation, fragmentation
from trainables.metrics.inputs import MetricError

SIZE, RANGE = 64, 40.0
ROWS, COLUMNS = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")


def blobs(rows, columns, sd=3.0, peak=1.0):
    """Gaussian blobs, (n, 64, 64), of centres (n,) each."""
    far = (ROWS - np.reshape(rows, (-1, 1, 1))) ** 2 + (COLUMNS - np.reshape(columns, (-1, 1, 1))) ** 2
    return (peak * np.exp(-far / (2 * sd**2))).astype(np.float32)


def smooth(codes):
    """x by latent 0, y by latent 1."""
    return blobs(32 + 6 * codes[:, 1], 32 + 6 * codes[:, 0])


def leaping(codes):
    """As `smooth`, with 20 pixels between z0 < 0 and z0 >= 0."""
    return blobs(32 + 6 * codes[:, 1], np.where(codes[:, 0] < 0, 12, 32) + 3 * codes[:, 0])


def twofold(codes, peak=1.0):
    """A second blob where |z0| < 0.5."""
    second = blobs(np.full(len(codes), 52), 52, peak=peak) * (np.abs(codes[:, 0]) < 0.499).reshape(-1, 1, 1)
    return blobs(np.full(len(codes), 12), 12) + second


def even_map(low=-3.0, high=3.0, latents=2):
    """A position map whose latents take 101 values each: their 1 % and 99 % quantiles are the second and last but one.

    So that the range from 1 to 99 % is `low` to `high`.
    """
    step = (high - low) / 98
    values = np.linspace(low - step, high + step, 101)
    return np.repeat(np.repeat(values[:, None, None], 2, axis=1), latents, axis=2)


def bases(count=8, latents=2, seed=0):
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (count, latents)).astype(np.float32)


def traversed(decode, latents=(True, True), means=None, codes=None, position_range=RANGE) -> Fragmentation:
    means = even_map() if means is None else means
    return fragmentation(decode, bases() if codes is None else codes, means, np.array(latents), position_range)


def components(frame):
    """The brightness of each component above half peak, by flood filling, eight neighbours."""
    left = {(int(a), int(b)) for a, b in np.argwhere(frame > frame.max() / 2)}
    masses = []
    while left:
        border, mass = [left.pop()], 0.0
        while border:
            a, b = border.pop()
            mass += float(frame[a, b])
            near = {(a + i, b + k) for i in (-1, 0, 1) for k in (-1, 0, 1)} & left
            left -= near
            border += near
        masses.append(mass)
    return masses


def plain(decode, codes, means, latents, position_range):
    """The slow twin: one frame at a time."""
    jumps, ghosts, traversals, frames = 0, 0, 0, 0
    for j in range(len(latents)):
        low, high = np.quantile(means[:, :, j].ravel(), [0.01, 0.99])
        values = [-3 + 0.05 * step for step in range(121) if low <= VALUES[step] <= high]
        if not latents[j] or len(values) < 2:
            continue
        for code in codes:
            traversals, last = traversals + 1, None
            for value in values:
                moved = np.array(code, dtype=np.float32)
                moved[j] = value
                frame = decode(moved[None])[0].astype(np.float64)
                masses = components(frame)
                ghosts += sum(mass >= 0.2 * sum(masses) for mass in masses) >= 2
                frames += 1
                place = None
                if frame.sum() > 0:
                    place = np.array([(frame.sum(1 - k) * np.arange(frame.shape[k])).sum() for k in (0, 1)])
                    place = place / frame.sum()
                if last is not None and place is not None:
                    jumps += math.dist(place, last) > 0.1 * position_range
                last = place
    return Fragmentation(jumps / traversals, ghosts / frames, traversals, frames)


def patches(seed, black=False):
    """A decoder of 9 x 7 frames of a few random rectangles; the frame is a function of the code alone."""

    def decode(codes):
        frames = np.zeros((len(codes), 9, 7), dtype=np.float32)
        for frame, code in zip(frames, codes, strict=True):
            digits = np.round(code.astype(np.float64) * 100).astype(np.int64) + 10_000
            generator = np.random.default_rng([seed, *digits])
            for _ in range(generator.integers(0 if black else 1, 5)):
                a, b = generator.integers(9), generator.integers(7)
                frame[a : a + generator.integers(1, 4), b : b + generator.integers(1, 4)] = generator.uniform(0.2, 1)
        return frames

    return decode


def test_a_smooth_decoder_neither_jumps_nor_splits():
    assert traversed(smooth, codes=bases(64)) == Fragmentation(0, 0, 128, 128 * 121)


def test_one_discontinuity_is_one_jump_a_traversal():
    assert traversed(leaping, (True, False)) == Fragmentation(1, 0, 8, 8 * 121)
    assert traversed(leaping, (False, True)).jumps == 0
    assert traversed(leaping).jumps == 0.5


@pytest.mark.parametrize(("low", "high", "jumps"), [(-3, 3, 1), (-0.07, 3, 1), (0.0, 3, 0), (-3, -0.01, 0)])
def test_what_lies_outside_the_means_is_not_traversed(low, high, jumps):
    inside = int(((low - 1e-9 <= VALUES) & (high + 1e-9 >= VALUES)).sum())
    means = even_map(low - 1e-9, high + 1e-9)
    assert traversed(leaping, (True, False), means) == Fragmentation(jumps, 0, 8, 8 * inside)


def test_each_latent_has_the_range_of_its_own_means():
    means = np.stack([even_map(-1.01, 1.01)[..., 0], even_map(-2.01, 2.01)[..., 0]], axis=-1)
    assert traversed(smooth, means=means).frames == 8 * (41 + 81)


@pytest.mark.parametrize(("leap", "jumps"), [(3.99, 0), (4.01, 1)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_jump_is_over_a_tenth_of_the_range(leap, jumps, axis):
    def decode(codes):
        moved = np.where(codes[:, 0] < 0, 20, 20 + leap)
        return blobs(*(moved, 32) if axis == 0 else (32, moved), sd=2)

    assert traversed(decode, (True, False)).jumps == jumps


def test_a_slow_motion_over_the_whole_range_is_no_jump():
    # .3 pixels a step, 36 in all: only single steps count.
    assert traversed(lambda codes: blobs(32 + 6 * codes[:, 0], 32, sd=2), (True, False)).jumps == 0


def test_two_blobs_are_a_ghost():
    # |z0| < .5: 19 of the 121 values; the centroid leaps in and out.
    assert traversed(twofold, (True, False)) == Fragmentation(2, 19 / 121, 8, 8 * 121)


def test_other_latents_stay_at_the_base():
    codes = bases()
    codes[:2, 0], codes[2:, 0] = 0, 1
    assert traversed(twofold, (False, True), codes=codes).ghosts == 2 / 8


@pytest.mark.parametrize(("peak", "share"), [(0.45, 0), (0.56, 0), (0.75, 19 / 121)])
def test_a_faint_second_blob_is_none(peak, share):
    # Above half the frame's peak: of a peak of .45 nothing; of .56 a spot of 9 pixels beside 37, 14 % of the mass.
    assert traversed(lambda codes: twofold(codes, peak), (True, False)).ghosts == share


def drawn(*spots):
    """A decoder that always draws these (row, column, brightness), on 12 x 12 pixels."""

    def decode(codes):
        frames = np.zeros((len(codes), 12, 12), dtype=np.float32)
        for row, column, brightness in spots:
            frames[:, row, column] = brightness
        return frames

    return decode


@pytest.mark.parametrize(
    ("spots", "share"),
    [
        ([(2, 2, 1), (8, 8, 1)], 1),
        ([(2, 2, 1), (3, 3, 1)], 0),  # they touch at a corner
        ([(2, 2, 1), (2, 4, 1)], 1),
        ([(2, 2, 1), (8, 8, 0.5)], 0),  # not above half the peak
        ([(2, 2, 0.2), (8, 8, 0.2)], 1),  # half of the frame's peak, not of 1
        ([(2, 2, 1), (2, 3, 1), (2, 4, 0.7), (8, 8, 0.7)], 1),  # .7 of 3.4: 20.6 %
        ([(2, 2, 1), (2, 3, 1), (2, 4, 1), (8, 8, 0.7)], 0),  # .7 of 3.7: 18.9 %
        ([(2, 2, 1), (2, 3, 1), (2, 4, 0.75), (8, 8, 0.7), (9, 1, 0.5), (1, 9, 0.5)], 1),  # the last two in no sum
        ([(0, 0, 1), (11, 11, 1)], 1),
        ([], 0),
    ],
)
def test_ghosts_are_components_that_weigh(spots, share):
    result = traversed(drawn(*spots))
    assert result.ghosts == share
    assert result.jumps == 0


def test_black_frames_are_neither_jumps_nor_ghosts():
    def decode(codes):
        return smooth(codes) * (np.abs(codes[:, :1]) > 1).reshape(-1, 1, 1)

    assert traversed(decode, (True, False)) == Fragmentation(0, 0, 8, 8 * 121)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.booleans(), st.floats(1, 60), st.floats(-2.9, -2.5), st.integers(1, 3))
def test_frames_at_once_agree_with_one_at_a_time(seed, black, position_range, low, count):
    means = even_map(low, -1.5, latents=3)
    means[..., 1] += 1.2
    arguments = (patches(seed, black), bases(count, 3, seed), means, np.array([True, True, False]), position_range)
    result, expected = fragmentation(*arguments), plain(*arguments)
    assert (result.traversals, result.frames) == (expected.traversals, expected.frames)
    assert result.jumps == pytest.approx(expected.jumps)
    assert result.ghosts == pytest.approx(expected.ghosts)


@pytest.mark.parametrize("chunk", [1, 7, 121, 10_000])
def test_chunks_change_nothing_and_bound_what_is_decoded(monkeypatch, chunk):
    codes, asked = bases(5).astype(np.float64), []
    decode = patches(3)

    def counting(part):
        asked.append(part)
        return decode(part)

    expected = traversed(decode, codes=codes)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert traversed(counting, codes=codes) == expected
    assert max(map(len, asked)) == min(chunk, 5 * 121)
    assert {part.dtype for part in asked} == {np.dtype(np.float32)}
    assert sum(map(len, asked)) == expected.frames


def test_the_bases_are_left_as_they_are():
    codes = bases()
    traversed(smooth, codes=codes)
    np.testing.assert_array_equal(codes, bases())


def test_the_order_of_bases_and_latents_does_not_matter():
    means, codes = np.stack([even_map(-1, 1)[..., 0], even_map(-2, 3)[..., 0]], axis=-1), bases(6)
    expected = traversed(leaping, means=means, codes=codes)
    assert traversed(leaping, means=means, codes=codes[::-1]) == expected
    assert traversed(lambda part: leaping(part[:, ::-1]), means=means[..., ::-1], codes=codes[:, ::-1]) == expected


@pytest.mark.parametrize(
    ("latents", "means"),
    [
        ((False, False), even_map()),
        ((True, True), even_map(5, 6)),
        ((True, True), even_map(0.98, 1.02)),  # one value only
    ],
)
def test_nothing_to_traverse_is_missing_and_not_decoded(latents, means):
    result = traversed(lambda codes: pytest.fail("decoded"), latents, means)
    assert np.isnan([result.jumps, result.ghosts]).all()
    assert (result.traversals, result.frames) == (0, 0)


def test_a_latent_out_of_reach_leaves_the_others():
    means = np.stack([even_map()[..., 0], even_map(5, 6)[..., 0]], axis=-1)
    assert traversed(leaping, means=means) == Fragmentation(1, 0, 8, 8 * 121)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": np.zeros((8, 2))}, "no position map"),
        ({"bases": np.zeros((8, 3))}, "bases have 3 latents, means 2"),
        ({"bases": np.full((8, 2), np.nan)}, "bases holds 16 non-finite"),
        ({"latents": np.array([0, 1])}, "give 2 bools"),
        ({"latents": np.array([True])}, r"latents of shape \(1,\)"),
        *(({"position_range": value}, "position_range=") for value in (0.0, -1.0, math.nan, math.inf)),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_decoded(change, message):
    whole = {"bases": bases(), "means": even_map(), "latents": np.ones(2, dtype=bool), "position_range": RANGE}
    with pytest.raises(MetricError, match=message):
        fragmentation(lambda codes: pytest.fail("decoded"), **(whole | change))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frames: frames[:, None], r"decode gave \(512, 1, 64, 64\) for 512 codes"),
        (lambda frames: frames[1:], r"decode gave \(511, 64, 64\) for 512 codes"),
        (lambda frames: frames[:, :0], r"decode gave \(512, 0, 64\)"),
        (lambda frames: frames - 0.1, "pixels from -0.1 to"),
        (lambda frames: frames * 0 + 1.5, "pixels from 1.5 to 1.5"),
        (lambda frames: np.where(frames > 0.9, np.nan, frames), "pixels from nan"),
    ],
)
def test_pixels_that_are_none_are_refused(spoil, message):
    with pytest.raises(MetricError, match=message):
        traversed(lambda codes: spoil(smooth(codes)))


def test_values_are_121_steps_from_minus_3_to_3():
    assert len(VALUES) == 121
    np.testing.assert_allclose([b - a for a, b in itertools.pairwise(VALUES)], 0.05)
    assert (VALUES[0], VALUES[60], VALUES[-1]) == (-3, 0, 3)
