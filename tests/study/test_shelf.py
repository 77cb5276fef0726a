"""What a machine without files is given, and what it refuses."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import ray

from study.shelf import Shelf
from study.store import Store
from trainables.data.dataset import Dataset, DatasetError
from trainables.data.dsprites import render_dsprites
from trainables.trial import open_checked


@pytest.fixture
def shelf(tmp_path: Path, tiny_path: Path, local_ray: None) -> Any:
    """Of a driver whose dataset is at a path that only it has."""
    with Store.open(tmp_path / "store", {"schema": 1}, {}) as store:
        store.save_checkpoint("k", b"bytes")
    shutil.copy(tiny_path, tmp_path / "only-there.h5")
    return Shelf.remote(str(tmp_path / "store"), str(tmp_path / "only-there.h5"), "none")  # type: ignore[attr-defined]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of this machine, empty."""
    monkeypatch.setenv("CAPACITY_STUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_it_gives_the_checkpoints_of_the_store(shelf: Any) -> None:
    assert ray.get([shelf.get.remote("k"), shelf.get.remote("other")]) == [b"bytes", None]


def test_a_machine_without_the_dataset_fetches_it_once(shelf: Any, tiny: Dataset, cache: Path) -> None:
    fetched = [open_checked("/not/here.h5", tiny.sha256, shelf) for _ in range(2)]
    (file,) = cache.glob("*.h5")
    assert file.read_bytes() == tiny.path.read_bytes()
    assert {dataset.path for dataset in fetched} == {file}
    assert fetched[0].sha256 == tiny.sha256


def test_a_machine_with_another_dataset_of_that_name_fetches_the_studys(
    shelf: Any, tiny: Dataset, cache: Path, tmp_path: Path
) -> None:
    render_dsprites(tmp_path / "other.h5", scales=1, orientations=2, positions=8)
    found = open_checked(str(tmp_path / "other.h5"), tiny.sha256, shelf)
    assert (found.sha256, found.path.parent) == (tiny.sha256, cache)
    with pytest.raises(DatasetError, match=r"other\.h5 is not the study's dataset .* delete it on this node"):
        open_checked(str(tmp_path / "other.h5"), tiny.sha256)


def test_what_comes_from_the_driver_is_checked_too(shelf: Any, cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"delivered-another\.h5 is not the study's dataset"):
        open_checked("/not/here.h5", "another", shelf)


def test_a_machine_that_has_the_dataset_asks_nobody(tiny: Dataset) -> None:
    assert open_checked(str(tiny.path), tiny.sha256, object()).path == tiny.path
