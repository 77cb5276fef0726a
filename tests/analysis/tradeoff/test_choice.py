"""The setting for a preference, and what its lead is worth on a seed that did not choose it."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.statistics import over_seeds
from analysis.tradeoff.choice import Preference, choose, sentence, table
from analysis.tradeoff.settings import Setting
from trainables.checks import InputError


def study(scores: np.ndarray, recons: np.ndarray | None = None) -> tuple[pd.DataFrame, list[Setting]]:
    """(settings, seeds) of the score, and of recon: 100, 101, ... by setting where none is given; NaN is unfinished."""
    recons = np.tile(100.0 + np.arange(len(scores))[:, None], scores.shape[1]) if recons is None else recons
    frame = pd.DataFrame(
        {"setting": f"s{i}", "family": "beta", "seed": j, "recon": recons[i, j], "mig_calibrated": scores[i, j]}
        for i in range(len(scores))
        for j in range(scores.shape[1])
        if not math.isnan(scores[i, j])
    )
    return frame, [Setting(f"s{i}", "beta", {"beta": i}, {}, {}, {}) for i in range(len(scores))]


SCORES = np.array([[0.1, 0.1, 0.1], [0.3, 0.9, 0.3], [0.4, 0.4, 0.4]])
"""On all seeds the second leads, but only by its seed 1; without that seed the third does."""


def test_the_naive_choice_and_what_it_gives_on_the_seed_left_out() -> None:
    found = choose(*study(SCORES), Preference())
    assert found.setting is not None
    assert found.setting.id == "s1"
    assert found.score == over_seeds([0.3, 0.9, 0.3])
    assert found.recon.values == (101, 101, 101)
    # Without seed 0 or 2 the second leads (.6) and gives .3 on each; without seed 1 the third does and gives .4.
    assert found.honest_score == pytest.approx((0.3 + 0.4 + 0.3) / 3)
    assert found.honest_recon == pytest.approx((101 + 102 + 101) / 3)
    assert found.curse == pytest.approx((304 / 3 - 101, 0.5 - 1 / 3))
    assert found.chosen == (("β = 1", 2), ("β = 2", 1))
    assert (found.seeds, found.reason, found.left_out) == (3, "", ())
    said = sentence(found)
    assert said.startswith("For the greatest mig_calibrated: β = 1. On the 3 seeds that chose it, it looks like 101.0")
    assert "on a seed that did not choose, 101.3 nats and 0.333." in said
    assert "Without one seed it is chosen again in 2 of 3 cases." in said


@pytest.mark.parametrize(("preference", "chosen"), [
    (Preference(recon_at_most=100.5), "s0"),
    (Preference(recon_at_most=101.0), "s1"),
    (Preference(recon_at_most=999.0), "s1"),
    (Preference(score_at_least=0.35), "s1"),
    (Preference(score_at_least=0.05), "s0"),
])  # fmt: skip
def test_a_limit_keeps_settings_out_and_the_other_target_decides(preference: Preference, chosen: str) -> None:
    setting = choose(*study(SCORES), preference).setting
    assert setting is not None
    assert setting.id == chosen


@pytest.mark.slow
def test_twelve_equal_settings_look_three_quarters_of_a_deviation_too_good() -> None:
    # science.md: naive +.73 sd, leave-one-out -.01. The mean of five normal seeds has sd 1 / sqrt(5); the expected
    # maximum of 12 standard normals is 1.629, so the naive choice is 1.629 / sqrt(5) = .729 too good.
    rng, naive, honest = np.random.default_rng(5), [], []
    for _ in range(300):
        found = choose(*study(rng.normal(size=(12, 5))), Preference())
        naive.append(found.score.mean)
        honest.append(found.honest_score)
    assert np.mean(naive) == pytest.approx(0.729, abs=4 * 0.3 / math.sqrt(300))
    assert np.mean(honest) == pytest.approx(0, abs=4 * 0.5 / math.sqrt(300))


def test_a_setting_that_leads_in_every_seed_has_no_curse() -> None:
    found = choose(*study(np.array([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]])), Preference())
    assert found.curse == pytest.approx((0, 0))
    assert found.chosen == (("β = 1", 3),)


def test_settings_that_lack_a_seed_do_not_compete() -> None:
    scores = SCORES.copy()
    scores[1, 2] = np.nan
    found = choose(*study(scores), Preference())
    assert found.setting is not None
    assert (found.setting.id, found.left_out) == ("s2", ("β = 1",))
    assert sentence(found).endswith("Not every seed has finished of β = 1: left out.")


@pytest.mark.parametrize(("scores", "preference", "reason"), [
    (SCORES[:, :1], Preference(), "one seed: how much of its lead is luck is unknown"),
    (SCORES, Preference(recon_at_most=99.0), "the least mean reconstruction is 100.0 nats; allow as much"),
    (SCORES, Preference(score_at_least=0.6), "the greatest mean mig_calibrated is 0.500; ask for no more"),
    (SCORES, Preference(score_at_least=0.45), "without one of the seeds no setting keeps the limit: it is at the edge"),
    (SCORES, Preference(score="dci"), "no setting has dci in every seed"),
    (np.array([[0.1, np.nan], [np.nan, 0.1]]), Preference(), "one seed: how much of its lead is luck is unknown"),
])  # fmt: skip
def test_what_cannot_be_told_is_said(scores: np.ndarray, preference: Preference, reason: str) -> None:
    found = choose(*study(scores), preference)
    assert found.reason.startswith(reason)
    assert math.isnan(found.honest_score)
    assert found.reason in sentence(found)
    (row,) = table([found]).to_dict("records")
    assert (row["not told"], row["honest score"]) == (found.reason, "-")


def test_an_empty_study_has_no_choice() -> None:
    assert choose(pd.DataFrame(), [], Preference()).setting is None


@pytest.mark.parametrize(("limits", "named"), [
    ({"recon_at_most": 90.0, "score_at_least": 0.2}, "recon_at_most=90, score_at_least=0.2"),
    ({"recon_at_most": math.nan}, "recon_at_most=nan"),
    ({"score_at_least": math.inf}, "score_at_least=inf"),
])  # fmt: skip
def test_a_preference_without_sense_is_refused(limits: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Preference(**limits)


def test_the_table_says_both_values() -> None:
    (row,) = table([choose(*study(SCORES), Preference())]).to_dict("records")
    assert row["setting"] == "β = 1"
    assert row["score"].startswith("0.500 [")
    assert (row["honest score"], row["honest recon"]) == ("0.333", "101.3")
    assert row["winner's curse"] == "+0.167"
    assert row["chosen without a seed"] == "β = 1 2x, β = 2 1x"
