"""Fixtures that several test files share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as a trial has; two that wait for each other's cores are far slower

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

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


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray cluster of two cores for the whole session."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
