"""Axes-level figure of rate and distortion, a line a family; numbers are drawn as given."""

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.matched import ARM_COLOURS
from analysis.figures.style import RECON, colours
from analysis.tradeoff.rates import MIDDLE, Line

AXIS = {
    "kl": "rate: KL(q(z|x) || p), held-out (nats)",
    "info_sum": "rate: sum of I(x; z_j) (nats)",
    MIDDLE: "rate: I(x; z), middle of its bracket (nats)",
}
WIDTH = 28
"""Characters of a line of a reason."""
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")
"""Of the arms in turn, told apart without colour too."""


def rates(axes: Axes, lines: list[Line], rate: str = "kl", reason: str = "") -> Axes:
    """Reconstruction along the rate: a thick line an arm, a faint one a seed, each through all settings.

    Args:
        axes: To draw on.
        lines: As `tradeoff.rates.lines` gives them.
        rate: Which they are along.
        reason: Written where there is nothing to draw.
    """
    palette = colours([line.arm for line in lines]) | ARM_COLOURS
    handles = []
    for place, line in enumerate(lines):
        look: dict[str, Any] = {"color": palette[line.arm], "linestyle": DASHES[place % len(DASHES)]}
        for curve in line.curves.values():
            alone = line.mean is None
            axes.plot(curve.x, curve.y, marker="o", markersize=3, linewidth=1, alpha=0.8 if alone else 0.3, **look)
        if line.mean is not None:
            axes.plot(line.mean.x, line.mean.y, linewidth=2.2, zorder=3, **look)
        handles.append(Line2D([], [], linewidth=2.2, label=f"{line.arm} ({_seeds(line)})", **look))
    if not lines:
        words = textwrap.fill(reason, WIDTH)
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="grey", fontsize=9)
        axes.set(xticks=[], yticks=[])
    axes.set_xlabel(AXIS[rate])
    axes.set_ylabel(RECON)
    axes.set_title("Rate and distortion; less is better")
    if handles:
        axes.legend(handles=handles, fontsize=8)
    return axes


def caption(lines: list[Line]) -> str:
    """What is drawn, with the number of seeds and settings of each arm."""
    counts = [f"{line.arm} {_seeds(line)}, {sum(len(c.x) for c in line.curves.values())} trials" for line in lines]
    without = [line.arm for line in lines if line.mean is None]
    words = ["A faint line a seed through all of its settings; a thick one their mean over the rate that all share."]
    if without:
        words.append(f"No mean for {', '.join(without)}: under two seeds with a curve, or under a nat shared by all.")
    return f"{' '.join(words)} {'; '.join(counts)}." if lines else ""


def _seeds(line: Line) -> str:
    count = sum(len(curve.x) > 1 for curve in line.curves.values())
    return f"{count} seed{'s' * (count != 1)}"
