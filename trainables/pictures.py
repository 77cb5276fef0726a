"""The pictures that a trial leaves: traversals, reconstructions, and how both sharpened while C rose.

All show the first rows of the probe, the same in every trial of a study, at sigmoid means without sampling.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.measurement import Arrays
from trainables.model import EncoderDecoder
from trainables.passes import Passes, as_bytes

SEEDS, REACH, COLUMNS = 4, 3.0, 11
"""Traversals: seed images, and the values from -3 to 3 that each latent takes."""
RECONSTRUCTIONS = COLUMNS
"""As many as columns, so that they make rows of one sheet."""
CAPACITIES = (3.1, 7.3, 15.4, 23.8)
"""Nats at which Burgess et al. 2018, Fig. 3, shows reconstructions."""


def sheets(passes: Passes, model: EncoderDecoder, probe: np.ndarray, mean: Tensor) -> Arrays:
    """Traversals (seeds, latents, columns, h, w, c), and originals and reconstructions (n, h, w, c), uint8.

    Args:
        passes: Of the model.
        model: At its end.
        probe: Rows of the probe.
        mean: Their posterior means (rows, latents).
    """
    latents = mean.shape[1]
    grid = torch.linspace(-REACH, REACH, COLUMNS)
    seeds = mean[:SEEDS]
    codes = seeds[:, None, None, :].repeat(1, latents, COLUMNS, 1)
    for j in range(latents):
        codes[:, j, :, j] = grid
    frames = passes.pictures(model, codes.flatten(0, 2))
    return {
        "traversals": frames.reshape(len(seeds), latents, COLUMNS, *frames.shape[1:]),
        "reconstructions": passes.pictures(model, mean[:RECONSTRUCTIONS]),
        "originals": as_bytes(passes.images(probe[:RECONSTRUCTIONS])),
    }


class Snapshots:
    """Reconstructions of the same images at the first report at which C has come to each of `CAPACITIES`."""

    def __init__(self) -> None:
        self.capacities: list[float] = []
        self.pictures: list[Tensor] = []

    @torch.no_grad()
    def add(self, passes: Passes, model: EncoderDecoder, probe: np.ndarray, capacity: float) -> None:
        """Take a picture if C, nats, has come to another of them; NaN has come to none."""
        before = self.capacities[-1] if self.capacities else 0.0
        if not any(before < level <= capacity for level in CAPACITIES):
            return
        mean, _ = passes.posteriors(model, probe[:RECONSTRUCTIONS])
        self.capacities.append(capacity)
        self.pictures.append(torch.from_numpy(passes.pictures(model, mean)))

    @property
    def arrays(self) -> Arrays:
        """`snapshots` (k, n, h, w, c) and `snapshot_capacities` (k,), nats; nothing where none was taken."""
        if not self.capacities:
            return {}
        pictures = np.stack([picture.numpy() for picture in self.pictures])
        return {"snapshots": pictures, "snapshot_capacities": np.array(self.capacities)}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"capacities": self.capacities, "pictures": self.pictures}

    def load(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.capacities, self.pictures = list(state["capacities"]), list(state["pictures"])
