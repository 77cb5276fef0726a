"""When each latent opens: the update, and the capacity C, at which it begins to carry information on the image.

That latents open one after another as C rises is the claim of Burgess et al. 2018, section 5 and Fig. 3; the threshold
and the treatment of ties and re-openings are ours (docs/metrics.md).
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

OPEN, ACTIVE = 0.2, 0.1
"""Nats of I_j from which on a latent counts as open; and of I_j and KL_j as active."""


@dataclass(frozen=True)
class Opening:
    """A latent that has opened.

    Attributes:
        latent: Its index j.
        step: Updates at its last upward crossing of `OPEN` before the ramp's end, linear between reports.
        capacity: C there, nats; NaN where no ramp is.
        reopened: Its other upward crossings, in the whole of training.
        closed: Whether it is shut again at the last report.
        interval: Updates between the two reports around it: an opening is known no better.
    """

    latent: int
    step: float
    capacity: float
    reopened: int
    closed: bool
    interval: float

    def tied(self, other: "Opening") -> bool:
        """Whether the two are closer than one report, so that their order is not resolved."""
        return abs(self.step - other.step) < max(self.interval, other.interval)


def openings(reports: pd.DataFrame, trial: Mapping[str, Any], measure: str = "info") -> list[Opening]:
    """The latents of one trial in the order in which they opened; those that never did are left out.

    Before its first report every latent counts as shut.

    Args:
        reports: The trial's rows by step: `step` and `info_<j>` or `kl_<j>` (nats).
        trial: Its row of `Frames.trials`: `family`, `capacity_start`, `capacity_max` and `ramp_steps` are read.
        measure: `info`: I_j has to cross the threshold. `kl`: KL_j, as Fig. 3 draws it of the generator.
    """
    if reports.empty:
        return []
    has_ramp = trial["family"] == "capacity" and trial["ramp_steps"] > 1
    slope = (trial["capacity_max"] - trial["capacity_start"]) / trial["ramp_steps"] if has_ramp else np.nan
    steps = np.concatenate([[0.0], reports["step"].to_numpy(float)])
    last_step = trial["ramp_steps"] if has_ramp else steps[-1]
    found = []
    for latent in latents_of(reports):
        info = np.concatenate([[0.0], reports[f"{measure}_{latent}"].to_numpy(float)])
        upward = np.flatnonzero((info[:-1] < OPEN) & (info[1:] >= OPEN))
        in_time = upward[steps[upward + 1] <= last_step]
        if len(in_time) == 0:
            continue
        before = in_time[-1]
        share = (OPEN - info[before]) / (info[before + 1] - info[before])
        interval = float(steps[before + 1] - steps[before])
        step = float(steps[before] + share * interval)
        capacity = float(trial["capacity_start"] + slope * step)
        found.append(Opening(latent, step, capacity, len(upward) - 1, bool(info[-1] < OPEN), interval))
    return sorted(found, key=lambda opening: opening.step)


def first_two(found: list[Opening]) -> tuple[int, int] | None:
    """The two latents that opened first and stayed open, in either order.

    None where fewer than two did, or where the third is tied with the second: then nobody knows which two were first.
    `resolved` tells the two cases apart.
    """
    kept = [opening for opening in found if not opening.closed]
    return (kept[0].latent, kept[1].latent) if len(kept) > 1 and resolved(found) else None


def resolved(found: list[Opening]) -> bool:
    """Whether reports are close enough to tell the first two latents that stayed open from the third."""
    kept = [opening for opening in found if not opening.closed]
    return len(kept) < 3 or not kept[1].tied(kept[2])


def before(orders: Sequence[Mapping[str, Opening | None]]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Who opens before whom, counted over seeds: the matrix that is compared with the order of Fig. 3.

    Args:
        orders: Of each seed, the opening of each name, None where it never opened (censored: it may yet, beyond C_max).

    Returns:
        For each ordered pair (i, j): seeds in which i opens before j, in which nobody can tell (a tie, closer than one
        report; or neither ever opened), and all. One that opened came before one that never did.
    """
    names = list(orders[0]) if orders else []
    found = {}
    for i, j in itertools.permutations(names, 2):
        first = tied = 0
        for order in orders:
            one, other = order[i], order[j]
            if one is None or other is None:
                first += one is not None
                tied += one is None and other is None
            elif one.tied(other):
                tied += 1
            else:
                first += one.step < other.step
        found[i, j] = (first, tied, len(orders))
    return found


def latents_of(columns: Iterable[str]) -> list[int]:
    """The indices j of the columns `info_<j>`, ascending."""
    names = (name.removeprefix("info_") for name in columns if name.startswith("info_"))
    return sorted(int(name) for name in names if name.isdigit())
