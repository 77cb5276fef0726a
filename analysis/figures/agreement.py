"""Axes-level figure of the rank agreement of scores; numbers are drawn as given."""

import itertools

import numpy as np
from matplotlib.axes import Axes

from analysis.tradeoff.agreement import Agreement


def agreement(axes: Axes, found: Agreement) -> Axes:
    """Spearman's correlation over trials of each two scores, as numbers on colours: brown -1, white 0, green 1.

    Args:
        axes: To draw on.
        found: With two names and more.
    """
    size = range(len(found.names))
    values = np.array(
        [[1.0 if i == j else found.pairs[found.names[i], found.names[j]].mean for j in size] for i in size]
    )
    image = axes.imshow(values, vmin=-1, vmax=1, cmap="BrBG")
    for i, j in itertools.product(size, size):
        ink = "white" if abs(values[i, j]) > 0.6 else "black"
        axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(size, found.names, rotation=35, ha="right")
    axes.set_yticks(size, found.names)
    axes.tick_params(length=0)
    axes.figure.colorbar(image, ax=axes, shrink=0.7, label="Spearman's correlation over trials")
    axes.grid(False)
    axes.set_title("Do the scores rank the trials alike?")
    return axes
