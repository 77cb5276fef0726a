import pytest

from study.source import Grid, with_stand_ins
from trainables.config import TrialConfig

CELLS = {c.key(): c for c in [TrialConfig(objective="beta_vae", seed=seed, steps=4) for seed in range(4)]}


@pytest.mark.parametrize(("limit", "expected"), [(None, 3), (2, 2), (0, 0)])
def test_a_grid_hands_out_what_has_no_result_each_cell_once(limit: int | None, expected: int) -> None:
    first, second, *_ = CELLS
    grid = Grid(CELLS, {first: "finished", second: "interrupted"}, limit=limit)
    assert grid.has_more == bool(expected)
    handed = []
    while config := grid.next():
        handed.append(config.key())
    assert len(handed) == len(set(handed)) == expected
    assert first not in handed
    assert handed[:1] == [second][:expected]  # interrupted ones first
    assert not grid.has_more
    assert not grid.waiting
    assert grid.planned() == CELLS


def test_a_failed_cell_is_tried_again_only_when_asked() -> None:
    first = next(iter(CELLS))
    assert not Grid({first: CELLS[first]}, {first: "failed"}).has_more
    assert Grid({first: CELLS[first]}, {first: "failed"}, retry_failed=True).has_more


def test_a_grid_gives_up_nothing() -> None:
    grid, config = Grid(CELLS, {}), next(iter(CELLS.values()))
    grid.ended(config, "diverged", {})
    assert grid.gives_up(config, {"verdict": "not informative", "step": 1}) == ""
    assert grid.take_dropped() == []
    assert grid.closing() == []


def test_stand_ins_fill_up_to_the_total_and_never_below_what_is_known() -> None:
    like = TrialConfig(steps=7, ramp_steps=3)
    longer = TrialConfig(steps=9, ramp_steps=3)
    filled = with_stand_ins(CELLS, 7, [like, longer])
    assert [config for key, config in filled.items() if key not in CELLS] == [like, longer, like]
    assert with_stand_ins(CELLS, 2, [like]) == CELLS
