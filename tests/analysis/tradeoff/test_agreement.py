"""How nearly scores rank trials alike."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.tradeoff.agreement import RECON, agreement, concordance, sentences
from analysis.tradeoff.settings import Setting


def study(settings: int, seeds: int, **scores: np.ndarray) -> tuple[pd.DataFrame, list[Setting]]:
    """Scores by trial, setting by setting; recon is the trial's place."""
    cells = list(itertools.product(range(settings), range(seeds)))
    frame = pd.DataFrame({"setting": f"s{i}", "seed": j, "recon": float(place)} for place, (i, j) in enumerate(cells))
    return frame.assign(**scores), [Setting(f"s{i}", "beta", {"beta": i}, {}, {}, {}) for i in range(settings)]


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(scipy.stats.rankdata(one), scipy.stats.rankdata(other))[0, 1])


def test_spearman_over_trials_in_both_orders_and_with_recon_turned() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=12), rng.normal(size=12)
    found = agreement(*study(6, 2, a=a, b=b), ["a", "b"])
    assert found.names == ("a", "b", RECON)
    assert (found.trials, found.settings) == (12, 6)
    assert found.pairs["a", "b"].mean == pytest.approx(spearman(a, b))
    assert found.pairs["b", "a"] == found.pairs["a", "b"]
    assert found.pairs["a", RECON].mean == pytest.approx(-spearman(a, np.arange(12.0)))
    assert found.pairs["a", "b"].low is None  # six settings carry no interval


@pytest.mark.slow
def test_settings_are_resampled_whole_from_ten_on() -> None:
    rng = np.random.default_rng(1)
    of_setting = np.repeat(rng.normal(size=12), 3)
    noisy = of_setting + 0.3 * rng.normal(size=36)
    pair = agreement(*study(12, 3, a=of_setting, b=noisy), ["a", "b"]).pairs["a", "b"]
    assert pair.low is not None
    assert pair.high is not None
    assert pair.low < pair.mean < pair.high < 1


def test_concordance_of_scores_that_agree_and_of_two_that_oppose() -> None:
    rising = np.arange(7.0)
    assert concordance(np.column_stack([rising, 3 * rising, rising**3])) == pytest.approx(1)
    assert concordance(np.column_stack([rising, -rising])) == pytest.approx(0)


def test_concordance_is_the_mean_spearman_in_another_scale() -> None:
    # Without ties W = ((m - 1) r + 1) / m, r being the mean of Spearman's correlations of all pairs.
    values = np.random.default_rng(2).normal(size=(9, 4))
    pairs = [spearman(values[:, i], values[:, j]) for i, j in itertools.combinations(range(4), 2)]
    assert concordance(values) == pytest.approx((3 * sum(pairs) / 6 + 1) / 4)


def test_scores_that_choose_differently_are_said() -> None:
    a = np.array([1.0, 1, 2, 2, 3, 3])
    found = agreement(*study(3, 2, a=a, b=-a, c=10 * a), ["a", "b", "c"])
    assert found.best == {"a": ("β = 2", 3), "b": ("β = 0", -1), "c": ("β = 2", 30), RECON: ("β = 0", 0.5)}
    first, second = sentences(found)
    assert "Over 6 trials of 3 settings the 3 scores agree to Kendall's W = 0.11" in first
    assert "least a and b, Spearman -1.00" in first
    assert second == "They do not call the same setting best: β = 2 by a, c; β = 0 by b."


def test_scores_that_choose_alike_are_said() -> None:
    a = np.arange(6.0)
    assert sentences(agreement(*study(3, 2, a=a, b=a), ["a", "b"]))[1] == "All call the same setting best: β = 2."


def test_what_cannot_be_compared_is_said() -> None:
    some, half, nan = np.arange(6.0), np.array([1.0, 2, 3, np.nan, np.nan, np.nan]), [np.nan]
    scores = {"flat": np.ones(6), "few": np.array([1.0, 2, *4 * nan]), "wild": np.array([np.inf, *some[1:]])}
    found = agreement(*study(3, 2, a=some, **scores, half=half), ["a", *scores, "half", "none"])
    assert found.names == ("a", "half", RECON)
    assert found.trials == 3  # those that have all of the scores
    assert found.left_out == {
        "flat": "it is the same in every trial", "few": "2 trials have it", "wild": "it is infinite in some trial",
        "none": "0 trials have it",
    }  # fmt: skip
    assert sentences(found)[-1] == "none is not compared: 0 trials have it."


def test_a_score_that_most_trials_lack_would_hide_the_others() -> None:
    rare = np.array([1.0, 2, 3] + [np.nan] * 5)
    found = agreement(*study(4, 2, a=np.arange(8.0), rare=rare), ["a", "rare"])
    assert found.left_out == {"rare": "only 3 of 8 trials have it"}
    assert math.isnan(found.concordance)
    assert sentences(found) == ["rare is not compared: only 3 of 8 trials have it."]


def test_a_study_without_scores_has_no_agreement() -> None:
    assert agreement(pd.DataFrame(), [], ["a"]).names == ()
    assert agreement(*study(2, 2), []).pairs == {}


def test_a_lucky_setting_of_fewer_seeds_is_not_called_best() -> None:
    a = np.array([1.0, 1, 2, 2, np.nan, 9])
    assert agreement(*study(3, 2, a=a), ["a"]).best["a"] == ("β = 1", 2)
    frame, rows = study(3, 2, a=a)
    assert agreement(frame.drop(index=4), rows, ["a"]).best["a"] == ("β = 1", 2)
