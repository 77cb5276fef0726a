"""Axes-level figures of a matched comparison; numbers are drawn as given."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.style import FAMILY_COLOURS, OTHER_COLOURS, RECON
from analysis.tradeoff.arms import ANNEALED, CAPACITY, FIXED, NO_RAMP, curves_of_both
from analysis.tradeoff.matched import Comparison

ARM_COLOURS = {
    CAPACITY: FAMILY_COLOURS["capacity"],
    FIXED: FAMILY_COLOURS["beta"],
    NO_RAMP: OTHER_COLOURS[0],
    ANNEALED: OTHER_COLOURS[1],
}
LOOKS: tuple[dict[str, Any], ...] = ({"marker": "o", "linestyle": "-"}, {"marker": "s", "linestyle": "--"})
"""Of the first arm and the second, told apart without colour too."""
MAX_SEEDS = 12
"""Seeds named along an axis; more would touch each other."""


def curves(axes: Axes, trials: pd.DataFrame, comparison: Comparison) -> Axes:
    """The score against reconstruction, a line a seed and arm, over the recon that all seeds with a gap share.

    Args:
        axes: To draw on.
        trials: Those that were compared, with their `arm`.
        comparison: Of two of the arms.
    """
    handles: list[Any] = []
    arms = (comparison.a, comparison.b)
    for name, side, look in zip(arms, curves_of_both(trials, *arms, comparison.score), LOOKS, strict=True):
        colour = ARM_COLOURS.get(name, OTHER_COLOURS[2 + (name == comparison.b)])
        for curve in side.values():
            alpha = max(0.25, 0.8 / len(side) ** 0.5)
            axes.plot(curve.x, curve.y, color=colour, alpha=alpha, linewidth=1.2, markersize=3.5, **look)
        handles.append(
            Line2D([], [], color=colour, linewidth=1.2, markersize=3.5, label=f"{name} (a line a seed)", **look)
        )
    if comparison.unpaired.values:
        axes.axvspan(*comparison.common, color="grey", alpha=0.12, linewidth=0, zorder=0)
        handles.append(Patch(color="grey", alpha=0.12, linewidth=0, label="shared by all seeds with a gap"))
    axes.set_xlabel(f"{RECON}; less is better")
    axes.set_ylabel(f"{comparison.score}; more is better")
    axes.set_title("The score along reconstruction")
    axes.legend(handles=handles, fontsize=8)
    return axes


def gaps(axes: Axes, comparison: Comparison) -> Axes:
    """The gap of each seed at equal reconstruction, with their mean and its 95 % interval where there is one.

    Args:
        axes: To draw on.
        comparison: Seeds without a gap are crosses at the lower edge.
    """
    seeds = [gap.seed for gap in comparison.gaps]
    colour = ARM_COLOURS.get(comparison.a, OTHER_COLOURS[2])
    axes.axhline(0, color="grey", linewidth=1, zorder=1)
    for place, gap in enumerate(comparison.gaps):
        if gap.reason:
            axes.plot(place, 0.03, "x", color="grey", markersize=5, transform=axes.get_xaxis_transform())
        else:
            axes.plot(place, gap.delta, "o", color="grey", markersize=4)
    mean, at = comparison.delta, len(seeds) + 0.5
    if mean.values:
        axes.plot(at, mean.mean, "D", color=colour, markersize=6, zorder=3)
    if mean.low is not None and mean.high is not None:
        axes.vlines(at, mean.low, mean.high, color=colour, linewidth=1.6, zorder=2)
    named = range(0, len(seeds), 1 + (len(seeds) - 1) // MAX_SEEDS)
    axes.set_xticks([*named, at], [*(str(seeds[place]) for place in named), "mean"])
    axes.set_xlim(-0.6, at + 1)
    axes.margins(y=0.15)
    crosses = "; x: no gap" if any(gap.reason for gap in comparison.gaps) else ""
    bar = "; bar: 95 % interval" if mean.low is not None else ""
    axes.set_xlabel(f"seed{crosses}{bar}")
    axes.set_ylabel(f"gap in {comparison.score} at equal recon")
    axes.set_title(f"{comparison.a} - {comparison.b}: {comparison.verdict}")
    return axes
