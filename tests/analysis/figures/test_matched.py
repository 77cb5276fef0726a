import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from analysis.figures import matched as matched_figure
from analysis.figures.style import FAMILY_COLOURS, RECON
from analysis.tradeoff.arms import with_arms
from analysis.tradeoff.matched import Comparison, compare, summary
from tests.analysis.curves import planted, seeded, study


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


def example(seeds: int, without: int | None = None) -> tuple[pd.DataFrame, Comparison]:
    finished = study({"capacity": [0.0] * seeds, "fixed beta": seeded(0.1, 0.05, seeds)})
    lost = [
        (seed, family) == (without, "beta") for seed, family in zip(finished["seed"], finished["family"], strict=True)
    ]
    trials = with_arms(finished.loc[~np.array(lost)])
    return trials, summary(trials, "paper")[0]


def test_every_seed_of_both_arms_is_a_line_over_the_band() -> None:
    trials, comparison = example(3)
    axes = matched_figure.curves(plt.figure().subplots(), trials, comparison)
    drawn = [np.asarray(line.get_xydata()).tolist() for line in axes.lines]
    expected = [
        group.sort_values("recon")[["recon", "mig_calibrated"]].to_numpy().tolist()
        for _, group in trials.groupby(["arm", "seed"])
    ]
    assert sorted(drawn) == sorted(expected)
    assert [to_hex(line.get_color()).upper() for line in axes.lines] == [
        FAMILY_COLOURS[family] for family in ("capacity", "beta") for _ in range(3)
    ]
    (band,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (band.get_x(), band.get_x() + band.get_width()) == comparison.common == (100, 200)
    assert legend(axes) == ["capacity (a line a seed)", "fixed beta (a line a seed)", "shared by all seeds with a gap"]
    assert axes.get_xlabel().startswith(RECON)
    assert axes.get_ylabel().startswith("mig_calibrated")


def test_without_a_common_overlap_there_is_no_band() -> None:
    trials, comparison = example(1)
    apart = trials.assign(
        recon=[recon + 500 * (arm == "capacity") for recon, arm in zip(trials["recon"], trials["arm"], strict=True)]
    )
    axes = matched_figure.curves(plt.figure().subplots(), apart, summary(apart, "paper")[0])
    assert not axes.patches
    assert len(legend(axes)) == 2
    assert comparison.unpaired.values  # with it there was one


def test_arms_of_ones_own_have_two_colours() -> None:
    trials = planted([0.1])
    axes = matched_figure.curves(plt.figure().subplots(), trials, compare(trials, "a", "b", "score", "paper"))
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 2


def intervals(axes: Axes) -> list[list[list[float]]]:
    return [bar.get_segments()[0].tolist() for bar in axes.collections if isinstance(bar, LineCollection)]


def test_gaps_are_points_with_their_mean_its_interval_and_crosses_for_none() -> None:
    _, comparison = example(5, without=3)
    axes = matched_figure.gaps(plt.figure().subplots(), comparison)
    points = [(line.get_marker(), *np.asarray(line.get_xydata())[0].tolist()) for line in axes.lines[1:]]
    values, delta = comparison.delta.values, comparison.delta
    assert sorted(point for point in points if point[0] == "o") == [
        ("o", place, value) for place, value in zip((0, 1, 2, 4), values, strict=True)
    ]
    assert [point[:2] for point in points if point[0] == "x"] == [("x", 3)]
    assert [point for point in points if point[0] == "D"] == [("D", 5.5, delta.mean)]
    assert intervals(axes) == [[[5.5, delta.low], [5.5, delta.high]]]
    assert axes.get_xlabel() == "seed; x: no gap; bar: 95 % interval"
    assert axes.get_title() == "capacity - fixed beta: inconclusive"


def test_two_seeds_have_no_bar() -> None:
    axes = matched_figure.gaps(plt.figure().subplots(), example(2)[1])
    assert intervals(axes) == []
    assert axes.get_xlabel() == "seed"


@pytest.mark.parametrize("seeds", [1, 10, 12, 30])
def test_the_names_of_seeds_do_not_touch(seeds: int) -> None:
    figure, axes = plt.subplots(figsize=(3.6, 4))
    matched_figure.gaps(axes, example(seeds)[1])
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
    assert len(boxes) >= min(seeds, 5) + 1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    plt.close(figure)
