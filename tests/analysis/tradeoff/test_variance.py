import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.tradeoff.variance import Anova, anova, components, noncentrality, pivots

SHAPE = (3, 3, 2)
PARTS: dict[str, list[str]] = dict(
    zip(("a", "b", "c"), np.indices(SHAPE).reshape(3, -1).astype(str).tolist(), strict=True)
)
SOURCES = ("a", "b", "c", "a x b", "a x c", "b x c", "higher interactions", "seed", "seed x setting")


def twin(cube: NDArray[np.float64]) -> dict[tuple[int, ...], tuple[float, int]]:
    """Sum of squares and degrees of freedom by axes, from means alone: (a, b, c, seeds)."""
    effects: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for size in range(cube.ndim + 1):
        for axes in itertools.combinations(range(cube.ndim), size):
            others = tuple(axis for axis in range(cube.ndim) if axis not in axes)
            effect = cube.mean(axis=others, keepdims=True)
            effects[axes] = effect - sum(effects[part] for part in effects if set(part) < set(axes))
    return {
        axes: (
            float((np.broadcast_to(effect, cube.shape) ** 2).sum()),
            math.prod(cube.shape[axis] - 1 for axis in axes),
        )
        for axes, effect in effects.items()
    }


def planted(shares: dict[tuple[int, ...], float], seed: float, rest: float, seeds: int, rng) -> NDArray[np.float64]:
    """A cube whose effects have just these variances over settings; normal seeds and rest: (a, b, c, n)."""
    cube = np.zeros((*SHAPE, seeds))
    for axes, variance in shares.items():
        pattern = np.random.default_rng(sum(axes)).normal(
            size=[SHAPE[axis] if axis in axes else 1 for axis in range(3)]
        )
        for axis in axes:
            pattern = pattern - pattern.mean(axis=axis, keepdims=True)
        cube += (pattern * math.sqrt(variance / (pattern**2).mean()))[..., None]
    return cube + math.sqrt(seed) * rng.normal(size=seeds) + math.sqrt(rest) * rng.normal(size=cube.shape)


def of(cube: NDArray[np.float64]) -> Anova:
    return anova(pd.DataFrame(cube.reshape(-1, cube.shape[-1])), PARTS)


def test_sums_of_squares_are_those_of_a_balanced_design_by_hand() -> None:
    cube = np.random.default_rng(0).normal(580, 3, size=(*SHAPE, 4))
    found, known = of(cube), twin(cube)
    assert found.sources == SOURCES
    expected = [known[axes] for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2), (3,))]
    rest = [sum(column) for column in zip(*(v for k, v in known.items() if 3 in k and len(k) > 1), strict=True)]
    for place, (squares, freedom) in enumerate([*expected, rest]):
        assert found.squares[place] == pytest.approx(squares, rel=1e-9)
        assert found.freedoms[place] == freedom
    assert found.squares.sum() == pytest.approx(((cube - cube.mean()) ** 2).sum())
    assert (found.settings, found.trials) == (18, 72)


def test_effects_without_noise_are_found_to_the_digit() -> None:
    cube = planted({(0,): 4.0, (0, 1): 1.0}, 0, 0, 3, np.random.default_rng(0))
    assert components(of(cube)) == pytest.approx([4, 0, 0, 1, 0, 0, 0, 0, 0], abs=1e-9)


def test_a_share_under_nothing_is_given_as_it_is() -> None:
    found = Anova(("setting", "seed", "seed x setting"), np.array([1.0, 1.0, 30.0]), np.array([3.0, 4, 12]), 4, 20)
    assert components(found)[0] == pytest.approx(3 * (1 / 3 - 2.5) / 20)
    assert components(found)[1] == pytest.approx((0.25 - 2.5) / 4)


def test_components_of_many_seeds_are_those_planted() -> None:
    cube = planted({(0,): 3.0, (2,): 0.5, (0, 2): 1.0, (0, 1, 2): 0.3}, 1.5, 3.0, 150, np.random.default_rng(0))
    found = dict(zip(SOURCES, components(of(cube)), strict=True))
    # 150 seeds: standard errors .17 of the seed (1.5 x root of 2 / 150), .08 of the rest, .12 of a, less of the others
    expected = {"a": 3, "b": 0, "c": 0.5, "a x b": 0, "a x c": 1, "b x c": 0, "higher interactions": 0.3}
    assert found == pytest.approx(expected | {"seed": 1.5, "seed x setting": 3.0}, abs=0.4)
    assert abs(found["b"]) < 0.03  # what is planted as 0
    assert abs(found["a x b"]) < 0.03


@pytest.mark.slow
def test_components_of_five_seeds_are_unbiased_also_where_settings_differ_in_their_spread() -> None:
    rng, draws = np.random.default_rng(0), 150
    spread = np.exp(0.5 * rng.normal(size=SHAPE))
    spread /= math.sqrt((spread**2).mean())
    found = []
    for _ in range(draws):
        cube = planted({(0,): 1.0, (0, 1): 0.5}, 0.5, 0.0, 5, rng)
        found.append(components(of(cube + spread[..., None] * (rng.exponential(size=cube.shape) - 1))))
    errors = np.std(found, axis=0) / math.sqrt(draws)
    assert np.all(np.abs(np.mean(found, axis=0) - [1, 0, 0, 0.5, 0, 0, 0, 0.5, 1]) < 4 * errors)


@given(
    st.floats(0.01, 900), st.floats(0.005, 0.995), st.sampled_from([1, 2, 4, 12, 40])
)  # chi squared, its share, degrees of freedom
def test_the_noncentrality_gives_the_share_back(value: float, share: float, freedom: int) -> None:
    found = float(noncentrality(np.array([value]), freedom, np.array([share]))[0])
    if scipy.stats.chi2.cdf(value, freedom) <= share:
        assert found == 0
    else:
        assert scipy.stats.ncx2.cdf(value, freedom, max(found, 1e-12)) == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize("freedom", [1, 4, 30])
def test_far_out_the_root_is_normal(freedom: int) -> None:
    value, shares = np.full(3, 1200.0), np.array([0.025, 0.5, 0.975])
    found = noncentrality(value, freedom, shares)
    assert scipy.stats.ncx2.cdf(1200.0, freedom, found) == pytest.approx(shares, abs=0.01)


def test_pivots_are_exact_where_one_source_is_alone() -> None:
    # 4 settings x 6 seeds; the residual has 15 degrees of freedom, the seed 5.
    found = pivots(
        Anova(("setting", "seed", "seed x setting"), np.array([30.0, 20.0, 15.0]), np.array([3.0, 5, 15]), 4, 24)
    )
    rest = 15 / scipy.stats.chi2.ppf([0.975, 0.5, 0.025], 15)
    assert np.quantile(found[:, 2], [0.025, 0.5, 0.975]) == pytest.approx(rest, rel=0.06)  # 2,000 draws
    assert (found >= 0).all()
    exact = Anova(("setting", "seed", "seed x setting"), np.array([30.0, 20.0, 0.0]), np.array([3.0, 5, 15]), 4, 24)
    seed = 20 / scipy.stats.chi2.ppf([0.975, 0.5, 0.025], 5) / 4  # without a residual both others are exact too
    assert np.quantile(pivots(exact)[:, 1], [0.025, 0.5, 0.975]) == pytest.approx(seed, rel=0.08)
    assert pivots(exact)[:, 0] == pytest.approx(30 / 24, rel=1e-3)
