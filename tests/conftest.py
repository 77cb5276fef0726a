"""Fixtures that several test files share."""

from pathlib import Path

import pytest

from trainables.data.dataset import Dataset, open_dataset
from trainables.data.dsprites import render_dsprites


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dSprites of 1,536 images: 3 shapes, 2 scales, 4 orientations, 8 x 8 positions."""
    path = tmp_path_factory.mktemp("data") / "tiny.h5"
    render_dsprites(path, scales=2, orientations=4, positions=8)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Dataset:
    """The tiny dSprites, opened."""
    return open_dataset(tiny_path)
