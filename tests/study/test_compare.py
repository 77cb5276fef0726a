import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.store import compare
from tests.study.stores import BETA, CAPACITY, arrays, build, open_store, start


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that others are compared with."""
    return build(tmp_path_factory.mktemp("compared") / "a")


def test_equal_stores_have_no_difference(one: Path, tmp_path: Path):
    assert compare(one, build(tmp_path / "b")) == []


def test_columns_of_time_and_place_are_ignored_unless_asked_for(one: Path, tmp_path: Path):
    other = build(tmp_path / "b", row={"seconds": 9.0, "steps_per_second": 3.0, "host": "elsewhere"})
    assert compare(one, other) == []
    assert any("seconds" in line for line in compare(one, other, ignore=("time", "host", "steps_per_second")))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"value": np.nextafter(0.25, 1)}, "mig"),
        ({"value": float("nan")}, "mig"),
        ({"row": {"step": 21}}, "21"),
        ({"row": {"extra": 1.0}}, "extra"),
        ({"row": {"verdict": "fine"}}, "verdict"),
        ({"end": "failed"}, "status"),
        ({"weights": b"others"}, "weights"),
        ({"arrays": {**arrays(), "mean": np.zeros((1, 2), np.float32)}}, "mean"),
        ({"arrays": {"mean": arrays()["mean"]}}, "traversals"),
    ],
)
def test_each_kind_of_difference_is_found_in_both_directions(
    one: Path, tmp_path: Path, change: dict[str, Any], word: str
):
    other = build(tmp_path / "b", **change)
    for lines in (compare(one, other), compare(other, one)):
        assert lines
        assert any(word in line for line in lines)
        assert all(CAPACITY.key() in line or BETA.key() in line or word in line for line in lines)


def test_a_missing_trial_is_a_difference(one: Path, tmp_path: Path):
    other = build(tmp_path / "b")
    extra = dataclasses.replace(CAPACITY, seed=7)
    with open_store(other) as store:
        start(store, extra)
    assert any(extra.key() in line for line in compare(one, other))
    assert any(extra.key() in line for line in compare(other, one))
