import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import LineCollection

from analysis.figures.shares import shares
from analysis.statistics import Estimate
from analysis.tradeoff.shares import Shares


def estimate(share: float, half: float | None = None) -> Estimate:
    return Estimate((share,), share) if half is None else Estimate((share,), share, share - half, share + half)


BETA = Shares(
    "beta", "mig_calibrated", by_source={"β": estimate(0.7, 0.1), "seed": estimate(-0.02, 0.1),
    "seed x setting": estimate(0.32, 0.1)}, together=estimate(0.7, 0.1), sd=0.06, settings=8, seeds=(0, 1, 2),
)  # fmt: skip
CAPACITY = Shares(
    "capacity", "mig_calibrated", by_source={"C": estimate(0.5), "gamma": estimate(0.2), "C x gamma": estimate(0.1),
    "higher interactions": estimate(0.0), "seed": estimate(0.1), "seed x setting": estimate(0.1)},
    together=estimate(0.8), sd=0.07, settings=24, seeds=(0, 1),
)  # fmt: skip


def test_every_share_is_drawn_where_it_is_and_a_bar_where_there_is_an_interval() -> None:
    axes = shares(plt.figure().subplots(), [BETA, CAPACITY])
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["β", "C", "gamma", "C x gamma", "higher interactions", "seed", "seed x setting"]
    drawn = [tuple(np.ravel(line.get_xydata())) for line in axes.lines if len(np.asarray(line.get_xdata())) == 1]
    found = {(round(x, 6), rows[round(y)]) for x, y in drawn}
    expected = [(100 * share.mean, source) for one in (BETA, CAPACITY) for source, share in one.by_source.items()]
    assert found == {(round(x, 6), source) for x, source in expected}
    assert len({y for _, y in drawn}) == len(drawn) == 9  # none lies on another
    bars = [np.ravel(bar.get_segments()[0]).tolist() for bar in axes.collections if isinstance(bar, LineCollection)]
    assert [(bar[0], bar[2]) for bar in bars] == [
        pytest.approx((100 * (share.low or 0), 100 * (share.high or 0))) for share in BETA.by_source.values()
    ]
    box = axes.get_legend()
    assert box is not None
    assert [text.get_text() for text in box.get_texts()] == [
        "fixed β: 8 settings x 3 seeds, standard deviation 0.06",
        "controlled capacity: 24 settings x 2 seeds, standard deviation 0.07",
    ]
    assert "%" in axes.get_xlabel()
    assert "interval over seeds" in axes.get_xlabel()
    assert "mig_calibrated" in axes.get_title()


def test_a_family_without_shares_has_its_reason() -> None:
    lost = Shares("beta", "recon", "under two seeds have recon in every setting; " + "lacking: a setting " * 6)
    axes = shares(plt.figure().subplots(), [lost, CAPACITY])
    box = axes.get_legend()
    assert box is not None
    first = box.get_texts()[0].get_text()
    assert first.replace("\n", " ").strip() == f"fixed β: {lost.reason}".strip()
    assert max(map(len, first.splitlines())) <= 80
    assert "interval" not in axes.get_xlabel()
    alone = shares(plt.figure().subplots(), [lost])
    assert not alone.lines
    assert [label.get_text() for label in alone.get_yticklabels()] == []


def test_a_share_outside_its_interval_is_inside_the_axes() -> None:
    odd = Shares("beta", "x", by_source={"β": Estimate((-0.03,), -0.03, 0.0, 0.1)}, sd=math.nan)
    low, high = shares(plt.figure().subplots(), [odd]).get_xlim()
    assert low < -3 < 100 < high
