"""The report page: one HTML file that holds its pictures and scripts, and opens without a network."""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from analysis.report.explorer import fragment
from analysis.report.pictures import webp

CSS_INCH = 96
"""Pixels of a style sheet in an inch."""
STATIC = Path(__file__).parent / "static"
SCRIPTS = ("trials.js", "controls.js", "layout.js", "plot.js", "table.js", "detail.js", "explorer.js")
"""Of the interactive part: one module, in this order."""


@dataclass
class Page:
    """A page in the making: sections are added in reading order, then `write` closes it.

    Attributes:
        title: Of the page.
        about: The line under it.
    """

    title: str
    about: str
    parts: list[str] = field(default_factory=list)
    told: dict[str, Any] | None = None

    def heading(self, text: str) -> None:
        """A section begins."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Plain text."""
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def answer(self, text: str) -> None:
        """What the page says first."""
        self.parts.append(f'<p class="answer">{html.escape(text)}</p>')

    def findings(self, sentences: Sequence[str]) -> None:
        """A list of sentences."""
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        self.parts.append(f'<ul class="findings">{items}</ul>')

    def picture(self, path: Path, description: str, caption: str = "") -> None:
        """A PNG file, held in the page as WebP without a pixel's loss.

        Args:
            path: Of the file.
            description: What it shows, for those who do not see it.
            caption: The line below it.
        """
        with Image.open(path) as picture:
            source = webp(picture, lossless=True, quality=30, method=2)
            inch = float(picture.info.get("dpi", (CSS_INCH,))[0])
            width, height = (round(side / inch * CSS_INCH) for side in picture.size)  # as on paper
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        alt = html.escape(description, quote=True)
        self.parts.append(f'<figure><img alt="{alt}" width="{width}" height="{height}" src="{source}">{below}</figure>')

    def table(self, frame: pd.DataFrame) -> None:
        """A frame whose cells are text already."""
        head = "".join(f"<th scope=col>{html.escape(str(name))}</th>" for name in frame.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
            for row in frame.itertuples(index=False)
        )
        self.parts.append(
            f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def explorer(self, told: dict[str, Any]) -> None:
        """The interactive part: every trial, filtered, sorted and looked at; once a page.

        Args:
            told: As `explorer.payload` gives it.
        """
        self.told = told
        self.parts.append(fragment(told))

    def write(self, path: Path, footer: str) -> None:
        """Write the page in one go: a reader never sees half of one."""
        styles, scripts, data = _static("page.css"), {}, ""
        if self.told is not None:
            from plotly.offline import get_plotlyjs

            styles += _static("explorer.css")
            scripts = {"text/javascript": get_plotlyjs(), "module": "\n".join(map(_static, SCRIPTS))}
            data = f'<script type="application/json" id="explorer-data">{_json(self.told)}</script>\n'
        aside = path.with_suffix(".aside")
        aside.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts.values())}">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{styles}</style></head>\n<body>\n"
            f"<h1>{html.escape(self.title)}</h1>\n"
            f'<p class="about">{html.escape(self.about)}</p>\n' + "\n".join(self.parts) +
            f"\n<footer><p>{html.escape(footer)}</p></footer>\n"
            + data + "".join(f'<script type="{kind}">{script}</script>\n' for kind, script in scripts.items()) +
            "</body></html>\n",
            encoding="utf-8",
        )  # fmt: skip
        aside.replace(path)


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _json(told: dict[str, Any]) -> str:
    """As it may stand inside of a script element: no text can close it."""
    return json.dumps(told, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _policy(scripts: Iterable[str]) -> str:
    """What the browser lets the page do: run our own scripts and show what it holds; nothing is fetched."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
