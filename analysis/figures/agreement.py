"""Axes-level figure of the rank agreement of scores; numbers are drawn as given."""

import numpy as np
import seaborn as sns
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
    sns.heatmap(
        values, ax=axes, vmin=-1, vmax=1, center=0, cmap="BrBG", annot=True, fmt=".2f", square=True, linewidths=1,
        annot_kws={"fontsize": 8}, mask=~np.tri(len(values), dtype=bool),
        xticklabels=list(found.names), yticklabels=list(found.names),
        cbar_kws={"label": "Spearman's correlation over trials", "shrink": 0.7},
    )  # fmt: skip
    axes.tick_params(length=0)
    axes.set_xticklabels(axes.get_xticklabels(), rotation=35, ha="right")
    axes.grid(False)
    axes.set_title("Do the scores rank the trials alike?")
    return axes
