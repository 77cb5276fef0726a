import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.data import resident
from trainables.data.coloured import colour
from trainables.data.dataset import Dataset, open_dataset
from trainables.data.resident import Resident

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def coloured(tiny_path: Path) -> Dataset:
    path = tiny_path.with_name("coloured.h5")
    if not path.exists():
        colour(tiny_path, path)
    return open_dataset(path)


def same_images(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn and unpacked on the device as on the host, for picks of any shape."""
    monkeypatch.setattr(resident, "BLOCK", 100)  # several blocks, the last one short
    held = Resident(dataset, CPU)
    assert held.training_images == len(dataset.train_rows) * dataset.colourings
    picks = np.random.default_rng(0).integers(0, held.training_images, (3, 7))
    rows = held.drawn(torch.from_numpy(picks))
    wanted = dataset.drawn(dataset.train_rows, picks.ravel())
    np.testing.assert_array_equal(rows.numpy().ravel(), wanted)
    images = held.batch(rows)
    assert images.shape == (3, 7, 64, 64, dataset.image_shape[0])
    expected = dataset.batch(wanted).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images.flatten(0, 1).numpy(), expected)


def test_packed_bits(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    same_images(tiny, monkeypatch)


def test_coloured_bits(coloured: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    same_images(coloured, monkeypatch)


def test_bytes(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (len(tiny.images), 64, 64, 3), dtype=np.uint8)
    same_images(dataclasses.replace(tiny, images=pixels, image_shape=(3, 64, 64)), monkeypatch)
