"""Blobs lie where their factors say, and the canvas clips them."""

from pathlib import Path

import numpy as np
import pytest

from trainables.data.blobs import SPREAD, centres, render_blobs
from trainables.data.dataset import Dataset, open_dataset


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("blobs") / "blobs.h5"
    render_blobs(path)
    return open_dataset(path)


def test_each_image_is_a_gaussian_about_its_factors(blobs: Dataset) -> None:
    rows = np.array([0, 31, 32, 500, 1023])
    classes = blobs.factors_of(rows)
    y, x = np.mgrid[:64, :64]
    for image, (i, j) in zip(blobs.batch(rows)[:, 0], classes, strict=True):
        across, down = blobs.values["x"][i], blobs.values["y"][j]
        expected = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * SPREAD**2))
        np.testing.assert_allclose(image, expected, atol=0.5 / 255 + 1e-6)


def test_every_position_of_the_canvas_is_there_once(blobs: Dataset) -> None:
    pairs = {tuple(pair) for pair in blobs.factors_of(np.arange(1024)).tolist()}
    assert len(pairs) == len(blobs.images) == 1024
    assert (blobs.values["x"][0], blobs.values["x"][-1]) == (0.0, 63.0)
    assert blobs.factors == ("x", "y")
    assert blobs.entropy == pytest.approx(np.log(1024))


def test_the_control_ranges_twice_as_far_along_x(tmp_path: Path) -> None:
    render_blobs(tmp_path / "blobs_wide.h5", aspect=2.0)
    wide = open_dataset(tmp_path / "blobs_wide.h5")
    assert np.ptp(wide.values["x"]) == pytest.approx(2 * np.ptp(wide.values["y"]))
    assert np.mean(wide.values["y"]) == pytest.approx(np.mean(wide.values["x"])) == 31.5
    assert wide.name == "blobs_wide"


def test_the_optimal_rate_under_beta_150_exceeds_a_nat(blobs: Dataset) -> None:
    """A code of one bit for x alone is worth more than 150 times its ln 2: beta = 150 does not turn position off.

    Halves decoded by their mean images; two such bits, of x and of y, then make more than one nat.
    """
    images = blobs.batch(np.arange(1024)).reshape(1024, -1).astype(np.float64)
    x, y = blobs.factors_of(np.arange(1024)).T

    def loss(groups: np.ndarray) -> float:
        total = 0.0
        for group in np.unique(groups):
            members = images[groups == group]
            mean = np.clip(members.mean(0), 1e-6, 1 - 1e-6)
            total -= (members * np.log(mean) + (1 - members) * np.log(1 - mean)).sum()
        return total / len(images)

    none, one, two = loss(np.zeros(1024)), loss(x // 16), loss(2 * (x // 16) + y // 16)
    assert none - one > 150 * np.log(2)
    assert one - two > 150 * np.log(2)


def test_centres_are_even_and_in_the_middle() -> None:
    assert np.ptp(np.diff(centres(0.5))) == pytest.approx(0)
    assert centres(0.5).mean() == pytest.approx(31.5)
