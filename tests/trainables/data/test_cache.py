import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest
from PIL import Image

from trainables.checks import InputError
from trainables.data import cache as cache_module
from trainables.data.cache import cache_folder, locate
from trainables.data.dataset import Dataset, DatasetError, open_dataset
from trainables.data.dsprites import render_dsprites
from trainables.data.pictures import CELEBA, PictureLayout, convert_pictures, is_pictures, pictures_megabytes


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Renders a small dsprites in the full one's place; the list grows by a path at each rendering."""
    made: list[Path] = []

    def render(path: Path) -> None:
        made.append(path)
        render_dsprites(path, scales=2, orientations=4, positions=8)

    monkeypatch.setitem(cache_module.RENDERED, "dsprites", render)
    return made


def test_the_folder_is_ours_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPACITY_STUDY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "capacity-study"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/capacity-study")
    monkeypatch.setenv("CAPACITY_STUDY_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"


def test_a_name_is_rendered_once(cache: Path, rendered: list[Path], tiny: Dataset) -> None:
    path = locate("dsprites")
    assert path == cache / "dsprites.h5"
    assert open_dataset(path).sha256 == tiny.sha256
    assert locate("dsprites") == path
    assert rendered == [path]


def test_a_file_of_our_layout_is_used_where_it_is(cache: Path, tiny: Dataset) -> None:
    assert locate(str(tiny.path)) == tiny.path
    assert not cache.exists()


def test_an_official_file_is_converted_once_and_again_when_it_changes(cache: Path, tmp_path: Path) -> None:
    source = tmp_path / "mine.npz"
    classes = np.zeros((40, 6), np.int64)
    images = np.random.default_rng(0).integers(0, 2, (40, 64, 64), dtype=np.uint8)
    np.savez(source, imgs=images, latents_classes=classes, latents_values=classes * 1.0)
    path = locate(str(source))
    assert path.parent == cache
    assert path.name.startswith("mine-")
    made = path.stat().st_mtime_ns
    assert locate(str(source)) == path
    assert path.stat().st_mtime_ns == made
    np.savez(source, imgs=1 - images, latents_classes=classes, latents_values=classes * 1.0)
    os.utime(source, ns=(1, 1))
    changed = locate(str(source))
    assert changed != path
    np.testing.assert_array_equal(open_dataset(changed).images, ~open_dataset(path).images)


def test_an_unknown_name_is_refused_with_the_near_one(cache: Path) -> None:
    with pytest.raises(InputError, match=r"unknown dataset 'dsprite': .*did you mean dsprites"):
        locate("dsprite")
    with pytest.raises(DatasetError, match=r"unknown dataset '/no/where': .*choose one of dsprites"):
        locate("/no/where")


def test_a_truncated_file_in_the_cache_is_refused_by_name(cache: Path, rendered: list[Path]) -> None:
    path = locate("dsprites")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DatasetError, match=r"dsprites.h5 is truncated or half-written .*delete it"):
        open_dataset(locate("dsprites"))
    path.unlink()
    open_dataset(locate("dsprites"))


def test_too_little_disk_is_refused(cache: Path, rendered: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ("total", "used", "free"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 123_000_000, 123_000_000))
    with pytest.raises(DatasetError, match=r"needs 400 MB but .* has 123 MB free; set CAPACITY_STUDY_CACHE"):
        locate("dsprites")
    assert rendered == []


def test_an_unwritable_folder_is_refused(rendered: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CAPACITY_STUDY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DatasetError, match=r"file/cache cannot be written .*set CAPACITY_STUDY_CACHE to a folder"):
        locate("dsprites")


LOCATE = """
import sys, time
from trainables.data import cache
from trainables.data.dsprites import render_dsprites

def render(path):
    with open(sys.argv[1], "a") as log:
        log.write("rendered\\n")
    time.sleep(float(sys.argv[2]))
    render_dsprites(path, scales=2, orientations=4, positions=8)

cache.RENDERED["dsprites"] = render
print(cache.locate("dsprites"))
"""


def test_two_processes_at_once_make_one_file(cache: Path, tmp_path: Path, tiny: Dataset) -> None:
    command = [sys.executable, "-c", LOCATE, str(tmp_path / "log"), "1"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert answers == [str(cache / "dsprites.h5")] * 2
    assert (tmp_path / "log").read_text() == "rendered\n"
    assert open_dataset(cache / "dsprites.h5").sha256 == tiny.sha256


HANG = """
import itertools, sys, time
from trainables.data import cache, dsprites

blocks = dsprites._blocks

def stuck(*arguments):
    yield from itertools.islice(blocks(*arguments), 12)
    print("half", flush=True)
    time.sleep(60)

dsprites._blocks = stuck
cache.RENDERED["dsprites"] = lambda path: dsprites.render_dsprites(path, 2, 4, 8)
cache.locate("dsprites")
"""


def test_a_killed_writer_leaves_nothing_that_is_used(cache: Path, rendered: list[Path], tiny: Dataset) -> None:
    with subprocess.Popen([sys.executable, "-c", HANG], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    assert not (cache / "dsprites.h5").exists()
    assert (cache / "dsprites.h5.partial").exists()
    begun = time.monotonic()
    assert open_dataset(locate("dsprites")).sha256 == tiny.sha256
    assert time.monotonic() - begun < 10  # the dead writer's lock is free
    assert sorted(file.name for file in cache.iterdir()) == ["dsprites.h5", "dsprites.h5.lock"]


def write_table(path: Path, count: int = 60) -> Path:
    images = np.random.default_rng(count).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        file["images"] = images
        file["factors"] = np.arange(count)[:, None] % 4
    return path


@pytest.fixture
def few_faces(monkeypatch: pytest.MonkeyPatch) -> tuple[PictureLayout, ...]:
    """Takes 60 faces for the whole CelebA."""
    layouts = (replace(CELEBA, count=60),)
    few = (
        is_pictures,
        partial(convert_pictures, layouts=layouts),
        partial(pictures_megabytes, layouts=layouts),
    )
    monkeypatch.setattr(cache_module, "CONVERTERS", (*cache_module.CONVERTERS[:-1], few))
    return layouts


def write_faces(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number in range(1, 61):
        colours = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        Image.fromarray(colours).resize(CELEBA.size).save(folder / f"{number:06d}.jpg")
    return folder


def test_a_table_is_converted_once(cache: Path, tmp_path: Path) -> None:
    source = write_table(tmp_path / "mine.h5")
    path = locate(str(source))
    made = path.stat().st_mtime_ns
    assert (path.parent, open_dataset(path).values) == (cache, {"factor_0": (0, 1, 2, 3)})
    assert locate(str(source)) == path
    assert path.stat().st_mtime_ns == made


def test_a_folder_and_its_archive_are_the_same_dataset(
    cache: Path, tmp_path: Path, few_faces: tuple[PictureLayout, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_faces(tmp_path / "img_align_celeba")
    archive = shutil.make_archive(str(tmp_path / "img_align_celeba"), "zip", tmp_path, folder.name)
    paths = [locate(str(folder)), locate(archive)]
    assert len(set(paths)) == 2
    assert len({open_dataset(path).sha256 for path in paths}) == 1
    monkeypatch.setattr(cache_module, "CONVERTERS", ())
    assert [locate(str(folder)), locate(archive)] == paths  # what is there is found without reading a list
    os.utime(folder / "000007.jpg", ns=(1, 1))
    assert locate(str(folder)) not in paths


def test_an_unreadable_picture_ends_it_clean_and_the_next_call_succeeds(
    cache: Path, tmp_path: Path, few_faces: tuple[PictureLayout, ...]
) -> None:
    folder = write_faces(tmp_path / "faces")
    last = folder / "000060.jpg"
    data = last.read_bytes()
    last.write_bytes(data[:900])
    with pytest.raises(DatasetError, match=r"unreadable picture 000060.jpg \(.*truncated"):
        locate(str(folder))
    assert [file.suffix for file in cache.iterdir()] == [".lock"]
    last.write_bytes(data)
    assert len(open_dataset(locate(str(folder))).images) == 60


@pytest.mark.parametrize("name", ["photos", "photos.zip", "photos.tar"])
def test_unknown_pictures_are_refused_before_anything_is_made(name: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").touch()
    if name != "photos":
        shutil.make_archive(str(tmp_path / "photos"), name[-3:], tmp_path / "photos")
    with pytest.raises(DatasetError, match=f"{name} holds 1 files .* no pictures of a known dataset; exp"):
        locate(str(tmp_path / name))
    assert not cache.exists()


@pytest.mark.parametrize("text", ["", "hello"])
def test_a_file_that_nobody_takes_is_left_to_the_reader(text: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(text)
    assert locate(str(tmp_path / "notes.txt")) == tmp_path / "notes.txt"
    with pytest.raises(DatasetError, match=r"notes.txt is not an HDF5 file"):
        open_dataset(locate(str(tmp_path / "notes.txt")))


def test_the_room_asked_for_is_that_of_the_conversion(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "3dshapes.h5", "w") as file:
        file.create_dataset("images", (480_000, 64, 64, 3), np.uint8)[-1] = 0  # the disk holds no more than this one
    usage = namedtuple("usage", ("total", "used", "free"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**10, 5 * 10**9, 5 * 10**9))
    with pytest.raises(DatasetError, match=r"needs 60\d\d MB but .* has 5000 MB free; .* folder with 60\d\d MB free"):
        locate(str(tmp_path / "3dshapes.h5"))
    assert len(open_dataset(locate(str(write_table(tmp_path / "small.h5")))).images) == 60


CONVERT = """
import sys, time
from trainables.data import cache, tables

blocks = tables._blocks

def stuck(source):
    for number, block in enumerate(blocks(source)):
        if number == 3:
            print("half", flush=True)
            time.sleep(60)
        yield block

tables._blocks = stuck
tables.BLOCK = 10
cache.locate(sys.argv[1])
"""


def test_a_killed_conversion_leaves_nothing_that_is_used(cache: Path, tmp_path: Path) -> None:
    source = write_table(tmp_path / "mine.h5")
    with subprocess.Popen([sys.executable, "-c", CONVERT, str(source)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        writer.send_signal(signal.SIGKILL)
    assert sorted(file.suffix for file in cache.iterdir()) == [".lock", ".partial"]
    path = locate(str(source))
    with h5py.File(source) as file:
        np.testing.assert_array_equal(open_dataset(path).images, cast("h5py.Dataset", file["images"])[()])
    assert sorted(file.suffix for file in cache.iterdir()) == [".h5", ".lock"]
