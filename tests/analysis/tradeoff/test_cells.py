import math

import numpy as np
import pandas as pd

from analysis.tradeoff.cells import by_cell, lacking, rectangle, repeated, some
from tests.analysis.grids import noise, study

BETAS = {"beta": (4.0, 1.0)}


def test_cells_are_in_the_order_of_the_settings_and_of_the_seeds() -> None:
    trials, rows = study(lambda config: {"x": config.beta + config.seed / 10}, BETAS, 3, "beta_vae")
    table = by_cell(trials.sample(frac=1, random_state=0), rows, "x")
    assert table.index.tolist() == [row.id for row in rows]
    expected = [[row.fields["beta"] + seed / 10 for seed in range(3)] for row in rows]
    assert table.to_numpy().tolist() == expected
    assert by_cell(trials, rows[:1], "x").shape == (1, 3)


def test_missing_and_infinite_values_and_trials_are_gaps() -> None:
    trials, rows = study(noise(0, "x"), BETAS, 3, "beta_vae")
    trials.loc[trials["beta"] == 4, "x"] = [math.inf, math.nan, 1.0]
    table = by_cell(trials.query("beta == 4"), rows, "x")
    assert sorted(lacking(table, rows)) == ["β = 1 altogether", "β = 4 seed 0", "β = 4 seed 1"]
    assert np.isnan(by_cell(trials, rows, "no column").to_numpy()).all()
    assert by_cell(pd.DataFrame(), rows, "x").shape == (2, 0)
    assert by_cell(trials.assign(x=None), rows, "x").isna().all(axis=None)


def test_a_seed_twice_is_named_where_the_setting_is_asked_for() -> None:
    trials, rows = study(noise(0, "x"), BETAS, 2, "beta_vae")
    twice = pd.concat([trials, trials.query("beta == 1")])
    words = "trained more than once: β = 1 seed 0, β = 1 seed 1; keep one init_seed, order_seed and noise_seed"
    assert repeated(twice, rows) == words
    assert repeated(twice, [row for row in rows if row.fields["beta"] == 4]) == ""
    assert repeated(trials, rows) == repeated(pd.DataFrame(), rows) == ""


def test_long_lists_are_cut() -> None:
    assert some([]) == ""
    assert some([1, 2, 3]) == "1, 2, 3"
    assert some("abcde") == "a, b, c and 2 more"
    assert some(["a, b", "c"]) == "a, b; c"


def test_one_more_seed_of_one_setting_drives_none_out() -> None:
    present = np.ones((6, 6), bool)
    present[1:, 5] = False
    assert rectangle(present) == (list(range(6)), list(range(5)))


def test_one_poor_setting_takes_no_seeds_from_the_others() -> None:
    present = np.ones((6, 5), bool)
    present[3, 1:] = False
    assert rectangle(present) == ([0, 1, 2, 4, 5], list(range(5)))
    assert rectangle(np.zeros((2, 3), bool)) == rectangle(np.zeros((0, 0), bool)) == ([], [])
