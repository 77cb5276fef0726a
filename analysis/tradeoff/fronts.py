"""The front between reconstruction and disentanglement, and how sure it is that a setting lies on it.

A front of means is a description of these seeds. What other seeds would have made of it is told by redrawing the means.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from analysis.statistics import BOOTSTRAP_SEEDS, T_SEEDS
from analysis.tradeoff.cells import some
from analysis.tradeoff.matched import TARGET
from analysis.tradeoff.settings import Setting
from trainables.checks import InputError

DRAWS = 4000
"""Of all means at once; the error of a probability from so many is at most .008."""


@dataclass(frozen=True)
class Replicates:
    """Both targets of every setting and seed.

    Attributes:
        settings: In the order of the trials.
        families: Of each.
        seeds: Rising: those in which any setting has both targets.
        values: recon (nats per image; less is better) and score (more is better): (settings, seeds, 2). Both are NaN
            where a trial has not finished, or lacks one of them.
    """

    settings: tuple[str, ...]
    families: tuple[str, ...]
    seeds: tuple[int, ...]
    values: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which settings have which seeds: (settings, seeds)."""
        return ~np.isnan(self.values[..., 0])


@dataclass(frozen=True)
class Standing:
    """How a setting stands towards the fronts.

    Attributes:
        setting: Which.
        seeds: In how many it has both targets.
        on_family: Whether its means are on its family's front of means.
        on_joint: Whether they are on the front of all families.
        p_family: Probability that it is on its family's front; None under three seeds.
        p_joint: The same of the joint front.
    """

    setting: Setting
    seeds: int
    on_family: bool
    on_joint: bool
    p_family: float | None
    p_joint: float | None


def replicates(finished: pd.DataFrame, score: str = TARGET) -> Replicates:
    """Both targets of the finished trials as one array.

    Args:
        finished: `Frames.finished`: `setting`, `family`, `seed`, `recon` and the score.
        score: A column; more is better.

    Raises:
        InputError: Two trials of one setting and seed, which are no replicates of each other.
    """
    if finished.empty or score not in finished:
        return Replicates((), (), (), np.empty((0, 0, 2)))
    trials = finished[["setting", "family", "seed"]].assign(
        recon=finished["recon"].astype(float), score=finished[score].astype(float)
    )
    twice = trials.loc[trials.duplicated(["setting", "seed"])]
    if len(twice):
        setting, seed = twice.iloc[0][["setting", "seed"]]
        raise InputError(f"setting {setting} has two trials of seed {seed}; keep one: seeds must be replicates")
    trials = trials.loc[np.isfinite(trials[["recon", "score"]].to_numpy()).all(axis=1)]
    settings, seeds = tuple(dict.fromkeys(trials["setting"])), tuple(sorted(set(trials["seed"].tolist())))
    family = dict(zip(trials["setting"], trials["family"], strict=True))
    values = np.full((len(settings), len(seeds), 2), np.nan)
    rows = [settings.index(setting) for setting in trials["setting"]]
    columns = [seeds.index(seed) for seed in trials["seed"]]
    values[rows, columns] = trials[["recon", "score"]].to_numpy()
    return Replicates(settings, tuple(family[setting] for setting in settings), seeds, values)


def redrawn(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means that other seeds might have given, all settings at once.

    The seeds are crossed with the settings: one seed is the same init, order and noise in all of them, so what lifts
    one setting may lift its neighbour, and the difference of two is surer than either. A draw therefore weighs the
    seeds once, and moves all settings by that. Where every setting has ten seeds, seeds are resampled. With three to
    nine, seed s gets a normal weight g_s, and a setting's mean moves by sum_s g_s (x_s - mean) / sqrt(n (n - 1)),
    divided by the root of a chi-squared over its n - 1 degrees of freedom: alone it is bivariate t with scale S / n,
    so its margins are the t intervals, and the difference of two settings of equal seeds is the paired one.

    Args:
        values: As `Replicates.values`; each setting with three seeds and more.

    Returns:
        (draws, settings, 2). The same seeds give the same draws, in whatever order the settings are.
    """
    values = values[:, ~np.isnan(values[..., 0]).all(axis=0)]  # a seed that none of these has draws nothing
    rng, present = np.random.default_rng(0), ~np.isnan(values[..., 0])
    counts, seeds, means = present.sum(axis=1), values.shape[1], np.nanmean(values, axis=1)
    if counts.min() >= BOOTSTRAP_SEEDS:
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=DRAWS).astype(float)
        moves = np.einsum("ds,msk->dmk", times, np.nan_to_num(values - means[:, None]))
        return means + moves / np.maximum(times @ present.T, 1)[..., None]
    moves = np.nan_to_num(values - means[:, None]) / np.sqrt(counts * (counts - 1.0))[:, None, None]
    weights, chance = rng.normal(size=(DRAWS, seeds)), rng.uniform(size=(DRAWS, 1))
    spread = np.sqrt(scipy.stats.chi2.ppf(chance, counts - 1) / (counts - 1))
    return means + np.einsum("ds,msk->dmk", weights, moves) / spread[..., None]


def unbeaten(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points of each draw no other beats on both targets; equal ones all stay, as in `pareto`.

    Args:
        points: (draws, settings, 2), as `redrawn` gives them.

    Returns:
        (draws, settings).
    """
    recon, score = points[..., 0], points[..., 1]
    kept = np.empty(recon.shape, bool)
    for place in range(recon.shape[1]):
        r, s = recon[:, [place]], score[:, [place]]
        kept[:, place] = ~((recon <= r) & (score >= s) & ((recon < r) | (score > s))).any(axis=1)
    return kept


def standings(finished: pd.DataFrame, rows: list[Setting], score: str = TARGET) -> list[Standing]:
    """How each setting stands towards its family's front and the joint one, with the uncertainty over seeds.

    The probability is the share of `redrawn` means in which no other setting beats this one on both targets. It
    answers: with these settings and this probe, how often would as many new seeds put it there? It is no probability
    that the setting is best, nor that it would be on a front of more settings; the setting that reconstructs best is on
    every front, so ends are surer than middles. A setting whose means were lucky is judged by that luck.

    Args:
        finished: `Frames.finished`.
        rows: The settings of the same trials.
        score: A column; more is better.

    Returns:
        In the order of the rows. Settings under three seeds have no probability and compete for none.
    """
    table = replicates(finished, score)
    counts = dict(zip(table.settings, table.present.sum(axis=1).tolist(), strict=True))
    with_means = [place for place, setting in enumerate(table.settings) if setting in {row.id for row in rows}]
    points = np.array([np.nanmean(table.values[place], axis=0) for place in with_means]).reshape(1, -1, 2)
    able = [place for place in with_means if counts[table.settings[place]] >= T_SEEDS]
    draws = redrawn(table.values[able]) if able else np.empty((0, 0, 2))
    on_family, on_joint = _shares(table, with_means, points)
    p_family, p_joint = _shares(table, able, draws)
    return [
        Standing(
            row, counts.get(row.id, 0), bool(on_family.get(row.id)), bool(on_joint.get(row.id)),
            p_family.get(row.id), p_joint.get(row.id),
        )
        for row in rows
    ]  # fmt: skip


def likeliest(found: list[Standing], most: int) -> list[Standing]:
    """So many settings that are likeliest on their family's front, in their order; those without a probability last."""
    by_chance = sorted(range(len(found)), key=lambda place: 1.0 if (p := found[place].p_family) is None else -p)
    return [found[place] for place in sorted(by_chance[:most])]


def table(found: list[Standing]) -> pd.DataFrame:
    """The standings as text.

    Returns:
        `setting`, `family`, `seeds`, `front of means` (joint, which is its family's too, family, or neither), and the
        probabilities to be on either over seeds; a dash under three seeds, and for the joint one of a single family.
    """
    several = len({one.setting.family for one in found}) > 1
    return pd.DataFrame(
        {
            "setting": one.setting.label,
            "family": one.setting.family,
            "seeds": str(one.seeds),
            "front of means": "joint" if one.on_joint and several else "family" if one.on_family else "-",
            "P(family front)": _chance(one.p_family),
            "P(joint front)": _chance(one.p_joint if several else None),
        }
        for one in found
    )


def caution(found: list[Standing], score: str = TARGET) -> str:
    """What the standings cannot say, in sentences; empty where they say all."""
    none = [one.setting.label for one in found if not one.seeds]
    few = [one.setting.label for one in found if 0 < one.seeds < T_SEEDS]
    if found and len(none) == len(found):
        return f"No setting has {score}: there is no front."
    words = [f"Without {score}: {some(none)}."] if none else []
    if few and len(few) + len(none) == len(found):
        words.append(f"No setting has {T_SEEDS} seeds: the front describes this run, without a probability.")
    elif few:
        words.append(f"Under {T_SEEDS} seeds, so without a probability and no rival of the others: {some(few)}.")
    if len({one.setting.family for one in found}) == 1:
        words.append("One family: its front is the joint one.")
    return " ".join(words)


def _shares(
    table: Replicates, places: list[int], points: NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, float]]:
    """Share of the draws in which each setting is on its family's front, and on the joint one."""
    joint = dict(zip(_named(table, places), unbeaten(points).mean(axis=0).tolist(), strict=True)) if places else {}
    alone: dict[str, float] = {}
    for family in {table.families[place] for place in places}:
        members = [at for at, place in enumerate(places) if table.families[place] == family]
        shares = unbeaten(points[:, members]).mean(axis=0).tolist()
        alone |= zip(_named(table, [places[at] for at in members]), shares, strict=True)
    return alone, joint


def _named(table: Replicates, places: Iterable[int]) -> list[str]:
    return [table.settings[place] for place in places]


def _chance(value: float | None) -> str:
    """Two places; never a 0 or a 1 that the draws cannot know."""
    if value is None:
        return "-"
    return "< 0.01" if value < 0.01 else "> 0.99" if value > 0.99 else f"{value:.2f}"
