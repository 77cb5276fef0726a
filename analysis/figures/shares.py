"""Axes-level figure of shares of variance; numbers are drawn as given."""

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from analysis.figures.style import FAMILY_NAMES, MARKERS, colours
from analysis.tradeoff.shares import Shares
from analysis.tradeoff.variance import HIGHER, RESIDUAL, SEED

LAST = (HIGHER, SEED, RESIDUAL)
APART = 0.26
"""Between the points of two families with the same source, in rows."""
UNDER = 0.5
"""Inches from the axes to the legend under them."""
WIDTH = 80
"""Characters of a line of a reason."""


def shares(axes: Axes, found: list[Shares]) -> Axes:
    """What the variance of a target over trials is due to: a point a source and family, with its 95 % interval.

    Args:
        axes: To draw on; the legend lies under it.
        found: Of one target, at least one family; those without shares have their reason in the legend.
    """
    palette, told = colours([one.family for one in found]), [one for one in found if one.by_source]
    rows = _rows(told)
    handles: list[Line2D] = []
    for number, one in enumerate(found):
        name = FAMILY_NAMES.get(one.family, one.family)
        if one.reason:
            handles.append(Line2D([], [], linestyle="", label=textwrap.fill(f"{name}: {one.reason}", WIDTH)))
            continue
        look: dict[str, Any] = {"color": palette[one.family], "marker": MARKERS[number % len(MARKERS)]}
        shift = APART * (told.index(one) - (len(told) - 1) / 2)
        for source, share in one.by_source.items():
            at = rows.index(source) + (shift if sum(source in other.by_source for other in told) > 1 else 0)
            axes.plot(100 * share.mean, at, markersize=5.5, zorder=3, **look)
            if share.low is not None and share.high is not None:
                axes.hlines(at, 100 * share.low, 100 * share.high, color=palette[one.family], linewidth=1.6, zorder=2)
        label = f"{name}: {one.settings} settings x {len(one.seeds)} seeds, standard deviation {one.sd:.3g}"
        handles.append(Line2D([], [], linestyle="", label=label, **look))
    if told:
        axes.axvline(0, color="grey", linewidth=1, zorder=1)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    least = min((100 * share.mean for one in told for share in one.by_source.values()), default=0)
    axes.set_xlim(min(-8, least - 4), 104)
    bar = "; bar: 95 % interval over seeds" if any(one.together.low is not None for one in told) else ""
    axes.set_xlabel(f"share of the variance over trials (%){bar}")
    axes.set_title(f"What the variance of {found[0].target} is due to")
    under = axes.transAxes + ScaledTranslation(0, -UNDER, axes.figure.dpi_scale_trans)
    look = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": under, "borderaxespad": 0}
    axes.legend(handles=handles, fontsize=8, **look)
    return axes


def _rows(told: list[Shares]) -> list[str]:
    """The sources of all families, parts of the setting first."""
    sources = list(dict.fromkeys(source for one in told for source in one.by_source))
    return [s for s in sources if s not in LAST] + [s for s in LAST if s in sources]
