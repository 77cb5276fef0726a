import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics import over_seeds
from analysis.tradeoff.attainment import (
    Volume,
    attainment,
    volume_gap,
    volume_sentence,
    volume_table,
    volumes,
)
from tests.analysis.curves import crossed
from trainables.checks import InputError

R0, FLOOR = 600.0, 100.0


def at(share: float, score: float) -> tuple[float, float]:
    """recon that is this share of R0, both less the floor."""
    return FLOOR + share * (R0 - FLOOR), score


def family(points: list[tuple[float, float]], name: str = "beta", seeds: int = 1) -> pd.DataFrame:
    return crossed({(name, f"{name} {place}"): [point] * seeds for place, point in enumerate(points)})


def volume(points: list[tuple[float, float]]) -> float:
    (one,) = volumes(family(points))
    assert one.reason == ""
    return one.share.mean


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_the_volume_of_a_staircase(n: int) -> None:
    points = [at(place / n, 1 - (n - 1 - place) / n) for place in range(n)]
    assert volume(points) == pytest.approx((n * n - n * (n - 1) // 2) / n**2)
    assert volume(points[::-1]) == pytest.approx(volume(points))


def test_the_volume_of_one_point_and_of_two() -> None:
    assert volume([at(0.25, 0.4)]) == pytest.approx(0.75 * 0.4)
    assert volume([at(0.25, 0.4), at(0.5, 0.6)]) == pytest.approx(0.75 * 0.4 + 0.5 * 0.2)
    assert volume([at(0, 1)]) == pytest.approx(1)


def test_points_beyond_the_reference_and_dominated_ones_add_nothing() -> None:
    beyond = [at(1.2, 0.9), at(0.1, -0.3), at(1.0, 0.9), at(0.1, 0.0), at(1.5, -0.5)]
    assert volume(beyond) == 0
    assert volume([at(0.25, 0.4), *beyond, at(0.3, 0.4), at(0.25, 0.1), at(0.25, 0.4)]) == pytest.approx(0.3)


def test_a_setting_that_some_seed_lacks_is_left_out_in_all() -> None:
    frame = crossed({
        ("beta", "a"): [at(0.5, 0.2)] * 3,
        ("beta", "b"): [at(0.1, 0.9), at(0.1, math.nan), at(0.1, 0.9)],
        ("beta", "c"): [at(0.1, 0.9)] * 2,
    })  # fmt: skip
    (one,) = volumes(frame)
    assert (one.settings, one.seeds) == (1, (0, 1, 2))
    assert one.share.values == pytest.approx([0.1] * 3)
    (attained,) = attainment(frame)
    assert (attained.settings, attained.left_out, len(attained.levels)) == (1, 2, 2)


def test_volumes_have_an_interval_over_seeds_and_are_paired() -> None:
    ours, theirs = [0.3, 0.5, 0.4, 0.45], [0.2, 0.3, 0.35, 0.1]
    frame = crossed({("beta", "a"): [at(0.5, score) for score in ours], ("capacity", "b"): [
        at(0.5, score) for score in theirs]})  # fmt: skip
    a, b = volumes(frame)
    assert a.share == over_seeds([score / 2 for score in ours])
    gap = volume_gap(a, b)
    differences = [(one - other) / 2 for one, other in zip(ours, theirs, strict=True)]
    assert gap.difference.values == pytest.approx(differences)
    assert gap.effect == pytest.approx(np.mean(differences) / np.std(differences, ddof=1))
    expected = scipy.stats.ttest_rel(ours, theirs).confidence_interval()
    assert (gap.difference.low, gap.difference.high) == pytest.approx((expected.low / 2, expected.high / 2))
    assert volume_sentence(gap).startswith("Hypervolume, beta minus capacity: +0.087 [")
    assert volume_sentence(gap).endswith("share of R0 x score (4 seeds, paired; +1.3 sd over seeds; exploratory).")
    assert volume_table([a, b])["volume"].tolist()[0].startswith("0.206 [")


def test_families_are_compared_only_at_equal_settings_and_seeds() -> None:
    points = [at(0.5, 0.2), at(0.4, 0.1), at(0.3, 0.05)]
    three, six = (volumes(family(many, name, 3))[0] for name, many in (("beta", points), ("capacity", points * 2)))
    gap = volume_gap(three, six)
    assert (gap.reason, gap.difference.values, gap.effect) == ("beta has 3 settings, capacity 6", (), None)
    assert volume_sentence(gap) == (
        "Hypervolume, beta minus capacity: not comparable, beta has 3 settings, capacity 6."
    )  # fmt: skip
    fewer = volumes(family(points, "capacity", 2))[0]
    assert volume_gap(three, fewer).reason == "beta has 3 seeds, capacity 2"
    assert volume_gap(volumes(family(points[:1]))[0], three).reason == "beta has 1 setting, beta 3"
    later = crossed({("capacity", str(place)): [point] * 3 for place, point in enumerate(points)}, first=1)
    assert volume_gap(three, volumes(later)[0]).reason == "beta has the seeds 0, 1, 2, capacity 1, 2, 3"


def test_what_has_no_volume_says_why() -> None:
    frame = family([at(0.5, 0.2), at(0.4, 0.1)], seeds=2)
    for changed, reason in [
        (frame.drop(columns="constant_loss"), "the trials do not say constant_loss"),
        (frame.assign(recon_floor=math.nan), "the trials do not say recon_floor"),
        (
            frame.assign(constant_loss=[600, 600, 600, 550.0]),
            "constant_loss is 550.0 in one trial and 600.0 in another",
        ),
        (frame.assign(constant_loss=90.0), "constant_loss 90.0 is not over recon_floor 100.0"),
        (frame.assign(mig_calibrated=math.nan), "no setting has mig_calibrated in every seed"),
        (frame.drop(columns="mig_calibrated"), "no setting has mig_calibrated in every seed"),
    ]:
        (one,) = volumes(changed)
        assert (one.reason, one.share.values) == (reason, ())
        assert volume_gap(one, one).reason == f"beta: {reason}"
        assert volume_table([one])["without"].tolist() == [reason]
    assert volumes(pd.DataFrame()) == attainment(pd.DataFrame()) == []
    assert volume_table([]).empty


small = st.tuples(st.integers(0, 6), st.integers(0, 6))


@st.composite
def studies(draw, least: int = 2) -> pd.DataFrame:
    seeds, count = draw(st.integers(least, 9)), draw(st.integers(1, 4))
    whole = st.lists(small, min_size=seeds, max_size=seeds)
    frame = crossed({("beta", str(place)): draw(whole) for place in range(count)})
    return frame.iloc[draw(st.permutations(range(len(frame))))]


@settings(max_examples=30, deadline=None)
@given(studies())
def test_attainment_against_a_plain_count(frame: pd.DataFrame) -> None:
    (found,) = attainment(frame)
    n = len(set(frame["seed"]))
    names = ["best", "half", "worst"] if n >= 4 else ["best", "worst"]
    assert [level.name for level in found.levels] == names
    assert [level.k for level in found.levels] == [1, *[math.ceil(n / 2)] * (n >= 4), n]
    groups = [list(zip(group["recon"], group["mig_calibrated"], strict=True)) for _, group in frame.groupby("seed")]
    for recon in np.arange(-0.5, 7, 0.5):
        for score in range(8):
            count = sum(any(r <= recon and s >= score for r, s in points) for points in groups)
            for level in found.levels:
                assert (level.at(np.array([recon]))[0] >= score) == (count >= level.k)
    for level in found.levels:
        assert level.n == n
        assert (np.diff(level.points, axis=0) > 0).all()


@settings(max_examples=30, deadline=None)
@given(studies(1))
def test_each_seed_has_its_own_front(frame: pd.DataFrame) -> None:
    (found,) = attainment(frame)
    for seed, points in found.runs.items():
        own = set(zip(*(frame.loc[frame["seed"] == seed, name] for name in ("recon", "mig_calibrated")), strict=True))
        kept = {point for point in own if not any(r <= point[0] and s >= point[1] for r, s in own - {point})}
        assert set(map(tuple, points.tolist())) == kept
    assert bool(found.levels) == (len(found.runs) > 1)


def test_one_seed_or_no_score_has_no_levels() -> None:
    (one,) = attainment(family([at(0.5, 0.2), at(0.4, 0.1)]))
    assert (one.levels, one.reason) == ((), "one seed: its front has no spread")
    (none,) = attainment(family([at(0.5, math.nan)], seeds=3))
    assert (none.levels, none.reason, none.settings) == ((), "no setting has mig_calibrated in every seed", 0)


def test_families_stand_apart() -> None:
    frame = pd.concat([family([at(0.5, 0.2)], "beta", 4), family([at(0.1, 0.9)], "capacity", 2)])
    beta, capacity = attainment(frame)
    assert [(one.family, len(one.runs)) for one in (beta, capacity)] == [("beta", 4), ("capacity", 2)]
    assert [level.name for level in capacity.levels] == ["best", "worst"]
    assert [level.k for level in beta.levels] == [1, 2, 4]
    assert beta.levels[0].points.tolist() == [[350, 0.2]]


@settings(max_examples=25, deadline=None)
@given(studies(1))
def test_a_volume_ignores_order_and_never_falls_by_a_setting_more(frame: pd.DataFrame) -> None:
    scaled = frame.assign(recon=FLOOR + 80 * frame["recon"], mig_calibrated=frame["mig_calibrated"] / 6)
    (one,) = volumes(scaled)
    (turned,) = volumes(scaled.iloc[::-1])
    assert one.share.values == pytest.approx(turned.share.values)
    more = pd.concat([scaled, scaled.query("setting == '0'").assign(setting="new", recon=FLOOR + 40)])
    (grown,) = volumes(more)
    assert all(after >= before - 1e-12 for before, after in zip(one.share.values, grown.share.values, strict=True))
    assert all(0 <= value <= 1 for value in one.share.values)


def test_two_trials_of_one_setting_and_seed_are_refused() -> None:
    frame = family([at(0.5, 0.2)])
    with pytest.raises(InputError, match="has two trials of seed 0"):
        volumes(pd.concat([frame, frame]))


def test_a_volume_has_no_gap_to_nothing() -> None:
    empty = Volume("capacity", 0, (), over_seeds([]), "nothing")
    assert volume_gap(empty, volumes(family([at(0.5, 0.2)]))[0]).reason == "capacity: nothing"
