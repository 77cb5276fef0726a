import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis.tradeoff.agreement import (
    RECON,
    Agreement,
    agreement,
    concordance_of,
    matrix,
    rank_correlation,
    sentences,
    table,
)
from analysis.tradeoff.settings import Setting
from tests.analysis.grids import study
from trainables.config import TrialConfig


def scored(seeds: int = 3, betas: int = 4, seed: int = 0) -> tuple[pd.DataFrame, list[Setting]]:
    """Trials with two scores that agree but for noise, one turned round, and recon that goes against the first."""
    rng = np.random.default_rng(seed)

    def value(config: TrialConfig) -> dict[str, float]:
        level, (one, two, three) = math.log2(config.beta), rng.normal(size=3)
        values = {"mig": level + 0.1 * one, "dci": level + 0.1 * two, "infoe": -level + 0.1 * three}
        nulls = {f"{name}_null": 0.0 for name in values} | {"mig_calibrated": values["mig"]}
        return values | nulls | {"recon": 100 + level}

    return study(value, {"beta": tuple(2.0**place for place in range(betas))}, seeds, "beta_vae")


def of(trials: pd.DataFrame, rows: list[Setting]) -> Agreement:
    return agreement(trials, rows)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
def test_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, float).T
    found = rank_correlation(np.array(pairs, float))
    if min(len(set(one)), len(set(other))) < 2:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(float(scipy.stats.spearmanr(one, other)[0]))  # type: ignore[arg-type]


def test_kendalls_w_by_hand() -> None:
    alike = np.array([[1.0, 10, 2], [2, 20, 5], [3, 30, 7]])
    assert concordance_of(alike) == pytest.approx(1)
    assert concordance_of(alike * [1, -1, 1] * [1, 1, 1]) == pytest.approx(1 / 9)  # rank sums 5, 6, 7: S = 2 of 18
    assert concordance_of(alike[:, :2] * [1, -1]) == pytest.approx(0)
    assert math.isnan(concordance_of(np.ones((3, 2))))
    ties = np.array([[1.0, 1], [1, 2], [2, 3]])  # ranks 1.5 1.5 3 and 1 2 3: S = 3.5, 12 S / (4 (27 - 3) - 2 x 6) = .5
    ranks = scipy.stats.rankdata(ties, axis=0)
    spread = float(((ranks.sum(axis=1) - 4) ** 2).sum())
    assert concordance_of(ties) == pytest.approx(12 * spread / (4 * (27 - 3) - 2 * (8 - 2)))


@given(st.integers(2, 6), st.integers(3, 9), st.integers(0, 99))
def test_w_is_the_mean_rank_correlation_in_disguise(judges: int, rows: int, seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(rows, judges))
    pairs = [rank_correlation(table[:, [a, b]]) for a in range(judges) for b in range(a)]
    assert concordance_of(table) == pytest.approx((1 + (judges - 1) * np.mean(pairs)) / judges)


def test_every_pair_is_compared_over_all_trials() -> None:
    trials, rows = scored()
    found = of(trials, rows)
    assert found.names == ("mig_calibrated", "dci", "infoe", RECON)
    assert list(found.pairs)[:3] == [("mig_calibrated", "dci"), ("mig_calibrated", "infoe"), ("mig_calibrated", RECON)]
    assert len(found.pairs) == 6
    for (one, other), value in found.pairs.items():
        columns = [-trials["recon"] if name == RECON else trials[name] for name in (one, other)]
        assert value.mean == pytest.approx(float(scipy.stats.spearmanr(*columns)[0]))  # type: ignore[arg-type]
        assert value.low is None  # four settings
    assert found.pairs["mig_calibrated", RECON].mean < -0.9
    assert (found.judged, found.trials, found.settings) == (12, 12, 4)
    assert found.concordance.mean == pytest.approx(concordance_of(trials[["mig", "dci", "infoe"]].to_numpy()))


def test_settings_are_resampled_with_their_seeds_from_ten_on() -> None:
    found = of(*scored(seeds=2, betas=10))
    value = found.pairs["mig_calibrated", "infoe"]
    assert value.low is not None
    assert value.high is not None
    assert value.low <= value.mean <= value.high < -0.9
    assert "[" in matrix(found).loc[1, "mig_calibrated"]
    assert matrix(found).loc[0, "infoe"] == ""


def test_each_score_names_its_best_setting() -> None:
    trials, rows = scored()
    found = of(trials, rows)
    assert [(one.score, one.setting.label, one.place) for one in found.best] == [
        ("mig_calibrated", "β = 8", 1), ("dci", "β = 8", 1), ("infoe", "β = 1", 4),
    ]  # fmt: skip
    assert found.best[0].mean.values == tuple(trials.query("beta == 8")["mig"])
    said = " ".join(sentences(found))
    assert "hangs on the score: β = 8 under mig_calibrated, dci; β = 1 under infoe." in said
    assert "Least agree" in said
    assert f"W = {found.concordance.mean:.2f} (1: all rank alike; 0.33: nothing in common); under 10 settings" in said
    assert table(found)["place under mig_calibrated"].tolist() == ["1", "1", "4"]
    same = of(trials.drop(columns=["infoe", "infoe_null"]), rows)
    assert "All scores put the same setting first: β = 8." in sentences(same)


def test_constant_missing_and_infinite_scores_are_told() -> None:
    trials, rows = scored()
    trials = trials.assign(flat=0.5, flat_null=0.1, rare=math.nan, rare_null=0.1)
    trials.loc[0, "rare"] = 1.0
    trials.loc[[1, 2], "dci"] = [math.nan, math.inf]
    found = of(trials, rows)
    assert found.left_out == {
        "flat": "left out: the same in all trials",
        "rare": "left out: 1 of 12 trials have it",
        "dci": "missing in 2 of 12 trials, compared over the others",
    }
    assert found.judged == 10
    known = trials.drop(index=[1, 2])
    expected = float(scipy.stats.spearmanr(known["mig_calibrated"], known["dci"])[0])  # type: ignore[arg-type]
    assert found.pairs["mig_calibrated", "dci"].mean == pytest.approx(expected)
    assert sentences(found)[-1].startswith("flat is left out: the same in all trials; rare is left out")
    best = {one.score: one for one in found.best}
    assert best["dci"].setting.label == "β = 8"  # the setting with gaps does not compete


def test_nothing_to_compare_is_said() -> None:
    trials, rows = scored()
    for frame in (pd.DataFrame(), trials.iloc[:0], trials.filter(["key", "setting", "family", "seed"])):
        found = of(frame, rows)
        assert (found.pairs, found.best, found.judged) == ({}, (), 0)
        assert sentences(found)[0] == "Whether scores agree cannot be said: 0 of them can be ranked, and it takes two."
        assert matrix(found).empty
        assert table(found).empty
    twice = of(pd.concat([trials, trials.iloc[[0]]], ignore_index=True), rows)
    assert twice.best == ()
    assert "cannot be said: none has all its seeds, once each." in " ".join(sentences(twice))
    one = of(trials.drop(columns=["infoe_null", "dci_null"]), rows)
    assert one.names == ("mig_calibrated", RECON)
    assert not one.concordance.values
    assert "first" not in " ".join(sentences(one))
    assert one.pairs["mig_calibrated", RECON].mean < -0.9


def test_a_best_setting_without_the_first_score_has_no_place_there() -> None:
    trials, rows = scored()
    trials.loc[trials["beta"] == 8, "mig_calibrated"] = math.nan
    best = {one.score: one for one in of(trials, rows).best}
    assert (best["mig_calibrated"].setting.label, best["mig_calibrated"].place) == ("β = 4", 1)
    assert (best["dci"].setting.label, best["dci"].place) == ("β = 8", None)
    assert table(of(trials, rows))["place under mig_calibrated"].tolist() == ["1", "-", "3"]
