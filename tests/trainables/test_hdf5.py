"""HDF5 files that a stranger made: whatever they name outside of themselves, or declare, is not read."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from trainables.data.dataset import Dataset, DatasetError, open_dataset
from trainables.data.official import convert_official, is_official
from trainables.data.tables import convert_table, is_table, table_megabytes
from trainables.hdf5 import SHRINKS, UNSTORED, numbers

SECRET = b"a secret of the reader's own" * 10_000
IMAGES = (60, 64, 64)


def secret(folder: Path) -> Path:
    """A file of the reader's, as bytes and as HDF5."""
    (folder / "secret.txt").write_bytes(SECRET)
    with h5py.File(folder / "secret.h5", "w") as file:
        file["images"] = np.full(IMAGES, 9, np.uint8)
    return folder


def external_link(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file[name] = h5py.ExternalLink(str(folder / "secret.h5"), "/images")


def soft_link(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(folder / "secret.h5"), "/")
    file[name] = h5py.SoftLink("/elsewhere/images")


def external_storage(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file.create_dataset(name, shape, np.uint8, external=[(str(folder / "secret.txt"), 0, h5py.h5f.UNLIMITED)])


def virtual(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    layout = h5py.VirtualLayout(shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "images", shape)
    file.create_virtual_dataset(name, layout)


def texts(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file.create_dataset(name, shape, h5py.string_dtype())


def ragged(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file.create_dataset(name, shape, h5py.vlen_dtype(np.uint8))


def records(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file.create_dataset(name, shape, [("a", "u1"), ("b", "f4")])


def references(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file.create_dataset(name, shape, h5py.ref_dtype)


def huge(file: Any, name: str, shape: tuple[int, ...], folder: Path) -> None:
    file.create_dataset(name, (10**12, *shape[1:]), np.uint8, chunks=(1, *shape[1:]), compression="gzip")


ATTACKS = (external_link, soft_link, external_storage, virtual, texts, ragged, records, references, huge)
WORST = (external_link, external_storage, huge)
Attack = Callable[[Any, str, tuple[int, ...], Path], None]


@pytest.mark.parametrize("attack", ATTACKS)
def test_only_numbers_in_the_file_itself_are_read(attack: Attack, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "stranger.h5", "w") as file:
        attack(file, "images", (4,), secret(tmp_path))  # few, so that it is not refused for its size
        file["group/images"] = h5py.SoftLink("/images")
    with h5py.File(tmp_path / "stranger.h5") as file:
        for name in ("images", "group/images", "group", "nothing", "group/images/more", ""):
            with pytest.raises(ValueError, match=r"^has "):
                numbers(file, name)


@pytest.mark.parametrize("attack", WORST)
@pytest.mark.parametrize("name", ["images", "factors"])
def test_ones_own_table_is_no_way_in(attack: Attack, name: str, tmp_path: Path) -> None:
    source = secret(tmp_path) / "stranger.h5"
    with h5py.File(source, "w") as file:
        if name == "factors":
            file["images"] = np.full(IMAGES, 200, np.uint8)
        attack(file, name, IMAGES if name == "images" else (60, 2), tmp_path)
    assert is_table(source)
    with pytest.raises(DatasetError, match=rf"stranger\.h5 has {name}"):
        convert_table(source, tmp_path / "ours.h5")
    if name == "images":
        with pytest.raises(DatasetError, match=r"stranger\.h5 has images"):
            table_megabytes(source)
    assert not (tmp_path / "ours.h5").exists()


@pytest.mark.parametrize("attack", WORST)
@pytest.mark.parametrize("name", ["imgs", "latents/classes", "latents/values"])
def test_the_official_layout_is_no_way_in(attack: Attack, name: str, tmp_path: Path) -> None:
    source = secret(tmp_path) / "stranger.hdf5"
    with h5py.File(source, "w") as file:
        arrays = {"imgs": np.zeros(IMAGES, np.uint8), "latents/classes": np.zeros((60, 6), int)}
        arrays["latents/values"] = np.zeros((60, 6))
        for other, array in arrays.items():
            if other == name:
                attack(file, name, array.shape, tmp_path)
            else:
                file[other] = array
    assert is_official(source)
    with pytest.raises(DatasetError, match=rf"stranger\.hdf5 has {name}"):
        convert_official(source, tmp_path / "ours.h5")
    assert not (tmp_path / "ours.h5").exists()


@pytest.mark.parametrize("attack", WORST)
@pytest.mark.parametrize("name", ["images", "classes", "held_out", "values/x"])
def test_our_layout_is_no_way_in(attack: Attack, name: str, tiny: Dataset, tmp_path: Path) -> None:
    path = secret(tmp_path) / "stranger.h5"
    shutil.copy(tiny.path, path)
    with h5py.File(path, "r+") as file:
        shape = file[name].shape  # type: ignore[union-attr]
        del file[name]
        attack(file, name, shape, tmp_path)
    with pytest.raises(DatasetError, match=rf"stranger\.h5 has {name}"):
        open_dataset(path)


@pytest.mark.parametrize("shapes", ["loop.h5", "../tiny.h5", "/etc/passwd", "", "nowhere.h5", "\0"])
def test_colours_take_their_shapes_from_a_file_beside_them_alone(shapes: str, tiny: Dataset, tmp_path: Path) -> None:
    shutil.copy(tiny.path, tmp_path / "tiny.h5")
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "loop.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(layout="capacity-study-coloured-1", shapes_sha256=tiny.sha256, levels=[0.5, 1.0])
        file.attrs.update({"name": "x", "entropy": 1.0, "constant_loss": 1.0, "recon_floor": 0.0, "sha256": "0"})
        file.attrs["shapes"] = np.bytes_(shapes) if "\0" in shapes else shapes
    with pytest.raises(
        DatasetError, match=r"loop\.h5 is of layout .*-coloured-1'" if shapes == "loop.h5" else r"^dataset "
    ):
        open_dataset(path)


@pytest.mark.parametrize("name", ["name", "factors", "entropy", "recon_floor"])
def test_attributes_of_another_kind_are_one_sentence(name: str, tiny: Dataset, tmp_path: Path) -> None:
    shutil.copy(tiny.path, tmp_path / "stranger.h5")
    with h5py.File(tmp_path / "stranger.h5", "r+") as file:
        file.attrs[name] = h5py.Empty("f") if name in ("factors", "name") else "no number"
    if name == "name":
        assert isinstance(open_dataset(tmp_path / "stranger.h5").name, str)
        return
    with pytest.raises(DatasetError, match=r"stranger\.h5 is truncated or half-written"):
        open_dataset(tmp_path / "stranger.h5")


def test_what_shrinks_well_is_no_fraud(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "ours.h5", "w") as file:
        black = np.zeros((3000, 64, 64, 3), np.uint8)
        file.create_dataset("black", data=black, chunks=(1000, 64, 64, 3), compression="gzip", compression_opts=9)
        file.create_dataset("unwritten", (UNSTORED,), np.uint8)
        file.create_dataset("too large", (UNSTORED + 1,), np.uint8)
        file["none"] = h5py.Empty("f4")
    with h5py.File(tmp_path / "ours.h5") as file:
        stored = numbers(file, "black")
        assert 1000 < black.nbytes / stored.id.get_storage_size() < SHRINKS  # as near to the limit as deflate comes
        assert numbers(file, "unwritten").shape == (UNSTORED,)
        assert numbers(file, "none").shape is None
        with pytest.raises(ValueError, match=r"has too large of shape .*, 1,048,577 bytes of which the file holds 0"):
            numbers(file, "too large")
