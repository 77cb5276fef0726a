"""Axes-level figures of the trade-off: frames and results in, Axes out; numbers are drawn as given."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from analysis.figures.style import FAMILY_NAMES, RECON, colours
from analysis.frames import records
from analysis.statistics import Estimate
from analysis.tradeoff.settings import Setting, front

MAX_LABELS = 16
"""Settings that are named in a figure; more would lie on each other."""


def tradeoff(axes: Axes, finished: pd.DataFrame, rows: list[Setting], score: str = "mig_calibrated") -> Axes:
    """Reconstruction against disentanglement, with each family's front.

    Small points are trials, large ones the means of settings over their seeds, with the bars of their 95 % intervals
    where there are three and more; steps bound what the settings of a family reach on both targets.

    Args:
        axes: To draw on.
        finished: Finished trials, with `family`, `setting`, `recon`, `verdict` and the score.
        rows: The settings of the same trials.
        score: Column of the disentanglement score.
    """
    families = dict.fromkeys(row.family for row in rows)
    fronts = {family: front([row for row in rows if row.family == family], score) for family in families}
    labelled = rows if len(rows) <= MAX_LABELS else [row for best in fronts.values() for row in best]
    _points(axes, finished, rows, "recon", score, labelled)
    palette = colours(list(families))
    for family, best in fronts.items():
        means = [(row.estimates["recon"].mean, row.estimates[score].mean) for row in best]
        axes.step(*_columns(means), where="post", color=palette[family], linewidth=1.2, zorder=2)
    axes.set_xlabel(f"{RECON}; less is better")
    axes.set_ylabel(f"{score} (1 = a perfect code); more is better")
    axes.set_title(f"Reconstruction against disentanglement, scored by {score}")
    _legend(axes, finished, palette, Line2D([], [], color="grey", linewidth=1.2, label="front of a family"))
    return axes


def rate_distortion(axes: Axes, finished: pd.DataFrame, rows: list[Setting], entropy: float | None = None) -> Axes:
    """What the nats of KL buy: reconstruction against KL.

    Args:
        axes: To draw on.
        finished: Finished trials, with `family`, `setting`, `recon`, `kl` and `verdict`.
        rows: The settings of the same trials.
        entropy: H(images), nats: KL beyond it cannot all be information. None where it is not known.
    """
    _points(axes, finished, rows, "kl", "recon", rows if len(rows) <= MAX_LABELS else [])
    if entropy is not None:
        axes.axvline(entropy, color="grey", linestyle=":", linewidth=1)
        axes.text(entropy, 0.98, " H(images)", transform=axes.get_xaxis_transform(), va="top", color="grey", fontsize=8)
    axes.set_xlabel("rate: KL(q(z|x) || p), held-out (nats)")
    axes.set_ylabel(RECON)
    axes.set_title("Rate and distortion; less is better")
    _legend(axes, finished, colours([row.family for row in rows]))
    return axes


def _points(axes: Axes, finished: pd.DataFrame, rows: list[Setting], x: str, y: str, labelled: list[Setting]) -> None:
    """Each trial a small point, joined to the mean of its setting; each setting a large one, some with their names."""
    palette = colours([row.family for row in rows])
    complete = [row for row in rows if row.estimates[x].values and row.estimates[y].values]
    means = {row.id: (row.estimates[x].mean, row.estimates[y].mean) for row in complete}
    for row in complete:
        axes.scatter(*means[row.id], s=46, color=palette[row.family], edgecolor="white", zorder=3)
        _intervals(axes, row.estimates[x], row.estimates[y], palette[row.family])
    for trial in records(finished):
        colour, marker = palette[trial["family"]], "x" if trial["verdict"] == "not informative" else "o"
        axes.scatter(trial[x], trial[y], s=20, marker=marker, color=colour, alpha=0.5, zorder=2)
        if trial["setting"] in means:
            (x0, y0), ends = means[trial["setting"]], (trial[x], trial[y])
            axes.plot([x0, ends[0]], [y0, ends[1]], color=colour, alpha=0.25, linewidth=0.8, zorder=1)
    axes.margins(0.12)
    _names(axes, [(row.label, means[row.id], palette[row.family]) for row in complete if row in labelled])


def _names(axes: Axes, points: list[tuple[str, tuple[float, float], str]]) -> None:
    """Write each name beside its point; one that would leave the axes or lie on another is left to the table."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]  # where things are is known only then
    taken: list[Bbox] = []
    for name, at, colour in points:
        for across, up in ((6, 6), (6, -13), (-6, 6), (-6, -13)):
            text = axes.annotate(
                name, at, xytext=(across, up), textcoords="offset points", fontsize=8, color=colour, zorder=4,
                ha="left" if across > 0 else "right", path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip
            box = text.get_window_extent()
            if axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1) and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def _intervals(axes: Axes, x: Estimate, y: Estimate, colour: str) -> None:
    """The 95 % intervals of a setting's mean, where it has enough seeds for one."""
    for at, across, draw in ((x, y, axes.hlines), (y, x, axes.vlines)):
        if at.low is not None and at.high is not None:
            draw(across.mean, at.low, at.high, color=colour, linewidth=1, zorder=2)


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _legend(axes: Axes, finished: pd.DataFrame, palette: dict[str, str], *more: Line2D) -> None:
    def dot(label: str, marker: str = "o", **look: Any) -> Line2D:
        return Line2D([], [], label=label, marker=marker, linestyle="", **look)

    families = [family for family in palette if family in finished["family"].tolist()]
    handles = [dot(FAMILY_NAMES.get(family, family), color=palette[family]) for family in families]
    handles.append(dot("one seed", color="grey", alpha=0.5, markersize=4))
    if "not informative" in finished["verdict"].tolist():
        handles.append(dot("not informative", color="grey", marker="x"))
    axes.legend(handles=[*handles, *more], fontsize=8)
