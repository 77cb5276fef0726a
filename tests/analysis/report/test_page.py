import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd

from analysis.report.page import Page

HOSTILE = "<script>alert('1')</script> & \"quotes\""


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
    picture.write_bytes(b"\x89PNG not really")
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
    (source,) = [str(attributes["src"]) for tag, attributes in read.tags if tag == "img"]
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == b"\x89PNG not really"


def test_nothing_is_left_beside_the_page(tmp_path: Path) -> None:
    written(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dot.png", "index.html"]
