"""Axes-level figures of training: numbers are drawn as given."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from analysis.findings import FOLLOWS
from analysis.frames import records
from analysis.openings import ACTIVE, Opening, latents_of

DASHES: tuple[Any, ...] = ("-", "--", ":", "-.")
MAX_LEVELS = 8
"""Levels of C_max that a legend names; more have a colour bar."""


def tracking(axes: Axes, rows: pd.DataFrame, trials: pd.DataFrame) -> Axes:
    """Does KL follow C: held-out KL - C of every capacity trial along training, a colour a C_max, a dash a gamma.

    More levels of C_max than a legend can name have a colour bar; more gammas than dashes are not told apart.

    Args:
        axes: To draw on.
        rows: Reports: `key`, `step`, `kl` and `capacity`.
        trials: The trials to draw: `key`, `family`, `capacity_max`, `gamma` and `ramp_steps`; others than capacity
            trials are left out.
    """
    ramped = [trial for trial in records(trials) if trial["family"] == "capacity"]
    levels, gammas = (sorted({trial[name] for trial in ramped}) for name in ("capacity_max", "gamma"))
    scale, palette = _coloured(levels)
    dashes = dict(zip(gammas, DASHES if len(gammas) <= len(DASHES) else itertools.repeat("-"), strict=False))
    by_trial = dict(list(rows.groupby("key")))
    axes.axhspan(-FOLLOWS, FOLLOWS, color="grey", alpha=0.12, linewidth=0)
    for trial in sorted(ramped, key=lambda trial: trial["key"]):  # a hash, so that no level covers the others
        reports = by_trial[trial["key"]]
        deviation = reports["kl"] - reports["capacity"]
        look = {"color": palette[trial["capacity_max"]], "linestyle": dashes[trial["gamma"]]}
        axes.plot(reports["step"], deviation, linewidth=1, alpha=0.4 if scale else 1, **look)
    for end in sorted({trial["ramp_steps"] for trial in ramped}):
        axes.axvline(end, color="grey", linestyle=":", linewidth=1)
    axes.set_xlabel("training (updates); dotted: the ramp's end")
    axes.set_ylabel("KL - C, held-out (nats)")
    axes.set_title("Does KL follow C? Shaded: within 1 nat")
    if scale:
        axes.figure.colorbar(scale, ax=axes, label="C_max (nats)")
    told = {f"C_max = {level:g} nats": {"color": palette[level]} for level in levels if not scale}
    if len(gammas) > len(DASHES):
        told[f"{len(gammas)} gammas, not told apart"] = {"color": "grey"}
    elif len(gammas) > 1:
        told |= {f"gamma = {g:g}": {"color": "grey", "linewidth": 1, "linestyle": dashes[g]} for g in gammas}
    handles = [Line2D([], [], label=label, **look) for label, look in told.items()]
    axes.legend(handles=handles, fontsize=8, loc="upper left" if scale else "best")  # KL and C begin together
    return axes


def _coloured(levels: list[float]) -> tuple[ScalarMappable | None, dict[float, Any]]:
    """A colour a level; of more than a legend can name the colour scale, too."""
    if len(levels) <= MAX_LEVELS:
        return None, dict(zip(levels, sns.color_palette("flare", max(1, len(levels))), strict=False))
    scale = ScalarMappable(Normalize(levels[0], levels[-1]), sns.color_palette("flare", as_cmap=True))
    return scale, dict(zip(levels, scale.to_rgba(np.array(levels)), strict=True))


def kl_along_training(axes: Axes, reports: pd.DataFrame, opened: list[Opening]) -> Axes:
    """KL of every latent of one trial along training, with C, the total, and the openings.

    Args:
        axes: To draw on.
        reports: The trial's rows by step: `step`, `kl`, `capacity`, `kl_<j>` and `info_<j>`.
        opened: Its openings: a triangle marks where a latent opened. Latents that are inactive at the end are grey.
    """
    last = records(reports)[-1]
    latents = sorted(latents_of(reports.columns), key=lambda j: -last[f"kl_{j}"])
    active = [j for j in latents if min(last[f"kl_{j}"], last[f"info_{j}"]) >= ACTIVE]
    palette = dict(zip(active, sns.color_palette("colorblind", len(active)), strict=True))
    if not np.isnan(last["capacity"]):
        axes.plot(reports["step"], reports["capacity"], color="black", linestyle="--", linewidth=1, label="C")
    axes.plot(reports["step"], reports["kl"], color="grey", linewidth=1.2, label="all latents")
    for j in latents:
        colour, label = (palette[j], f"z{j}") if j in active else ("gainsboro", None)
        axes.plot(reports["step"], reports[f"kl_{j}"], color=colour, linewidth=1.4, label=label)
    for opening in sorted(opened, key=lambda opening: opening.latent in palette):  # grey ones lie below
        colour = palette.get(opening.latent, "gainsboro")
        axes.plot(opening.step, 0, marker="^", color=colour, clip_on=False, markersize=6, zorder=5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("training (updates); triangles: where a latent opens")
    axes.set_ylabel("KL, held-out (nats)")
    axes.legend(fontsize=7, ncols=2)
    return axes
