import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.tradeoff import importance
from analysis.tradeoff.importance import EXPLORATORY, by_family, sentences, table
from analysis.tradeoff.settings import Setting, by_setting
from tests.analysis.grids import study
from trainables.config import TrialConfig

SEARCHED: dict[str, Any] = {
    "search": "tradeoff", "space: objective": ["beta_vae", "capacity"], "space: beta": "0.5:64",
    "space: gamma": "30:3000", "space: capacity_max": "5:50", "space: ramp_steps": "1000:150000",
    "space: init": ["he", "pytorch"], "space: model": "a.module:Model",
}  # fmt: skip


def searched(settings: int = 24, seeds: int = 2) -> tuple[pd.DataFrame, list[Setting]]:
    """Random settings; `x` is best at C = 20, `recon` least at the greatest C."""
    rng, trials = np.random.default_rng(1), []  # a field that does not matter is called so in 23 of 24 such draws
    for _ in range(settings):
        gamma, ramp = (float(math.exp(rng.uniform(*np.log(ends)))) for ends in ((30, 3000), (1000, 150_000)))
        axes = {"gamma": (gamma,), "capacity_max": (float(rng.uniform(5, 50)),), "ramp_steps": (int(ramp),)}

        def value(config: TrialConfig) -> dict[str, float]:
            return {"x": -abs(config.capacity_max - 20) + rng.normal(), "recon": 100 - config.capacity_max}

        trials.append(study(value, axes, seeds)[0])
    whole = pd.concat(trials, ignore_index=True)
    return whole, by_setting(whole)


@pytest.mark.parametrize(("target", "less"), [("x", False), ("recon", True)])
def test_the_field_that_matters_is_found(target: str, less: bool) -> None:
    (found,) = by_family(*searched(), target, SEARCHED, less)
    assert next(iter(found.shares)) == "capacity_max"
    assert set(found.shares) == {"gamma", "capacity_max", "ramp_steps"}
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.shares["capacity_max"] > 0.5
    assert found.beyond_chance == {"capacity_max": True, "gamma": False, "ramp_steps": False}
    assert found.settings == 24
    (sentence,) = sentences([found])
    assert sentence.endswith(f"is told from the others by C. {EXPLORATORY}")
    assert table([found])["field"].tolist()[0] == "C"
    assert table([found])["beyond chance"].tolist() == ["yes", "no", "no"]


@pytest.mark.slow
def test_noise_is_beyond_chance_in_a_twentieth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "SHUFFLES", 40)
    (trials, rows), rng, beyond = searched(), np.random.default_rng(1), []
    for _ in range(8):
        (found,) = by_family(trials.assign(x=rng.normal(size=len(trials))), rows, "x", SEARCHED)
        beyond += found.beyond_chance.values()
    assert sum(beyond) <= 5  # of 24, where 1.2 are expected; more than 5 in .1 % of such tests


def test_which_way_is_better_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "SHUFFLES", 1)
    asked: list[np.ndarray] = []

    def spy(params: Any, space: Any, values: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
        asked.append(values)
        return dict.fromkeys(space, 1.0), dict.fromkeys(space, 2.0)

    monkeypatch.setattr(importance, "_divergences", spy)
    trials, rows = searched()
    (found,) = by_family(trials, rows, "recon", SEARCHED)
    by_family(trials, rows, "recon", SEARCHED, less_is_better=True)
    means = np.array([row.estimates["recon"].mean for row in rows])
    assert asked[0] == pytest.approx(-means)
    assert asked[1] == pytest.approx(means)
    assert "by no field more than chance would do" in sentences([found])[0]


def test_ranges_are_the_searchs_own() -> None:
    space = importance._space("capacity", SEARCHED)
    assert set(space) == {"gamma", "capacity_max", "ramp_steps", "init"}  # neither beta nor what was not searched
    assert vars(space["gamma"]) == {"low": 30.0, "high": 3000.0, "log": True, "step": None}
    assert vars(space["ramp_steps"]) == {"low": 1000, "high": 150_000, "log": True, "step": 1}
    assert vars(space["capacity_max"])["log"] is False
    assert set(importance._space("beta", SEARCHED)) == {"beta", "init"}


def test_what_forbids_importances_is_said() -> None:
    trials, rows = searched()

    def reason(frame: pd.DataFrame, identity: dict[str, Any] = SEARCHED, target: str = "x") -> str:
        (found,) = by_family(frame, rows, target, identity)
        assert not found.shares
        assert sentences([found]) == [f"Importances for {target} in the family capacity are not given: {found.reason}."]
        assert table([found])["importance (exploratory)"].tolist() == [found.reason]
        return found.reason

    grid = "they are for adaptive searches; a grid has shares of variance"
    assert reason(trials, {**SEARCHED, "search": "capacity_grid"}) == reason(trials, {}) == grid
    few = "settings have x in all seeds, and it takes 20"
    assert reason(trials.query("seed == 0").iloc[:19]) == f"19 {few}"
    assert reason(trials.assign(x=math.nan)) == reason(trials.iloc[:0]) == f"0 {few}"
    assert reason(trials.assign(x=[math.inf] * 10 + [1.0] * 38)) == f"19 {few}"
    assert reason(trials.assign(x=1.0)) == "x is the same in all settings"
    assert reason(pd.concat([trials, trials.iloc[[0]]])).startswith("trained more than once")
    alone = {name: value for name, value in SEARCHED.items() if name not in ("space: gamma", "space: ramp_steps")}
    assert reason(trials, alone) == "capacity_max alone was searched in it, and importances compare fields"
    assert reason(trials, {"search": "tradeoff"}) == "nothing was searched in it, and importances compare fields"
    assert by_family(pd.DataFrame(), [], "x", SEARCHED) == []
