"""What the latents of one trial answer to, drawn: a row a latent, a column a factor, and a map of the position."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.figures.sheets import REACH, rows_by_kl
from analysis.frames import Frames
from analysis.tuning import Curve, curves, position_map

POSITION = ("x", "y")


def tuning_figure(frames: Frames, key: str) -> Figure | None:
    """The tuning of a finished trial's active latents, by falling KL; None where it has no factors or no active latent.

    Args:
        frames: Of its study.
        key: The trial's.

    Raises:
        StoreError: The trial's arrays cannot be read.
    """
    arrays = frames.study.arrays(key)
    rows = [row for row in rows_by_kl(frames.trial(key), arrays, frames.factors) if row.active]
    if "factors" not in arrays or not rows or not frames.factors:
        return None
    has_position = set(POSITION) <= set(frames.factors)
    columns = len(frames.factors) + has_position
    figure = Figure(figsize=(1.75 * columns + 0.5, 1.35 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    drawn = curves(arrays["mean"], arrays["factors"], [row.latent for row in rows], frames.factors)
    for place, (row, line) in enumerate(zip(rows, drawn, strict=True)):
        for axes, curve in zip(grid[place], line, strict=False):
            along(axes, curve)
            if place == 0:
                axes.set_title(curve.factor, fontsize=9)
            if place == len(rows) - 1:
                axes.set_xlabel("place in its list", fontsize=7)
        grid[place][0].set_ylabel(f"z{row.latent}, mean\n(KL {row.kl:.1f} nats)", fontsize=8)
        if has_position:
            x, y = (arrays["factors"][:, frames.factors.index(name)] for name in POSITION)
            by_position(grid[place][-1], position_map(arrays["mean"][:, row.latent], x, y))
    if has_position:
        grid[0][-1].set_title("x and y", fontsize=9)
    return figure


def along(axes: Axes, curve: Curve) -> Axes:
    """One latent along one factor: the mean, and a band of one standard deviation over the probe rows of each value."""
    axes.fill_between(curve.values, curve.mean - curve.sd, curve.mean + curve.sd, color="grey", alpha=0.25, linewidth=0)
    axes.plot(curve.values, curve.mean, color="black", linewidth=1.3, marker="o" if len(curve.values) < 8 else "")
    axes.set_ylim(-REACH, REACH)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=7)
    return axes


def by_position(axes: Axes, means: NDArray[np.float64]) -> Axes:
    """One latent by position, as Fig. 2 of the paper: blue -3, white 0, red 3."""
    axes.imshow(means, cmap="bwr", vmin=-REACH, vmax=REACH)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    return axes
