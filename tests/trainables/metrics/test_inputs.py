import numpy as np
import pytest

from trainables.checks import InputError
from trainables.metrics.inputs import MetricError, checked_factors, checked_rows, checked_table

CODES = np.zeros((3, 2), dtype=np.float32)
FACTORS = np.array([[5, 0], [900, 0], [-2, 0]])


def test_a_good_table_passes_with_its_float_type_and_dense_classes():
    codes, factors = checked_table(CODES, FACTORS)
    assert codes.dtype == np.float32
    assert factors.tolist() == [[1, 0], [2, 0], [0, 0]]
    assert checked_rows("codes", [[1, 2]]).dtype == np.float64


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (CODES[0], FACTORS, r"codes of shape \(2,\)"),
        (CODES[:0], FACTORS, r"codes of shape \(0, 2\)"),
        (np.array([["a"]]), FACTORS, "not real numbers"),
        (CODES * np.array([np.nan, 1]), FACTORS, "3 non-finite values of 6"),
        (CODES, FACTORS[:, 0], r"factors of shape \(3,\)"),
        (CODES, FACTORS[:, :0], r"factors of shape \(3, 0\)"),
        (CODES, FACTORS * 1.0, "float64 are not class indices"),
        (CODES, FACTORS[:2], "3 rows, factors 2"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused_with_the_reason(codes, factors, message):
    with pytest.raises(MetricError, match=message):
        checked_table(codes, factors)


def test_the_reason_is_an_input_error():
    with pytest.raises(InputError):
        checked_factors(FACTORS > 0)
