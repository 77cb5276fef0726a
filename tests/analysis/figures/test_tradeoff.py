import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from analysis.figures import style, tradeoff, training
from analysis.frames import load
from analysis.openings import openings
from analysis.tradeoff.settings import by_setting, front
from study.config import StudyConfig
from tests.analysis.conftest import write_study


def points(axes: Axes) -> set[tuple[float, ...]]:
    return {tuple(point) for drawn in axes.collections for point in np.asarray(drawn.get_offsets()).tolist()}


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    assert box is not None
    return [text.get_text() for text in box.get_texts()]


@pytest.mark.parametrize(("draw", "x", "y"), [
    (tradeoff.tradeoff, "recon", "mig_calibrated"), (tradeoff.rate_distortion, "kl", "recon"),
])  # fmt: skip
def test_every_finished_trial_and_every_mean_is_drawn_where_it_is(fake_study: Path, draw, x: str, y: str) -> None:
    frames = load(fake_study)
    rows = by_setting(frames.trials)
    axes = draw(plt.figure().subplots(), frames.finished, rows)
    trials = set(zip(frames.finished[x].tolist(), frames.finished[y].tolist(), strict=True))
    means = {(row.estimates[x].mean, row.estimates[y].mean) for row in rows}
    assert points(axes) == trials | means
    assert {text.get_text() for text in axes.texts} == {"β = 1", "β = 4", "β = 16", "C = 6", "C = 12", "C = 18"}
    assert "not informative" in legend(axes)
    assert "nats" in axes.get_xlabel()


def test_the_title_names_the_score_and_lines_join_the_fronts(fake_study: Path) -> None:
    frames = load(fake_study)
    rows = by_setting(frames.trials)
    axes = tradeoff.tradeoff(plt.figure().subplots(), frames.finished, rows)
    assert "mig_calibrated" in axes.get_title()
    fronts = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    drawn = [np.asarray(line.get_xydata()).tolist() for line in fronts]
    for family in ("beta", "capacity"):
        best = front([row for row in rows if row.family == family])
        assert [[row.estimates["recon"].mean, row.estimates["mig_calibrated"].mean] for row in best] in drawn


def test_intervals_are_drawn_from_three_seeds_on(tmp_path: Path, fake_study: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (4.0,)}, seeds=3)
    frames = load(write_study(tmp_path / "s", lambda config: "finished", study))
    (row,) = by_setting(frames.trials)
    axes = tradeoff.tradeoff(plt.figure().subplots(), frames.finished, [row])
    bars = [drawn.get_segments()[0].tolist() for drawn in axes.collections if isinstance(drawn, LineCollection)]
    recon, score = row.estimates["recon"], row.estimates["mig_calibrated"]
    assert bars == [
        [[recon.low, score.mean], [recon.high, score.mean]],
        [[recon.mean, score.low], [recon.mean, score.high]],
    ]
    two = load(fake_study)
    axes = tradeoff.tradeoff(plt.figure().subplots(), two.finished, by_setting(two.trials))
    assert not [drawn for drawn in axes.collections if isinstance(drawn, LineCollection)]


def test_tracking_tells_gammas_apart(fake_study: Path) -> None:
    frames = load(fake_study)
    trials = frames.finished.copy()
    trials.loc[trials["seed"] == 1, "gamma"] = 10.0
    axes = training.tracking(plt.figure().subplots(), frames.rows, trials)
    assert legend(axes)[-2:] == ["gamma = 10", "gamma = 100"]
    curves = [line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2]
    assert sorted(str(line.get_linestyle()) for line in curves) == ["-"] * 2 + ["--"] * 3


def test_tracking_of_many_levels_has_a_colour_bar_and_names_none(fake_study: Path) -> None:
    frames = load(fake_study)
    (trial,) = frames.finished.query("capacity_max == 12 and seed == 0").to_dict("records")
    levels = np.arange(1.0, 51)
    trials = pd.DataFrame([trial | {"capacity_max": level, "gamma": 10 * level} for level in levels])
    few = training.tracking(plt.figure().subplots(), frames.rows, trials.iloc[: training.MAX_LEVELS])
    assert legend(few)[:-1] == [f"C_max = {level:g} nats" for level in levels[: training.MAX_LEVELS]]
    figure = plt.figure(figsize=(7.4, 3.8), layout="constrained")
    axes = training.tracking(figure.subplots(), frames.rows, trials)
    figure.draw_without_rendering()  # warns where a legend leaves no room for the axes
    assert legend(axes) == ["50 gammas, not told apart"]
    _, bar = figure.axes
    assert (bar.get_ylabel(), bar.get_ylim()) == ("C_max (nats)", (1, 50))
    curves = [line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2]
    flare = sns.color_palette("flare", as_cmap=True)
    assert [to_rgb(line.get_color()) for line in curves] == [flare((level - 1) / 49)[:3] for level in levels]
    assert {line.get_linestyle() for line in curves} == {"-"}


def test_images_that_hold_less_than_the_kl_are_marked(fake_study: Path) -> None:
    frames = load(fake_study)
    axes = tradeoff.rate_distortion(plt.figure().subplots(), frames.finished, by_setting(frames.trials), entropy=8.0)
    assert [8.0, 8.0] in [np.asarray(line.get_xdata()).tolist() for line in axes.lines]


def test_tracking_draws_the_deviation_of_each_capacity_trial(fake_study: Path) -> None:
    frames = load(fake_study)
    axes = training.tracking(plt.figure().subplots(), frames.rows, frames.finished)
    curves = [line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2]
    assert len(curves) == 5  # of six capacity trials one has failed
    for curve in curves:
        assert np.asarray(curve.get_ydata())[:3] == pytest.approx(0.1)
    assert legend(axes) == ["C_max = 6 nats", "C_max = 12 nats", "C_max = 18 nats"]
    assert "nats" in axes.get_ylabel()


def test_kl_along_training_shows_c_every_latent_and_where_it_opens(fake_study: Path) -> None:
    frames = load(fake_study)
    trial = next(trial for trial in frames.finished.to_dict("records") if trial["family"] == "capacity")
    reports = frames.reports(trial["key"])
    opened = openings(reports, trial)
    axes = training.kl_along_training(plt.figure().subplots(), reports, opened)
    assert legend(axes) == ["C", "all latents", "z0", "z1"]  # latent 2 is inactive: grey, not named
    curves = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    for name in ("capacity", "kl", "kl_0", "kl_1", "kl_2"):
        assert reports[name].tolist() in curves
    marks = [np.asarray(line.get_xdata()).tolist() for line in axes.lines if line.get_marker() == "^"]
    assert marks == [[opening.step] for opening in opened]


def test_a_beta_trial_has_no_c(fake_study: Path) -> None:
    frames = load(fake_study)
    reports = frames.reports(frames.finished.query("family == 'beta'")["key"].iloc[0])
    assert "C" not in legend(training.kl_along_training(plt.figure().subplots(), reports, []))


def test_families_of_ones_own_have_colours_of_their_own() -> None:
    palette = style.colours(["capacity", "my.loss:a", "my.loss:b", "my.loss:a"])
    assert len(set(palette.values())) == len(palette) == 4


def test_names_lie_neither_on_each_other_nor_outside_the_axes() -> None:
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.scatter([0, 1, 1, 1], [0, 0, 0.01, 1])
    places = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.01), (1.0, 1.0)]
    points = [(f"a setting of a long name {number}", place, "black") for number, place in enumerate(places)]
    tradeoff._names(axes, points * 3)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert 3 <= len(boxes) < 12
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x0 >= axes.bbox.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
    plt.close(figure)
