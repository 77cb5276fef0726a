import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainables.data.dataset import DatasetError, open_dataset
from trainables.data.tables import (
    BLOCK,
    DEEPEST,
    SHAPES3D,
    KnownTable,
    _factors,
    convert_table,
    is_table,
    read_at_once,
    table_megabytes,
)

TINY3D = KnownTable(name="shapes3d", table="labels", sizes=dict(zip(SHAPES3D.sizes, (3, 2, 2, 2, 4, 2), strict=True)))
"""Shapes3D with fewer values."""


def pictures(count: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 64, 64, *channels), dtype=np.uint8)


def write(path: Path, change: Callable[[h5py.File], object] | None = None, images: np.ndarray | None = None) -> Path:
    """A file of 60 colour images with two factors, changed."""
    with h5py.File(path, "w") as file:
        file["images"] = pictures(60, 3) if images is None else images
        file["factors"] = np.stack([np.arange(60) % 4 * 10, np.arange(60) // 30 - 0.5], axis=1)
        file["factors"].attrs["names"] = ["angle", "size"]
        if change is not None:
            change(file)
    return path


def write_shapes3d(path: Path) -> Path:
    """The tiny Shapes3D as the official file is: values by column, the last factor fastest."""
    ranges = [np.linspace(0, 0.9, size) for size in TINY3D.sizes.values()]
    ranges[4], ranges[5] = np.arange(4.0), np.linspace(-30, 30, 2)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=pictures(TINY3D.count, 3), chunks=(50, 8, 8, 1), compression="gzip")
        file["labels"] = np.array(list(itertools.product(*ranges)))
    return path


def test_shapes3d_is_all_combinations_of_its_published_factors(tmp_path: Path) -> None:
    assert list(SHAPES3D.sizes.items()) == [
        ("floor_hue", 10),
        ("wall_hue", 10),
        ("object_hue", 10),
        ("scale", 8),
        ("shape", 4),
        ("orientation", 15),
    ]
    assert SHAPES3D.count == 480_000
    source = write_shapes3d(tmp_path / "3dshapes.h5")
    assert is_table(source)
    convert_table(source, tmp_path / "ours.h5", TINY3D)
    ours = open_dataset(tmp_path / "ours.h5")
    assert ours.name == "shapes3d"
    assert ours.factors == tuple(TINY3D.sizes)
    np.testing.assert_array_equal(ours.images, pictures(TINY3D.count, 3))
    sizes = tuple(TINY3D.sizes.values())
    np.testing.assert_array_equal(ours.classes, np.indices(sizes).reshape(6, -1).T)
    assert ours.values["orientation"] == (-30, 30)
    assert ours.values["floor_hue"] == pytest.approx((0, 0.45, 0.9))


def test_the_full_shapes3d_needs_its_unpacked_size(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file.create_dataset("images", (480_000, 64, 64, 3), np.uint8)[-1] = 0  # the disk holds no more than this one
    assert 5898 < table_megabytes(tmp_path / "3dshapes.h5") < 6100


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("chunks", [None, 7, 59, 60])
def test_images_of_every_shape_and_chunking_are_kept(channels: tuple[int, ...], chunks: int, tmp_path: Path) -> None:
    images = pictures(60, *channels)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file.create_dataset("images", data=images, chunks=chunks and (chunks, *images.shape[1:]))
    convert_table(tmp_path / "mine.h5", tmp_path / "ours.h5")
    ours = open_dataset(tmp_path / "ours.h5")
    np.testing.assert_array_equal(ours.images, images.reshape(60, 64, 64, -1))
    assert ours.factors == ()
    assert ours.name == "mine"


@given(st.integers(1, 500_000))
def test_whole_chunks_are_read_about_a_block_at_once_within_bounds(depth: int) -> None:
    step = read_at_once(depth)
    assert step <= DEEPEST
    assert step % depth == 0 or depth > DEEPEST
    assert step > BLOCK // 2 or step == depth


@pytest.mark.parametrize("deepest", [1, 20, 60, 61])
def test_every_image_is_read_once_whatever_the_steps(
    deepest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.data.tables.BLOCK", 7)
    monkeypatch.setattr("trainables.data.tables.DEEPEST", deepest)
    images = pictures(61, 1)
    for depth in (3, 30, 61):
        with h5py.File(tmp_path / "mine.h5", "w") as file:
            file.create_dataset("images", data=images, chunks=(depth, 64, 64, 1))
        convert_table(tmp_path / "mine.h5", tmp_path / "ours.h5")
        np.testing.assert_array_equal(open_dataset(tmp_path / "ours.h5").images, images)


def test_factors_become_classes_in_the_order_of_values(tmp_path: Path) -> None:
    source = write(tmp_path / "mine.h5")
    convert_table(source, tmp_path / "ours.h5")
    ours = open_dataset(tmp_path / "ours.h5")
    assert ours.values == {"angle": (0, 10, 20, 30), "size": (-0.5, 0.5)}
    np.testing.assert_array_equal(ours.classes[:, 0], np.arange(60) % 4)
    np.testing.assert_array_equal(ours.classes[:, 1], np.arange(60) // 30)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ("factor_0", "factor_1")),
        (np.array([b"angle", b"size"]), ("angle", "size")),
        (np.array(["Größe", "x y"], h5py.string_dtype()), ("Größe", "x y")),
    ],
)
def test_names_are_text_in_any_form_or_numbers(names: np.ndarray, expected: tuple[str, ...], tmp_path: Path) -> None:
    def rename(file: h5py.File) -> None:
        del file["factors"].attrs["names"]
        if names is not None:
            file["factors"].attrs["names"] = names

    convert_table(write(tmp_path / "mine.h5", rename), tmp_path / "ours.h5")
    assert open_dataset(tmp_path / "ours.h5").factors == expected


tables = arrays.arrays(
    st.sampled_from(["<f8", "<f4", ">i4", "u1", "i8"]).map(np.dtype),
    st.tuples(st.integers(2, 40), st.integers(1, 3)),
    elements=st.integers(0, 9),
)


@given(tables)
def test_the_value_of_a_class_is_the_number_that_was_there(table: np.ndarray) -> None:
    table[0], table[1] = 0, 1  # no constant column
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file["factors"] = table
        classes, values = _factors(Path("it"), file, "factors", len(table), None)
    for column, numbers in enumerate(values.values()):
        assert numbers == sorted(set(table[:, column].tolist()))
        np.testing.assert_array_equal(np.array(numbers)[classes[:, column]], table[:, column])


def put(name: str, data: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = data
        file[name].attrs.update(attributes)

    return change


def column(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    """The first column of the factors replaced."""

    def change(file: h5py.File) -> None:
        stored = cast("h5py.Dataset", file["factors"])
        stored[:, 0] = function(np.arange(60.0))

    return change


def names(*found: object) -> Callable[[h5py.File], None]:
    return lambda file: file["factors"].attrs.__setitem__("names", list(found))


IMAGES = "; expected uint8 (n, 64, 64), (n, 64, 64, 1) or (n, 64, 64, 3): convert the images"
BAD = {
    "images of floats": (put("images", pictures(60, 3) / 255), f"has images of float64 (60, 64, 64, 3){IMAGES}"),
    "wide images": (put("images", np.zeros((60, 64, 65), np.uint8)), f"has images of uint8 (60, 64, 65){IMAGES}"),
    "four channels": (
        put("images", np.zeros((60, 64, 64, 4), np.uint8)),
        f"has images of uint8 (60, 64, 64, 4){IMAGES}",
    ),
    "channels first": (put("images", np.zeros((60, 3, 64, 64), np.uint8)), "has images of uint8 (60, 3, 64, 64)"),
    "packed": (put("images", np.zeros((60, 512), np.uint8)), f"has images of uint8 (60, 512){IMAGES}"),
    "no images": (put("images", np.zeros((0, 64, 64), np.uint8)), f"has images of uint8 (0, 64, 64){IMAGES}"),
    "a number": (put("images", np.uint8(3)), "has images of uint8 (0,)"),
    "no shape": (put("images", h5py.Empty("u1")), "has images of uint8 (0,)"),
    "a group": (lambda file: (file.pop("images"), file.create_group("images")), "has images that is no HDF5 dataset"),
    "0 and 1": (
        put("images", pictures(60, 1) // 128),
        "has images whose brightest pixel is 1; expected 0 to 255: multiply binary images by 255",
    ),
    "fewer factors": (put("factors", np.zeros((59, 2))), "has 59 rows of factors; expected 60, one an image"),
    "more factors": (put("factors", np.zeros((61, 2))), "has 61 rows of factors; expected 60, one an image"),
    "flat factors": (put("factors", np.zeros(60)), "has factors of float64 (60,); expected integers or floats (60, k)"),
    "no columns": (put("factors", np.zeros((60, 0))), "has factors of float64 (60, 0); expected integers or floats"),
    "flags": (put("factors", np.zeros((60, 2), bool)), "has factors of bool (60, 2); expected integers or floats"),
    "texts": (put("factors", np.full((60, 2), b"a")), "has factors of |S1 (60, 2); expected integers or floats"),
    "factors a group": (
        lambda file: (file.pop("factors"), file.create_group("factors")),
        "has factors that is no HDF5 dataset",
    ),
    "nan": (
        column(lambda rows: np.where(rows == 7, np.nan, rows)),
        "has nan in row 7 of factor angle; expected finite numbers",
    ),
    "infinity": (column(lambda rows: np.where(rows == 59, -np.inf, rows)), "has -inf in row 59 of factor angle"),
    "constant": (
        column(lambda rows: 0 * rows + 5),
        "has a constant factor, 1 in angle; expected 2 to 256 values a column: leave the column out",
    ),
    "a name too few": (names("angle"), "has 1 names for 2 columns of factors; expected one a column"),
    "a name too many": (names("a", "b", "c"), "has 3 names for 2 columns of factors; expected one a column"),
    "numbers as names": (names(1, 2), "has a wrong attribute names (1 cannot name a factor"),
    "twice a name": (names("a", "a"), "has a wrong attribute names (two factors are named 'a'"),
    "a path as name": (names("a", "a/b"), "has a wrong attribute names ('a/b' cannot name a factor"),
    "an empty name": (names("a", ""), "has a wrong attribute names ('' cannot name a factor"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_part_is_refused(case: str, tmp_path: Path) -> None:
    change, message = BAD[case]
    source = write(tmp_path / "bad.h5", change)
    with pytest.raises(DatasetError, match=re.escape(f"dataset {source} {message}")):
        convert_table(source, tmp_path / "made" / "ours.h5")
    assert not list(tmp_path.glob("made/*"))
    if "brightest" not in message:  # which only the whole file tells
        assert not (tmp_path / "made").exists()


def test_256_values_are_the_most(tmp_path: Path) -> None:
    def write_values(count: int) -> Path:
        with h5py.File(tmp_path / "mine.h5", "w") as file:
            file["images"] = pictures(300)
            file["factors"] = np.arange(300)[:, None] % count
        return tmp_path / "mine.h5"

    convert_table(write_values(256), tmp_path / "ours.h5")
    assert open_dataset(tmp_path / "ours.h5").classes.max() == 255
    with pytest.raises(DatasetError, match=r"too many values, 257 in factor_0; expected 2 to 256 .*or bin it"):
        convert_table(write_values(257), tmp_path / "ours.h5")


def labels(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        data = cast("h5py.Dataset", file["labels"])[()]
        del file["labels"]
        file["labels"] = function(data)

    return change


BAD_SHAPES3D = {
    "fewer columns": (labels(lambda data: data[:, :5]), "has labels of 5 columns; expected 6: floor_hue, wall_hue"),
    "fewer rows": (labels(lambda data: data[:-1]), "has 191 rows of labels; expected 192, one an image"),
    "a value lost": (
        labels(lambda data: np.minimum(data, [9, 9, 9, 9, 2, 99])),
        "has 3 values of shape; expected 4: download shapes3d again",
    ),
    "half of it": (
        lambda file: (put("images", pictures(96, 3))(file), labels(lambda data: data[::2] + data[1::2])(file)),
        "has a constant factor, 1 in orientation",
    ),
    "grey": (
        put("images", pictures(192, 1)),
        "has images of shape (192, 64, 64, 1); expected (192, 64, 64, 3), those of shapes3d",
    ),
}


@pytest.mark.parametrize("case", BAD_SHAPES3D)
def test_a_wrong_shapes3d_is_refused(case: str, tmp_path: Path) -> None:
    change, message = BAD_SHAPES3D[case]
    source = write_shapes3d(tmp_path / "3dshapes.h5")
    with h5py.File(source, "r+") as file:
        change(file)
    with pytest.raises(DatasetError, match=re.escape(f"dataset {source} {message}")):
        convert_table(source, tmp_path / "made" / "ours.h5", TINY3D)
    assert not (tmp_path / "made").exists()


def test_a_damaged_chunk_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_shapes3d(tmp_path / "3dshapes.h5")
    with h5py.File(source) as file:
        chunk = cast("h5py.Dataset", file["images"]).id.get_chunk_info(600)
    data = bytearray(source.read_bytes())
    data[chunk.byte_offset + 20 : chunk.byte_offset + 24] = b"lost"
    source.write_bytes(data)
    with pytest.raises(DatasetError, match=r"is truncated or damaged \(.*; expected a complete HDF5 file"):
        convert_table(source, tmp_path / "made" / "ours.h5", TINY3D)
    assert list((tmp_path / "made").iterdir()) == []


def test_other_files_are_no_tables(tmp_path: Path) -> None:
    assert not is_table(write(tmp_path / "ours.h5", lambda file: file.attrs.update(layout="v0")))
    assert not is_table(write(tmp_path / "dsprites.h5", lambda file: file.move("images", "imgs")))
    assert not is_table(tmp_path)
    (tmp_path / "text.h5").write_text("hello")
    assert not is_table(tmp_path / "text.h5")


def test_damaged_bytes_raise_nothing_else(tmp_path: Path) -> None:
    data = write(tmp_path / "mine.h5", images=pictures(60)).read_bytes()
    random = np.random.default_rng(0)
    refusals = 0
    for _ in range(60):
        bad = bytearray(data)
        for where in random.integers(0, 3000, 12):
            bad[where] = random.integers(256)
        (tmp_path / "bad.h5").write_bytes(bad)
        try:
            if is_table(tmp_path / "bad.h5"):
                convert_table(tmp_path / "bad.h5", tmp_path / "ours.h5")
        except DatasetError:
            refusals += 1
    assert refusals > 5
