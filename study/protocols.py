"""The protocols: how long, how large and how often every trial of a study runs, and the values that searches visit."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from trainables.config import Evaluation, TrialConfig


@dataclass(frozen=True)
class Protocol:
    """What every trial of a study shares, and the axes that searches take from it."""

    name: str
    trial: TrialConfig
    """What a search does not vary."""
    evaluation: Evaluation
    seeds: int
    """Replicates of each setting."""
    betas: tuple[float, ...]
    gammas: tuple[float, ...]
    capacities: tuple[float, ...]
    """C_max, nats."""
    ramps: tuple[int, ...]
    """Updates over which C rises."""
    gamma_ladder: tuple[float, ...]
    ramp_ladder: tuple[int, ...]
    """Of the search over gamma and ramp length, at `middle_capacity`."""
    middle_capacity: float
    ranges: Mapping[str, tuple[float, float]]
    """Of the adaptive search, by field."""
    settings: int
    """That the adaptive search tries."""


LAPTOP = Protocol(
    name="laptop",
    # A slice that 2 cores train in a quarter of an hour, chosen by experiment: docs/laptop_protocol.md. One gamma is
    # too low on purpose, so that the audit has something to say.
    trial=TrialConfig(learning_rate=1e-3, batch_size=32, ramp_steps=3000, steps=3500),
    evaluation=Evaluation(report_every=150),
    seeds=2,
    betas=(1.0, 4.0),
    gammas=(10.0, 100.0),
    capacities=(5.0, 10.0),
    ramps=(3000,),
    gamma_ladder=(10.0, 100.0, 1000.0),
    ramp_ladder=(1000, 3000),
    middle_capacity=10.0,
    ranges={"beta": (0.5, 16.0), "gamma": (10.0, 1000.0), "capacity_max": (3.0, 15.0), "ramp_steps": (500, 3000)},
    settings=8,
)

PAPER = Protocol(
    name="paper",
    trial=TrialConfig(),
    evaluation=Evaluation(report_every=1000),
    seeds=5,
    betas=(0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
    gammas=(300.0, 1000.0, 3000.0),
    capacities=(5.0, 10.0, 15.0, 20.0, 25.0, 50.0),
    ramps=(50_000, 100_000),
    gamma_ladder=(30.0, 100.0, 300.0, 1000.0, 3000.0),
    ramp_ladder=(1, 25_000, 50_000, 100_000),
    middle_capacity=25.0,
    ranges={"beta": (0.5, 64.0), "gamma": (30.0, 3000.0), "capacity_max": (5.0, 50.0), "ramp_steps": (1000, 150_000)},
    settings=100,
)

PROTOCOLS = {protocol.name: protocol for protocol in (LAPTOP, PAPER)}


def published(protocol: Protocol) -> Protocol:
    """The protocol with the grid of the published benchmark: its betas and C_max, and in `paper` its lengths and seeds.

    On a laptop the same settings are trained for as long as a laptop can: a smoke run.

    Source: Locatello et al. 2019, "Challenging common assumptions", appendix; beta-VAE and AnnealedVAE.
    """
    grid = dataclasses.replace(
        protocol,
        betas=(1.0, 2.0, 4.0, 6.0, 8.0, 16.0),
        capacities=(5.0, 10.0, 25.0, 50.0, 75.0, 100.0),
        gammas=(1000.0,),
    )
    if protocol is not PAPER:
        return grid
    trial = dataclasses.replace(protocol.trial, steps=300_000, learning_rate=1e-4)
    return dataclasses.replace(grid, trial=trial, ramps=(100_000,), seeds=50)
