"""A dataset's images on the device, as they are stored: drawn, unpacked and coloured there, without the host."""

import torch
from torch import Tensor

from trainables.data.dataset import BINARY_SIDE, Dataset

BLOCK = 65_536
"""Images copied at once: the host never holds a second copy of the file."""


class Resident:
    """The images of a dataset on a device.

    Args:
        dataset: Its binary images stay packed bits, 512 bytes each; others stay uint8.
        device: Where they are held.
    """

    def __init__(self, dataset: Dataset, device: torch.device) -> None:
        self.colourings = dataset.colourings
        self.train_rows = torch.from_numpy(dataset.train_rows).to(device, torch.int64)
        self.stored = torch.empty(dataset.images.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(dataset.images), BLOCK):
            block = dataset.images[start : start + BLOCK]
            self.stored[start : start + BLOCK] = torch.from_numpy(block.copy())  # the file is mapped read-only
        self.levels = torch.tensor(dataset.levels, dtype=torch.float32, device=device)
        self.bits = torch.arange(7, -1, -1, dtype=torch.uint8, device=device)

    @property
    def training_images(self) -> int:
        """How many images there are to draw from, colourings counted."""
        return len(self.train_rows) * self.colourings

    def drawn(self, picks: Tensor) -> Tensor:
        """Rows of the training part, as `Dataset.drawn` gives them; picks int64 of any shape, on the device."""
        if self.colourings == 1:
            return self.train_rows[picks]
        return self.train_rows[picks // self.colourings] * self.colourings + picks % self.colourings

    def batch(self, rows: Tensor) -> Tensor:
        """Images as `Dataset.batch` gives them, but channels last: float32 (*rows.shape, h, w, c) in [0, 1].

        Args:
            rows: int64, of any shape, on the device.
        """
        stored = self.stored[rows // self.colourings]
        if self.stored.ndim == 4:
            return stored.float() / 255
        pixels = (stored[..., None] >> self.bits & 1).view(*rows.shape, BINARY_SIDE, BINARY_SIDE, 1).float()
        if not len(self.levels):
            return pixels
        many = len(self.levels)
        colouring = rows % self.colourings
        colours = torch.stack((colouring // many**2, colouring // many % many, colouring % many), dim=-1)
        return pixels * self.levels[colours][..., None, None, :]
