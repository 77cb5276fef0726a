"""One trial to look at: its traversal sheet and reconstructions, laid out as mosaics of its stored pictures.

Source: the layout is that of Burgess et al. 2018, Fig. 4: rows by KL, each latent from -3 to 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.training import kl_along_training
from analysis.frames import Frames
from analysis.openings import ACTIVE, latents_of, openings

GAP = 2
"""Pixels between two pictures."""
FADED = 0.3
"""Contrast left to the rows of inactive latents."""
REACH = 3.0
CELL = 0.5
"""Inches of one picture of a sheet in the paper's layout."""


@dataclass(frozen=True)
class Row:
    """One latent of a traversal sheet.

    Attributes:
        latent: Its index j.
        kl: Its held-out KL, nats.
        info: I_j, nats.
        active: Whether both are at least 0.1 nats.
        factor: Name of the factor that it says most of, and the share of that factor's entropy; None without factors.
    """

    latent: int
    kl: float
    info: float
    active: bool
    factor: tuple[str, float] | None

    @property
    def label(self) -> str:
        """`z3  KL 2.9  I 2.8  x .71`, nats and share."""
        said = f"  {self.factor[0]} {self.factor[1]:.2f}" if self.factor and self.active else ""
        return f"z{self.latent}  KL {self.kl:.1f}  I {self.info:.1f}{said}"


def trial_figure(frames: Frames, key: str, seed_image: int = 0) -> Figure:
    """One finished trial: KL along training, reconstructions, and the traversal sheet.

    Args:
        frames: Of its study.
        key: The trial's.
        seed_image: Which of the stored probe images is traversed; the same image in every trial of a study.
    """
    trial, arrays, reports = frames.trial(key), frames.study.arrays(key), frames.reports(key)
    rows = rows_by_kl(trial, arrays, frames.factors)
    figure = plt.figure(figsize=(11.0, 4.6))
    grid = figure.add_gridspec(2, 2, width_ratios=[1, 1.25], height_ratios=[2.4, 1])
    kl_along_training(figure.add_subplot(grid[0, 0]), reports, openings(reports, trial))
    reconstructions(figure.add_subplot(grid[1, 0]), arrays)
    traversal_sheet(figure.add_subplot(grid[:, 1]), arrays, rows, seed_image)
    return figure


def paper_sheet(frames: Frames, key: str, seed_image: int = 0) -> Figure:
    """One finished trial as Figures 2 and 4 show theirs: samples, reconstructions, then a row a latent by KL.

    The traversed image is the first sample. Where the trial has a position map, each row ends in its latent's tuning:
    the posterior mean at every position.

    Args:
        frames: Of its study.
        key: The trial's.
        seed_image: Which of the stored probe images is traversed; with another than the first, the samples begin there.
    """
    trial, arrays = frames.trial(key), frames.study.arrays(key)
    rows = rows_by_kl(trial, arrays, frames.factors)
    originals, decoded = (np.roll(arrays[name], -seed_image, axis=0) for name in ("originals", "reconstructions"))
    frames_of_rows = np.stack([faded(arrays["traversals"][seed_image, row.latent], row.active) for row in rows])
    columns = min(len(originals), frames_of_rows.shape[1])
    picture = mosaic(np.concatenate([np.stack([originals, decoded])[:, :columns], frames_of_rows[:, :columns]]))
    maps = arrays.get("position_means")
    count, side = len(rows) + 2, originals.shape[1] + GAP
    labels, pictures, beside = 1.9, CELL * columns, 1.0 if maps is not None else 0.1
    width, height = labels + pictures + beside, CELL * count * side / (originals.shape[2] + GAP) + 0.1
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")  # rows and maps have to meet
    axes = figure.add_axes((labels / width, 0.05 / height, pictures / width, 1 - 0.1 / height))
    _show(axes, picture)
    axes.set_yticks([side * place + originals.shape[1] / 2 for place in range(count)])
    axes.set_yticklabels(["held-out", "decoded", *(row.label for row in rows)], family="monospace", fontsize=7)
    axes.set_xticks([])
    for row, text in zip(rows, axes.get_yticklabels()[2:], strict=True):
        text.set_color("black" if row.active else "silver")
    if maps is not None:
        _tuning(figure, maps, rows)
    return figure


def _tuning(figure: Figure, maps: np.ndarray, rows: list[Row]) -> None:
    """The maps (nx, ny, latents) of the rows at the sheet's right, as Fig. 2: blue -3, white 0, red 3."""
    width, height = figure.get_size_inches()
    row_height = (height - 0.1) / (len(rows) + 2)
    left, size, image = (width - 0.75) / width, (0.92 * CELL / width, 0.92 * row_height / height), None
    for place, row in enumerate(rows):
        bottom = (0.05 + row_height * (len(rows) - 1 - place)) / height
        axes = figure.add_axes((left, bottom, *size))
        image = axes.imshow(maps[:, :, row.latent].T, cmap="bwr", vmin=-REACH, vmax=REACH, aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set(visible=True, color="silver", linewidth=0.6)
    if image is not None:
        scale = figure.add_axes((left, 1 - 1.2 * row_height / height, size[0], 0.12 * row_height / height))
        figure.colorbar(image, cax=scale, orientation="horizontal", ticks=[-REACH, 0, REACH])
        scale.tick_params(labelsize=6, length=1)
        scale.set_title("mean by\nposition", fontsize=6, pad=2)


def rows_by_kl(trial: Mapping[str, Any], arrays: dict[str, np.ndarray], factors: list[str]) -> list[Row]:
    """The latents of a finished trial by held-out KL, high to low.

    Args:
        trial: Its row of `Frames.trials`: `kl_<j>` and `info_<j>` of the last full evaluation.
        arrays: Its arrays; `mutual_information` (latents, factors), nats, and `factors` (n, factors) where it has them.
        factors: Their names; numbered where none are known.
    """
    shares = factor_shares(arrays)
    rows = []
    for j in latents_of(trial):
        kl, info = float(trial[f"kl_{j}"]), float(trial[f"info_{j}"])
        if np.isnan(kl):  # a trial with fewer latents than the widest of its study
            continue
        best = None
        if shares is not None:
            k = int(shares[j].argmax())
            best = (factors[k] if k < len(factors) else f"factor {k}", float(shares[j, k]))
        rows.append(Row(j, kl, info, kl >= ACTIVE and info >= ACTIVE, best))
    return sorted(rows, key=lambda row: -row.kl)


def factor_shares(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """I(z_j; f_k) / H(f_k) of the binned codes, (latents, factors), 0 for a constant factor; None without factors."""
    if "mutual_information" not in arrays:
        return None
    counts = [np.bincount(column) / len(column) for column in arrays["factors"].T]
    entropies = np.array([-(share[share > 0] * np.log(share[share > 0])).sum() for share in counts])
    return np.divide(
        arrays["mutual_information"], entropies, where=entropies > 0, out=np.zeros_like(arrays["mutual_information"])
    )


def traversal_sheet(axes: Axes, arrays: dict[str, np.ndarray], rows: list[Row], seed_image: int = 0) -> Axes:
    """Each latent from -3 to 3 while the others stay at their means: a row a latent, inactive ones greyed.

    Args:
        axes: To draw on.
        arrays: A trial's arrays: `traversals`, uint8 (seed images, latents, columns, h, w, c).
        rows: Its latents in the order of the sheet.
        seed_image: Which of the stored probe images is traversed; the same image in every trial of a study.
    """
    frames = arrays["traversals"][seed_image]
    columns, height, width = frames.shape[1:4]
    picture = mosaic(np.stack([faded(frames[row.latent], row.active) for row in rows]))
    _show(axes, picture)
    axes.set_yticks([(height + GAP) * place + height / 2 for place in range(len(rows))])
    axes.set_yticklabels([row.label for row in rows], family="monospace", fontsize=7)
    for row, text in zip(rows, axes.get_yticklabels(), strict=True):
        text.set_color("black" if row.active else "silver")
    middle = columns // 2
    axes.set_xticks([(width + GAP) * place + width / 2 for place in (0, middle, columns - 1)])
    axes.set_xticklabels([f"z = {-REACH:g}", "0", f"{REACH:g}"])
    return axes


def reconstructions(axes: Axes, arrays: dict[str, np.ndarray]) -> Axes:
    """The first probe images above their reconstructions at z = mean, the same images in every trial of a study.

    Args:
        axes: To draw on.
        arrays: A trial's arrays: `originals` and `reconstructions`, uint8 (n, h, w, c).
    """
    picture = mosaic(np.stack([arrays["originals"], arrays["reconstructions"]]))
    height = arrays["originals"].shape[1]
    _show(axes, picture)
    axes.set_yticks([height / 2, height + GAP + height / 2])
    axes.set_yticklabels(["held-out", "decoded"], fontsize=7)
    axes.set_xticks([])
    return axes


def mosaic(pictures: np.ndarray) -> np.ndarray:
    """Pictures (rows, columns, h, w, c) uint8 as one picture (H, W, c), `GAP` white pixels between them."""
    rows, columns, height, width, channels = pictures.shape
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    whole = np.full(shape, 255, np.uint8)
    for i in range(rows):
        for j in range(columns):
            top, left = i * (height + GAP), j * (width + GAP)
            whole[top : top + height, left : left + width] = pictures[i, j]
    return whole


def faded(pictures: np.ndarray, active: bool) -> np.ndarray:
    """The pictures as they are where `active`, else drawn towards light grey."""
    return pictures if active else (pictures * FADED + 255 * (1 - FADED) * 0.85).astype(np.uint8)


def _show(axes: Axes, picture: np.ndarray) -> None:
    axes.imshow(picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture, interpolation="nearest")
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
