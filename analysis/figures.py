"""Axes-level figures: a frame in, Axes out; numbers are drawn as given."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.tradeoff import Setting, number

FAMILY_COLOURS = {"beta": "#0072B2", "capacity": "#D55E00"}
"""Okabe and Ito's blue and vermilion: told apart with any colour vision."""
FAMILY_NAMES = {"beta": "fixed beta", "capacity": "controlled capacity"}
SYMBOLS = {"beta": "β", "capacity_max": "C", "gamma": "gamma", "ramp_steps": "ramp"}
MAX_LABELS = 16
"""Settings that are named in the figure; more would lie on each other."""


def tradeoff(axes: Axes, finished: pd.DataFrame, rows: list[Setting], score: str = "mig_calibrated") -> Axes:
    """Reconstruction against disentanglement: each trial a point, each setting the mean of its seeds.

    Args:
        axes: To draw on.
        finished: Finished trials, with `family`, `recon`, `verdict` and the score.
        rows: The settings of the same trials.
        score: Column of the disentanglement score.
    """
    for family, group in finished.groupby("family"):
        colour = FAMILY_COLOURS[str(family)]
        informative = group.query("verdict != 'not informative'")
        silent = group.query("verdict == 'not informative'")
        axes.scatter(informative["recon"], informative[score], s=22, color=colour, alpha=0.35)
        axes.scatter(silent["recon"], silent[score], s=30, color=colour, marker="x", zorder=4)
    for row in rows:
        recon, disentangled = row.estimates["recon"], row.estimates[score]
        if not (recon.values and disentangled.values):
            continue
        colour = FAMILY_COLOURS[row.family]
        axes.scatter(recon.mean, disentangled.mean, s=52, color=colour, edgecolor="white", zorder=3)
        if len(rows) > MAX_LABELS:
            continue
        axes.annotate(
            ", ".join(f"{SYMBOLS.get(name, name)} = {number(value)}" for name, value in row.fields.items()),
            (recon.mean, disentangled.mean),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )
    axes.set_xlabel("reconstruction loss, held-out (nats per image; less is better)")
    axes.set_ylabel(f"{score} (more is better)")
    axes.set_title(f"Reconstruction against disentanglement, scored by {score}", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.12)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=FAMILY_COLOURS[family], label=FAMILY_NAMES[family])
        for family in FAMILY_COLOURS
        if family in finished["family"].tolist()
    ]
    handles.append(Line2D([], [], marker="o", linestyle="", color="grey", alpha=0.4, markersize=4.5, label="one seed"))
    if "not informative" in finished["verdict"].tolist():
        handles.append(Line2D([], [], marker="x", linestyle="", color="grey", label="not informative"))
    axes.legend(handles=handles, frameon=False, fontsize=8)
    return axes
