import base64
import io

import numpy as np
import pytest
from PIL import Image

from analysis.figures.sheets import FADED, GAP, Row
from analysis.report import pictures
from analysis.report.pictures import LEVELS, Level, level, sheets, webp

SIDE, COLUMNS = 16, 5
ROWS = [Row(2, 3.0, 2.9, True, ("x", 0.7)), Row(0, 1.0, 0.9, True, None), Row(1, 0.01, 0.0, False, ("y", 0.1))]


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Each picture of one grey, which tells image, latent and column."""
    image, latent, column = np.ogrid[:4, :3, :COLUMNS]
    greys = (40 * image + 30 * latent + 5 * column).astype(np.uint8)
    return {
        "traversals": np.broadcast_to(greys[..., None, None, None], (4, 3, COLUMNS, SIDE, SIDE, 1)),
        "originals": np.full((6, SIDE, SIDE, 1), 200, np.uint8),
        "reconstructions": np.full((6, SIDE, SIDE, 1), 100, np.uint8),
    }


def decoded(source: str) -> np.ndarray:
    kind, data = source.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")).astype(int)


def cells(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The middle pixel of each picture of a mosaic, (rows, columns, 4)."""
    step = side + GAP
    return picture[side // 2 :: step, side // 2 :: step]


def test_rows_lie_in_their_order_and_inactive_ones_are_faint(arrays: dict[str, np.ndarray]) -> None:
    shown = sheets(arrays, ROWS, LEVELS[0])
    assert [(row["latent"], row["active"], row["factor"]) for row in shown["rows"]] == [
        (2, True, "x"), (0, True, None), (1, False, None),
    ]  # fmt: skip
    assert len(shown["traversals"]) == 4
    for image, source in enumerate(shown["traversals"]):
        middle = cells(decoded(source))
        expected = 40 * image + 30 * np.array([2, 0])[:, None] + 5 * np.arange(COLUMNS)
        np.testing.assert_allclose(middle[:2, :, 0], expected, atol=6)  # lossy
        np.testing.assert_array_equal(middle[:, :, 3], np.array([255, 255, round(255 * FADED)])[:, None] * np.ones(5))


def test_gaps_are_clear_on_any_ground(arrays: dict[str, np.ndarray]) -> None:
    picture = decoded(sheets(arrays, ROWS, LEVELS[0])["traversals"][0])
    assert picture.shape == (3 * (SIDE + GAP) - GAP, COLUMNS * (SIDE + GAP) - GAP, 4)
    assert (picture[SIDE : SIDE + GAP, :, 3] == 0).all()
    assert (picture[:, SIDE : SIDE + GAP, 3] == 0).all()


def test_originals_stand_above_reconstructions(arrays: dict[str, np.ndarray]) -> None:
    middle = cells(decoded(sheets(arrays, ROWS, LEVELS[0])["reconstructions"]))
    np.testing.assert_allclose(middle[:, :, 0], np.array([[200], [100]]) * np.ones(6), atol=4)


def test_colours_are_kept() -> None:
    shapes = {"traversals": (1, 3, COLUMNS), "originals": (2,), "reconstructions": (2,)}
    arrays = {name: np.full((*shape, SIDE, SIDE, 3), (200, 100, 30), np.uint8) for name, shape in shapes.items()}
    middle = cells(decoded(sheets(arrays, ROWS, LEVELS[0])["traversals"][0]))
    np.testing.assert_allclose(middle[0, 0, :3], (200, 100, 30), atol=8)


def test_less_is_shown_at_a_later_level(arrays: dict[str, np.ndarray]) -> None:
    shown = sheets(arrays, ROWS, Level(1, inactive=False, half=True, every=2))
    assert [row["latent"] for row in shown["rows"]] == [2, 0]
    (source,) = shown["traversals"]
    middle = cells(decoded(source), SIDE // 2)
    assert middle.shape[:2] == (2, 3)
    np.testing.assert_allclose(middle[:, :, 0], 30 * np.array([2, 0])[:, None] + 10 * np.arange(3), atol=6)
    none_active = [row for row in ROWS if not row.active]
    assert len(sheets(arrays, none_active, LEVELS[-1])["rows"]) == 1  # not an empty picture


def test_half_a_picture_is_the_mean_of_its_pixels() -> None:
    picture = np.array([[[[[0], [100]], [[200], [100]]]]], np.uint8)
    assert pictures._sized(picture, Level(1, half=True)).tolist() == [[[[[100]]]]]


def test_the_more_trials_the_less_each_shows(arrays: dict[str, np.ndarray]) -> None:
    sample = [(arrays, ROWS)]
    sizes = [pictures._size(sheets(arrays, ROWS, found)) for found in LEVELS]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    for size, found in zip(sizes, LEVELS, strict=True):
        assert level(sample, 100, budget=100 * size) == found
    assert level(sample, 100, budget=0) == LEVELS[-1]
    assert level([], 0) == LEVELS[0]


def test_what_is_left_out_is_said() -> None:
    assert LEVELS[0].words == ""
    assert "one held-out image" in LEVELS[1].words
    assert "half size" not in LEVELS[2].words
    assert all(word in LEVELS[-1].words for word in ("active latents", "half size", "every second column"))


def test_lossless_means_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    source = webp(Image.fromarray(pixels), lossless=True, quality=30, method=2)
    np.testing.assert_array_equal(decoded(source)[..., :3], pixels)
