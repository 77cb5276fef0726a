import dataclasses
import math

import pytest
from hypothesis import given, settings

from analysis.tradeoff.gaps import Along, Gap, match
from tests.analysis.curves import curve, points, trials

NATS = Along("recon", 1.0, "nat of rate")


def test_an_area_is_the_gap_times_the_overlap() -> None:
    frame = {("a", seed): curve([0, 10], 0.5 + seed) for seed in range(3)}
    found = match(trials(frame | {("b", seed): curve([4, 20]) for seed in range(3)}), "a", "b", "score", NATS)
    assert [gap.area for gap in found.gaps] == pytest.approx([3, 9, 15])
    assert found.area.mean == pytest.approx(9)
    assert found.area.low is not None
    assert found.delta.mean == pytest.approx(1.5)
    assert found.effect == pytest.approx(1.5)
    assert math.isnan(Gap(0).area)


def test_the_least_overlap_and_its_words_are_those_asked_for() -> None:
    frame = trials({("a", 0): curve([0, 10]), ("b", 0): curve([9.5, 20]), ("a", 1): curve([0, 10.5]), ("b", 1): curve(
        [9.5, 20])})  # fmt: skip
    one, other = match(frame, "a", "b", "score", NATS).gaps
    assert one.reason == "the arms share under 1 nat of rate"
    assert (other.reason, other.delta) == ("", pytest.approx(0))
    wider = match(frame, "a", "b", "score", dataclasses.replace(NATS, least=1.5)).gaps
    assert [gap.reason for gap in wider] == ["the arms share under 1.5 nat of rate"] * 2


def test_a_reason_from_outside_leaves_no_seed_a_gap() -> None:
    frame = trials({("a", 0): curve([0, 10]), ("b", 0): curve([0, 10]), ("a", 1): curve([0, 10])})
    found = match(frame, "a", "b", "score", NATS, "not resolved")
    assert [gap.reason for gap in found.gaps] == ["not resolved"] * 2
    assert found.delta.values == found.unpaired.values == found.area.values == ()


def test_a_missing_x_is_named() -> None:
    frame = trials({("a", 0): curve([0, 10]), ("b", 0): curve([0, 10])}).rename(columns={"recon": "kl"})
    frame = frame.assign(recon=1.0, kl=[0.0, math.nan, 0.0, 10.0])
    (gap,) = match(frame, "a", "b", "recon", Along("kl", 1.0, "nat of KL")).gaps
    assert gap.reason == "a has one setting with kl, under two"


@settings(max_examples=30, deadline=None)
@given(points, points)
def test_the_mean_of_both_ways_is_nothing_and_x_may_be_stretched(ours, theirs) -> None:
    frame = trials({("a", 0): ours, ("b", 0): theirs})
    (one,) = match(frame, "a", "b", "score", NATS).gaps
    (turned,) = match(frame, "b", "a", "score", NATS).gaps
    wide = frame.assign(recon=frame["recon"] * 4)
    (stretched,) = match(wide, "a", "b", "score", dataclasses.replace(NATS, least=4.0)).gaps
    assert one.reason == turned.reason
    assert bool(one.reason) == bool(stretched.reason)
    if not one.reason:
        assert turned.delta == pytest.approx(-one.delta, abs=1e-12)
        assert stretched.delta == pytest.approx(one.delta, abs=1e-9)
        assert stretched.area == pytest.approx(4 * one.area, abs=1e-9)
