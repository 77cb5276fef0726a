"""Would another score say the same? How nearly the scores rank the trials alike, and which setting each calls best."""

import itertools
import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from analysis.statistics import Estimate, clustered, over_seeds
from analysis.tradeoff.settings import Setting

RECON = "-recon"
"""Reconstruction, turned so that more is better like a score."""
LEAST_TRIALS = 3
"""Two trials agree or not: that is no rank correlation."""


@dataclass(frozen=True)
class Agreement:
    """How nearly the scores rank the trials of a study alike.

    Attributes:
        names: The scores that are compared, `-recon` last.
        pairs: Spearman's correlation over trials of each two of them, by their names, in both orders.
        concordance: Kendall's W of the scores, without recon: 1 where all rank alike, one over the number of
            scores where nothing is shared; NaN under two scores. It has no interval.
        trials: How many trials have all of the scores.
        settings: Of how many settings.
        best: Of each score, the label of the setting with the greatest mean over seeds and that mean; of `-recon`, the
            setting that reconstructs best and its recon (nats).
        left_out: Scores that are not compared, and why.
    """

    names: tuple[str, ...]
    pairs: dict[tuple[str, str], Estimate]
    concordance: float
    trials: int
    settings: int
    best: dict[str, tuple[str, float]]
    left_out: dict[str, str]


def agreement(finished: pd.DataFrame, rows: list[Setting], scores: list[str]) -> Agreement:
    """The rank agreement of scores over trials; the uncertainty is over settings, taken with all their seeds.

    Trials differ by setting and by seed, so two scores may agree on settings and not on seeds; both are in one number.

    Args:
        finished: `Frames.finished`.
        rows: Their settings.
        scores: Columns, more is better, as `scorecard.supervised` names them.
    """
    kept, left_out = _told(finished, scores)
    if finished.empty or not kept:
        return Agreement((), {}, math.nan, 0, 0, {}, left_out)
    names = [*kept, RECON]
    table = finished.assign(**{RECON: -finished["recon"]}).loc[:, ["setting", *names]].dropna()
    groups = [group.loc[:, names].to_numpy(float) for _, group in table.groupby("setting", sort=False)]
    pairs = {}
    for (i, one), (j, other) in itertools.combinations(enumerate(names), 2):
        pairs[one, other] = pairs[other, one] = over_seeds([_spearman(*np.concatenate(groups)[:, [i, j]].T)])
    if len(kept) > 1:  # resampling is slow: the weakest pair alone has an interval
        one, other = _weakest(kept, pairs)
        columns = [names.index(one), names.index(other)]
        resampled = clustered([group[:, columns] for group in groups], lambda both: _spearman(both[:, 0], both[:, 1]))
        pairs[one, other] = pairs[other, one] = resampled
    values = table.loc[:, kept].to_numpy(float)
    return Agreement(
        tuple(names), pairs, concordance(values), len(table), len(groups), _best(finished, rows, names), left_out
    )


def concordance(values: NDArray[np.float64]) -> float:
    """Kendall's W of m scores over n trials, ties corrected: (n, m) -> 0 to 1, by chance about 1 / m; NaN under two.

    Source: Kendall and Babington Smith 1939; Friedman's statistic over m (n - 1).
    """
    trials, scores = values.shape
    if scores < 2 or trials < LEAST_TRIALS:
        return math.nan
    return float(scipy.stats.friedmanchisquare(*values).statistic) / (scores * (trials - 1))


def sentences(found: Agreement) -> list[str]:
    """How far the scores agree, where they choose different settings, and which are not compared."""
    said = []
    scores = [name for name in found.names if name != RECON]
    if not math.isnan(found.concordance):
        weakest = _weakest(scores, found.pairs)
        said.append(
            f"Over {found.trials} trials of {found.settings} settings the {len(scores)} scores agree to Kendall's W = "
            f"{found.concordance:.2f} (1: all rank alike; {1 / len(scores):.2f}: by chance); "
            f"least {weakest[0]} and {weakest[1]}, Spearman "
            f"{found.pairs[weakest]:.2f}."
        )
    by_setting: dict[str, list[str]] = {}
    for name in scores:
        if name in found.best:
            by_setting.setdefault(found.best[name][0], []).append(name)
    if len(by_setting) == 1 and len(scores) > 1:
        said.append(f"All call the same setting best: {next(iter(by_setting))}.")
    elif len(by_setting) > 1:
        words = "; ".join(f"{label} by {', '.join(names)}" for label, names in by_setting.items())
        said.append(f"They do not call the same setting best: {words}.")
    return [*said, *(f"{name} is not compared: {reason}." for name, reason in found.left_out.items())]


def _weakest(scores: list[str], pairs: dict[tuple[str, str], Estimate]) -> tuple[str, str]:
    """The two that agree least."""
    known = [pair for pair in itertools.combinations(scores, 2) if not math.isnan(pairs[pair].mean)]
    return min(known or itertools.combinations(scores, 2), key=lambda pair: pairs[pair].mean)


def _told(finished: pd.DataFrame, scores: list[str]) -> tuple[list[str], dict[str, str]]:
    """The scores that can be compared, and why the others cannot."""
    kept, left_out = [], {}
    for name in scores:
        values = finished[name].to_numpy(float) if name in finished else np.empty(0)
        known = values[~np.isnan(values)]
        if not np.isfinite(known).all():
            left_out[name] = "it is infinite in some trial"
        elif len(known) < LEAST_TRIALS:
            left_out[name] = f"{len(known)} trials have it"
        elif len(np.unique(known)) == 1:
            left_out[name] = "it is the same in every trial"
        elif 2 * len(known) < len(finished):
            left_out[name] = f"only {len(known)} of {len(finished)} trials have it"
        else:
            kept.append(name)
    return kept, left_out


def _best(finished: pd.DataFrame, rows: list[Setting], names: list[str]) -> dict[str, tuple[str, float]]:
    labels, found = {row.id: row.label for row in rows}, {}
    turned = finished.assign(**{RECON: -finished["recon"]})
    for name in names:
        values: dict[str, list[float]] = {}
        for setting, value in zip(turned["setting"], turned[name], strict=True):
            if not math.isnan(value):
                values.setdefault(setting, []).append(value)
        most = max(map(len, values.values()), default=0)  # a mean of fewer seeds is luckier
        means = {setting: float(np.mean(own)) for setting, own in values.items() if len(own) == most}
        if means:
            best = max(means, key=means.__getitem__)
            found[name] = (labels[best], -means[best] if name == RECON else means[best])
    return found


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """NaN where either is constant, as in some resample."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.ConstantInputWarning)
        return float(scipy.stats.spearmanr(one, other)[0])  # type: ignore[arg-type]
