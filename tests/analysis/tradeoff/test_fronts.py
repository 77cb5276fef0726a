import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.frames import load
from analysis.statistics import over_seeds
from analysis.tradeoff.fronts import Standing, caution, likeliest, redrawn, replicates, standings, table, unbeaten
from analysis.tradeoff.settings import by_setting, front
from study.progress import pareto
from tests.analysis.curves import crossed, rows
from trainables.checks import InputError


def told(frame: pd.DataFrame) -> dict[str, Standing]:
    return {one.setting.id: one for one in standings(frame, rows(frame))}


def noisy(means: dict[tuple[str, str], tuple[float, float]], seeds: int, seed: int = 0, shared: float = 0.0):
    """Settings about known means, sd 1 nat and .01; that share of the variance is the seed's own, in all settings."""
    rng = np.random.default_rng(seed)
    lift, scale = rng.normal(size=(seeds, 2)), np.array([1.0, 0.01])
    return crossed({
        name: (mean + scale * (math.sqrt(shared) * lift + math.sqrt(1 - shared) * rng.normal(size=(seeds, 2)))).tolist()
        for name, mean in means.items()
    })  # fmt: skip


FAR = {("beta", "good"): (100.0, 0.5), ("beta", "dominated"): (150.0, 0.2), ("beta", "other end"): (200.0, 0.9),
       ("capacity", "better"): (90.0, 0.7), ("capacity", "lost"): (300.0, 0.1)}  # fmt: skip


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_settings_far_apart_are_on_the_front_or_not(seeds: int) -> None:
    found = told(noisy(FAR, seeds))
    assert {name: (one.on_family, one.on_joint) for name, one in found.items()} == {
        "good": (True, False), "dominated": (False, False), "other end": (True, True),
        "better": (True, True), "lost": (False, False),
    }  # fmt: skip
    for one in found.values():
        assert one.p_family == pytest.approx(float(one.on_family), abs=0.02)
        assert one.p_joint == pytest.approx(float(one.on_joint), abs=0.02)
        assert one.seeds == seeds


@pytest.mark.parametrize("seeds", [3, 11])
def test_two_equal_settings_share_the_front_by_symmetry(seeds: int) -> None:
    # b beats a where it is better on both: in 1/4 + asin(rho) / 2 pi of all cases, by the correlation rho of the two.
    rng, aligned, free = np.random.default_rng(0), [], []
    for _ in range(40):
        recon, score = rng.normal(size=(2, 2, seeds))
        one, other = shares(recon, -recon)
        assert one + other == pytest.approx(1)  # rho 1: one of them is on it
        aligned.append(one)
        assert shares(recon, recon) == (1, 1)  # rho -1: neither beats
        both = shares(recon, score), shares(-recon, score)  # where one is beaten in this, neither is in that
        assert np.mean(both) == pytest.approx(0.75)
        free.append(both[0][0])
    assert np.mean(aligned) == pytest.approx(0.5, abs=0.12)  # standard error .045
    assert np.mean(free) == pytest.approx(0.75, abs=0.12)


def shares(recon: NDArray[np.float64], score: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(unbeaten(redrawn(np.stack([recon, score], axis=-1))).mean(axis=0).tolist())


def test_alone_a_redrawn_mean_has_the_t_interval_and_two_of_equal_seeds_the_paired_one() -> None:
    rng = np.random.default_rng(3)
    for seeds in (3, 8):
        lift = 5 * rng.normal(size=(seeds, 2))
        values = np.stack([lift + rng.normal(size=(seeds, 2)) for _ in range(2)])
        draws = redrawn(values)
        for target in range(2):
            for drawn, sample in [
                (draws[:, 0, target], values[0, :, target]),
                (draws[:, 0, target] - draws[:, 1, target], values[0, :, target] - values[1, :, target]),
            ]:
                estimate = over_seeds(sample.tolist())
                assert estimate.high is not None
                low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975]).tolist()
                half = estimate.high - estimate.mean
                assert high - low == pytest.approx(2 * half, rel=0.14)
                assert middle == pytest.approx(estimate.mean, abs=0.1 * half)
        drawn, sample = (scipy.stats.pearsonr(*one.T)[0] for one in (draws[:, 0], values[0]))
        assert drawn == pytest.approx(sample, abs=0.1)


def test_from_ten_seeds_on_they_are_resampled_in_all_settings_at_once() -> None:
    coins = np.random.default_rng(0).integers(0, 2, size=(10, 2)).astype(float)
    draws = redrawn(np.stack([coins, coins + 7]))
    assert (draws[:, 1] - draws[:, 0]) == pytest.approx(7)
    assert 10 * draws == pytest.approx(np.round(10 * draws))
    assert draws[:, 0].std(axis=0) == pytest.approx(coins.std(axis=0) / math.sqrt(10), rel=0.05)
    few = redrawn(np.stack([coins[:9], coins[:9] + 7]))
    assert few[:, 1] - few[:, 0] == pytest.approx(7)
    assert not np.allclose(9 * few, np.round(9 * few))


@pytest.mark.parametrize(("seeds", "lost"), [(6, 2), (14, 3)])
def test_a_setting_that_lost_seeds_is_redrawn_from_those_it_has(seeds: int, lost: int) -> None:
    values = np.random.default_rng(1).normal(size=(2, seeds, 2))
    values[1, :lost] = np.nan
    draws, kept = redrawn(values), values[1, lost:]
    assert draws[:, 1].mean(axis=0) == pytest.approx(kept.mean(axis=0), abs=0.03)
    own = redrawn(kept[None])[:, 0]
    for share in (0.1, 0.9):
        one, other = (np.quantile(drawn, share, axis=0) - kept.mean(axis=0) for drawn in (draws[:, 1], own))
        assert one == pytest.approx(other, rel=0.12)


def test_under_three_seeds_there_is_no_probability_and_no_competing() -> None:
    frame = noisy(FAR, 5)
    best = crossed({("beta", "few"): [(1.0, 1.0), (1.1, 1.0)]})
    both = pd.concat([frame, best])
    found, before = told(both), told(frame)
    assert (found["few"].p_family, found["few"].p_joint, found["few"].seeds) == (None, None, 2)
    assert found["few"].on_joint
    assert [name for name, one in found.items() if one.on_joint] == ["few"]
    assert {name: one.p_joint for name, one in before.items()} == {
        name: one.p_joint for name, one in found.items() if name != "few"
    }
    assert {one.p_family for one in told(noisy(FAR, 2)).values()} == {None}
    assert caution(list(found.values())) == (
        "Under 3 seeds, so without a probability and no rival of the others: β = few."
    )  # fmt: skip
    assert caution(list(before.values())) == ""
    assert caution(list(told(noisy(FAR, 2)).values())) == (
        "No setting has 3 seeds: the front describes this run, without a probability."
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_unbeaten_against_pareto(points: list[tuple[int, int]]) -> None:
    kept = unbeaten(np.array([points, points[::-1]], float))
    assert np.flatnonzero(kept[0]).tolist() == sorted(pareto(points))
    assert kept[1].tolist() == kept[0, ::-1].tolist()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.sampled_from([3, 6, 10]), st.randoms(use_true_random=False))
def test_order_and_units_are_irrelevant_and_the_joint_front_is_harder(seed: int, seeds: int, random) -> None:
    names = [("beta", "a"), ("beta", "b"), ("beta", "c"), ("capacity", "d"), ("capacity", "e")]
    rng = np.random.default_rng(seed)
    frame = noisy({name: (100 + rng.normal(), 0.3 + 0.01 * rng.normal()) for name in names}, seeds, seed)
    first = told(frame)
    shuffled = frame.iloc[random.sample(range(len(frame)), len(frame))]
    other = shuffled.assign(recon=8 * frame["recon"], mig_calibrated=4 * frame["mig_calibrated"])
    for name, one in told(other).items():
        assert (one.p_family, one.p_joint) == (first[name].p_family, first[name].p_joint)
        assert (one.on_family, one.on_joint) == (first[name].on_family, first[name].on_joint)
        assert one.p_family is not None
        assert one.p_joint is not None
        assert one.p_joint <= one.p_family
    assert sum(one.p_joint or 0.0 for one in first.values()) >= 1  # some setting is on it in every draw


def test_the_front_of_means_is_that_of_the_table_of_settings(fake_study) -> None:
    frames = load(fake_study)
    found = by_setting(frames.trials)
    on = [one for one in standings(frames.finished, found) if one.on_joint]
    assert sorted(one.setting.id for one in on) == sorted(row.id for row in front(found))
    assert on


def test_missing_and_infinite_targets_take_no_part() -> None:
    frame = noisy(FAR, 4)
    frame["mig_calibrated"] = frame["mig_calibrated"].mask(frame["setting"] == "better")
    frame.loc[(frame["setting"] == "good") & (frame["seed"] == 3), "recon"] = math.inf
    found = told(frame)
    assert [found[name].seeds for name in ("better", "good", "lost")] == [0, 3, 4]
    assert (found["better"].on_family, found["better"].p_joint) == (False, None)
    assert found["lost"].on_family  # alone in its family now
    assert caution(list(found.values())) == "Without mig_calibrated: β = better."
    none = standings(frame, rows(frame), "another")
    assert caution(none, "another") == "No setting has another: there is no front."
    assert [one.seeds for one in none] == [0] * 5
    assert standings(pd.DataFrame(), []) == []
    assert caution([]) == ""


def test_one_family_has_one_front() -> None:
    frame = noisy(FAR, 3).query("family == 'beta'")
    found = standings(frame, rows(frame))
    assert caution(found) == "One family: its front is the joint one."
    assert set(table(found)["P(joint front)"]) == {"-"}
    assert table(found)["front of means"].tolist() == ["family", "-", "family"]


def test_the_likeliest_stay_in_their_order_and_those_without_a_probability_are_left_out_first() -> None:
    chances = [0.2, None, 0.9, 0.0, 0.2, 1.0]
    found = [Standing(row, 3, False, False, p, 1.0) for row, p in zip(rows(noisy(FAR, 1)) * 2, chances, strict=False)]
    kept = [[found.index(one) for one in likeliest(found, most)] for most in range(8)]
    every = [0, 1, 2, 3, 4, 5]
    assert kept == [[], [5], [2, 5], [0, 2, 5], [0, 2, 4, 5], [0, 2, 3, 4, 5], every, every]


def test_the_table_has_a_row_a_setting() -> None:
    frame = noisy(FAR, 3)
    text = table(standings(frame, rows(frame))).to_dict("records")
    assert text[0] == {
        "setting": "β = good", "family": "beta", "seeds": "3", "front of means": "family",
        "P(family front)": "> 0.99", "P(joint front)": "< 0.01",
    }  # fmt: skip
    assert [row["front of means"] for row in text] == ["family", "-", "joint", "joint", "-"]


def test_two_trials_of_one_setting_and_seed_are_refused() -> None:
    frame = noisy(FAR, 3)
    with pytest.raises(InputError, match="setting good has two trials of seed 0; keep one"):
        replicates(pd.concat([frame, frame.head(1)]))


def on(means: NDArray[np.float64]) -> NDArray[np.bool_]:
    return unbeaten(means[None])[0]


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_probabilities_are_worth_what_they_say_where_seeds_are_crossed(shared: float) -> None:
    rng, said, true = np.random.default_rng(0), [], []
    for _ in range(250):
        means = np.column_stack([along := np.sort(rng.uniform(size=8)), 0.8 * along + 0.15 * rng.normal(size=8)])
        lift, own = rng.normal(size=(5, 2)), rng.normal(size=(8, 5, 2))
        values = means[:, None] + 0.2 * (math.sqrt(shared) * lift + math.sqrt(1 - shared) * own)
        said.append(unbeaten(redrawn(values)).mean(axis=0))
        true.append(on(means))
    p, truth = np.concatenate(said), np.concatenate(true)
    naive = np.mean(truth)
    assert np.mean((p - truth) ** 2) < 0.8 * naive * (1 - naive)  # better than to say the base rate of all
    if shared:  # weights drawn apart for each setting say .12 here, and 3 % at most where truly 13 % are
        assert np.mean((p - truth) ** 2) < 0.105
    assert truth[p > 0.95].mean() > 0.93
    assert 0.4 < truth[(p > 0.4) & (p < 0.6)].mean() < 0.65
