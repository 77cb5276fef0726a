"""What k of n seeds attain between reconstruction and disentanglement, and the volume that a seed's settings dominate.

One run is one seed's set of settings, so a family's runs must all have the same ones: a front of more points lies
farther out by that alone. Both tell of maxima over noisy settings, which are better than the settings: they compare
families of equal settings and seeds, and promise nothing of a setting.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.statistics import Estimate, effect_size, over_seeds
from analysis.tradeoff.fronts import Replicates, replicates
from analysis.tradeoff.matched import TARGET
from study.progress import pareto

HALF_SEEDS = 4
"""Least number of seeds for a level between the best and the worst."""


@dataclass(frozen=True)
class Level:
    """What at least k of the n seeds attain.

    Attributes:
        k: In at least so many seeds, some setting is as good on both targets as any point under the curve.
        n: Seeds.
        name: best, half or worst.
        points: Corners of the step curve, recon (nats) and score both rising: (corners, 2).
    """

    k: int
    n: int
    name: str
    points: NDArray[np.float64]

    def at(self, recon: NDArray[np.float64]) -> NDArray[np.float64]:
        """The greatest score attained at no more than that recon; minus infinity left of the curve."""
        before = np.searchsorted(self.points[:, 0], recon, side="right")
        return np.concatenate([[-math.inf], self.points[:, 1]])[before]


@dataclass(frozen=True)
class Attainment:
    """One family over its seeds. The levels are counts over these seeds, not intervals.

    Attributes:
        family: Which.
        score: Column.
        settings: How many it has in all of its seeds; the others take no part.
        left_out: How many others.
        runs: By seed, that seed's own front: (points, 2).
        levels: Best and worst from two seeds on, between them the half from four on.
        reason: Why there are no levels; empty where there are.
    """

    family: str
    score: str
    settings: int
    left_out: int
    runs: dict[int, NDArray[np.float64]]
    levels: tuple[Level, ...]
    reason: str = ""


@dataclass(frozen=True)
class Volume:
    """The hypervolume of a family's settings, against the best constant image and a code that knows nothing.

    Attributes:
        family: Which.
        settings: How many it has in all of its seeds; the others take no part.
        seeds: Those.
        share: Mean over seeds and its interval: share of R0 x score, so of one at most for a score of one at most.
        reason: Why there is none; empty where there is.
    """

    family: str
    settings: int
    seeds: tuple[int, ...]
    share: Estimate
    reason: str = ""


@dataclass(frozen=True)
class VolumeGap:
    """Two families' volumes at equal settings and seeds.

    Attributes:
        a: A family.
        b: Another.
        difference: Volume of a minus that of b, share of R0 x score, paired by seed.
        reason: Why the two are not comparable; empty where they are.
    """

    a: str
    b: str
    difference: Estimate
    reason: str = ""

    @property
    def effect(self) -> float | None:
        """Mean difference in standard deviations of the seeds'; None under three seeds or where all are equal."""
        return effect_size(self.difference.values)


def attainment(finished: pd.DataFrame, score: str = TARGET) -> list[Attainment]:
    """What k of n seeds attain, of each family in the order of the trials.

    Args:
        finished: `Frames.finished`.
        score: A column; more is better.

    Raises:
        InputError: Two trials of one setting and seed.
    """
    found = []
    for family, runs, left_out in _complete(finished, score):
        points = {seed: runs.values[:, place] for place, seed in enumerate(runs.seeds)}
        reason = _lacking(runs, score) or ("one seed: its front has no spread" if len(runs.seeds) == 1 else "")
        fronts = {seed: one[pareto([(r, s) for r, s in one.tolist()])] for seed, one in points.items()}
        levels = () if reason else _levels(points)
        found.append(Attainment(family, score, len(runs.settings), left_out, fronts, levels, reason))
    return found


def volumes(finished: pd.DataFrame, score: str = TARGET) -> list[Volume]:
    """The hypervolume of each family, per seed: recon as a share of R0, both less the pixels' entropy, times the score.

    The reference point is the recon of the best constant image (`constant_loss`) and a calibrated score of 0: settings
    beyond either add nothing. The interval is over seeds. A volume rises with the number of settings and with noise.

    Args:
        finished: `Frames.finished`, with `constant_loss` and `recon_floor`.
        score: A column; more is better; 0 should mean that a code knows nothing.

    Raises:
        InputError: Two trials of one setting and seed.
    """
    import moocore

    reference, unknown = _reference(finished)
    found = []
    for family, runs, _ in _complete(finished, score):
        reason, values = _lacking(runs, score) or unknown, []
        if not reason:
            floor, constant = reference
            scaled = (runs.values - [floor, 0.0]) / [constant - floor, -1.0]  # both to be minimised
            values = [float(moocore.hypervolume(scaled[:, seed], ref=[1.0, 0.0])) for seed in range(len(runs.seeds))]
        found.append(Volume(family, len(runs.settings), runs.seeds, over_seeds(values), reason))
    return found


def volume_gap(a: Volume, b: Volume) -> VolumeGap:
    """Volume of a minus that of b, paired by seed, or why that says nothing: `beta has 3 settings, capacity 6`."""
    reason = next((f"{one.family}: {one.reason}" for one in (a, b) if one.reason), "")
    if not reason and a.settings != b.settings:
        reason = f"{a.family} has {_count(a.settings, 'setting')}, {b.family} {b.settings}"
    if not reason and len(a.seeds) != len(b.seeds):
        reason = f"{a.family} has {_count(len(a.seeds), 'seed')}, {b.family} {len(b.seeds)}"
    if not reason and a.seeds != b.seeds:
        ours, theirs = (", ".join(map(str, one.seeds)) for one in (a, b))
        reason = f"{a.family} has the seeds {ours}, {b.family} {theirs}"
    pairs = [] if reason else zip(a.share.values, b.share.values, strict=True)
    return VolumeGap(a.family, b.family, over_seeds([ours - theirs for ours, theirs in pairs]), reason)


def volume_table(found: list[Volume]) -> pd.DataFrame:
    """The volumes as text: `family`, `settings` in all seeds, `seeds`, `volume` (share of R0 x score), `without`."""
    return pd.DataFrame(
        {
            "family": one.family,
            "settings": str(one.settings),
            "seeds": str(len(one.seeds)),
            "volume": format(one.share, ".3f"),
            "without": one.reason or "-",
        }
        for one in found
    )


def volume_sentence(gap: VolumeGap) -> str:
    """What two families' volumes say of each other, or why nothing."""
    opening = f"Hypervolume, {gap.a} minus {gap.b}"
    if gap.reason:
        return f"{opening}: not comparable, {gap.reason}."
    size = "" if gap.effect is None else f"; {gap.effect:+.1f} sd over seeds"
    count = _count(len(gap.difference.values), "seed")
    return f"{opening}: {gap.difference:+.3f} share of R0 x score ({count}, paired{size}; exploratory)."


def _complete(finished: pd.DataFrame, score: str) -> list[tuple[str, Replicates, int]]:
    """Each family, those of its settings that all of its seeds have, and how many are left out."""
    every, found = replicates(finished, score), []
    for family in dict.fromkeys(finished["family"] if len(finished) else []):
        ids = set(finished.loc[finished["family"] == family, "setting"])
        own = [place for place, one in enumerate(every.families) if one == family]
        values = every.values[own]
        told = ~np.isnan(values[..., 0])
        seeds = np.flatnonzero(told.any(axis=0)).tolist()
        whole = [at for at in range(len(own)) if told[at, seeds].all()]
        kept = Replicates(
            tuple(every.settings[own[at]] for at in whole), (family,) * len(whole),
            tuple(every.seeds[place] for place in seeds), values[np.ix_(whole, seeds)],
        )  # fmt: skip
        found.append((family, kept, len(ids) - len(whole)))
    return found


def _lacking(runs: Replicates, score: str) -> str:
    return "" if runs.settings else f"no setting has {score} in every seed"


def _levels(runs: dict[int, NDArray[np.float64]]) -> tuple[Level, ...]:
    import moocore

    n = len(runs)
    asked = {1: "best"} | ({(n + 1) // 2: "half"} if n >= HALF_SEEDS else {}) | {n: "worst"}
    points = np.concatenate(list(runs.values())) * [1, -1]
    # moocore counts how many rows each set has and takes it that they lie one after another: they do here.
    attained = moocore.eaf(points, np.repeat(np.arange(n), [len(one) for one in runs.values()]))
    ks = np.rint(attained[:, 2] * n / 100)
    corners = {k: attained[ks == k, :2] * [1, -1] for k in asked}
    return tuple(Level(k, n, name, corners[k][np.argsort(corners[k][:, 0])]) for k, name in asked.items())


def _reference(finished: pd.DataFrame) -> tuple[tuple[float, float], str]:
    """The pixels' entropy and R0, nats per image, or why a study has not one of each."""
    found = []
    for column in ("recon_floor", "constant_loss"):
        values = finished[column].dropna().tolist() if column in finished else []
        if not values:
            return (math.nan, math.nan), f"the trials do not say {column}"
        if max(values) - min(values) > 1e-3 * abs(max(values)):
            return (math.nan, math.nan), f"{column} is {min(values):.1f} in one trial and {max(values):.1f} in another"
        found.append(float(np.mean(values)))
    if found[1] <= found[0]:
        return (math.nan, math.nan), f"constant_loss {found[1]:.1f} is not over recon_floor {found[0]:.1f}"
    return (found[0], found[1]), ""


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
