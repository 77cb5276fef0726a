from pathlib import Path

import pytest

from trainables.data.dataset import Dataset, open_dataset
from trainables.data.dsprites import render_dsprites


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """dSprites in 3 shapes, 2 scales, 4 orientations and 8 x 8 positions: 1,536 images. Only read it."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.h5"
    render_dsprites(path, scales=2, orientations=4, positions=8)
    return open_dataset(path)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, which $CAPACITY_STUDY_CACHE names."""
    monkeypatch.setenv("CAPACITY_STUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
