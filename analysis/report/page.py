"""The report page: one HTML file that holds its pictures and opens without a network."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

STYLE = """
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1.2rem 4rem; color: #1b1b1f; background: #fff;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .5rem; }
p.about, figcaption, footer { color: #5c5c66; font-size: .86rem; }
ul.findings { padding-left: 1.2rem; } ul.findings li { margin: .35rem 0; }
figure { margin: 1rem 0 1.6rem; } img { max-width: 100%; height: auto; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem .28rem 0; text-align: left; white-space: nowrap; border-bottom: 1px solid #e6e6ea; }
th { font-weight: 600; border-bottom-color: #9a9aa4; } tbody tr:hover { background: #f5f6f8; }
code { font-size: .9em; }
"""
"""Colours keep a contrast of 4.5 to 1 against the page."""


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

    def heading(self, text: str) -> None:
        """A section begins."""
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Plain text."""
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def findings(self, sentences: Sequence[str]) -> None:
        """A list of sentences."""
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        self.parts.append(f'<ul class="findings">{items}</ul>')

    def picture(self, path: Path, description: str, caption: str = "") -> None:
        """A PNG file, held in the page.

        Args:
            path: Of the file.
            description: What it shows, for those who do not see it.
            caption: The line below it.
        """
        data = base64.b64encode(path.read_bytes()).decode()
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        image = f'<img alt="{html.escape(description, quote=True)}" src="data:image/png;base64,{data}">'
        self.parts.append(f"<figure>{image}{below}</figure>")

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

    def write(self, path: Path, footer: str) -> None:
        """Write the page in one go: a reader never sees half of one."""
        aside = path.with_suffix(".aside")
        aside.write_text(
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
            f"<h1>{html.escape(self.title)}</h1>\n"
            f'<p class="about">{html.escape(self.about)}</p>\n' + "\n".join(self.parts) +
            f"\n<footer><p>{html.escape(footer)}</p></footer>\n</body></html>\n",
            encoding="utf-8",
        )  # fmt: skip
        aside.replace(path)
