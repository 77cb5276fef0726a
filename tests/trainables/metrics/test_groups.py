import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables.metrics.tables import random_factors
from trainables.metrics.groups import groups_of, rows_of_value
from trainables.metrics.inputs import checked_factors


@settings(deadline=None)
@given(st.lists(st.integers(-3, 5), min_size=1, max_size=60))
def test_groups_are_the_rows_of_each_value(values: list[int]) -> None:
    column = checked_factors(np.array(values)[:, None])[:, 0]
    groups = groups_of(column)
    assert len(groups.sizes) == len(groups.starts) == len(set(values))
    for value, name in enumerate(sorted(set(values))):
        expected = [row for row, found in enumerate(values) if found == name]
        assert rows_of_value(groups, value).tolist() == expected
        assert groups.sizes[value] == len(expected)
        assert groups.order[groups.starts[value]] == expected[0]
    assert sorted(groups.order) == list(range(len(values)))
    np.testing.assert_array_equal(groups.values, column)


def test_unlike_sizes_and_a_single_row() -> None:
    groups = groups_of(np.array([2, 0, 2, 1, 2]))
    assert groups.sizes.tolist() == [1, 1, 3]
    assert groups.starts.tolist() == [0, 1, 2]
    assert groups.order.tolist() == [1, 3, 0, 2, 4]
    alone = groups_of(np.array([0]))
    assert rows_of_value(alone, 0).tolist() == [0]


@pytest.mark.parametrize("column", range(5))
def test_every_row_of_a_value_shares_it_at_dsprites_sizes(column: int) -> None:
    factor = random_factors(rows=3000)[:, column]
    groups = groups_of(factor)
    for value in range(factor.max() + 1):
        rows = rows_of_value(groups, value)
        assert (factor[rows] == value).all()
        assert len(rows) == np.count_nonzero(factor == value)
