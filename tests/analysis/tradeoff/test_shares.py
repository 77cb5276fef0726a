import math

import numpy as np
import pandas as pd
import pytest

from analysis.statistics import Estimate
from analysis.tradeoff.settings import by_setting
from analysis.tradeoff.shares import Shares, by_family, factors, percent, sentences, table
from tests.analysis.grids import THREE_BY_TWO, noise, study
from trainables.config import TrialConfig

BETAS = {"beta": (1.0, 2.0, 4.0, 8.0)}


def planted(seeds: int, seed: int = 0):
    """Variances over settings: gamma 2 / 3, gamma x ramp 2 / 3, C 0; over trials: seed 1, seed x setting 1."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=seeds)

    def value(config: TrialConfig) -> dict[str, float]:
        level = math.log10(config.gamma / 1000) / math.log10(3.0)
        gamma = round(level)  # -1, 0, 1
        ramp = 1 if config.ramp_steps == 100 else -1
        return {"x": 580 + gamma + gamma * ramp + common[config.seed] + rng.normal()}

    return study(value, THREE_BY_TWO, seeds)


def test_shares_recover_a_planted_design() -> None:
    (found,) = by_family(*planted(150), "x", "gamma_ramp")
    assert list(found.by_source) == [
        "gamma", "C", "ramp", "gamma x C", "gamma x ramp", "C x ramp", "higher interactions", "seed", "seed x setting",
    ]  # fmt: skip
    means = {source: share.mean for source, share in found.by_source.items()}
    assert sum(means.values()) == pytest.approx(1)
    assert (means["gamma"], means["gamma x ramp"]) == pytest.approx((0.2, 0.2), abs=0.04)
    # 150 seeds: standard error .025
    assert (means["seed"], means["seed x setting"]) == pytest.approx((0.3, 0.3), abs=0.07)
    assert [means[name] for name in ("C", "ramp", "gamma x C", "C x ramp")] == pytest.approx([0] * 4, abs=0.01)
    for source, share in found.by_source.items():
        assert share.low is not None
        assert share.high is not None
        assert share.low <= max(share.mean, 0) <= share.high, source
    assert found.together.mean == pytest.approx(sum(list(means.values())[:-2]))
    assert found.together.low is not None
    assert found.together.high is not None
    assert found.together.low < found.together.mean < found.together.high < 0.6
    assert found.sd == pytest.approx(math.sqrt(2 / 3 + 2 / 3 + 2), abs=0.2)
    assert (found.settings, found.seeds) == (18, tuple(range(150)))
    assert not found.notes


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_what_they_claim(seeds: int) -> None:
    true = {"gamma": 0.2, "gamma x ramp": 0.2, "C": 0.0, "seed": 0.3, "seed x setting": 0.3}
    draws, covered = 40, dict.fromkeys(true, 0)
    for draw in range(draws):
        (found,) = by_family(*planted(seeds, draw), "x", "gamma_ramp")
        for source, value in true.items():
            low, high = found.by_source[source].low, found.by_source[source].high
            assert low is not None
            assert high is not None
            covered[source] += low <= value + 1e-9 and value <= high
    # 95 % of 40 draws: standard error .034; simulated at length they cover 92 to 99 %
    assert all(count / draws >= 0.85 for count in covered.values()), covered


def test_two_seeds_have_shares_without_an_interval_and_one_has_neither() -> None:
    (two,) = by_family(*planted(2), "x", "gamma_ramp")
    assert two.by_source["gamma"].low is None
    assert two.together.high is None
    assert sum(share.mean for share in two.by_source.values()) == pytest.approx(1)
    assert "Two seeds give no interval." in sentences([two])[0]
    (one,) = by_family(*planted(1), "x", "gamma_ramp")
    assert one.reason.startswith("it has one seed")
    assert sentences([one]) == [f"What x is due to in the family capacity cannot be said: {one.reason}."]


def test_families_are_taken_apart_on_their_own() -> None:
    one, rows = study(noise(0, "x"), BETAS, 3, "beta_vae")
    other, others = study(noise(1, "x"), {"capacity_max": (5.0, 10.0)}, 4)
    found = by_family(pd.concat([one, other]), [*rows, *others], "x", "capacity_grid")
    assert [(of.family, list(of.by_source), of.settings, len(of.seeds)) for of in found] == [
        ("beta", ["β", "seed", "seed x setting"], 4, 3), ("capacity", ["C", "seed", "seed x setting"], 2, 4),
    ]  # fmt: skip
    (alone,) = by_family(one, rows, "x", "capacity_grid")
    assert alone == found[0]


def test_seeds_that_a_setting_lacks_are_left_out_by_name() -> None:
    trials, rows = study(noise(0, "x"), BETAS, 5, "beta_vae")
    holes = [(trials["beta"] == 4) & (trials["seed"] == 1), (trials["beta"] == 8) & (trials["seed"] == 3)]
    trials.loc[holes[1], "x"] = math.inf
    (found,) = by_family(trials.loc[~holes[0]], rows, "x", "beta_grid")
    assert found.seeds == (0, 2, 4)
    assert found.notes == ("left out: seeds 1, 3, as these trials lack: β = 4 seed 1, β = 8 seed 3",)
    whole, _ = study(noise(0, "x"), BETAS, 5, "beta_vae")
    (same,) = by_family(whole.query("seed in [0, 2, 4]"), rows, "x", "beta_grid")
    assert found.by_source == same.by_source


@pytest.mark.parametrize(("spoil", "reason"), [
    (lambda trials: trials.assign(x=math.nan), "no finished trial has x"),
    (lambda trials: trials.drop(columns="x"), "no finished trial has x"),
    (lambda trials: trials.iloc[:0], "no finished trial has x"),
    (lambda trials: trials.assign(x=7.1), "x is the same in all trials"),
    (lambda trials: trials[trials["beta"] != 8], "under two seeds have x in every setting; lacking: β = 8 altogether"),
    (lambda trials: trials[(trials["seed"] == 0) | (trials["beta"] > 2)],
     "under two seeds have x in every setting; lacking: β = 1 seed 1, β = 1 seed 2, β = 2 seed 1 and 1 more"),
    (lambda trials: pd.concat([trials, trials.iloc[[4]]]),
     "trained more than once: β = 2 seed 1; keep one init_seed, order_seed and noise_seed"),
])  # fmt: skip
def test_what_forbids_shares_is_said(spoil, reason: str) -> None:
    trials, rows = study(noise(0, "x"), BETAS, 3, "beta_vae")
    (found,) = by_family(spoil(trials), rows, "x", "beta_grid")
    assert found.reason == reason
    assert not found.by_source
    assert table([found]).to_dict("records") == [{"family": "beta", "source": "-", "share": reason}]


def test_a_search_has_none_and_neither_has_one_setting() -> None:
    trials, rows = study(noise(0, "x"), BETAS, 3, "beta_vae")
    assert by_family(trials, rows, "x", "tradeoff")[0].reason == "a search chose the settings, which are no grid"
    one = trials.query("beta == 2")
    assert by_family(one, by_setting(one), "x", "beta_grid")[0].reason.startswith("it has one setting")
    assert by_family(pd.DataFrame(), [], "x", "beta_grid") == []
    assert sentences([]) == []


def test_a_grid_with_a_missing_cell_has_its_settings_as_one_factor() -> None:
    trials, _ = study(noise(0, "x"), THREE_BY_TWO, 3)
    trials = trials.query("gamma != 300 or capacity_max != 5")
    (found,) = by_family(trials, by_setting(trials), "x", "capacity_grid")
    assert list(found.by_source) == ["setting", "seed", "seed x setting"]
    (note,) = found.notes
    assert note.startswith("no full factorial, as no setting has gamma = 300 with C = 5 with ramp = ")
    assert "with ramp = 50" in note
    assert "with ramp = 100" in note
    assert note.endswith(": settings are one factor")
    assert found.settings == 16


def test_fields_that_go_together_are_one_factor() -> None:
    value = noise(0, "x")
    trials = pd.concat([study(value, {"ramp_steps": (ramp,), "steps": (2 * ramp,), "gamma": (30.0, 100.0)}, 3)[0]
                        for ramp in (100, 200, 300)])  # fmt: skip
    rows = by_setting(trials)
    assert list(factors(rows)) == ["gamma", "ramp & steps"]
    (found,) = by_family(trials, rows, "x", "capacity_grid")
    assert list(found.by_source) == ["gamma", "ramp & steps", "gamma x ramp & steps", "seed", "seed x setting"]


def test_the_sentence_names_what_matters_with_its_interval() -> None:
    (found,) = by_family(*planted(5), "x", "gamma_ramp")
    (sentence,) = sentences([found])
    assert "18 settings x 5 seeds" in sentence
    first = max(list(found.by_source)[:-2], key=lambda source: found.by_source[source].mean)
    share = found.by_source[first]
    assert share.low is not None
    assert share.high is not None
    assert f"(first {first} {100 * share.mean:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}])" in sentence
    assert len(table([found])) == 9


def test_no_share_of_nothing_is_printed_as_less() -> None:
    assert percent(Estimate((-0.001,), -0.001)) == "0 %"
    assert percent(Estimate((-0.031,), -0.031, 0.0, 0.2)) == "-3 % [0, 20]"
    assert percent(Shares("beta", "x").together) == "-"
