"""Axes-level figures of fronts under the spread over seeds; numbers are drawn as given."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.style import FAMILY_NAMES, MARKERS, RECON, colours
from analysis.tradeoff.attainment import Attainment, Level
from analysis.tradeoff.fronts import Standing
from analysis.tradeoff.matched import TARGET

LOOKS: dict[str, dict[str, Any]] = {
    "best": {"linewidth": 1, "linestyle": "--"},
    "half": {"linewidth": 2.2, "linestyle": "-"},
    "worst": {"linewidth": 1, "linestyle": ":"},
}
LABEL = 44
"""Characters of a line of a setting's name."""
MAX_ROWS = 30
"""Settings that have a row; more would make a figure taller than a screen."""


def attainment(axes: Axes, found: list[Attainment]) -> Axes:
    """What the best, half and worst seeds attain, a band a family, over each seed's own front.

    Args:
        axes: To draw on.
        found: As `tradeoff.attainment.attainment` gives them, all of one score; where there are no levels, a sentence.
    """
    palette, handles = colours([one.family for one in found]), []
    told = [one for one in found if one.levels]
    ends = _limits(axes, found)
    for one in found:
        colour = palette[one.family]
        alpha = 0.3 if one.levels else 0.9
        for points in one.runs.values():
            _step(axes, points, ends, color=colour, alpha=alpha, linewidth=0.8, zorder=1)
            axes.plot(points[:, 0], points[:, 1], ".", color=colour, alpha=alpha, markersize=4, zorder=1)
        if one.levels:
            _band(axes, one.levels[0], one.levels[-1], ends, colour)
        for level in one.levels:
            _step(axes, level.points, ends, color=colour, zorder=3, **LOOKS[level.name])
        handles.append(Patch(color=colour, label=_family(one)))
    if told:
        handles += [Line2D([], [], color="grey", label=f"{name}: {words}", **LOOKS[name]) for name, words in _ks(told)]
    if any(one.runs for one in found):
        handles.append(Line2D([], [], color="grey", alpha=0.4, linewidth=0.8, label="front of one seed"))
        axes.legend(handles=handles, fontsize=8, loc="lower right")  # fronts rise to the right
    if reasons := [f"{one.family}: {one.reason}" for one in found if one.reason]:
        axes.text(0.02, 0.98, "\n".join(reasons), transform=axes.transAxes, va="top", color="grey", fontsize=8)
    axes.set_xlabel(f"{RECON}; less is better")
    score = found[0].score if found else "score"
    axes.set_ylabel(f"{score} (1 = a perfect code); more is better")
    axes.set_title(f"What the seeds attain, scored by {score}")
    return axes


def attainment_caption(found: list[Attainment]) -> str:
    """What is drawn, with the numbers of seeds and settings."""
    words = ["A point under a curve is matched on both targets by some setting in at least so many seeds."]
    for one in found:
        less = f" ({one.left_out} more that some seed lacks are left out)" if one.left_out else ""
        ks = ", ".join(f"{level.name} {level.k} of {level.n}" for level in one.levels) or one.reason
        words.append(f"{one.family}: n = {len(one.runs)} seeds, {one.settings} settings{less}; {ks}.")
    return " ".join([*words, "The levels are counts over these seeds, not intervals; each seed's front is a maximum."])


def on_front(axes: Axes, standings: list[Standing], score: str = TARGET) -> Axes:
    """Probability of each setting to be on a front: filled on the joint one, hollow on its family's.

    Args:
        axes: To draw on.
        standings: In the order of the rows, from the top; those without a probability say why.
        score: Of the fronts.
    """
    families = list(dict.fromkeys(one.setting.family for one in standings))
    palette, several = colours(families), len(families) > 1
    for place, one in enumerate(standings):
        look: dict[str, Any] = {"color": palette[one.setting.family], "zorder": 3}
        look["marker"] = MARKERS[families.index(one.setting.family) % len(MARKERS)]
        if one.p_family is None or one.p_joint is None:
            why = f"{one.seeds} seed{'s' * (one.seeds != 1)}: no probability" if one.seeds else f"no {score}"
            axes.text(0.02, place, why, color="grey", fontsize=8, va="center")
            continue
        if several:
            axes.hlines(place, one.p_joint, one.p_family, color=look["color"], linewidth=1, alpha=0.6)
            axes.plot(one.p_joint, place, linestyle="", **look)
        look |= {"markerfacecolor": "white", "zorder": 2.5}
        axes.plot(one.p_family, place, linestyle="", **look)
    axes.set_yticks(range(len(standings)), [textwrap.fill(one.setting.label, LABEL) for one in standings])
    axes.set_ylim(len(standings) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("probability to be on the front, over seeds (share of redrawn means)")
    axes.set_ylabel("setting")
    axes.set_title(f"Which settings are on the front, scored by {score}?")
    axes.legend(handles=_standing_handles(families, palette), fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return axes


def on_front_caption(standings: list[Standing], of: int = 0) -> str:
    """What is drawn, with the number of seeds.

    Args:
        standings: Those that are drawn.
        of: How many settings there are, where only the likeliest are drawn.
    """
    seeds = sorted({one.seeds for one in standings if one.p_joint is not None})
    if not seeds:
        return "No setting has three seeds: a front of one or two describes this run alone."
    n = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    drawn = f"The {len(standings)} likeliest of {of} settings; the table has all. " if of > len(standings) else ""
    return (
        f"{drawn}n = {n} seeds a setting. Share of redrawn means in which no other setting beats this one on both "
        "targets; not the probability that it is best. Low values are too low: under 0.05 of few seeds may be one in "
        "five."
    )


def _standing_handles(families: list[str], palette: dict[str, str]) -> list[Line2D]:
    def dot(label: str, marker: str, **look: Any) -> Line2D:
        return Line2D([], [], label=label, marker=marker, linestyle="", **look)

    handles = [
        dot(FAMILY_NAMES.get(family, family), MARKERS[place % len(MARKERS)], color=palette[family])
        for place, family in enumerate(families)
    ]
    handles.append(dot("front of its family", "o", color="grey", markerfacecolor="white"))
    if len(families) > 1:
        handles.append(dot("joint front", "o", color="grey"))
    return handles


def _limits(axes: Axes, found: list[Attainment]) -> tuple[float, float]:
    """Right and lower edge of what is drawn, set with a margin: curves go on to the right, bands down."""
    points = [points for one in found for points in one.runs.values() if len(points)]
    if not points:
        return 1.0, 0.0
    (left, low), (right, high) = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    across, up = 0.06 * (right - left or 1), 0.08 * (high - low or 0.1)
    axes.set_xlim(left - across, right + across)
    axes.set_ylim(low - up, high + up)
    return right + across, low - up


def _step(axes: Axes, points: np.ndarray, ends: tuple[float, float], **look: Any) -> None:
    """A step curve through its corners: from the lower edge up to the first, and from the last to the right edge."""
    if len(points):
        recon, score = points.T.tolist()
        axes.step([recon[0], *recon, ends[0]], [ends[1], *score, score[-1]], where="post", **look)


def _band(axes: Axes, best: Level, worst: Level, ends: tuple[float, float], colour: str) -> None:
    """Between the best and the worst."""
    recon = np.unique(np.concatenate([best.points[:, 0], worst.points[:, 0], [ends[0]]]))
    low = np.maximum(worst.at(recon), ends[1])
    axes.fill_between(recon, low, best.at(recon), step="post", color=colour, alpha=0.12, linewidth=0, zorder=0)


def _family(one: Attainment) -> str:
    count = len(one.runs)
    return f"{FAMILY_NAMES.get(one.family, one.family)} ({count} seed{'s' * (count != 1)}, {one.settings} settings)"


def _ks(told: list[Attainment]) -> list[tuple[str, str]]:
    """The levels' names with `at least 1 of 5 seeds`, or the several numbers of the families."""
    names: dict[str, list[str]] = {}
    for one in told:
        for level in one.levels:
            names.setdefault(level.name, []).append(f"{level.k} of {level.n}")
    return [(name, f"at least {', '.join(dict.fromkeys(names[name]))} seeds") for name in LOOKS if name in names]
