import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from analysis.figures import fronts as figure
from analysis.figures.style import FAMILY_COLOURS, RECON
from analysis.tradeoff.attainment import attainment
from analysis.tradeoff.fronts import standings
from tests.analysis.curves import crossed, rows


def example(seeds: int, families: tuple[str, ...] = ("beta", "capacity")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return crossed({
        (family, f"{family} {place}"): [
            (100 + 20 * place + 5 * rng.normal(), 0.1 * place + 0.03 * rng.normal() + 0.1 * (family == "capacity"))
            for _ in range(seeds)
        ]
        for family in families
        for place in range(3)
    })  # fmt: skip


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


def test_every_level_and_every_seed_is_a_step_curve_through_its_corners() -> None:
    found = attainment(example(5))
    axes = figure.attainment(plt.figure().subplots(), found)
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert len(steps) == 2 * (5 + 3)
    right, low = axes.get_xlim()[1], axes.get_ylim()[0]
    drawn = [np.asarray(line.get_xydata()) for line in steps]
    for one in found:
        for points in [*one.runs.values(), *(level.points for level in one.levels)]:
            (match,) = [line for line in drawn if len(line) == len(points) + 2 and np.array_equal(line[1:-1], points)]
            assert match[0].tolist() == [points[0, 0], low]
            assert match[-1].tolist() == [right, points[-1, 1]]
    bands = [drawn for drawn in axes.collections if isinstance(drawn, PolyCollection)]
    assert [to_hex(band.get_facecolor()[0]).upper() for band in bands] == list(FAMILY_COLOURS.values())  # type: ignore[index]
    assert legend(axes) == [
        "fixed β (5 seeds, 3 settings)", "controlled capacity (5 seeds, 3 settings)",
        "best: at least 1 of 5 seeds", "half: at least 3 of 5 seeds", "worst: at least 5 of 5 seeds",
        "front of one seed",
    ]  # fmt: skip
    assert axes.get_xlabel().startswith(RECON)
    assert "mig_calibrated" in axes.get_title()
    assert "mig_calibrated" in axes.get_ylabel()


def test_a_band_lies_between_the_best_and_the_worst() -> None:
    (one,) = attainment(example(4, ("beta",)))
    axes = figure.attainment(plt.figure().subplots(), [one])
    (band,) = [drawn for drawn in axes.collections if isinstance(drawn, PolyCollection)]
    corners = np.asarray(band.get_paths()[0].vertices)
    assert corners[:, 1].max() == one.levels[0].points[-1, 1]
    assert corners[:, 0].min() == one.levels[0].points[0, 0]
    assert corners[:, 1].min() == axes.get_ylim()[0]  # the worst is not attained at all at the best recon
    at_the_end = corners[corners[:, 0] == axes.get_xlim()[1], 1]
    assert {at_the_end.min(), at_the_end.max()} == {one.levels[-1].points[-1, 1], one.levels[0].points[-1, 1]}


def test_the_caption_has_the_numbers() -> None:
    frame = example(5)
    less = frame.loc[~((frame["setting"] == "beta 1") & (frame["seed"] == 2))]
    said = figure.attainment_caption(attainment(less))
    assert "beta: n = 5 seeds, 2 settings (1 more that some seed lacks are left out); best 1 of 5, half 3 of 5" in said
    assert "capacity: n = 5 seeds, 3 settings; best 1 of 5" in said
    assert "one seed: its front has no spread" in figure.attainment_caption(attainment(example(1)))


def test_without_levels_there_is_a_sentence() -> None:
    axes = figure.attainment(plt.figure().subplots(), attainment(example(1)))
    assert [text.get_text() for text in axes.texts] == [
        "beta: one seed: its front has no spread\ncapacity: one seed: its front has no spread"
    ]
    assert not axes.collections
    none = figure.attainment(plt.figure().subplots(), attainment(example(3), "another"))
    assert "no setting has another in every seed" in none.texts[0].get_text()
    assert not none.lines
    figure.attainment(plt.figure().subplots(), [])


def test_each_setting_has_its_probabilities_as_dots() -> None:
    frame = example(5)
    found = standings(frame, rows(frame))
    axes = figure.on_front(plt.figure().subplots(), found, "mig_calibrated")
    dots = [(*np.asarray(line.get_xydata())[0].tolist(), line.get_markerfacecolor()) for line in axes.lines]
    expected = [
        dot
        for place, one in enumerate(found)
        for dot in ((one.p_joint, place, FAMILY_COLOURS[one.setting.family]), (one.p_family, place, "white"))
    ]
    assert dots == expected
    assert [text.get_text() for text in axes.get_yticklabels()] == [one.setting.label for one in found]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first setting is at the top
    assert "mig_calibrated" in axes.get_title()
    assert axes.get_xlabel().startswith("probability")
    assert legend(axes) == ["fixed β", "controlled capacity", "front of its family", "joint front"]
    assert figure.on_front_caption(found).startswith("n = 5 seeds a setting.")


@pytest.mark.parametrize(("seeds", "why"), [(1, "1 seed: no probability"), (2, "2 seeds: no probability")])
def test_without_a_probability_there_are_words_and_no_dot(seeds: int, why: str) -> None:
    frame = example(seeds)
    found = standings(frame, rows(frame))
    axes = figure.on_front(plt.figure().subplots(), found)
    assert [text.get_text() for text in axes.texts] == [why] * 6
    assert not axes.lines
    assert "this run alone" in figure.on_front_caption(found)
    none = figure.on_front(plt.figure().subplots(), standings(frame, rows(frame), "sap"), "sap")
    assert {text.get_text() for text in none.texts} == {"no sap"}


def test_one_family_has_no_joint_front() -> None:
    frame = example(4, ("beta",))
    more = pd.concat([frame, crossed({("beta", "longer"): [(90.0 + seed, 0.9) for seed in range(6)]})])
    found = standings(more, rows(more))
    axes = figure.on_front(plt.figure().subplots(), found)
    assert [line.get_markerfacecolor() for line in axes.lines] == ["white"] * 4
    assert legend(axes) == ["fixed β", "front of its family"]
    assert figure.on_front_caption(found).startswith("n = 4 to 6 seeds a setting.")
