"""Fig. 2 in numbers, on a store whose numbers are known."""

import math
from pathlib import Path

import numpy as np
import pytest

from analysis.frames import Frames, load
from analysis.paper import blobs
from study.config import StudyConfig
from tests.analysis.conftest import write_study


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    path = tmp_path_factory.mktemp("studies") / "blobs-laptop"
    return load(write_study(path, lambda config: "finished", StudyConfig("blobs", seeds=3)))


def test_the_ladder_is_by_beta_then_seed(frames: Frames) -> None:
    rungs = blobs.ladder(frames)
    assert list(rungs) == [1, 4, 16, 50, 150]
    assert [trial["seed"] for trial in rungs[50]] == [0, 1, 2]
    assert rungs[4][0]["above_floor"] == rungs[4][0]["recon"]  # the floor is 0 here


def test_what_is_above_the_floor_is_recon_less_floor(frames: Frames) -> None:
    raised = Frames(frames.study, frames.trials.assign(recon_floor=40.0), frames.rows)
    trial = blobs.ladder(raised)[1][0]
    assert trial["above_floor"] == pytest.approx(trial["recon"] - 40)


def test_the_table_has_a_row_a_beta(frames: Frames) -> None:
    table = blobs.table(blobs.ladder(frames)).set_index("beta")
    assert table.index.tolist() == ["1", "4", "16", "50", "150"]
    assert table.loc["1", "position_latents"] == "3.0 [3.0, 3.0]"
    assert str(table.loc["150", "alignment"]).startswith("0.65")
    assert set(table["near an axis"]) == {"1 of 3"}


def test_sentences_compare_the_ends_of_the_ladder(frames: Frames) -> None:
    two, aligned, broken = blobs.sentences(frames)
    assert "in 3 of 3 seeds at beta 150" in two
    assert "in 0 of 3 seeds at beta 1 " in two
    assert "0.65" in aligned
    assert "rotated at random has 0.64, and 22% of seeds" in aligned
    assert aligned.endswith("The difference is +0.15 [+0.15, +0.15], paired by 3 seeds.")
    assert "1.00" in broken
    assert "beta 16" not in " ".join([two, aligned, broken])


def test_a_difference_takes_both_ends(frames: Frames) -> None:
    one = Frames(frames.study, frames.trials.query("beta == 1"), frames.rows)
    assert not any("difference" in sentence for sentence in blobs.sentences(one))
    apart = frames.trials.query("(beta == 1 and seed == 0) or (beta == 150 and seed != 0)")
    assert not any("difference" in sentence for sentence in blobs.sentences(Frames(frames.study, apart, frames.rows)))


def test_trials_without_a_map_say_nothing(frames: Frames) -> None:
    bare = Frames(frames.study, frames.trials.drop(columns="alignment"), frames.rows)
    assert blobs.ladder(bare) == {}
    assert blobs.sentences(bare) == []


def test_the_null_of_a_square_is_that_of_science() -> None:
    aligned, near = blobs.rotation_null(1.0)
    assert aligned == pytest.approx(2 / math.pi, abs=1e-4)
    assert near == pytest.approx(20 / 90, abs=1e-4)


def test_the_null_of_the_control_against_drawn_rotations() -> None:
    rng = np.random.default_rng(0)
    turn = rng.uniform(0, 2 * math.pi, 200_000)
    drawn, angles = [], []
    for along_x, along_y in ((np.cos(turn) / 2, np.sin(turn)), (-np.sin(turn) / 2, np.cos(turn))):  # both latents
        drawn.append(np.abs(along_x**2 - along_y**2) / (along_x**2 + along_y**2))
        angle = np.degrees(np.arctan2(np.abs(along_y), np.abs(along_x)))
        angles.append(np.minimum(angle, 90 - angle))
    aligned, near = blobs.rotation_null(2.0)
    assert aligned == pytest.approx(np.mean(drawn), abs=0.003)
    assert near == pytest.approx((np.mean(angles, axis=0) < 10).mean(), abs=0.003)
    assert near == pytest.approx(0.18, abs=0.005)  # docs/metrics.md


def test_the_figure_draws_every_seed_and_the_means(frames: Frames, tmp_path: Path) -> None:
    figure = blobs.ladder_figure(blobs.ladder(frames), 0.64)
    latents, alignment, jumps, _ = figure.axes
    assert latents.lines[0].get_ydata() == pytest.approx([3, 2, 2, 2, 2])
    assert len(jumps.collections) == 5
    assert all(len(np.asarray(points.get_offsets())) == 3 for points in jumps.collections)
    assert alignment.lines[1].get_ydata() == pytest.approx([0.64, 0.64])
    figure.savefig(tmp_path / "ladder.png")


def test_a_seed_that_says_no_position_is_counted_and_in_no_mean(frames: Frames) -> None:
    silent = (frames.trials["beta"] == 150) & (frames.trials["seed"] == 0)
    trials = frames.trials.copy()
    trials.loc[silent, ["alignment", "axis_angle", "torn_share", "jumps", "ghosts"]] = float("nan")
    trials.loc[silent, "position_latents"] = 0
    rungs = blobs.ladder(Frames(frames.study, trials, frames.rows))
    last = blobs.table(rungs).set_index("beta").loc["150"]
    assert last["seeds"] == "3, 1 says no position"
    assert last["near an axis"] == "0 of 2"
    assert str(last["alignment"]).startswith("0.65 (")
