import math

import numpy as np
import pytest

from trainables.metrics.inputs import MetricError
from trainables.metrics.position import MOST_ROWS, position_r2


def positions(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 32, (n, 2))


@pytest.mark.parametrize("degrees", [0, 45, 20])
def test_rotated_codes_know_the_position(degrees: float) -> None:
    place, turn = positions(2000), math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    assert (position_r2((place - 15.5) @ rotation, place) > 0.95).all()


def test_codes_that_know_nothing_score_nothing() -> None:
    assert (position_r2(np.random.default_rng(1).normal(size=(2000, 2)), positions(2000)) < 0.05).all()


def test_each_coordinate_has_its_own_score() -> None:
    place = positions(2000)
    codes = np.column_stack([place[:, 1], np.random.default_rng(1).normal(size=2000)])
    x, y = position_r2(codes, place)
    assert x < 0.05
    assert y > 0.99


def test_rows_that_were_trained_on_are_not_tested_on() -> None:
    # Trees remember noise that they were trained on: R^2 there would be far above 0.
    place = positions(150)
    assert (position_r2(np.random.default_rng(2).normal(size=(150, 2)), place) < 0.2).all()


def test_more_rows_than_enough_are_left_alone() -> None:
    place = positions(MOST_ROWS + 1000)
    codes = np.where(np.arange(len(place))[:, None] < MOST_ROWS, place, 0)
    assert (position_r2(codes, place) > 0.95).all()


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(MetricError, match="codes have 200 rows, position 150"):
        position_r2(np.zeros((200, 2)), positions(150))
    with pytest.raises(MetricError, match="99 rows are too few"):
        position_r2(np.zeros((99, 2)), positions(99))
