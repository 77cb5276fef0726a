import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import mutual_info_score

from tests.trainables.metrics.tables import BAD, DSPRITES, Codes, Factors, grid, noise, perfect, random_factors
from trainables.metrics import mig
from trainables.metrics import orientation as ways
from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError

NAMES = ("shape", "scale", "orientation", "x", "y")
ANGLES = np.linspace(0, 2 * math.pi, 40)
"""Of dSprites' 40 values, the last being the first again."""


def within(codes: ArrayLike, factors: ArrayLike, shape: int = 0, orientation: int = 1) -> dict[str, Result]:
    seen = ways.turned(factors, orientation)
    return ways.measure_within_shape(codes, seen, shape=shape, orientation=orientation)


def by_phase(codes: ArrayLike, factors: ArrayLike, shape: int = 0, orientation: int = 1) -> dict[str, Result]:
    return {"mig_phase": mig.measure(codes, ways.phase(factors, shape, orientation))["mig"]}


def within_shape(codes: ArrayLike, factors: ArrayLike) -> Result:
    return within(codes, factors)["mig_within_shape"]


def share(result: Result, factor: int = 1) -> float:
    assert result.per_factor is not None
    return float(result.per_factor[factor])


def turned(factors: Factors) -> Factors:
    """The second factor with 39 called 0."""
    return np.column_stack([factors[:, 0], np.where(factors[:, 1] == 39, 0, factors[:, 1]), factors[:, 2:]])


def reference_bins(latent: NDArray) -> NDArray:
    return np.digitize(latent, np.histogram(latent, 20)[1][:-1])


def plain_within_shape(codes: Codes, factors: Factors) -> float:
    """The slow twin: shape by shape, with scikit-learn's mutual information; the other factors as MIG has them."""
    labels = [reference_bins(latent) for latent in codes.T]

    def lead(column: NDArray, rows: NDArray) -> float:
        said = sorted(mutual_info_score(column[rows], label[rows]) for label in labels)
        return (said[-1] - said[-2]) / mutual_info_score(column[rows], column[rows])

    factors = turned(factors)
    shapes = [factors[:, 0] == value for value in set(factors[:, 0])]
    values = [float(np.mean([lead(factors[:, 1], rows) for rows in shapes]))]
    everywhere = np.ones(len(codes), bool)
    values += [lead(column, everywhere) for k, column in enumerate(factors.T) if k != 1]
    return float(np.mean(values))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(90, 300))
def test_within_shape_agrees_with_the_plain_definition(seed: int, latents: int, rows: int) -> None:
    factors = random_factors((3, 40, 4), rows, seed)
    codes = noise(rows, latents, seed)
    codes[:, 0] += factors[:, 1] / 10
    codes[:, 1] += np.where(factors[:, 0] == 1, factors[:, 1] / 5, factors[:, 2])
    assert within_shape(codes, factors).value == pytest.approx(plain_within_shape(codes, factors), abs=1e-9)


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares)


def test_a_third_of_the_circle_has_its_closed_form_within_each_shape() -> None:
    factors = grid(3, 40)
    third = factors[:, 1] % 39 // 13  # 0 to 12, and 39; 13 to 25; 26 to 38
    result = within_shape(np.column_stack([factors[:, 0], third]).astype(float), factors)
    expected = entropy(14 / 40, 13 / 40, 13 / 40) / entropy(2 / 40, *[1 / 40] * 38)
    assert share(result) == pytest.approx(expected)
    assert result.value == pytest.approx((1 + expected) / 2)
    assert result.matrix is not None
    assert result.matrix[:, 1] == pytest.approx([0, entropy(14 / 40, 13 / 40, 13 / 40)], abs=1e-12)
    assert (result.n, result.bins, result.missing) == (120, 20, "")


def test_each_shape_may_have_a_latent_of_its_own_within_shape() -> None:
    factors = grid(3, 40)
    heart, half = factors[:, 0] == 2, factors[:, 1] % 39 // 20  # 0 to 19, and 39; 20 to 38
    codes = np.column_stack([np.where(heart, 0, half), np.where(heart, half, 0), factors[:, 0]]).astype(float)
    expected = entropy(21 / 40, 19 / 40) / entropy(2 / 40, *[1 / 40] * 38)
    result = within_shape(codes, factors)
    assert share(result) == pytest.approx(expected)
    assert result.matrix is not None  # two shapes of three, one, none: no difference of means is the mean difference
    assert result.matrix[:, 1] == pytest.approx(entropy(21 / 40, 19 / 40) * np.array([2, 1, 0]) / 3, abs=1e-12)
    assert share(mig.measure(codes, factors)["mig"]) < 0.6 * expected


def test_an_angle_that_differs_between_shapes_is_said_within_them() -> None:
    factors = grid(3, 40)
    shifted = (factors[:, 1] + 13 * factors[:, 0]) % 39 // 13
    codes = np.column_stack([shifted, factors[:, 0]]).astype(float)
    # the thirds begin elsewhere, one of 14 and two of 13 values in every shape
    expected = entropy(14 / 40, 13 / 40, 13 / 40) / entropy(2 / 40, *[1 / 40] * 38)
    assert share(within_shape(codes, factors)) == pytest.approx(expected)
    assert share(mig.measure(codes, factors)["mig"]) < 0.1


def test_orientation_0_and_39_are_one_but_raw() -> None:
    factors = random_factors((3, 40, 4), 1200)
    codes = np.column_stack([noise(1200, 1), turned(factors)[:, 1] // 2, factors[:, 2]]).astype(float)
    assert (factors[:, 1] == 39).any()
    for measure in (within, by_phase):
        before, after = (next(iter(measure(codes, table).values())) for table in (factors, turned(factors)))
        assert before.value == after.value
    assert mig.mig(codes, factors) < mig.mig(codes, turned(factors)) - 0.001


@pytest.mark.parametrize(("shape", "fold"), [(0, 4), (1, 2), (2, 1)])
def test_the_phase_is_the_angle_up_to_the_shapes_symmetry(shape: int, fold: int) -> None:
    factors = np.column_stack([np.arange(40), np.full(40, 9), np.full(40, shape)])
    before = factors.copy()
    found = ways.phase(factors, 2, 0)
    np.testing.assert_array_equal(factors, before)
    np.testing.assert_array_equal(found[:, 1:], factors[:, 1:])
    phase = found[:, 0]
    np.testing.assert_allclose(np.cos(2 * math.pi * phase / 39), np.cos(fold * ANGLES), atol=1e-12)
    np.testing.assert_allclose(np.sin(2 * math.pi * phase / 39), np.sin(fold * ANGLES), atol=1e-12)
    assert phase[0] == phase[39] == 0
    assert sorted(phase[:39]) == list(range(39))  # 39 is odd: no symmetry merges two of them


def test_phase_is_mig_of_the_phase() -> None:
    factors = grid(3, 40)
    third = np.array([[4, 2, 1][shape] * k % 39 // 13 for shape, k in factors.tolist()])
    result = by_phase(np.column_stack([factors[:, 0], third]).astype(float), factors)["mig_phase"]
    expected = entropy(14 / 40, 13 / 40, 13 / 40) / entropy(2 / 40, *[1 / 40] * 38)
    assert share(result) == pytest.approx(expected)
    assert share(mig.measure(perfect(np.column_stack([factors[:, 0], third])), factors)["mig"]) < expected - 0.05


@pytest.mark.parametrize(
    ("names", "sizes", "expected"),
    [
        (NAMES, DSPRITES, (0, 2)),
        (("orientation", "x", "shape"), (40, 4, 3), (2, 0)),
        (("colour", *NAMES), (1, *DSPRITES), (1, 3)),
        (("a", "b", "c", "d", "e"), DSPRITES, None),
        ((), DSPRITES, None),
        (NAMES[:4], DSPRITES, None),
        (NAMES, (3, 6, 4, 32, 32), None),
        (NAMES, (3, 6, 41, 32, 32), None),
        (NAMES, (4, 6, 40, 32, 32), None),
        (NAMES, (2, 6, 40, 32, 32), None),
        (("shape", "scale"), (3, 40), None),
    ],
)
def test_columns_are_found_by_name_where_the_layout_is_dsprites(
    names: tuple[str, ...], sizes: tuple[int, ...], expected: tuple[int, int] | None
) -> None:
    assert ways.columns_of(names, random_factors(sizes, 1000)) == expected


def test_the_columns_may_stand_anywhere() -> None:
    factors = random_factors((3, 40, 4), 600)
    codes = noise(600, 3) + factors[:, [1]] / 10
    order = [2, 1, 0]
    for measure in (within, by_phase):
        (one,) = measure(codes, factors, shape=0, orientation=1).values()
        (other,) = measure(codes, factors[:, order], shape=2, orientation=1).values()
        assert other.value == pytest.approx(one.value, abs=1e-12)


def test_constant_factors_are_left_out() -> None:
    factors = random_factors((3, 40, 4), 600)
    codes = noise(600, 3) + factors[:, [1]] / 10
    padded = np.column_stack([factors, np.full(600, 7)])
    for measure in (within, by_phase):
        (one,), (other,) = measure(codes, factors).values(), measure(codes, padded).values()
        assert other.value == pytest.approx(one.value, abs=1e-12)
        assert other.per_factor is not None
        assert np.isnan(other.per_factor).tolist() == [False, False, False, True]


def test_noise_says_little_and_less_with_more_rows() -> None:
    values = []
    for rows in (1000, 8000):
        factors = random_factors((3, 40, 4), rows)
        values.append(share(within_shape(noise(rows, 6), factors)))
    # Chance adds (20 - 1) (39 - 1) / 2 n nats with n rows of a shape; the two best of six latents differ by less.
    assert values[1] < values[0] / 2 < 0.1


def smooth(factors: Factors, one_hot: bool = False) -> Codes:
    """The best that a code without jumps can be: orientation as cos and sin, the others as their class index."""
    angle = ANGLES[factors[:, 2]]
    shape = np.eye(3)[factors[:, 0]] if one_hot else factors[:, :1].astype(float)
    return np.column_stack([shape, factors[:, [1, 3, 4]].astype(float), np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_smooth_ideal_code_says_orientation_twice(one_hot: bool) -> None:
    # Of independent factors each has the gap of its own latents, on its own few values: closed forms.
    def said(values: NDArray, classes: int) -> float:
        return mutual_info_score(np.arange(classes), reference_bins(values)) / math.log(classes)

    position = said(np.arange(32.0), 32)
    gap = abs(said(np.cos(ANGLES), 40) - said(np.sin(ANGLES), 40))
    ideal = [0.0 if one_hot else 1.0, 1.0, gap, position, position]
    factors = random_factors(rows=10_000)
    result = mig.measure(smooth(factors, one_hot), factors)["mig"]
    # Chance adds (20 - 1) (40 - 1) / 2 n = .04 nats or less to a second latent, .01 of ln 32
    np.testing.assert_allclose([share(result, k) for k in range(5)], ideal, atol=0.02)
    assert result.value == pytest.approx(np.mean(ideal), abs=0.01)
    assert gap < 0.05
    for measure in (within, by_phase):
        (other,) = measure(smooth(factors, one_hot), factors, shape=0, orientation=2).values()
        assert share(other, 2) < 0.05  # no way of reading it makes two latents one


@pytest.mark.parametrize(("codes", "factors", "message"), BAD)
def test_tables_that_cannot_be_scored_are_refused(codes: ArrayLike, factors: ArrayLike, message: str) -> None:
    for measure in (within, by_phase):
        with pytest.raises(MetricError, match=message):
            measure(codes, factors)


def test_an_orientation_that_stands_still_in_a_shape_is_refused() -> None:
    factors = grid(3, 40)
    factors[factors[:, 0] == 1, 1] = np.arange(40) % 2 * 39  # the same image
    with pytest.raises(MetricError, match="constant inside a shape"):
        within(noise(120, 2), factors)
