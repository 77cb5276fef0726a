import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.report.page import Page

HOSTILE = "<script>alert('1')</script> & \"quotes\""
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def written(path: Path) -> str:
    picture = path / "dot.png"
    Image.fromarray(PIXELS).save(picture)
    page = Page(HOSTILE, HOSTILE)
    page.heading(HOSTILE)
    page.paragraph(HOSTILE)
    page.findings([HOSTILE])
    page.picture(picture, HOSTILE, HOSTILE)
    page.table(pd.DataFrame({HOSTILE: [HOSTILE]}))
    page.write(path / "index.html", HOSTILE)
    return (path / "index.html").read_text()


def test_whatever_is_said_is_text_never_markup(tmp_path: Path) -> None:
    read = Read(written(tmp_path))
    assert "script" not in [tag for tag, _ in read.tags]
    assert read.text.count(HOSTILE) == 10  # title twice, then each of the eight other places once
    assert next(attributes["alt"] for tag, attributes in read.tags if tag == "img") == HOSTILE


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    text = written(tmp_path)
    read = Read(text)
    assert {tag for tag, _ in read.tags} & {"link", "script", "iframe"} == set()
    assert not re.search(r"https?:|url\(|@import", text)
    assert "script-src 'none'" in text


def test_a_picture_is_held_to_the_pixel(tmp_path: Path) -> None:
    (image,) = [attributes for tag, attributes in Read(written(tmp_path)).tags if tag == "img"]
    data = base64.b64decode(str(image["src"]).removeprefix("data:image/webp;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), PIXELS)
    assert (image["width"], image["height"]) == ("4", "5")  # so that the text below does not jump


def test_a_picture_is_as_large_as_on_paper(tmp_path: Path) -> None:
    Image.new("RGB", (320, 160)).save(tmp_path / "wide.png", dpi=(160, 160))
    page = Page("title", "about")
    page.picture(tmp_path / "wide.png", "two inches by one")
    assert 'width="192" height="96"' in page.parts[0]


def test_nothing_is_left_beside_the_page(tmp_path: Path) -> None:
    written(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dot.png", "index.html"]


def explored(path: Path, told: dict[str, Any]) -> str:
    page = Page("title", "about")
    page.paragraph("what is read first")
    page.explorer(told)
    page.write(path / "index.html", "the end")
    return (path / "index.html").read_text()


def test_the_data_is_read_back_whatever_it_says(tmp_path: Path) -> None:
    told = {"notes": [HOSTILE, "</SCRIPT>", "<!--", "]]>", "\u2028"], "number": 0.1, "missing": None}
    text = explored(tmp_path, told)
    data = re.search(r'<script type="application/json" id="explorer-data">(.*?)</script>', text)
    assert data is not None
    assert json.loads(data[1]) == told
    assert text.count("<script") == text.count("</script>") == 3  # the data, Plotly and ours


def test_a_number_that_json_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        explored(tmp_path, {"notes": [], "number": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_text_comes_before_scripts_and_nothing_is_fetched(tmp_path: Path) -> None:
    text = explored(tmp_path, {"notes": []})
    assert text.index("what is read first") < text.index("the end") < text.index("<script")
    assert "default-src 'none'; img-src data:" in text
    assert not re.search(r"<(script|img|link|iframe)[^>]* (src|href)=", text[: text.index("plotly.js v")])
