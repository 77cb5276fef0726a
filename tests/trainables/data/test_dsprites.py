import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trainables.data.dataset import Dataset, open_dataset
from trainables.data.dsprites import AREA, BOX, CENTRE, level, render_dsprites, slide, sprite

SCALES = np.linspace(0.5, 1, 6)
ANGLES = [2 * math.pi * turn / 39 for turn in range(39)]
POSITIONS = (0, 4, 9, 13, 18, 22, 27, 31)  # 8 of 32, rounded


def pixels(dataset: Dataset) -> np.ndarray:
    """(shape, scale, orientation, x, y, row, column)."""
    sizes = [len(values) for values in dataset.values.values()]
    return dataset.batch(np.arange(len(dataset.images))).reshape(*sizes, 64, 64)


def test_rows_are_in_the_official_order_with_the_official_values(tiny: Dataset) -> None:
    assert tiny.factors == ("shape", "scale", "orientation", "x", "y")
    rows = list(itertools.product(range(3), range(2), range(4), range(8), range(8)))
    assert tiny.factors_of(np.arange(1536)).tolist() == [list(row) for row in rows]
    assert tiny.values["shape"] == (1, 2, 3)
    assert tiny.values["scale"] == (0.5, 1)
    np.testing.assert_allclose(tiny.values["orientation"], np.arange(4) * 2 * math.pi / 3)
    np.testing.assert_allclose(tiny.values["x"], np.array(POSITIONS) / 31)
    assert tiny.values["x"] == tiny.values["y"]


def test_the_last_orientation_is_the_first(tiny: Dataset) -> None:
    images = pixels(tiny)
    np.testing.assert_array_equal(images[:, :, 0], images[:, :, 3])
    assert (images[:, :, 0] != images[:, :, 1]).any(axis=(-1, -2)).all()


def test_sprites_are_complete_and_follow_position_pixel_by_pixel(tiny: Dataset) -> None:
    images = pixels(tiny)
    on = images.sum(axis=(-1, -2))
    assert (on == on[:, :, :, :1, :1]).all()
    column = (images.sum(axis=-2) @ np.arange(64)) / on  # centroids (shape, scale, orientation, x, y)
    row = (images.sum(axis=-1) @ np.arange(64)) / on
    steps = np.array(POSITIONS)
    np.testing.assert_allclose(column - column[:, :, :, :1], np.broadcast_to(steps[:, None], on.shape), atol=1e-4)
    np.testing.assert_allclose(row - row[:, :, :, :, :1], np.broadcast_to(steps, on.shape), atol=1e-4)


def test_sliding_is_pasting() -> None:
    picture = sprite(2, 1.0, 0.3)
    offsets = np.array([0, 5, 31])
    slid = np.unpackbits(slide(picture, offsets), axis=1).reshape(3, 3, 64, 64)
    for i, j in itertools.product(range(3), range(3)):
        canvas = np.zeros((64, 64))
        canvas[offsets[j] : offsets[j] + BOX, offsets[i] : offsets[i] + BOX] = picture  # x is the column
        np.testing.assert_array_equal(slid[i, j], canvas)


def test_every_sprite_of_the_full_set_fits_its_box_and_has_its_area() -> None:
    on = np.empty((3, 6, 39))
    for shape, (i, scale), (k, angle) in itertools.product(range(3), enumerate(SCALES), enumerate(ANGLES)):
        levels = level(shape, scale, angle)
        # No pixel is so near an edge that another processor's cosine could switch it.
        assert abs(levels).min() > 1e-10
        assert not (levels < 0)[[0, -1]].any()
        assert not (levels < 0)[:, [0, -1]].any()
        on[shape, i, k] = (levels < 0).sum()
    np.testing.assert_allclose(on.mean(axis=2), np.tile(AREA * SCALES**2, (3, 1)), rtol=0.02)
    assert on.mean() / 64**2 == pytest.approx(0.0425, abs=0.001)


def test_few_sprites_have_a_twin_besides_the_last_orientation() -> None:
    sprites = [
        sprite(shape, scale, ANGLES[turn % 39]).tobytes()
        for shape, scale, turn in itertools.product(range(3), SCALES, range(40))
    ]
    counts = Counter(sprites)
    twins = sum(counts[image] > 1 for image in sprites) / 720
    assert 0.05 <= twins < 0.07  # 0.05: orientations 0 and 39
    assert max(counts.values()) == 2


@pytest.mark.parametrize("scale", SCALES)
def test_an_upright_square_is_every_centre_inside_it(scale: float) -> None:
    half = scale * math.sqrt(AREA) / 2
    inside = range(-(BOX // 2), BOX // 2 + 1)
    expected = [[abs(column - CENTRE[0]) < half and abs(row - CENTRE[1]) < half for column in inside] for row in inside]
    np.testing.assert_array_equal(sprite(0, scale, 0), expected)


def test_shapes_look_as_they_are_called() -> None:
    ellipse, heart = sprite(1, 1.0, 0), sprite(2, 1.0, 0)
    assert ellipse.any(axis=0).sum() == pytest.approx(2 * ellipse.any(axis=1).sum(), abs=2)
    rows = heart.sum(axis=1)[heart.any(axis=1)]
    assert rows[0] > 2 * rows[-1]  # lobes above, the tip below
    assert (np.diff(heart.astype(int), axis=1) == 1).sum(axis=1).max() == 2  # a cleft between the lobes
    turned = sprite(2, 1.0, math.pi / 2)  # anticlockwise: the tip points to the right
    columns = turned.sum(axis=0)[turned.any(axis=0)]
    assert columns[0] > 2 * columns[-1]


def test_rendering_again_gives_the_same_bytes(tiny: Dataset, tmp_path: Path) -> None:
    render_dsprites(tmp_path / "again.h5", scales=2, orientations=4, positions=8)
    assert open_dataset(tmp_path / "again.h5").sha256 == tiny.sha256


@pytest.mark.slow
def test_the_whole_dataset(tmp_path: Path):
    path = tmp_path / "dsprites.h5"
    render_dsprites(path)
    dataset = open_dataset(path)
    assert len(dataset.images) == 737_280
    assert path.stat().st_size < 400e6
    assert dataset.entropy == pytest.approx(13.4664, abs=1e-3)
    assert dataset.constant_loss == pytest.approx(556.33, abs=0.1)
    assert len(dataset.held_out_rows) / 737_280 == pytest.approx(0.1, abs=0.002)
    assert dataset.sha256.startswith("c073014da373")  # the same images on every machine, or keys would lie
