"""Choosing a setting without labels: UDR and other label-free scores, and how well they stand in for labels.

Source: Duan et al. 2020, "Unsupervised model selection for variational disentangled representation learning" (UDR).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray
from sklearn.linear_model import Lasso

from analysis.frames import Frames, records
from analysis.statistics import Estimate, clustered, over_seeds

ALPHA = 0.1
"""Of the Lasso, on standardised means."""
INFORMATIVE = 0.01
"""Nats of KL_j above which a latent takes part in UDR."""
MISSING_UNDER, WEAK_UNDER = 3, 5
"""Seeds of a setting: no UDR, and one that is called weak."""
LABEL_FREE = {
    "udr_lasso": 1,
    "udr_spearman": 1,
    "elbo": 1,
    "recon": -1,
    "kl": -1,
    "gaussian_total_correlation": -1,
    "active_latents": 1,
}
"""Scores that need no factors, and whether more or less of each is taken for better."""

Relation = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def lasso(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """|Lasso coefficient| of each of `one`'s latents in each of `other`'s, standardised: (n, a), (n, b) -> (a, b)."""
    fits = [Lasso(alpha=ALPHA).fit(one, column).coef_ for column in other.T]
    return np.abs(np.stack(fits, axis=1))


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """|Spearman correlation| of each pair of latents: (n, a), (n, b) -> (a, b)."""
    a, b = (_standardised(scipy.stats.rankdata(codes, axis=0)) for codes in (one, other))
    return np.abs(a.T @ b) / len(one)


RELATIONS: dict[str, Relation] = {"udr_lasso": lasso, "udr_spearman": spearman}


def pair_score(related: NDArray[np.float64]) -> float:
    """How nearly two models' latents match one to one: mean of max(R)^2 / sum(R) over columns and over rows.

    Args:
        related: R, (a, b), of the informative latents of either; 0 where there are none, nothing being shared.
    """
    if related.size == 0:
        return 0.0
    means = []
    for table in (related, related.T):
        totals = table.sum(axis=0)
        shares = np.divide(table.max(axis=0) ** 2, totals, where=totals > 0, out=np.zeros(len(totals)))
        means.append(shares.mean())
    return float(np.mean(means))


def udr(means: list[NDArray[Any]], kls: list[NDArray[Any]], relation: Relation) -> list[float]:
    """UDR of each replicate of one setting: the median over the others of how well their latents match.

    Args:
        means: Mean codes of each replicate on the same rows, (n, d) each.
        kls: KL per latent of each, (d,) nats: latents under 0.01 take no part.
        relation: `lasso` or `spearman`.

    Returns:
        One score a replicate, all NaN under three of them.
    """
    if len(means) < MISSING_UNDER:
        return [np.nan] * len(means)
    kept = [_standardised(mean[:, kl > INFORMATIVE]) for mean, kl in zip(means, kls, strict=True)]
    scores = []
    for i, one in enumerate(kept):
        others = [other for j, other in enumerate(kept) if j != i]
        pairs = [pair_score(relation(one, other) if one.size and other.size else np.empty((0, 0))) for other in others]
        scores.append(float(np.median(pairs)))
    return scores


def label_free(frames: Frames) -> pd.DataFrame:
    """The finished trials with their label-free scores: key, setting, seed and the columns of `LABEL_FREE`."""
    found = []
    for _, group in frames.finished.groupby("setting", sort=False):
        trials = records(group)
        arrays = [frames.study.arrays(trial["key"])["mean"] for trial in trials]
        kls = [np.array([trial[f"kl_{j}"] for j in range(arrays[0].shape[1])]) for trial in trials]
        columns = {name: udr(arrays, kls, relation) for name, relation in RELATIONS.items()}
        for place, trial in enumerate(trials):
            row = {name: trial[name] for name in ("key", "setting", "seed")}
            row |= {name: trial.get(name, np.nan) for name in LABEL_FREE}
            row |= {name: values[place] for name, values in columns.items()}
            found.append(row | {"elbo": -trial["recon"] - trial["kl"]})
    return pd.DataFrame(found)


def rank_correlation(scores: pd.DataFrame, by: str, target: str) -> Estimate:
    """Spearman's correlation over trials of a label-free score, so turned that more is better, with a supervised one.

    Args:
        scores: A row a trial, with `setting` and both columns.
        by: One of `LABEL_FREE`.
        target: A supervised score.

    Returns:
        With an interval from ten settings on: settings are resampled, with all their seeds.
    """
    both = scores.dropna(subset=[by, target])
    pairs = [group[[by, target]].to_numpy(float) for _, group in both.groupby("setting")]
    return clustered(pairs, lambda table: _spearman(LABEL_FREE[by] * table[:, 0], table[:, 1]))


def regret(scores: pd.DataFrame, by: str, target: str) -> Estimate:
    """What choosing a setting without labels costs, against choosing it with them, on a seed that neither has seen.

    For each seed: both choose the setting with the best mean over the other seeds, and the supervised scores of the
    two on the left-out seed are compared. (UDR itself compares all seeds.)

    Args:
        scores: A row a trial, with `setting`, `seed` and both columns.
        by: One of `LABEL_FREE`.
        target: A supervised score; more is better.

    Returns:
        The mean over the left-out seeds, without an interval: the choices share seeds, and a t interval of five covers
        80 %. Settings that tie share the choice. Nothing where fewer than two seeds or settings are complete, or where
        the label-free score tells no setting from another.
    """
    tables = {
        name: scores.pivot_table(index="setting", columns="seed", values=name, dropna=False) for name in (by, target)
    }
    complete = tables[by].notna().all(axis=1) & tables[target].notna().all(axis=1)
    ours, theirs = LABEL_FREE[by] * tables[by][complete], tables[target][complete]
    if min(ours.shape) < 2:
        return over_seeds([])
    costs = []
    for seed in theirs.columns:
        chosen, best = (_best(table.drop(columns=seed).mean(axis=1)) for table in (ours, theirs))
        if chosen.all():
            return over_seeds([])
        costs.append(float(theirs.loc[best, seed].mean() - theirs.loc[chosen, seed].mean()))
    return over_seeds([float(np.mean(costs))])


def _best(means: pd.Series) -> pd.Series:
    return means >= means.max() - 1e-12


def by_setting(scores: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """The label-free scores of each setting, mean over seeds, as text, best UDR first.

    Args:
        scores: As `label_free` gives them.
        labels: Of the settings, by id.
    """
    rows = []
    for setting, group in scores.groupby("setting", sort=False):
        row: dict[str, Any] = {"setting": labels[str(setting)], "udr": over_seeds(group["udr_lasso"].tolist()).mean}
        rows.append(row | {name: format(over_seeds(group[name].tolist()), ".3g") for name in LABEL_FREE})
    return pd.DataFrame(rows).sort_values("udr", ascending=False, kind="stable").drop(columns="udr")


def table(scores: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """Rank correlation and regret of each label-free score against each supervised one, as text."""
    rows = []
    for by in LABEL_FREE:
        row: dict[str, Any] = {"chosen by": by + ("" if LABEL_FREE[by] > 0 else " (less is better)")}
        for target in targets:
            row[f"rank correlation with {target}"] = format(rank_correlation(scores, by, target), ".2f")
            row[f"regret in {target}"] = format(regret(scores, by, target), ".3f")
        rows.append(row)
    return pd.DataFrame(rows)


def seeds_of(trials: pd.DataFrame) -> int:
    """Seeds of the setting that has most; `trials` has `setting` and `seed`."""
    return max(trials.groupby("setting")["seed"].nunique().tolist(), default=0)


def caution(seeds: int) -> str:
    """What so many seeds of a setting forbid to say; nothing where there are enough."""
    if seeds < MISSING_UNDER:
        return f"UDR is missing: it compares replicates, and no setting has more than {seeds} (it takes 3, better 5)."
    return f"UDR is weak: it compares {seeds} seeds (better 5 and more)." if seeds < WEAK_UNDER else ""


def _standardised(codes: NDArray[Any]) -> NDArray[np.float64]:
    """Mean 0 and standard deviation 1 of each column that varies; 0 for a constant one."""
    centred = codes.astype(np.float64) - codes.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, where=spread > 0, out=np.zeros_like(centred))


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if min(len(one), len(np.unique(one)), len(np.unique(other))) < 2:
        return np.nan
    return float(scipy.stats.spearmanr(one, other)[0])  # type: ignore[arg-type]
