"""What a section of the report page, or a cell of a notebook, is made of."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure and its words.

    Attributes:
        figure: Drawn.
        name: Of its files.
        description: What it shows, for those who do not see it.
        caption: The line below it: what is counted, and n.
    """

    figure: Figure
    name: str
    description: str
    caption: str = ""

    def _repr_png_(self) -> bytes:
        """As a notebook displays it."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png")
        return buffer.getvalue()


Part = Picture | pd.DataFrame | str
"""Of a section, in reading order; a frame's cells are text."""


def lay_out(parts: Iterable[Part], display: Callable[[Any], object]) -> None:
    """Print what is said and display the rest.

    Args:
        parts: In reading order.
        display: Shows a `Picture` or a frame: a notebook's own.
    """
    for part in parts:
        if isinstance(part, str):
            print(part)
        else:
            display(part)
