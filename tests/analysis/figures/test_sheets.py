from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from analysis.figures import sheets
from analysis.frames import load

TRIAL = {
    "kl_0": 0.5,
    "info_0": 0.4,
    "kl_1": 3.0,
    "info_1": 2.5,
    "kl_2": 1.0,
    "info_2": 0.05,
    "kl_3": np.nan,
    "info_3": 1.0,
}
UNIFORM = np.arange(12)[:, None] % np.array([3, 4])  # factors of 3 and 4 even classes
ARRAYS = {
    "factors": UNIFORM.astype(np.uint8),
    "mutual_information": np.array([[0.5, 0.5], [0.1, np.log(4)], [0.0, 0.1]]),
}


def test_latents_come_by_kl_with_what_they_say_most_of() -> None:
    rows = sheets.rows_by_kl(TRIAL, ARRAYS, ["shape", "x"])
    assert [row.latent for row in rows] == [1, 2, 0]  # latent 3 is another trial's
    assert [row.active for row in rows] == [True, False, True]
    assert rows[0].factor == ("x", 1.0)
    assert rows[2].factor == ("shape", pytest.approx(0.5 / np.log(3)))
    assert rows[0].label == "z1  KL 3.0  I 2.5  x 1.00"
    assert rows[1].label == "z2  KL 1.0  I 0.1"


def test_without_names_factors_are_numbered_and_without_factors_left_out() -> None:
    assert sheets.rows_by_kl(TRIAL, ARRAYS, [])[0].factor == ("factor 1", 1.0)
    assert sheets.rows_by_kl(TRIAL, {}, [])[0].factor is None


def test_a_constant_factor_has_no_share() -> None:
    arrays = {"factors": np.zeros((12, 1), np.uint8), "mutual_information": np.array([[0.0]])}
    assert sheets.factor_shares(arrays) == np.array([[0.0]])


def test_a_mosaic_holds_every_picture_at_its_place() -> None:
    pictures = np.random.default_rng(0).integers(0, 250, (2, 3, 4, 5, 1), dtype=np.uint8)
    whole = sheets.mosaic(pictures)
    assert whole.shape == (2 * 4 + sheets.GAP, 3 * 5 + 2 * sheets.GAP, 1)
    for i in range(2):
        for j in range(3):
            top, left = i * (4 + sheets.GAP), j * (5 + sheets.GAP)
            assert (whole[top : top + 4, left : left + 5] == pictures[i, j]).all()
    assert (whole[4 : 4 + sheets.GAP] == 255).all()


def test_inactive_pictures_are_greyed_not_dropped() -> None:
    pictures = np.array([0, 255], np.uint8)
    assert (sheets.faded(pictures, active=True) == pictures).all()
    dark, light = sheets.faded(pictures, active=False)
    assert 100 < dark < light < 255


def test_a_sheet_names_its_rows_and_its_range(fake_study: Path) -> None:
    frames = load(fake_study)
    key = frames.finished["key"].iloc[0]
    rows = sheets.rows_by_kl(frames.trial(key), frames.study.arrays(key), frames.factors)
    axes = sheets.traversal_sheet(plt.figure().subplots(), frames.study.arrays(key), rows, seed_image=2)
    assert [text.get_text() for text in axes.get_yticklabels()] == [row.label for row in rows]
    assert [row.active for row in rows] == [True, True, False]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["z = -3", "0", "3"]
    drawn = np.asarray(axes.images[0].get_array())
    first = frames.study.arrays(key)["traversals"][2, rows[0].latent, 0]
    assert (drawn[:8, :8] == first).all()


def test_reconstructions_stand_below_their_originals(fake_study: Path) -> None:
    study = load(fake_study).study
    arrays = study.arrays(load(fake_study).finished["key"].iloc[0])
    drawn = np.asarray(sheets.reconstructions(plt.figure().subplots(), arrays).images[0].get_array())
    assert (drawn[:8, :8] == arrays["originals"][0]).all()
    assert (drawn[8 + sheets.GAP :, -8:] == arrays["reconstructions"][-1]).all()


def test_a_sheet_in_the_papers_layout_has_samples_then_latents_and_their_maps(fake_study: Path) -> None:
    frames = load(fake_study)
    key = frames.finished["key"].iloc[0]
    figure = sheets.paper_sheet(frames, key, seed_image=2)
    pictures, *maps, _ = figure.axes
    labels = [text.get_text() for text in pictures.get_yticklabels()]
    assert labels[:2] == ["held-out", "decoded"]
    assert [label[:2] for label in labels[2:]] == ["z0", "z1", "z2"]  # by KL
    arrays = frames.study.arrays(key)
    shown = np.asarray(pictures.images[0].get_array())
    np.testing.assert_array_equal(shown[:8, :8, 0], arrays["originals"][2, ..., 0])  # the traversed image is first
    np.testing.assert_array_equal(shown[20:28, :8, 0], arrays["traversals"][2, 0, 0, ..., 0])
    assert len(maps) == 3
    drawn = np.asarray(maps[1].images[0].get_array())
    np.testing.assert_allclose(drawn, arrays["position_means"][:, :, 1].T)  # x runs to the right
    assert maps[1].images[0].get_clim() == (-3, 3)


def test_a_trial_without_a_map_has_none_in_its_sheet(fake_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = load(fake_study)
    key = frames.finished["key"].iloc[0]
    arrays = frames.study.arrays(key)
    del arrays["position_means"]
    monkeypatch.setattr(type(frames.study), "arrays", lambda self, key: arrays)
    assert len(sheets.paper_sheet(frames, key).axes) == 1
