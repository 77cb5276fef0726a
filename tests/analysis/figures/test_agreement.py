import matplotlib.pyplot as plt
import numpy as np
import pytest

from analysis.figures.agreement import agreement
from analysis.statistics import Estimate, over_seeds
from analysis.tradeoff.agreement import RECON, Agreement


def found(names: tuple[str, ...]) -> Agreement:
    """Pair (i, j) correlates by (i - j) / 10."""
    pairs = {}
    for i, one in enumerate(names):
        for j, other in enumerate(names[i + 1 :], start=i + 1):
            value = (i - j) / 10
            pairs[one, other] = Estimate((value,), value, value - 0.05, value + 0.05)
    return Agreement(names, pairs, Estimate((0.4,), 0.4), 20, 24, 12, (), {})


def test_each_pair_is_drawn_once_with_its_interval() -> None:
    given = found(("mig_calibrated", "dci", RECON))
    axes = agreement(plt.figure().subplots(), given)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["mig", "dci"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dci", RECON]
    values = np.ma.filled(axes.images[0].get_array(), np.nan)  # type: ignore[arg-type]
    assert values.tolist()[0][0] == pytest.approx(-0.1)
    assert np.isnan(values[0, 1])
    assert values[1].tolist() == pytest.approx([-0.2, -0.1])
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "-0.10\n[-0.15, -0.05]",
        (0, 1): "-0.20\n[-0.25, -0.15]",
        (1, 1): "-0.10\n[-0.15, -0.05]",
    }
    assert axes.images[0].get_clim() == (-1, 1)
    assert "24 trials" in axes.get_title()
    assert "W = 0.40" in axes.get_title()


def test_many_scores_have_numbers_alone() -> None:
    axes = agreement(plt.figure().subplots(), found((*"abcdefg", RECON)))
    assert len(axes.texts) == 28
    assert not any("[" in text.get_text() for text in axes.texts)


def test_nothing_to_compare_is_said_and_a_pair_without_value_is_a_dash() -> None:
    axes = agreement(plt.figure().subplots(), Agreement(("mig",), {}, over_seeds([]), 0, 3, 1, (), {}))
    assert [text.get_text() for text in axes.texts] == ["nothing to compare"]
    assert "W" not in axes.get_title()
    pairs = {("mig", "dci"): over_seeds([])}
    axes = agreement(plt.figure().subplots(), Agreement(("mig", "dci"), pairs, over_seeds([]), 0, 3, 1, (), {}))
    assert [text.get_text() for text in axes.texts] == ["-"]
