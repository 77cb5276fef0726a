import io
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from trainables.data import pictures
from trainables.data.dataset import DatasetError, open_dataset
from trainables.data.pictures import (
    CELEBA,
    CHAIRS,
    PictureLayout,
    _shrunk,
    convert_pictures,
    folder_state,
    is_pictures,
    pictures_megabytes,
)

FEW = {"chairs": replace(CHAIRS, count=60, size=(80, 80), crop=80), "celeba": replace(CELEBA, count=60)}
"""The official layouts with few pictures, and chairs in fewer pixels."""
LAYOUTS = tuple(FEW.values())
FORMATS = {"chairs": "PNG", "celeba": "JPEG"}


def encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **({"compress_level": 1} if kind == "PNG" else {}))
    return file.getvalue()


def blots(seed: int, size: tuple[int, int]) -> Image.Image:
    colours = np.random.default_rng(seed).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


@cache
def official(name: str) -> Mapping[str, bytes]:
    """Pictures in the official layout by path, in the order of paths, and what lies beside them."""
    if name == "chairs":
        views = [f"p020_t{15 * view:03d}_r096" for view in range(12)]
        chairs = ["1028b32dc1873c2afe26a3ac360dbd4", "10_chair", "9", "Ab", "ab"]
        paths = [
            f"rendered_chairs/{chair}/renders/image_{number:03d}_{view}.png"
            for chair in chairs
            for number, view in enumerate(views)
        ]
        beside = {"rendered_chairs/all_chair_names.mat": b"MATLAB", "rendered_chairs/9/image.png": b"no view"}
    else:
        paths = [f"img_align_celeba/{number:06d}.jpg" for number in range(1, 61)]
        beside = {"img_align_celeba/.DS_Store": b"x", "__MACOSX/img_align_celeba/._000001.jpg": b"x"}
    return {
        **{path: encoded(blots(seed, FEW[name].size), FORMATS[name]) for seed, path in enumerate(paths)},
        **beside,
    }


def write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def shuffled(files: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    items = list(files.items())
    return [items[position] for position in np.random.default_rng(3).permutation(len(items))]


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    path = path.with_suffix(".tar")
    with tarfile.open(path, mode) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType]
        folder = tarfile.TarInfo("rendered_chairs")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in shuffled(files):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("img_align_celeba/", b"")
        for name, data in shuffled(files):
            archive.writestr(name, data)
    return path


WRITERS = [write_folder, write_tar, write_zip]
Writer = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.mark.parametrize("name", FEW)
def test_archive_and_folder_give_the_pictures_in_the_order_of_their_paths(name: str, tmp_path: Path) -> None:
    made = []
    for number, write in enumerate(WRITERS):
        source = write(tmp_path / f"source{number}", official(name))
        assert is_pictures(source)
        convert_pictures(source, tmp_path / f"{number}.h5", LAYOUTS)
        made.append(open_dataset(tmp_path / f"{number}.h5"))
    inside = tmp_path / "source0" / next(iter(official(name))).partition("/")[0]
    convert_pictures(inside, tmp_path / "inside.h5", LAYOUTS)
    made.append(open_dataset(tmp_path / "inside.h5"))
    assert len({dataset.sha256 for dataset in made}) == 1

    dataset = made[0]
    assert dataset.name == name
    assert dataset.factors == ()
    assert dataset.image_shape == (3, 64, 64)
    assert len(dataset.images) == 60
    for row, data in enumerate(list(official(name).values())[:60]):
        with Image.open(io.BytesIO(data)) as picture:
            np.testing.assert_allclose(dataset.images[row], plainly_shrunk(np.asarray(picture), FEW[name].crop), atol=1)


def plainly_shrunk(picture: np.ndarray, crop: int) -> np.ndarray:
    """The middle square shrunk to 64 x 64: each pixel a mean with weights that fall off over one new pixel."""
    top, left = ((side - crop) // 2 for side in picture.shape[:2])
    square = picture[top : top + crop, left : left + crop].astype(float)
    step = crop / 64
    weights = np.zeros((64, crop))
    for new in range(64):
        for old in range(crop):
            weights[new, old] = max(0.0, 1 - abs(old + 0.5 - (new + 0.5) * step) / step)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("ia,jb,abc->ijc", weights, weights, square, optimize=True)


@pytest.mark.parametrize("layout", [CHAIRS, CELEBA])
def test_an_official_picture_is_shrunk_with_its_whole_area(layout: PictureLayout) -> None:
    picture = blots(1, layout.size)
    data = encoded(picture, "PNG")
    np.testing.assert_allclose(shrunk(data, layout), plainly_shrunk(np.asarray(picture), layout.crop), atol=1)


def test_the_official_counts_and_their_room() -> None:
    assert (CHAIRS.count, CHAIRS.size) == (1393 * 62, (600, 600))
    assert (CELEBA.count, CELEBA.size, CELEBA.crop) == (202_599, (178, 218), 148)
    for layout, megabytes in ((CHAIRS, 1062), (CELEBA, 2490)):
        assert layout.megabytes == megabytes
        assert 0 < layout.megabytes * 10**6 - layout.count * (64 * 64 * 3 + 1) <= 10**6


def test_the_room_is_that_of_the_layout_found(tmp_path: Path) -> None:
    write_folder(tmp_path, official("celeba"))
    one, many = replace(FEW["celeba"], name="many"), replace(FEW["celeba"], pattern="none")
    assert pictures_megabytes(tmp_path, (replace(many, count=10**6), one)) == one.megabytes == 1


def spoilt(change: Callable[[str, bytes], bytes | None], last: int = 1) -> Callable[[str], dict[str, bytes]]:
    """The official files with a change of the `last` pictures; None takes one away."""

    def spoil(name: str) -> dict[str, bytes]:
        files = dict(official(name))
        for path in list(files)[60 - last : 60]:
            data = change(name, files.pop(path))
            if data is not None:
                files[path] = data
        return files

    return spoil


def in_mode(mode: str) -> Callable[[str, bytes], bytes]:
    return lambda name, data: encoded(blots(0, FEW[name].size).convert(mode), FORMATS[name])


BAD = {
    "fewer": (spoilt(lambda name, data: None, last=3), "holds 57 pictures of {title}; expected 60: download or unpack"),
    "more": (
        lambda name: {**official(name), **{f"copy/{path}": data for path, data in list(official(name).items())[:2]}},
        "holds 62 pictures of {title}; expected 60: take away the others",
    ),
    "truncated": (spoilt(lambda name, data: data[: len(data) // 2]), "has an unreadable picture {last} (.*truncated"),
    "no picture": (spoilt(lambda name, data: b"<html>Not found</html>"), "has an unreadable picture {last} (cannot"),
    "empty": (spoilt(lambda name, data: b""), "has an unreadable picture {last} (cannot identify"),
    "small": (
        spoilt(lambda name, data: encoded(blots(0, (64, 64)), FORMATS[name])),
        "has a picture {last} of 64 x 64, RGB; expected {width} x {height}, RGB",
    ),
    "on its side": (
        spoilt(lambda name, data: encoded(blots(0, (218, 178)), FORMATS[name])),
        "has a picture {last} of 218 x 178, RGB; expected {width} x {height}, RGB",
    ),
    "grey": (spoilt(in_mode("L")), "has a picture {last} of {width} x {height}, L; expected"),
    "unknown": (
        lambda name: {"photos/a.png": b"", "photos/b.jpg": b""},
        "holds 2 files (the first is photos/a.png) but no pictures of a known dataset; expected 3D Chairs "
        "(rendered_chairs.tar) with pictures like rendered_chairs/<chair>/renders/image_001_p020_t011_r096.png or "
        "CelebA (img_align_celeba.zip) with pictures like img_align_celeba/000001.jpg",
    ),
    "nothing": (lambda name: {}, "holds 0 files but no pictures of a known dataset; expected 3D Chairs"),
}


def refused(source: Path, message: str, name: str, tmp_path: Path) -> None:
    last = re.escape(list(official(name))[59])
    layout = FEW[name]
    pattern = re.escape(message).replace(re.escape(".*"), ".*").replace(r"\{last\}", last)
    pattern = pattern.replace(r"\{title\}", re.escape(layout.title))
    pattern = pattern.replace(r"\{width\}", str(layout.size[0])).replace(r"\{height\}", str(layout.size[1]))
    with pytest.raises(DatasetError, match=f"dataset {re.escape(str(source))} {pattern}"):
        convert_pictures(source, tmp_path / "made" / "ours.h5", LAYOUTS)
    assert not list(tmp_path.glob("made/*"))


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("case", BAD)
def test_bad_pictures_are_refused_by_name(case: str, name: str, write: Writer, tmp_path: Path) -> None:
    spoil, message = BAD[case]
    (tmp_path / "bad").mkdir()
    refused(write(tmp_path / "bad", spoil(name)), message, name, tmp_path)


@pytest.mark.parametrize(
    ("name", "mode"), [("chairs", "RGBA"), ("chairs", "P"), ("chairs", "1"), ("chairs", "LA"), ("celeba", "CMYK")]
)
def test_other_modes_are_refused(name: str, mode: str, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "bad", spoilt(in_mode(mode))(name))
    refused(source, f"has a picture {{last}} of {{width}} x {{height}}, {mode}; expected", name, tmp_path)


def test_counts_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "bad", spoilt(lambda name, data: None)("celeba"))
    with pytest.raises(DatasetError, match=r"holds 59 pictures of CelebA .*; expected 60"):
        pictures_megabytes(source, LAYOUTS)
    with pytest.raises(DatasetError, match="expected 60"):
        convert_pictures(source, tmp_path / "made" / "ours.h5", LAYOUTS)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_a_damaged_archive_is_refused(write: Writer, tmp_path: Path) -> None:
    source = write(tmp_path / "bad", official("celeba"))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    assert is_pictures(source)
    refused(source, "is truncated or damaged (.*); expected the complete archive", "celeba", tmp_path)


def test_a_lost_byte_of_a_zip_is_noticed(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "bad", official("celeba"))
    picture = list(official("celeba").values())[59]
    where = source.read_bytes().index(picture) + len(picture) - 20
    data = bytearray(source.read_bytes())
    data[where] ^= 255
    source.write_bytes(data)
    refused(source, "has an unreadable picture {last} (Bad CRC-32", "celeba", tmp_path)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_refused_with_the_remedy(mode: str, tmp_path: Path) -> None:
    source = write_tar(tmp_path / "bad", {"a/000001.jpg": b"x"}, mode)
    assert is_pictures(source)
    refused(
        source, "is compressed as a whole; expected a .zip, a plain .tar or a folder: unpack it", "celeba", tmp_path
    )


def test_other_files_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("PKZIP was a program")
    (tmp_path / "empty").touch()
    assert not is_pictures(tmp_path / "text")
    assert not is_pictures(tmp_path / "empty")


@given(st.sampled_from(sorted(FEW)), st.floats(0, 1))
def test_a_cut_picture_is_refused_or_the_same(name: str, share: float) -> None:
    data = next(iter(official(name).values()))
    cut = data[: int(share * len(data))]
    whole = shrunk(data, FEW[name])
    try:
        np.testing.assert_array_equal(shrunk(cut, FEW[name]), whole)
        assert len(data) - len(cut) <= 12  # no more than the end mark is lost
    except DatasetError:
        assert len(cut) < len(data)


@given(st.sampled_from(sorted(FEW)), st.integers(0, 600), st.binary(min_size=1, max_size=9))
def test_no_damage_raises_anything_else(name: str, where: int, put: bytes) -> None:
    data = next(iter(official(name).values()))
    try:
        assert shrunk(data[:where] + put + data[where + len(put) :], FEW[name]).shape == (64, 64, 3)
    except DatasetError as error:
        assert "picture it" in str(error)  # noqa: PT017


def test_a_bomb_is_refused_unopened() -> None:
    data = encoded(blots(0, (8, 8)), "PNG")
    header = b"IHDR" + struct.pack(">II", 50_000, 50_000) + data[24:29]
    with pytest.raises(DatasetError, match=r"unreadable picture it .*decompression bomb"):
        shrunk(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:], CHAIRS)


def shrunk(data: bytes, layout: PictureLayout) -> np.ndarray:
    return _shrunk(Path("source"), "it", lambda file: file, data, layout)


def test_a_folder_is_another_one_once_a_picture_has_changed(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a/000001.jpg": b"one", "a/000002.jpg": b"two"})
    states = [folder_state(tmp_path)]
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"no picture")
    assert folder_state(tmp_path) == states[0]
    os.utime(tmp_path / "a" / "000001.jpg", ns=(1, 1))
    states.append(folder_state(tmp_path))
    (tmp_path / "a" / "000001.jpg").write_bytes(b"longer")
    os.utime(tmp_path / "a" / "000001.jpg", ns=(1, 1))
    states.append(folder_state(tmp_path))
    (tmp_path / "a" / "000002.jpg").rename(tmp_path / "a" / "000003.jpg")
    states.append(folder_state(tmp_path))
    (tmp_path / "a" / "000003.jpg").unlink()
    states.append(folder_state(tmp_path))
    assert len(set(states)) == 5


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 80 80\n%%EndComments\n"


def test_no_other_format_is_decoded_whatever_a_file_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: started.append(arguments))
    with Image.open(io.BytesIO(POSTSCRIPT)) as picture:
        assert (picture.size, picture.mode) == ((80, 80), "RGB")  # what a chair of the tests has
    with pytest.raises(DatasetError, match=r"unreadable picture x\.png"):
        _shrunk(Path("x.tar"), "x.png", lambda file: POSTSCRIPT, None, FEW["chairs"])
    assert started == []


@pytest.mark.parametrize("write", WRITERS)
def test_no_more_of_a_file_is_read_than_a_picture_has(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "LARGEST", 1000)
    source = write(tmp_path / "bomb", {"a/000001.jpg": bytes(10**6)})
    with pictures._opened(source) as (files, read):
        assert len(read(files["a/000001.jpg"])) == 1000


def test_links_devices_and_paths_of_an_archive_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(encoded(blots(0, FEW["celeba"].size), "JPEG"))
    names = {tarfile.SYMTYPE: "1", tarfile.LNKTYPE: "2", tarfile.CHRTYPE: "3", tarfile.FIFOTYPE: "4"}
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        for kind, name in names.items():
            member = tarfile.TarInfo(f"img_align_celeba/00000{name}.jpg")
            member.type, member.linkname = kind, str(tmp_path / "secret.jpg")
            archive.addfile(member)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DatasetError, match="holds 0 files"):
        convert_pictures(tmp_path / "links.tar", tmp_path / "ours.h5", LAYOUTS)
    files = {f"../../{tmp_path.name}/escaped/{Path(path).name}": data for path, data in official("celeba").items()}
    for write in (write_tar, write_zip):
        source = write(tmp_path / "up", files)
        convert_pictures(source, tmp_path / "ours.h5", LAYOUTS)  # a path is a name here: nothing is unpacked
        source.unlink()
        (tmp_path / "ours.h5").unlink()
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "000001.jpg")
    with pytest.raises(DatasetError, match="holds 0 files"):  # nobody waits for a pipe
        convert_pictures(tmp_path / "folder", tmp_path / "ours.h5", LAYOUTS)
