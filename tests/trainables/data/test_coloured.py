"""The coloured form of a binary dataset, against the plain one."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from trainables.data.coloured import LEVELS, colour
from trainables.data.dataset import Dataset, DatasetError, open_dataset
from trainables.data.layout import write_dataset


@pytest.fixture(scope="module")
def coloured(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("coloured")
    shutil.copy(tiny_path, folder / "tiny.h5")
    colour(folder / "tiny.h5", folder / "coloured.h5")
    return open_dataset(folder / "coloured.h5")


def test_an_image_is_its_mask_times_its_colour(coloured: Dataset, tiny: Dataset) -> None:
    picks = np.array([0, 5, 511, 512, 512 * 700 + 77])
    rows = coloured.drawn(coloured.train_rows, picks)
    masks = tiny.batch(tiny.train_rows[picks // 512])
    images, factors = coloured.batch(rows), coloured.factors_of(rows)
    assert images.dtype == np.float32
    for image, mask, classes in zip(images, masks, factors, strict=True):
        expected = LEVELS[classes[-3:]][:, None, None] * mask
        np.testing.assert_allclose(image, expected, rtol=1e-6)
    np.testing.assert_array_equal(factors[:, :-3], tiny.factors_of(tiny.train_rows[picks // 512]))
    assert coloured.factors[-3:] == ("red", "green", "blue")
    assert coloured.image_shape == (3, 64, 64)


def test_every_colour_of_every_image_is_drawn_by_one_pick(coloured: Dataset) -> None:
    picks = np.arange(3 * 512)
    rows = coloured.drawn(coloured.held_out_rows, picks)
    assert len(set(rows.tolist())) == 3 * 512
    colours = {tuple(row) for row in coloured.factors_of(rows)[:512, -3:].tolist()}
    assert colours == set(itertools.product(range(8), repeat=3))


def test_the_parts_are_those_of_the_shapes(coloured: Dataset, tiny: Dataset) -> None:
    rows = coloured.drawn(coloured.held_out_rows, np.arange(len(tiny.held_out_rows)) * 512 + 99)
    assert (rows // 512).tolist() == tiny.held_out_rows.tolist()
    assert coloured.about["images"] == 512 * len(tiny.images)
    assert coloured.sha256 != tiny.sha256


def test_entropy_floor_and_constant_loss_are_those_of_all_its_images(coloured: Dataset, tiny: Dataset) -> None:
    assert coloured.entropy == pytest.approx(tiny.entropy + 3 * np.log(8))
    rows = coloured.drawn(coloured.held_out_rows, np.arange(len(tiny.held_out_rows) * 512)[:: 7 * 3])
    floor, loss = 0.0, 0.0
    mean = tiny.batch(tiny.train_rows).mean(axis=0, dtype=np.float64) * LEVELS.mean()
    mean = np.clip(mean, 1e-6, 1 - 1e-6)
    for start in range(0, len(rows), 512):
        images = coloured.batch(rows[start : start + 512]).astype(np.float64)
        inside = images[(images > 0) & (images < 1)]
        floor -= (inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum()
        loss -= (images * np.log(mean) + (1 - images) * np.log(1 - mean)).sum()
    assert coloured.recon_floor == pytest.approx(floor / len(rows), rel=0.01)
    assert coloured.constant_loss == pytest.approx(loss / len(rows), rel=0.01)


def test_what_is_not_binary_or_elsewhere_is_refused(tmp_path: Path, tiny_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 1), dtype=np.uint8)
    write_dataset(tmp_path / "grey.h5", "grey", [images], np.empty((40, 0), np.uint8), {})
    with pytest.raises(DatasetError, match="give a binary one in the same folder"):
        colour(tmp_path / "grey.h5", tmp_path / "coloured.h5")
    with pytest.raises(DatasetError, match="give a binary one in the same folder"):
        colour(tiny_path, tmp_path / "coloured.h5")
    assert not (tmp_path / "coloured.h5").exists()


def test_other_shapes_under_the_same_name_are_refused(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_path, tmp_path / "tiny.h5")
    colour(tmp_path / "tiny.h5", tmp_path / "coloured.h5")
    images = np.random.default_rng(0).integers(0, 256, (60, 512), dtype=np.uint8)
    write_dataset(tmp_path / "tiny.h5", "tiny", [images], np.empty((60, 0), np.uint8), {})
    with pytest.raises(DatasetError, match=r"was coloured from another tiny\.h5"):
        open_dataset(tmp_path / "coloured.h5")
