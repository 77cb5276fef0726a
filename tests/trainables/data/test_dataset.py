import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from trainables.data.dataset import Dataset, DatasetError, open_dataset
from trainables.data.dsprites import render_dsprites
from trainables.data.layout import write_dataset


def test_batch_is_the_slow_unpacking_in_the_order_of_the_rows(tiny: Dataset) -> None:
    rows = np.array([1535, 0, 700, 700, 3])
    batch = tiny.batch(rows)
    assert batch.shape == (5, 1, 64, 64)
    assert batch.dtype == np.float32
    for image, row in zip(batch, rows, strict=True):
        bits = "".join(f"{byte:08b}" for byte in tiny.images[row])
        for pixel, bit in enumerate(bits):
            assert image[0, pixel // 64, pixel % 64] == int(bit)


def test_colour_images_come_channels_first_between_0_and_1(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 5, 7, 3), dtype=np.uint8)
    write_dataset(tmp_path / "colour.h5", "c", [images], np.zeros((200, 1), np.uint8), {"none": [0.0]})
    dataset = open_dataset(tmp_path / "colour.h5")
    assert dataset.image_shape == (3, 5, 7)
    batch = dataset.batch(np.array([9, 4]))
    assert batch.shape == (2, 3, 5, 7)
    for channel in range(3):
        np.testing.assert_allclose(batch[0, channel], images[9, :, :, channel] / 255, rtol=1e-6)
    assert batch.flags.c_contiguous


def test_rows_of_both_parts_are_all_rows_once(tiny: Dataset) -> None:
    assert tiny.train_rows.dtype == tiny.held_out_rows.dtype == np.int32
    assert sorted([*tiny.train_rows, *tiny.held_out_rows]) == list(range(1536))
    assert tiny.held_out[tiny.held_out_rows].all()
    assert not tiny.held_out[tiny.train_rows].any()


def test_factors_of_rows_are_their_classes(tiny: Dataset) -> None:
    factors = tiny.factors_of(np.array([0, 1, 8, 64, 1535]))
    assert factors.dtype == np.int64
    expected = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [2, 1, 3, 7, 7]]
    assert factors.tolist() == expected


READ_ALL = """
import sys
import numpy as np, h5py
from trainables.data.dataset import open_dataset

def resident(kind):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024

before = resident("RssAnon"), resident("RssFile")
dataset = open_dataset(sys.argv[1])
opened = resident("RssFile")
for rows in np.array_split(np.random.default_rng(0).permutation(len(dataset.images)), 500):
    dataset.batch(rows), dataset.factors_of(rows)
print(resident("RssAnon") - before[0], opened - before[1], resident("RssFile") - before[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_images_stay_in_the_file_and_opening_reads_none(tmp_path: Path) -> None:
    render_dsprites(tmp_path / "large.h5", scales=2, orientations=20)
    assert (tmp_path / "large.h5").stat().st_size > 60e6
    output = subprocess.check_output([sys.executable, "-c", READ_ALL, tmp_path / "large.h5"], text=True)
    anonymous, file_opened, file_read = (float(word) for word in output.split())
    assert anonymous < 50  # MB
    assert file_opened < 20
    assert file_read > 55


def test_the_file_is_closed_after_opening(tiny: Dataset, tmp_path: Path) -> None:
    shutil.copy(tiny.path, tmp_path / "copy.h5")
    dataset = open_dataset(tmp_path / "copy.h5")
    with h5py.File(tmp_path / "copy.h5", "r+"):  # HDF5 locks: refused while a reader is open
        pass
    (tmp_path / "copy.h5").unlink()
    assert dataset.batch(np.array([0])).sum() > 0


def replace(name: str, data: np.ndarray, **how: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=data, **how)

    return change


def drop(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


BAD_PARTS = {
    "missing images": (drop("images"), "has no dataset 'images'"),
    "missing classes": (drop("classes"), "has no dataset 'classes'"),
    "missing split": (drop("held_out"), "has no dataset 'held_out'"),
    "missing values": (drop("values/x"), "has no dataset 'values/x'"),
    "missing attribute": (lambda file: file.attrs.pop("entropy"), "has no attribute 'entropy'"),
    "missing layout": (lambda file: file.attrs.pop("layout"), "has no layout attribute; expected capacity-"),
    "other layout": (lambda file: file.attrs.update(layout="v0"), "is of layout 'v0'; expected capacity-stu"),
    "images of floats": (
        replace("images", np.zeros((1536, 512), np.float32)),
        "has images of float32 (1536, 512); expected uint8 (n, 512) or (n, h, w, c)",
    ),
    "unpacked images": (
        replace("images", np.zeros((1536, 4096), np.uint8)),
        "has images of shape (1536, 4096); expected (n, 512) packed bits or (n, h, w, c)",
    ),
    "chunked images": (
        replace("images", np.zeros((1536, 512), np.uint8), chunks=(64, 512)),
        "has images in chunks, which cannot be mapped; expected a contiguous",
    ),
    "fewer images": (
        replace("images", np.zeros((1000, 512), np.uint8)),
        "has classes of shape (1536, 5); expected (1000, 5)",
    ),
    "a column too many": (
        replace("classes", np.zeros((1536, 6), np.uint8)),
        "has classes of shape (1536, 6); expected (1536, 5)",
    ),
    "classes of int64": (
        replace("classes", np.zeros((1536, 5), np.int64)),
        "has classes of int64 (1536, 5); expected uint8 (1536, 5)",
    ),
    "a class too high": (
        replace("classes", np.full((1536, 5), 1, np.uint8) + np.eye(1536, 5, dtype=np.uint8)),
        "has class 2 of 'scale'; expected classes below its 2 values",
    ),
    "short split": (replace("held_out", np.ones(9, bool)), "has held_out of shape (9,); expected (1536,)"),
    "nothing held out": (
        replace("held_out", np.zeros(1536, bool)),
        "has no held-out rows; expected both training and held-out rows",
    ),
    "all held out": (replace("held_out", np.ones(1536, bool)), "has no training rows; expected both"),
}


@pytest.mark.parametrize("case", BAD_PARTS)
def test_a_wrong_part_is_refused_by_name(case: str, tiny: Dataset, tmp_path: Path) -> None:
    change, message = BAD_PARTS[case]
    path = tmp_path / "bad.h5"
    shutil.copy(tiny.path, path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DatasetError, match=re.escape(f"{path} {message}")):
        open_dataset(path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(share: float, tiny: Dataset, tmp_path: Path) -> None:
    data = tiny.path.read_bytes()
    (tmp_path / "short.h5").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatasetError, match=r"short.h5 is truncated .*expected a complete HDF5 file of layout"):
        open_dataset(tmp_path / "short.h5")


def test_no_file_and_no_hdf5_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere.h5 is not a file"):
        open_dataset(tmp_path / "nowhere.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(DatasetError, match=r"text.h5 is not an HDF5 file; expected one of layout capacity-study-1"):
        open_dataset(tmp_path / "text.h5")


def test_a_dataset_without_factors_is_written_and_read(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 1), dtype=np.uint8)
    write_dataset(tmp_path / "blind.h5", "blind", np.array_split(images, 3), np.empty((60, 0), np.uint8), {})
    dataset = open_dataset(tmp_path / "blind.h5")
    assert dataset.factors == ()
    assert dataset.factors_of(np.arange(5)).shape == (5, 0)
    assert dataset.batch(np.arange(5)).shape == (5, 1, 64, 64)
    assert dataset.about["factors"] == []
