"""The searches that are experiments of Burgess et al. 2018: Figures 2, 3 and 4, and the claim of its abstract.

The paper's own settings where it states them; what it leaves open, and what a laptop shortens, is said beside it
(docs/paper.md).
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from study.config import Axes
from study.grid import GridSearch
from study.protocols import PAPER, Protocol

BETA_LADDER = (1.0, 4.0, 16.0, 50.0, 150.0)
"""From the VAE to the beta-VAE of Fig. 2."""


@dataclass(frozen=True)
class Change:
    """What an experiment changes in each of the two protocols."""

    laptop: dict[str, Any]
    """Fields of `TrialConfig`."""
    paper: dict[str, Any]
    seeds: tuple[int, int]
    """On a laptop, and in the paper's protocol."""
    report_every: tuple[int, int]

    def __call__(self, protocol: Protocol) -> Protocol:
        """The protocol so changed."""
        place = int(protocol is PAPER)
        trial = dataclasses.replace(protocol.trial, **(self.laptop, self.paper)[place])
        evaluation = dataclasses.replace(protocol.evaluation, report_every=self.report_every[place])
        return dataclasses.replace(protocol, trial=trial, evaluation=evaluation, seeds=self.seeds[place])


def _ladder(protocol: Protocol) -> list[Axes]:
    return [{"objective": ("beta_vae",), "beta": BETA_LADDER}]


def _blobs(dataset: str) -> Change:
    """Both lengths are ours: the paper trains until a plateau that it does not name."""
    return Change(
        laptop={"dataset": dataset, "steps": 3000},
        paper={"dataset": dataset, "steps": 100_000},
        seeds=(5, 10),
        report_every=(300, 1000),
    )


BLOBS = GridSearch(
    "Fig. 2: position of a blob under a ladder of beta",
    families=_ladder,
    change=_blobs("blobs"),
    needs=("x", "y"),
)
BLOBS_WIDE = GridSearch(
    "Fig. 2's control: x ranges twice as far as y, so that a rotated code costs nats",
    families=_ladder,
    change=_blobs("blobs_wide"),
    needs=("x", "y"),
)


def _factor_codes(protocol: Protocol) -> list[Axes]:
    """The plain reading, one number a factor; and beside it shape one-hot and orientation as cos and sin."""
    return [
        {"objective": ("capacity",), "factor_code": ("scalar",), "latents": (5,)},
        {"objective": ("capacity",), "factor_code": ("grouped",), "latents": (8,)},
    ]


GENERATOR = GridSearch(
    "Fig. 3: which true factors does a decoder pay nats for, as C rises?",
    families=_factor_codes,
    chosen_by=("factor_code",),
    change=Change(
        laptop={
            "model": "burgess2018-generator",
            "gamma": 100.0,
            "capacity_start": 0.5,
            "capacity_max": 25.0,
            "steps": 6000,
            "ramp_steps": 6000,
            "factor_lr": 0.01,
        },
        paper={
            "model": "burgess2018-generator",
            "gamma": 1000.0,
            "capacity_start": 0.5,
            "capacity_max": 25.0,
            "steps": 100_000,
            "ramp_steps": 100_000,
            "factor_lr": 0.01,
        },
        seeds=(3, 10),
        report_every=(60, 400),
    ),
)


def _one_setting(protocol: Protocol) -> list[Axes]:
    return [{"objective": ("capacity",)}]


TRAVERSALS = GridSearch(
    "Fig. 4: traversals of capacity models on coloured dSprites, or on --set dataset=PATH",
    families=_one_setting,
    change=Change(
        laptop={
            "dataset": "coloured_dsprites",
            "gamma": 100.0,
            "capacity_max": 16.0,
            "steps": 12_000,
            "ramp_steps": 10_000,
        },
        paper={"dataset": "coloured_dsprites"},
        seeds=(2, 10),
        report_every=(500, 1000),
    ),
)


def _arms(protocol: Protocol) -> list[Axes]:
    """Two families of one parameter each and equal size; and two controls for what "gradually" adds.

    A capacity model whose C jumps at once, and a beta-VAE whose beta comes down to its value as slowly as C rises: else
    "a gradual increase helps" would only be another point on the rate curve.
    """
    paper = protocol.name == PAPER.name
    betas = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0) if paper else (1.0, 4.0, 16.0)
    capacities = (5.0, 7.5, 10.0, 12.5, 15.0, 20.0, 25.0, 50.0) if paper else (5.0, 10.0, 15.0)
    return [
        {"objective": ("capacity",), "capacity_max": capacities},
        {"objective": ("beta_vae",), "beta": betas, "beta_start": (None,)},
        {"objective": ("capacity",), "capacity_max": capacities, "ramp_steps": (1,)},
        {"objective": ("beta_vae",), "beta": betas, "beta_start": (64.0,)},
    ]


HEADLINE = GridSearch(
    "the claim: does raising C disentangle better at the same reconstruction? (on a laptop a smoke run)",
    families=_arms,
    fixed=("ramp_steps", "beta_start"),
    change=Change(
        laptop={"gamma": 100.0, "steps": 1700, "ramp_steps": 1500},
        paper={"gamma": 1000.0},
        seeds=(2, 10),
        report_every=(150, 1000),
    ),
)
