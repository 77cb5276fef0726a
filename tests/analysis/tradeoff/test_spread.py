import math

import numpy as np
import pandas as pd
import pytest

from analysis.statistics import iqm, over_seeds, seeds_needed
from analysis.tradeoff.spread import sentences, spreads, table
from tests.analysis.grids import noise, study
from trainables.checks import InputError

BETAS = {"beta": (1.0, 4.0)}


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 8])
def test_a_spread_says_what_its_seeds_allow(seeds: int) -> None:
    trials, rows = study(noise(0, "x"), BETAS, seeds, "beta_vae")
    for row, one in zip(rows, spreads(trials, rows, "x", 0.5), strict=True):
        values = trials.loc[trials["setting"] == row.id, "x"].tolist()
        assert (one.setting, one.mean, one.reason) == (row, over_seeds(values), "")
        assert one.sd == (pytest.approx(np.std(values, ddof=1)) if seeds >= 3 else None)
        assert (one.iqm, one.needed) == (iqm(values), seeds_needed(values, 0.5))


def test_gaps_are_counted_and_a_seed_twice_is_refused() -> None:
    trials, rows = study(noise(0, "x"), BETAS, 3, "beta_vae")
    trials.loc[trials["beta"] == 4, "x"] = [math.nan, math.inf, 1.0]
    trials = pd.concat([trials, trials.query("beta == 1 and seed == 2")])
    lines = table(spreads(trials, rows, "x", 0.5), 0.5).set_index("setting").to_dict("index")
    assert lines["β = 4"] == {
        "family": "beta", "seeds": "1", "mean": "1.000", "sd": "-", "IQM": "-", "seeds for ± 0.5": "-",
    }  # fmt: skip
    assert lines["β = 1"]["mean"].startswith("trained more than once: β = 1 seed 2")
    assert lines["β = 1"]["seeds"] == "0"


def test_the_sentence_plans_from_five_seeds_on() -> None:
    trials, rows = study(noise(0, "x"), BETAS, 5, "beta_vae")
    found = spreads(trials, rows, "x", 0.5)
    least, most = sorted(one.needed or 0 for one in found)
    where = max(found, key=lambda one: one.needed or 0).setting.label
    (sentence,) = sentences(found, "x", 0.5)
    assert sentence.startswith(
        f"To know a setting's mean x to within ± 0.5 would take {least} to {most} seeds, the most"
    )
    assert f"at {where};" in sentence
    few = spreads(trials.query("seed < 4"), rows, "x", 0.5)
    assert sentences(few, "x", 0.5) == ["How many seeds x would take cannot be planned from 4 (it takes 5)."]
    assert sentences([], "x", 0.5) == []


def test_a_width_of_nothing_is_refused_before_anything_else() -> None:
    with pytest.raises(InputError, match="half_width=0 is no width"):
        spreads(pd.DataFrame(), [], "x", 0)
