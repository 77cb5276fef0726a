import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest
from numpy.lib import format as npy

from trainables.data.dataset import Dataset, DatasetError, open_dataset
from trainables.data.official import convert_official, is_official

Arrays = dict[str, np.ndarray]


def official_arrays(tiny: Dataset) -> Arrays:
    """The tiny dataset as the official file would hold it: a constant colour first, unpacked images."""
    rows = np.arange(len(tiny.images))
    classes = tiny.factors_of(rows)
    values = np.stack([np.array(tiny.values[name])[classes[:, i]] for i, name in enumerate(tiny.factors)], axis=1)
    colour = np.zeros((len(rows), 1), np.int64)
    return {
        "imgs": tiny.batch(rows)[:, 0].astype(np.uint8),
        "latents_classes": np.hstack([colour, classes]),
        "latents_values": np.hstack([colour + 1.0, values]),
    }


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, allow_pickle=True, metadata=np.array({"author": "somebody"}), **arrays)
    return path


def write_hdf5(path: Path, arrays: Arrays) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            deep = (len(array) * 3 // 4, 2, 4) if name == "imgs" and array.ndim == 3 else True
            file.create_dataset(name.replace("_", "/"), data=array, chunks=deep, compression="gzip")
    return path


WRITERS = [pytest.param(write_npz, ".npz", id="npz"), pytest.param(write_hdf5, ".hdf5", id="hdf5")]
Writer = Callable[[Path, Arrays], Path]


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_a_conversion_is_the_dataset_itself(write: Writer, suffix: str, tiny: Dataset, tmp_path: Path) -> None:
    source = write(tmp_path / f"official{suffix}", official_arrays(tiny))
    assert is_official(source)
    convert_official(source, tmp_path / "ours.h5")
    ours = open_dataset(tmp_path / "ours.h5")
    assert ours.sha256 == tiny.sha256
    assert ours.values == tiny.values
    assert ours.factors == tiny.factors
    assert ours.entropy == tiny.entropy
    assert ours.constant_loss == pytest.approx(tiny.constant_loss, rel=1e-12)
    assert ours.name == "official"


def change(name: str, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, name: function(arrays[name].copy())}


def set_at(row: int, *column: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def put(array: np.ndarray) -> np.ndarray:
        array[(row, *column)] = value
        return array

    return put


BAD = {
    "grey pixel": (change("imgs", set_at(1400, 3, 3, value=7)), "a pixel of 7 in imgs; expected binary"),
    "images of 32 x 128": (
        change("imgs", lambda a: a.reshape(-1, 32, 128)),
        "imgs of uint8 (1536, 32, 128); expected uint8 (1536, 64, 64)",
    ),
    "images of floats": (change("imgs", lambda a: a.astype(np.float32)), "imgs of float32 (1536, 64, 64)"),
    "fewer images": (
        change("imgs", lambda a: a[:1000]),
        "imgs of uint8 (1000, 64, 64); expected uint8 (1536,",
    ),
    "no colour column": (change("latents_classes", lambda a: a[:, 1:]), "latent classes of int64 (1536, 5)"),
    "classes of floats": (
        change("latents_classes", lambda a: a + 0.5),
        "latent classes of float64 (1536, 6)",
    ),
    "fewer values": (
        change("latents_values", lambda a: a[:9]),
        "latent values of float64 (9, 6); expected floats",
    ),
    "two colours": (change("latents_classes", set_at(5, 0, value=1)), "several colours in column 0"),
    "a class unused": (
        change("latents_classes", set_at(5, 1, value=4)),
        "classes 0 to 4 of shape; expected all",
    ),
    "a negative class": (
        change("latents_classes", set_at(5, 5, value=-1)),
        "classes -1 to 7 of y; expected all",
    ),
    "two values": (
        change("latents_values", set_at(5, 3, value=0.1)),
        "several values in one class of orientation",
    ),
}


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
@pytest.mark.parametrize("case", BAD)
def test_a_wrong_array_is_refused(write: Writer, suffix: str, case: str, tiny: Dataset, tmp_path: Path) -> None:
    spoil, message = BAD[case]
    source = write(tmp_path / f"bad{suffix}", spoil(official_arrays(tiny)))
    with pytest.raises(DatasetError, match=re.escape(f"{source} has {message}")):
        convert_official(source, tmp_path / "ours.h5")
    assert [file.name for file in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
@pytest.mark.parametrize("name", ["latents_classes", "latents_values", "imgs"])
def test_a_missing_array_is_refused(write: Writer, suffix: str, name: str, tiny: Dataset, tmp_path: Path) -> None:
    arrays = official_arrays(tiny)
    del arrays[name]
    source = write(tmp_path / f"bad{suffix}", arrays)
    with pytest.raises(
        DatasetError, match=f"(lacks a part|has no dataset) .*{name.rpartition('_')[2]}.*; expected imgs, latent"
    ):
        convert_official(source, tmp_path / "ours.h5")


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_a_damaged_file_is_refused(write: Writer, suffix: str, tiny: Dataset, tmp_path: Path) -> None:
    source = write(tmp_path / f"bad{suffix}", official_arrays(tiny))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=f"bad{suffix} is truncated or damaged"):
        convert_official(source, tmp_path / "ours.h5")
    # A few bytes of the compressed images are lost.
    where = data.find(b"imgs.npy") + 5000
    if suffix == ".hdf5":
        source.write_bytes(data)
        with h5py.File(source) as file:
            chunk = cast("h5py.Dataset", file["imgs"]).id.get_chunk_info(300)
            where = chunk.byte_offset + chunk.size // 2
    source.write_bytes(data[:where] + b"lost" + data[where + 4 :])
    with pytest.raises(DatasetError, match=f"bad{suffix} is truncated or damaged"):
        convert_official(source, tmp_path / "ours.h5")
    assert not (tmp_path / "ours.h5").exists()


def test_our_layout_and_other_files_are_not_official(tiny: Dataset, tmp_path: Path) -> None:
    assert not is_official(tiny.path)
    (tmp_path / "text.hdf5").write_text("hello")
    assert not is_official(tmp_path / "text.hdf5")


def npz(path: Path, arrays: Arrays, name: str, member: bytes) -> Path:
    """The official NPZ with another member."""
    with zipfile.ZipFile(path, "w") as archive:
        for other, array in arrays.items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{other}.npy", member if other == name else file.getvalue())
    return path


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["imgs", "latents_classes", "latents_values"])
def test_no_object_of_an_npz_is_made_and_nothing_that_it_lacks(name: str, tiny: Dataset, tmp_path: Path) -> None:
    pickled, huge, odd = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(pickled, np.array([Bomb(tmp_path / "harmed")], object), allow_pickle=True)
    npy.write_array_header_1_0(huge, {"descr": "<i8", "fortran_order": False, "shape": (10**12, 6)})
    npy.write_array_header_1_0(odd, {"descr": "<i8", "fortran_order": False, "shape": (-1, 6)})
    for member in (pickled, huge, odd, io.BytesIO(b"\x93NUMPY\x01\x00\x10\x00{'descr': exit()}"), io.BytesIO(b"")):
        source = npz(tmp_path / "stranger.npz", official_arrays(tiny), name, member.getvalue())
        with pytest.raises(DatasetError, match=r"^[^\n]*stranger\.npz [^\n]*; expected "):
            convert_official(source, tmp_path / "ours.h5")
    if name != "imgs":  # which is read in blocks
        source = npz(tmp_path / "stranger.npz", official_arrays(tiny), name, huge.getvalue())
        with pytest.raises(DatasetError, match=f"has {name} of 48,000,000,000,000 bytes; expected at most"):
            convert_official(source, tmp_path / "ours.h5")
    assert not (tmp_path / "ours.h5").exists()
    assert not (tmp_path / "harmed").exists()
