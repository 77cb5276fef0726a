import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from analysis.statistics import over_seeds
from analysis.tradeoff.choice import Choice, Preference, choose, sentences, table
from analysis.tradeoff.settings import Setting
from trainables.checks import InputError


def laid_out(score: NDArray[np.float64], recon: NDArray[np.float64]) -> tuple[pd.DataFrame, list[Setting]]:
    """Trials and settings of two tables, settings x seeds; the settings are called a, b, ..."""
    names = [chr(ord("a") + place) for place in range(len(score))]
    rows = [Setting(name, "beta", {"beta": name}, {"recon": over_seeds([])}, {}, {}) for name in names]
    trials = [
        {"setting": name, "seed": seed, "score": score[place, seed], "recon": recon[place, seed]}
        for place, name in enumerate(names)
        for seed in range(score.shape[1])
    ]
    return pd.DataFrame(trials), rows


def chosen(score: list[list[float]], recon: list[list[float]], preference: Preference) -> Choice:
    trials, rows = laid_out(np.array(score, float), np.array(recon, float))
    return choose(trials, rows, preference, "score")


SCORES = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.0], [0.3, 0.3, 0.25]]  # means .2, .3, .283
RECONS = [[90.0, 90, 90], [100, 100, 130], [120, 120, 120]]  # means 90, 110, 120


def test_the_greatest_score_by_hand() -> None:
    found = chosen(SCORES, RECONS, Preference())
    assert found.chosen is not None
    assert (found.chosen.id, found.settings, found.seeds) == ("b", 3, 3)
    assert found.naive == pytest.approx((0.3, 110))
    # Without seed 0 the means are .25, .25, .275: c; without 1 .2, .2, .275: c; without 2 .15, .45, .3: b, which has 0.
    assert found.honest == pytest.approx(((0.3 + 0.3 + 0.0) / 3, (120 + 120 + 130) / 3))
    assert found.times == (("β = c", 2), ("β = b", 1))
    assert found.curse == pytest.approx((0.1, 110 - 370 / 3))
    assert not found.reason


def test_limits_keep_settings_out() -> None:
    within = chosen(SCORES, RECONS, Preference(recon_at_most=100))
    assert within.chosen is not None
    assert within.chosen.id == "a"
    # Without seed 2 setting b has recon 100, which is at most 100, and the score .45; its own at seed 2 is 0.
    assert within.times == (("β = a", 2), ("β = b", 1))
    assert within.honest == pytest.approx(((0.1 + 0.2 + 0.0) / 3, (90 + 90 + 130) / 3))
    least = chosen(SCORES, RECONS, Preference(score_at_least=0.25))
    assert least.chosen is not None
    assert least.chosen.id == "b"
    assert least.naive == pytest.approx((0.3, 110))
    # Without seed 0 a reaches .25 at 90; without 1 c alone does; without 2 b does.
    assert least.honest == pytest.approx(((0.1 + 0.3 + 0.0) / 3, (90 + 120 + 130) / 3))


def test_where_no_setting_is_within_the_limit_the_nearest_is_named() -> None:
    out = chosen(SCORES, RECONS, Preference(recon_at_most=50))
    assert (out.chosen, out.reason) == (None, "no setting's mean recon is at most 50 nats; the least is 90.0")
    high = chosen(SCORES, RECONS, Preference(score_at_least=0.9))
    assert high.reason == "no setting's mean score is at least 0.9; the greatest is 0.300"
    assert math.isnan(high.naive.score)
    assert math.isnan(high.curse.recon)
    assert sentences([high]) == [f"The least recon at a score of at least 0.9 (score): {high.reason}."]
    assert table([high])["setting"].tolist() == [f"none: {high.reason}"]


def test_rounds_without_a_choice_are_counted() -> None:
    found = chosen([[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]], [[1.0] * 3] * 2, Preference(score_at_least=0.5))
    assert (found.refused, found.times) == (1, (("β = a", 2),))  # without seed 1 the mean of a is .25
    assert found.honest == pytest.approx((0.25, 1.0))
    assert "none within the limit in 1" in sentences([found])[0]
    lost = chosen([[1.0, -1.0]], [[1.0, 1.0]], Preference(score_at_least=0.0))
    assert (lost.refused, lost.honest) == (1, (-1.0, 1.0))  # only the good seed chooses, and sees the bad one
    never = chosen([[2.0, 0.0], [0.0, 2.0]], [[1.0, 1.0]] * 2, Preference(score_at_least=1.0))
    assert never.honest.score == 0  # each seed chooses what is bad on the other


def test_equal_settings_are_as_good_as_they_look_only_on_a_left_out_seed() -> None:
    # science.md: of 12 equal settings at 5 seeds the naive choice is .73 sd too good, leave-one-out -.01
    rng, draws, found = np.random.default_rng(0), 150, []
    for _ in range(draws):
        trials, rows = laid_out(rng.normal(size=(12, 5)), np.full((12, 5), 100.0))
        one = choose(trials, rows, Preference(), "score")
        found.append((one.naive.score, one.honest.score))
    naive, honest = np.mean(found, axis=0)
    assert naive == pytest.approx(0.73, abs=0.06)  # sd .25 a study: standard error .02
    assert honest == pytest.approx(0.0, abs=0.13)  # sd .5 a study: standard error .04


def test_one_seed_has_a_choice_and_no_honest_value() -> None:
    found = chosen([[0.1], [0.2]], [[1.0], [2.0]], Preference())
    assert found.chosen is not None
    assert (found.naive, found.times) == ((0.2, 2.0), ())
    assert math.isnan(found.honest.score)
    assert found.reason == "one seed, and none to look at the choice with"
    assert "How much of that is luck cannot be said: one seed" in sentences([found])[0]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
@pytest.mark.parametrize("column", ["score", "recon"])
def test_settings_that_lack_a_trial_do_not_compete(value: float | None, column: str) -> None:
    trials, rows = laid_out(np.array(SCORES), np.array(RECONS))
    place = trials.query("setting == 'b' and seed == 1").index
    trials.loc[place, column] = value
    if value is None:
        trials = trials.drop(place)
    found = choose(trials, rows, Preference(), "score")
    assert found.chosen is not None
    assert (found.chosen.id, found.settings) == ("c", 2)
    assert found.left_out == ("β = b seed 1",)
    assert "Settings that lack trials do not compete: β = b seed 1." in sentences([found])[0]


def test_what_forbids_a_choice_is_said() -> None:
    trials, rows = laid_out(np.array(SCORES), np.array(RECONS))
    for frame, competing in ((trials.iloc[:0], rows), (pd.DataFrame(), rows), (trials, [])):
        nothing = choose(frame, competing, Preference(), "score")
        assert (nothing.reason, nothing.settings) == ("no trial of these settings has finished", 0)
    assert choose(trials, rows, Preference(), "mig").reason == "no finished trial has mig"
    holes = trials.assign(score=trials["score"].where(trials["seed"] != 1))
    assert choose(holes, rows, Preference(), "score").reason == "no setting has score and recon of all 3 seeds"
    twice = choose(pd.concat([trials, trials.iloc[[0]]]), rows, Preference(), "score")
    assert twice.reason.startswith("trained more than once: β = a seed 0")


def test_equal_ones_go_to_the_first_and_one_setting_has_no_luck() -> None:
    found = chosen([[0.2, 0.2], [0.2, 0.2]], [[2.0, 2.0], [1.0, 1.0]], Preference())
    assert found.times == (("β = a", 2),)
    assert found.curse == (0, 0)
    assert "Whichever seed is left out, it is chosen" in sentences([found])[0]
    alone = chosen([[0.2, 0.4]], [[2.0, 2.0]], Preference())
    assert alone.honest == alone.naive
    assert "No other setting competes" in sentences([alone])[0]


def test_the_sentence_says_what_was_luck_and_what_breaks_the_limit() -> None:
    (first,) = sentences([chosen(SCORES, RECONS, Preference())])
    assert first == (
        "The greatest score (score) of 3 settings x 3 seeds: β = b, with 0.300 at 110.0 nats. On a seed that had no "
        "part in the choice it is 0.200 at 123.3 nats: it looked better by 0.100 in the score and better by 13.3 nats "
        "in recon. With one seed left out it is chosen in 1 of 3, β = c in 2."
    )
    (within,) = sentences([chosen(SCORES, RECONS, Preference(recon_at_most=100))])
    assert "That is over the limit." in within
    (least,) = sentences([chosen(SCORES, RECONS, Preference(score_at_least=0.25))])
    assert "That is under the limit." in least
    line = table([chosen(SCORES, RECONS, Preference())]).to_dict("records")[0]
    assert line == {
        "wanted": "greatest score", "setting": "β = b", "score": "0.300", "score on a left-out seed": "0.200",
        "recon": "110.0", "recon on a left-out seed": "123.3", "chosen": "1 of 3",
    }  # fmt: skip


def test_a_preference_is_one_of_three() -> None:
    with pytest.raises(InputError, match=r"recon_at_most=100 and score_at_least=0.3 are two limits, .*; leave one out"):
        Preference(100, 0.3)
    for limit in (math.nan, math.inf, -math.inf):
        with pytest.raises(InputError, match=r"score_at_least=.* is no limit; give a finite number"):
            Preference(score_at_least=limit)
    assert str(Preference(recon_at_most=100)) == "greatest score at recon of at most 100 nats"
