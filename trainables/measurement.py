"""A report before and after it is scored: passes of a model give a `Measurement`, `trainables.scoring` a `Report`.

Plain numbers and numpy arrays without torch, so that a process which has neither model nor device can score.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Row = dict[str, Any]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Place:
    """What a model does with the position of the object."""

    means: np.ndarray
    """(nx, ny, latents) float32, posterior means: the position map."""
    spans: tuple[float, float]
    """Pixels from the first to the last position along x and along y."""
    jumps: float | None = None
    """F_dec; None where position is not all there is to know."""
    ghosts: float | None = None
    """Share of traversals' frames with two objects or more; likewise."""


@dataclass(frozen=True, eq=False)
class Full:
    """What a full evaluation measures beside what any report does, on the whole probe."""

    probe_rows: np.ndarray
    """(rows,), of the dataset."""
    recon_mean: float
    """Mean reconstruction loss at z = mean, nats per image."""
    mse: float
    """Mean squared error there, summed over pixels."""
    recon_train: float
    """Mean reconstruction loss of as many training rows, nats per image."""
    sampled: np.ndarray
    """(rows, latents) float32, one draw of each posterior."""
    aggregate: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    """Mean, log std (n, latents) and draws (m, latents) of the first m of n training images; None: the probe's own."""
    sheets: Arrays = field(default_factory=dict)
    """Traversals and reconstructions, at the end (`trainables.pictures`)."""
    place: Place | None = None
    """At the end, of datasets that have positions."""
    latent_factors: np.ndarray | None = None
    """(latents,), the factor that each latent of a generator tells of."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One report before it is scored; of a model that has diverged there is nothing more to say."""

    diverged: bool = False
    """The loss, or a posterior, was not finite at some step since the last report."""
    step: int = 0
    """Completed updates."""
    done: bool = False
    """No step is left: scores get their nulls and ceilings, and the arrays are kept."""
    recon: float = float("nan")
    """Mean held-out reconstruction loss, nats per image."""
    objective_value: float = float("nan")
    """The training loss on the same rows."""
    capacity: float = float("nan")
    """C, nats; NaN where the objective has none."""
    mean: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(rows, latents) float32, of the posteriors of the probe's rows: all, or a cheap report's first ones."""
    log_std: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(rows, latents) float32, likewise."""
    full: Full | None = None
    """None of a cheap report."""
    tracking: float = float("nan")
    """Mean held-out KL - C over the reports of the ramp so far, nats; NaN without."""
    snapshots: Arrays = field(default_factory=dict)
    """Reconstructions taken while C rose, at the end."""
    updates: int = 0
    """Since the last report."""
    training_seconds: float = 0.0
    """That they took."""
    seconds: float = 0.0
    """Training and measuring."""


@dataclass(frozen=True)
class Report:
    """What a trial hands over at a report.

    Attributes:
        row: One metrics row; empty where the model has diverged.
        arrays: The full evaluation's arrays at the end, else None.
        done: No step is left, or the model has diverged.
        diverged: The loss was not finite at some step since the last report.
        step: Completed updates.
    """

    row: Row
    arrays: Arrays | None
    done: bool
    diverged: bool = False
    step: int = 0
