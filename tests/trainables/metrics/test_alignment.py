import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.metrics import alignment
from trainables.metrics.alignment import Alignment, axis_alignment, position_latents
from trainables.metrics.inputs import MetricError

SQUARE = (1.5, 1.5)


def positions(nx=32, ny=32, spacing=SQUARE):
    """(nx, ny, 2), x and y in pixels."""
    x, y = spacing[0] * np.arange(nx), spacing[1] * np.arange(ny)
    return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)


def rotated(place, degrees):
    """Latents along two axes turned by `degrees` against x and y."""
    turn = math.radians(degrees)
    return place @ np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def aligned(means, spacing=SQUARE, kl=None, latents=None) -> Alignment:
    count = means.shape[2]
    kl = np.ones(count) if kl is None else kl
    return axis_alignment(means, spacing, kl, np.ones(count, dtype=bool) if latents is None else np.array(latents))


def random_map(seed, nx, ny, latents):
    """Smooth in parts, with a few leaps."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(nx, ny, latents)) * np.where(generator.random((nx, ny, 1)) < 0.05, 40, 1)
    return np.cumsum(steps, axis=generator.integers(2)) + generator.normal(size=latents)


def median(numbers):
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def plain(means, spacing, kl, latents):
    """The slow twin: A, angle and F_enc, by loops over pairs, positions and latents."""
    nx, ny, _ = means.shape
    dx, dy = spacing
    counted = [j for j in range(means.shape[2]) if latents[j]]
    x_pairs, y_pairs = {}, {}
    for a in range(nx):
        for b in range(ny):
            if a + 1 < nx:
                x_pairs[a, b] = math.dist(means[a, b, counted], means[a + 1, b, counted]) / dx
            if b + 1 < ny:
                y_pairs[a, b] = math.dist(means[a, b, counted], means[a, b + 1, counted]) / dy
    limit = 5 * max(median(x_pairs.values()), median(y_pairs.values()))
    inner = [far > limit for (a, b), far in x_pairs.items() if 2 <= a and a + 1 <= nx - 3 and 2 <= b <= ny - 3]
    inner += [far > limit for (a, b), far in y_pairs.items() if 2 <= b and b + 1 <= ny - 3 and 2 <= a <= nx - 3]
    shares, angles, weights = [], [], []
    for j in counted:
        moments = np.zeros((2, 2))
        for a in range(nx - 1):
            for b in range(ny - 1):
                if x_pairs[a, b] <= limit and y_pairs[a, b] <= limit:
                    g = [(means[a + 1, b, j] - means[a, b, j]) / dx, (means[a, b + 1, j] - means[a, b, j]) / dy]
                    moments += np.outer(g, g)
        if np.trace(moments) == 0:
            continue
        shares.append(abs(moments[0, 0] - moments[1, 1]) / np.trace(moments))
        main = np.abs(np.linalg.eigh(moments)[1][:, 1])
        angles.append(math.degrees(math.atan2(min(main), max(main))))
        weights.append(kl[j])
    if not weights:
        return math.nan, math.nan, sum(inner) / len(inner)
    return np.average(shares, weights=weights), np.average(angles, weights=weights), sum(inner) / len(inner)


def test_latents_along_the_axes_are_aligned():
    result = aligned(positions())
    assert (result.alignment, result.angle, result.torn_share) == (1, 0, 0)
    assert result.per_latent.tolist() == [1, 1]
    assert result.angles.tolist() == [0, 0]


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 30, 45, 60, 80, 90, 120, 179, 300])
def test_turned_latents_have_the_cosine_of_twice_the_angle(degrees):
    result = aligned(rotated(positions(), degrees))
    away = min(degrees % 90, 90 - degrees % 90)
    np.testing.assert_allclose(result.per_latent, abs(math.cos(math.radians(2 * degrees))), atol=1e-12)
    np.testing.assert_allclose(result.angles, away, atol=1e-6)
    assert result.alignment == pytest.approx(abs(math.cos(math.radians(2 * degrees))), abs=1e-12)
    assert result.angle == pytest.approx(away, abs=1e-6)
    assert result.torn_share == 0


def test_gradients_are_per_pixel_where_spacings_differ():
    spacing = (2.0, 0.5)
    result = aligned(rotated(positions(20, 30, spacing), 30), spacing)
    np.testing.assert_allclose(result.per_latent, 0.5)
    np.testing.assert_allclose(result.angles, 30)
    assert result.torn_share == 0  # per pair, y's would be 4 times nearer than x's


def test_a_curved_map_has_the_mean_outer_product_of_its_gradients():
    # z = x^2 / 2 + y on unit steps: gx = a + 1/2 for a in 0..30, gy = 1.
    place = positions(spacing=(1.0, 1.0))
    z = (place[..., :1] ** 2) / 2 + place[..., 1:]
    gx = np.arange(31) + 0.5
    jxx, jxy = (gx**2).mean(), gx.mean()
    result = aligned(z, (1.0, 1.0))
    assert result.alignment == pytest.approx((jxx - 1) / (jxx + 1))
    assert result.angle == pytest.approx(math.degrees(math.atan2(2 * jxy, jxx - 1)) / 2)


def test_latents_weigh_by_their_kl():
    place = positions()
    means = np.concatenate([place[..., :1], rotated(place, 30)[..., :1]], axis=2)
    result = aligned(means, kl=np.array([3.0, 1.0]))
    assert result.alignment == pytest.approx((3 * 1 + 0.5) / 4)
    assert result.angle == pytest.approx(30 / 4)


@pytest.mark.parametrize("column", [5, 16, 26])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_tear_is_counted_and_leaves_the_alignment(column, axis):
    means = rotated(positions(), 20)
    torn = means.copy()
    np.moveaxis(torn, axis, 0)[column:] += 50
    result, whole = aligned(torn), aligned(means)
    inner = 32 - 4
    assert result.torn_share == inner / (2 * inner * (inner - 1))
    np.testing.assert_allclose(result.per_latent, whole.per_latent, rtol=1e-9)
    np.testing.assert_allclose(result.angles, whole.angles, rtol=1e-9)


@pytest.mark.parametrize("column", [1, 2, 30, 31])
def test_tears_in_the_outer_rings_do_not_count(column):
    torn = positions()
    torn[column:] += 50
    result = aligned(torn)
    assert result.torn_share == 0
    assert result.alignment == pytest.approx(1)  # but no gradient is read across them


@pytest.mark.parametrize(("leap", "share"), [(4.99, 0), (5.01, 1)])
def test_a_pair_is_torn_from_five_medians_on(leap, share):
    means = positions(spacing=(1.0, 1.0))
    means[16:, :, 0] += leap - 1
    assert aligned(means, (1.0, 1.0)).torn_share == share * 28 / (2 * 28 * 27)


@pytest.mark.parametrize("shape", [(32, 32), (32, 16), (16, 32)])
def test_slopes_of_the_only_axis_that_is_said_are_no_tears(shape):
    # The median of all pairs would lie between the two axes: under a fifth of most slopes of the first.
    place = positions(*shape)
    ripple = 1e-3 * np.random.default_rng(0).normal(size=(*shape, 1))
    result = aligned(np.tanh(2 * (place[..., :1] / place[..., 0].max() - 0.5)) + ripple)
    assert result.torn_share == 0
    assert result.alignment > 0.99


def test_a_staircase_is_all_tears():
    # Most neighbours share their means, so that the median is 0: every step is a tear, and no slope is left.
    means = np.floor(positions(spacing=(1.0, 1.0))[..., :1] / 8)
    result = aligned(means, (1.0, 1.0))
    assert result.torn_share == 3 * 28 / (2 * 28 * 27)
    assert math.isnan(result.alignment)
    assert math.isnan(result.angle)


def test_a_latent_without_slope_leaves_the_mean_to_the_others():
    place = positions(spacing=(1.0, 1.0))
    result = aligned(np.concatenate([place, 100 * (place[..., :1] > 15)], axis=2), (1.0, 1.0))
    assert result.per_latent[:2].tolist() == [1, 1]
    assert math.isnan(result.per_latent[2])
    assert math.isnan(result.angles[2])
    assert (result.alignment, result.angle) == (1, 0)


def test_latents_that_do_not_count_change_nothing():
    means = rotated(positions(), 20)
    noise = 100 * np.random.default_rng(0).normal(size=(32, 32, 1))
    more = np.concatenate([means[..., :1], noise, means[..., 1:]], axis=2)
    result, alone = aligned(more, kl=np.array([1, 50, 2]), latents=[True, False, True]), aligned(means, kl=[1, 2])
    assert (result.alignment, result.angle, result.torn_share) == (alone.alignment, alone.angle, alone.torn_share)
    assert np.isnan(result.per_latent).tolist() == [False, True, False]
    assert np.isnan(result.angles).tolist() == [False, True, False]


@pytest.mark.parametrize("means", [positions(), np.full((8, 8, 2), 3.0)], ids=["no latent counts", "constant map"])
def test_nothing_to_ask_is_missing(means):
    result = aligned(means, latents=np.full(2, means[0, 0, 0] == 3))
    assert np.isnan([result.alignment, result.angle, result.torn_share, *result.per_latent, *result.angles]).all()
    assert len(result.per_latent) == len(result.angles) == 2


def test_latents_of_no_kl_have_no_mean():
    result = aligned(positions(), kl=np.zeros(2))
    assert np.isnan([result.alignment, result.angle]).all()
    assert result.per_latent.tolist() == [1, 1]


def test_a_latent_alike_in_all_directions_has_no_angle():
    # z = x on one half, y on the other: as many gradients along x as along y, and none at the seam.
    place = positions(8, 8, (1.0, 1.0))
    uneven, even = (
        np.where(place[..., 1] < seam, place[..., 0], 1000 + place[..., 1])[..., None] for seam in (4.5, 3.5)
    )
    result = aligned(uneven, (1.0, 1.0))
    assert (result.alignment, result.angle) == (pytest.approx((4 - 2) / 6), 0)
    result = aligned(even, (1.0, 1.0))  # 3 lines of gradients each
    assert result.alignment == 0
    assert math.isnan(result.angle)


def test_constants_are_those_of_a_random_rotation():
    means = positions(6, 6)
    turns = np.random.default_rng(0).uniform(0, 360, 2000)
    results = [aligned(rotated(means, turn), kl=[1.0, 2.0]) for turn in turns]
    found = np.array([result.alignment for result in results])
    near = np.mean([result.angle < alignment.NEAR_AXIS for result in results])
    assert found.mean() == pytest.approx(alignment.ALIGNMENT_NULL, abs=4 * found.std() / math.sqrt(len(turns)))
    assert near == pytest.approx(alignment.NEAR_AXIS_NULL, abs=4 * math.sqrt(0.22 * 0.78 / len(turns)))
    assert alignment.NEAR_AXIS_NULL == pytest.approx(20 / 90)


def test_latents_that_move_unlike_have_another_null():
    # Twice the range along x at the same variance: half the slope (docs/metrics.md).
    means = positions(6, 6) * [0.5, 1.0]
    results = [aligned(rotated(means, turn)) for turn in np.arange(0, 360, 0.25)]
    assert np.mean([result.alignment for result in results]) == pytest.approx(0.683, abs=0.001)
    assert np.mean([result.angle < alignment.NEAR_AXIS for result in results]) == pytest.approx(0.180, abs=0.005)


MAPS = st.tuples(st.integers(0, 2**32 - 1), st.integers(6, 12), st.integers(6, 12), st.integers(1, 4))
SPACINGS = st.tuples(st.floats(0.25, 4), st.floats(0.25, 4))


@settings(max_examples=40, deadline=None)
@given(MAPS, SPACINGS, st.data())
def test_arrays_agree_with_loops(shape, spacing, data):
    means = random_map(*shape)
    kl = np.random.default_rng(shape[0]).uniform(0.1, 5, shape[3])
    latents = np.array(data.draw(st.lists(st.booleans(), min_size=shape[3], max_size=shape[3]).filter(any)))
    result = aligned(means, spacing, kl, latents)
    expected = plain(means, spacing, kl, latents)
    np.testing.assert_allclose([result.alignment, result.angle, result.torn_share], expected, rtol=1e-8, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(MAPS, SPACINGS, st.floats(0.01, 100), st.booleans())
def test_laws(shape, spacing, scale, negate):
    means, count = random_map(*shape), shape[3]
    kl = np.random.default_rng(shape[0]).uniform(0.1, 5, count)
    result = aligned(means, spacing, kl)
    assert 0 <= result.torn_share <= 1
    assert 0 <= result.alignment <= 1 + 1e-12
    assert 0 <= result.angle <= 45 + 1e-9

    order = np.random.default_rng(shape[1]).permutation(count)
    permuted = aligned(means[..., order], spacing, kl[order])
    np.testing.assert_allclose(permuted.per_latent, result.per_latent[order], rtol=1e-9)
    np.testing.assert_allclose(permuted.angles, result.angles[order], rtol=1e-9)
    swapped = aligned(means.transpose(1, 0, 2), spacing[::-1], kl)
    scaled = aligned(-scale * means if negate else scale * means, spacing, kl)
    closer = aligned(means, (scale * spacing[0], scale * spacing[1]), kl)
    for other in (permuted, swapped, scaled, closer):
        numbers = [other.alignment, other.angle, other.torn_share]
        np.testing.assert_allclose(numbers, [result.alignment, result.angle, result.torn_share], rtol=1e-6, atol=1e-6)


def test_position_latents_are_active_and_move_with_position():
    grid = np.tile([-1.0, 1.0], 32).reshape(8, 8, 1)  # variance 1
    means = grid * np.sqrt([1.0, 1.0, 1.0, 0.101, 0.099, 0.0])
    kl, info = np.array([0.1, 0.099, 1, 1, 1, 1]), np.array([0.1, 1, 0.099, 1, 1, 1])
    assert position_latents(means, kl, info).tolist() == [True, False, False, True, False, False]


def bad_map(value=0.0, shape=(8, 8, 2)):
    means = np.zeros(shape)
    means[0, 0, 0] = value
    return means


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": np.zeros((8, 2))}, r"means of shape \(8, 2\) are no position map"),
        ({"means": np.zeros((8, 8, 0))}, r"means of shape \(8, 8, 0\) are no position map"),
        ({"means": bad_map(np.nan)}, "means holds 1 non-finite values of 128"),
        ({"means": bad_map(shape=(8, 5, 2))}, "a grid of 8 x 5 positions .* at least 6"),
        ({"spacing": (1.0, 0.0)}, r"spacing=\(1.0, 0.0\)"),
        ({"spacing": (1.0, math.nan)}, "spacing="),
        ({"spacing": (1.0, math.inf)}, "spacing="),
        ({"spacing": (1.0,)}, "spacing="),
        ({"kl": np.ones(3)}, r"kl of shape \(3,\) is not \(2,\)"),
        ({"kl": np.array([1, math.inf])}, "kl holds non-finite"),
        ({"kl": np.array([1, -0.5])}, "kl reaches -0.5"),
        ({"latents": np.array([0, 1])}, "dtype int64 do not choose; give 2 bools"),
        ({"latents": np.array([True])}, r"latents of shape \(1,\)"),
    ],
)
def test_what_cannot_be_asked_is_refused(change, message):
    whole = {"means": bad_map(), "spacing": SQUARE, "kl": np.ones(2), "latents": np.ones(2, dtype=bool)}
    with pytest.raises(MetricError, match=message):
        axis_alignment(**(whole | change))


def test_position_latents_refuse_what_does_not_fit():
    with pytest.raises(MetricError, match=r"info of shape \(3,\)"):
        position_latents(bad_map(), np.ones(2), np.ones(3))
    with pytest.raises(MetricError, match="no position map"):
        position_latents(np.zeros((8, 2)), np.ones(2), np.ones(2))
