import hashlib
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.dataset import Dataset, open_dataset
from trainables.data.layout import CLIP, Tally, entropy, fingerprint, held_out, write_dataset


def test_entropy_and_constant_loss_are_the_plain_computation(tiny: Dataset) -> None:
    images = [image.tobytes() for image in tiny.images]
    counts = Counter(images)
    plain = sum(-math.log(counts[image] / len(images)) for image in images) / len(images)
    assert tiny.entropy == pytest.approx(plain, abs=1e-10)
    assert tiny.entropy < math.log(len(images))  # orientations 0 and 3 coincide

    constant = tiny.batch(tiny.train_rows).mean(axis=0, dtype=np.float64)
    constant = constant.clip(CLIP, 1 - CLIP)
    losses = [
        -np.log(np.where(tiny.batch(np.array([row]))[0] == 1, constant, 1 - constant)).sum()
        for row in tiny.held_out_rows
    ]
    assert tiny.constant_loss == pytest.approx(np.mean(losses), rel=1e-9)
    assert tiny.recon_floor == 0


def test_sha256_is_of_images_classes_and_split(tiny: Dataset) -> None:
    digest = hashlib.sha256()
    for part in (tiny.images, tiny.classes, tiny.held_out):
        digest.update(part.tobytes())
    assert tiny.sha256 == digest.hexdigest()


def test_the_split_is_about_a_tenth_with_twins_on_one_side(tiny: Dataset) -> None:
    sides: dict[bytes, set[bool]] = {}
    for image, unseen in zip(tiny.images, tiny.held_out, strict=True):
        sides.setdefault(image.tobytes(), set()).add(bool(unseen))
    assert len(sides) < len(tiny.images)
    assert all(len(side) == 1 for side in sides.values())
    # 1,152 distinct images or fewer, each held out with chance 1/10: three standard deviations are 2.7 %.
    assert 0.073 < tiny.held_out.mean() < 0.127


@given(st.integers(1, 50), st.integers(1, 20))
def test_entropy_of_equal_groups_is_the_log_of_their_number(groups: int, size: int) -> None:
    images = np.arange(groups * size, dtype=np.uint16)[:, None] % groups
    assert entropy(fingerprint(images)) == pytest.approx(math.log(groups), abs=1e-12)


colour_images = st.builds(
    lambda seed, count, low, high: np.random.default_rng(seed).integers(
        min(low, high), max(low, high) + 1, (count, 4, 3, 2), dtype=np.uint8
    ),
    st.integers(0, 1000),
    st.integers(2, 60),
    st.integers(0, 255),
    st.integers(0, 255),
)


@given(colour_images, st.integers(1, 59))
def test_the_floor_is_the_mean_pixel_entropy_and_no_constant_is_below_it(images: np.ndarray, cut: int) -> None:
    unseen = np.arange(len(images)) >= max(1, cut % len(images))
    tally = Tally(binary=False)
    tally.add(images, unseen)
    on = images[unseen] / 255
    on = np.where((on == 0) | (on == 1), 1.0, on)  # 0 ln 0 = 0
    inside = np.where(on == 1, 0.5, on)
    entropies = np.where(on == 1, 0.0, -(on * np.log(on) + (1 - on) * np.log(1 - inside)))
    assert tally.recon_floor() == pytest.approx(entropies.sum() / unseen.sum(), abs=1e-9)
    assert tally.recon_floor() <= tally.constant_loss() + 1e-9


@pytest.mark.parametrize("cuts", [[], [1], [7, 8, 250], list(range(1, 300))])
def test_blocks_may_be_of_any_size(cuts: list[int], tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (300, 512), dtype=np.uint8)
    classes, values = np.arange(300, dtype=np.uint8)[:, None] % 3, {"third": [0.0, 1.0, 2.0]}
    write_dataset(tmp_path / "whole.h5", "n", [images], classes, values)
    write_dataset(tmp_path / "cut.h5", "n", np.split(images, cuts), classes, values)
    whole, cut = open_dataset(tmp_path / "whole.h5"), open_dataset(tmp_path / "cut.h5")
    np.testing.assert_array_equal(cut.images, images)
    np.testing.assert_array_equal(cut.held_out, held_out(fingerprint(images)))
    for name in ("sha256", "entropy", "values", "name", "factors"):
        assert getattr(cut, name) == getattr(whole, name)
    assert cut.constant_loss == pytest.approx(whole.constant_loss, rel=1e-12)


def test_a_failing_writer_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    images, classes = np.zeros((20, 512), np.uint8), np.zeros((40, 1), np.uint8)
    path = tmp_path / "data.h5"
    path.write_text("what was there")
    with pytest.raises(ValueError, match="20 images do not match 40 rows"):
        write_dataset(path, "n", [images], classes, {"one": [0.0]})
    assert [file.name for file in tmp_path.iterdir()] == ["data.h5"]
    assert path.read_text() == "what was there"


IMAGES = np.random.default_rng(2).integers(0, 256, (40, 512), dtype=np.uint8)
CLASSES = np.stack([np.arange(40) % 2, np.arange(40) % 5], axis=1).astype(np.uint8)
VALUES: dict[Any, Any] = {"two": [0.0, 1.0], "five": [1.0, 2.0, 3.0, 4.0, 5.0]}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "classes of int64": (
        {"classes": CLASSES.astype(int)},
        "classes are int64 (40, 2); give a uint8 array",
    ),
    "flat classes": ({"classes": CLASSES[:, 0]}, "classes are uint8 (40,); give a uint8 array"),
    "no rows": ({"classes": CLASSES[:0]}, "classes are uint8 (0, 2); give a uint8 array (n, factors), n at least 1"),
    "a list": ({"classes": CLASSES.tolist()}, "classes are list; give a uint8 array"),
    "a column too few": ({"classes": CLASSES[:, :1]}, "classes have 1 columns but values 2 factors; give one each"),
    "a class too high": ({"classes": CLASSES[:, ::-1]}, "class 4 of two has no value; give 5 values, not 2"),
    "a class just too high": ({"values": {"two": [0], "five": range(5)}}, "class 1 of two has no value; give 2 values"),
    "a path as name": (
        {"values": {"a/b": [0, 1], "five": range(5)}},
        "'a/b' cannot name a factor; give text",
    ),
    "a dot": ({"values": {".": [0, 1], "five": range(5)}}, "'.' cannot name a factor"),
    "a number as name": ({"values": {7: [0, 1], "five": range(5)}}, "7 cannot name a factor"),
    "floats": ({"blocks": [IMAGES / 255]}, "a block of images is float64; give uint8 arrays"),
    "signed": ({"blocks": [IMAGES.astype(np.int8)]}, "a block of images is int8; give uint8 arrays"),
    "lists": ({"blocks": [IMAGES.tolist()]}, "a block of images is list; give uint8 arrays"),
    "unpacked": (
        {"blocks": [IMAGES[:, :500]]},
        "a block of images is (40, 500); give (m, 512) packed bits or",
    ),
    "grey without a channel": (
        {"blocks": [np.zeros((40, 8, 8), np.uint8)]},
        "is (40, 8, 8); give (m, 512) packed",
    ),
    "one image": ({"blocks": list(IMAGES)}, "a block of images is (512,); give (m, 512) packed bits"),
    "two shapes": (
        {"blocks": [np.zeros((20, 8, 8, 1), np.uint8), np.zeros((20, 8, 8, 3), np.uint8)]},
        "a block has images of (8, 8, 3) after (8, 8, 1); give all of one shape",
    ),
    "too many": (
        {"blocks": [IMAGES, IMAGES[:3]]},
        "images do not match classes: 3 more than rows; give one",
    ),
    "no images": ({"blocks": []}, "0 images do not match 40 rows of classes"),
    "all alike": ({"blocks": [IMAGES[:1]] * 40}, "40 images leave no held-out part: one distinct image in ten is held"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_argument_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    change, message = BAD[case]
    arguments: dict[str, Any] = {"blocks": [IMAGES], "classes": CLASSES, "values": VALUES, **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        write_dataset(tmp_path / "made" / "data.h5", "n", **arguments)
    assert not list(tmp_path.glob("made/*"))


def test_images_that_are_all_held_out_are_refused(tmp_path: Path) -> None:
    seed = next(seed for seed in range(100) if held_out(fingerprint(image_of(seed)))[0])
    with pytest.raises(ValueError, match="3 images leave no training part"):
        write_dataset(tmp_path / "data.h5", "n", [image_of(seed)] * 3, np.zeros((3, 0), np.uint8), {})


def image_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 512), dtype=np.uint8)


def test_a_path_may_be_text(tmp_path: Path) -> None:
    write_dataset(str(tmp_path / "data.h5"), "n", [IMAGES], CLASSES, VALUES)
    assert open_dataset(tmp_path / "data.h5").factors == ("two", "five")
