import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from study.spread import FALSE_ALARM, Column, columns, flagged, is_number, seed_spread

SETTINGS = {"a0": "a", "a1": "a", "b0": "b", "b1": "b", "c0": "c"}
numbers = st.floats(-1e6, 1e6)


def rows(**named: list[Any]) -> dict[str, dict[str, Any]]:
    return {key: {name: values[place] for name, values in named.items()} for place, key in enumerate(SETTINGS)}


def test_the_spread_is_pooled_over_settings() -> None:
    # Squares within a: 2 x 1, within b: 2 x 9; c has one seed; two degrees of freedom.
    values = dict(zip(SETTINGS, [1.0, 3.0, 10.0, 16.0, 99.0], strict=True))
    assert seed_spread(values, SETTINGS) == (math.sqrt((2 + 18) / 2), 2)
    assert seed_spread({key: values[key] for key in ("a0", "b0", "c0")}, SETTINGS) == (None, 0)


def test_a_column_by_hand() -> None:
    column = Column("recon", (3.0, -4.0), sd=5.0, freedom=2)
    assert (column.largest, column.mean, column.ratio) == (4.0, 3.5, 0.5)
    assert dataclasses.replace(column, sd=None).ratio is None
    assert dataclasses.replace(column, sd=0.0).ratio == math.inf


@pytest.mark.parametrize(("freedom", "many"), [(3, 1), (40, 80)])
def test_of_one_trial_the_limit_is_students(freedom: int, many: int) -> None:
    expected = t.isf(FALSE_ALARM / many / 2, freedom)
    assert Column("recon", (1.0,), 1.0, freedom).limit(many) == pytest.approx(expected)


def test_of_two_trials_and_two_degrees_of_freedom_the_limit_is_elementary() -> None:
    # F(2, 2) exceeds x with chance 1 / (1 + x).
    assert Column("recon", (1.0, 1.0), 1.0, 2).limit(1) == pytest.approx(math.sqrt(1 / FALSE_ALARM - 1))


def test_two_draws_of_one_spread_are_flagged_as_rarely_as_said() -> None:
    draw, alarms = np.random.default_rng(0), 0
    for _ in range(1000):
        seeds, again = draw.normal(size=(10, 6)), draw.normal(size=(10, 4))
        found = [
            Column(str(c), tuple(again[c] - seeds[c, :4]), float(seeds[c].std(ddof=1)), 5) for c in range(10)
        ]  # the differences and the SD share draws, as in a store
        alarms += bool(flagged(found))
    assert alarms <= 2 * FALSE_ALARM * 1000


@given(differences=st.lists(st.just(0.0), min_size=1, max_size=5), sd=st.none() | st.floats(0, 1e6))
def test_no_difference_is_never_flagged(differences: list[float], sd: float | None) -> None:
    assert not flagged([Column("recon", tuple(differences), sd, 0 if sd is None else 3)])


@given(values=st.lists(numbers, min_size=5, max_size=5), shift=numbers, power=st.integers(-20, 20))
def test_units_change_nothing(values: list[float], shift: float, power: int) -> None:
    # Powers of two scale without rounding.
    once, scaled = (
        columns(rows(recon=[factor * v for v in values]), {"a0": {"recon": factor * shift}}, SETTINGS)
        for factor in (1.0, 2.0**power)
    )
    assert once[0].ratio == pytest.approx(scaled[0].ratio, nan_ok=True)
    assert len(flagged(once)) == len(flagged(scaled))


def test_a_shift_of_all_trials_is_flagged_and_one_inside_the_spread_is_not() -> None:
    stored = rows(recon=[1.0, 3.0, 10.0, 16.0, 99.0], kl=[1.0, 1.5, 2.0, 2.5, 3.0])
    again = {key: {"recon": stored[key]["recon"] + 1.0, "kl": stored[key]["kl"] + 1e3} for key in SETTINGS}
    assert [column.name for column in flagged(columns(stored, again, SETTINGS))] == ["kl"]


def test_only_numbers_are_columns_and_only_real_ones_are_judged() -> None:
    stored = rows(
        recon=[1.0, 2.0, 3.0, 4.0, math.nan],
        active_latents=[3.0, 3.0, 3.0, 3.0, 3.0],
        verdict=["fine"] * 5,
        off_plateau=[True] * 5,
        seconds=[1.0] * 5,
    )
    row = {"recon": 1.0, "active_latents": 9, "verdict": "bad", "off_plateau": False, "seconds": 9.0, "new": 1.0}
    found = columns(stored, {"a0": row, "c0": row, "b0": row | {"recon": math.nan}}, SETTINGS)
    assert [(column.name, len(column.differences), column.judged) for column in found] == [
        ("recon", 1, True),  # c0 has no stored number, b0 no new one
        ("active_latents", 3, False),
    ]
    assert not flagged(found)


@pytest.mark.parametrize("value", [True, np.True_, None, "1", math.nan, math.inf])
def test_what_is_no_number(value: Any) -> None:
    assert not is_number(value)
    assert is_number(1)
    assert is_number(np.float32(1))
