"""Axes-level figure of the agreement of scores; numbers are drawn as given."""

import numpy as np
from matplotlib.axes import Axes

from analysis.statistics import Estimate
from analysis.tradeoff.agreement import Agreement

MOST_INTERVALS = 6
"""Columns whose cells have room for an interval; of more the table has them."""
DARK = 0.65
"""Correlation from which on white can be read on its colour."""


def agreement(axes: Axes, found: Agreement) -> Axes:
    """Spearman's correlation over trials of each two scores, with the 95 % interval over settings under it.

    Args:
        axes: To draw on.
        found: Each pair is drawn once, below the diagonal.
    """
    rows, columns = found.names[1:], found.names[:-1]
    values = np.full((len(rows), len(columns)), np.nan)
    for (one, other), value in found.pairs.items():
        values[rows.index(other), columns.index(one)] = value.mean
    if values.size:
        image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        label = "Spearman's correlation over trials\n(bracket: 95 % interval over settings)"
        axes.figure.colorbar(image, ax=axes, shrink=0.7, label=label)
    else:
        axes.text(0.5, 0.5, "nothing to compare", transform=axes.transAxes, ha="center", color="grey")
    for (one, other), value in found.pairs.items():
        place, colour = (columns.index(one), rows.index(other)), "white" if abs(value.mean) > DARK else "black"
        words = _number(value) if len(columns) <= MOST_INTERVALS else _number(value).split("\n")[0]
        axes.text(*place, words, ha="center", va="center", fontsize=8, color=colour, linespacing=1.3)
    axes.set_xticks(range(len(columns)), [_name(name) for name in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), [_name(name) for name in rows])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("calibrated where a score has a ceiling; -recon: better reconstruction")
    concordance = f"; Kendall's W = {found.concordance:.2f}" if found.concordance.values else ""
    axes.set_title(f"Do the scores rank {found.trials} trials alike?\n{found.settings} settings{concordance}")
    return axes


def _number(value: Estimate) -> str:
    """`0.86` above `[0.79, 0.91]`."""
    return format(value, ".2f").replace(" ", "\n", 1)


def _name(column: str) -> str:
    return column.removesuffix("_calibrated")
