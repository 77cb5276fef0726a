"""Arms with known curves, for the tests of matched comparisons."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from analysis.tradeoff.settings import Setting

points = st.lists(st.tuples(st.integers(0, 40), st.integers(-8, 8)), min_size=2, max_size=8)
"""Of one curve: (recon, score) of each setting."""


def trials(points: Mapping[tuple[str, int], Sequence[tuple[float, float]]]) -> pd.DataFrame:
    """(arm, seed) -> (recon, score) of each setting, as a frame."""
    return pd.DataFrame(
        {"arm": name, "seed": seed, "setting": f"{name} {place}", "recon": recon, "score": score}
        for (name, seed), pairs in points.items()
        for place, (recon, score) in enumerate(pairs)
    )


def line(recon: float) -> float:
    return 0.004 * recon - 0.2


def curve(recons: list[float], offset: float = 0.0) -> list[tuple[float, float]]:
    return [(recon, line(recon) + offset) for recon in recons]


def planted(offsets: list[float]) -> pd.DataFrame:
    """Linear curves over unequal ranges, those of a above those of b by one offset a seed."""
    frame = {}
    for seed, offset in enumerate(offsets):
        frame[("a", seed)] = curve([95.0 + seed, 120, 161, 200], offset)
        frame[("b", seed)] = curve([80, 103.0 + seed, 130, 180])
    return trials(frame)


def seeded(mean: float, sd: float, seeds: int) -> list[float]:
    """Offsets of exactly this mean and sd."""
    if seeds == 1:
        return [mean]
    raw = np.random.default_rng(1).normal(size=seeds)
    return (mean + sd * (raw - raw.mean()) / raw.std(ddof=1)).tolist()


ARMS: dict[str, tuple[str, int, float | None]] = {
    "capacity": ("capacity", 9, None),
    "fixed beta": ("beta", 9, None),
    "capacity, no ramp": ("capacity", 1, None),
    "annealed beta": ("beta", 9, 64.0),
}
"""Family, `ramp_steps` and `beta_start`."""


def study(gaps: dict[str, list[float]]) -> pd.DataFrame:
    """Finished trials: each arm that much under capacity, one value a seed."""
    rows = []
    for name, offsets in gaps.items():
        family, ramp, start = ARMS[name]
        for seed, offset in enumerate(offsets):
            for recon, score in curve([100, 150, 200], -offset):
                row = {"family": family, "ramp_steps": ramp, "beta_start": start, "seed": seed, "recon": recon}
                rows.append(row | {"setting": f"{name} {recon}", "mig_calibrated": score})
    return pd.DataFrame(rows)


def crossed(points: Mapping[tuple[str, str], Sequence[tuple[float, float]]], first: int = 0) -> pd.DataFrame:
    """Finished trials: (family, setting) -> (recon, score) of each seed, from `first` on; R0 600, floor 100 nats."""
    return pd.DataFrame(
        {"key": f"{setting} {first + seed}", "family": family, "setting": setting, "seed": first + seed, "recon": recon,
         "mig_calibrated": score, "constant_loss": 600.0, "recon_floor": 100.0}
        for (family, setting), pairs in points.items()
        for seed, (recon, score) in enumerate(pairs)
    )  # fmt: skip


def rows(trials: pd.DataFrame) -> list[Setting]:
    """The settings of such trials, each called by its id."""
    pairs = dict.fromkeys(zip(trials["family"], trials["setting"], strict=True))
    return [Setting(setting, family, {"beta": setting}, {}, {}, {}) for family, setting in pairs]
