"""Analysis of variance of a complete grid of settings x seeds, and the components of variance that it speaks of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray

SEED, RESIDUAL, HIGHER = "seed", "seed x setting", "higher interactions"
DRAWS = 2000
LARGE = 1000.0
"""Noncentral chi squared from which on its root is taken for normal: good to .1 % at 30 degrees of freedom."""


@dataclass(frozen=True)
class Anova:
    """Sums of squares by source: parts of the setting, their interactions, last `seed` and `seed x setting`.

    Attributes:
        sources: Their names, (k,).
        squares: Sums of squares, in the squared unit of the target, (k,).
        freedoms: Degrees of freedom, (k,).
        settings: How many.
        trials: Settings times seeds.
    """

    sources: tuple[str, ...]
    squares: NDArray[np.float64]
    freedoms: NDArray[np.float64]
    settings: int
    trials: int


def anova(cells: pd.DataFrame, parts: Mapping[str, list[str]]) -> Anova:
    """The analysis of variance of a table whose parts are crossed, so that each sum of squares is one.

    Args:
        cells: Settings x seeds, without a gap.
        parts: By name, the level of each setting; every combination of levels is a setting. Interactions of three and
            more are put together.
    """
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    settings, seeds = cells.shape
    names = {f"C(part{place})": name for place, name in enumerate(parts)}
    columns = {f"part{place}": np.repeat(levels, seeds) for place, levels in enumerate(parts.values())}
    values = cells.to_numpy().ravel()
    values = values - values.mean()  # so that a recon in the hundreds keeps the digits of a small spread
    trials = pd.DataFrame({"value": values, "seed": np.tile(np.arange(seeds), settings), **columns})
    fit = ols(f"value ~ {' * '.join(names)} + C(seed)", trials).fit(method="qr")
    found = anova_lm(fit, test=None)
    sums: dict[str, NDArray[np.float64]] = {}
    for term in [str(term) for term in found.index if term not in ("C(seed)", "Residual")]:
        own = [names[part] for part in term.split(":")]
        source = " x ".join(own) if len(own) < 3 else HIGHER
        sums[source] = sums.get(source, np.zeros(2)) + found.loc[term, ["sum_sq", "df"]].to_numpy(float)
    for term, source in (("C(seed)", SEED), ("Residual", RESIDUAL)):
        sums[source] = found.loc[term, ["sum_sq", "df"]].to_numpy(float)
    squares, freedoms = np.array(list(sums.values())).T
    return Anova(tuple(sums), squares, freedoms, settings, settings * seeds)


def components(of: Anova) -> NDArray[np.float64]:
    """The variance that each source adds to a trial drawn from the grid, by expected mean squares: (k,).

    df (MS - MS_residual) / trials for parts of the setting, (MS_seed - MS_residual) / settings, MS_residual.
    """
    means = of.squares / of.freedoms
    residual = means[-1]
    fixed = of.freedoms[:-2] * (means[:-2] - residual) / of.trials
    return np.array([*fixed, (means[-2] - residual) / of.settings, residual])


def pivots(of: Anova) -> NDArray[np.float64]:
    """Draws of the components that the data leave possible, none under 0: (DRAWS, k).

    Generalised pivots: whatever is exact for one source alone (chi squared of the residual and the seed, the
    noncentral one of a part of the setting), solved for its component; all with the same draw of the residual.

    Source: Weerahandi 1993, "Generalized confidence intervals"; Hannig, Iyer and Patterson 2006.
    """
    rng = np.random.default_rng(0)
    least = max(of.squares.sum() * 1e-12, np.finfo(float).tiny)  # seeds that agree to the last digit leave no residual
    residual = np.maximum(of.squares[-1], least) / rng.chisquare(of.freedoms[-1], DRAWS)
    seed = (of.squares[-2] / rng.chisquare(of.freedoms[-2], DRAWS) - residual) / of.settings
    fixed = [
        residual * noncentrality(squares / residual, freedom, rng.random(DRAWS)) / of.trials
        for squares, freedom in zip(of.squares[:-2], of.freedoms[:-2], strict=True)
    ]
    return np.column_stack([*fixed, np.maximum(seed, 0), residual])


def noncentrality(value: NDArray[np.float64], freedom: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The noncentrality of which a share of chi squared lies under the value; 0 where of the central one less does.

    Args:
        value: Of chi squared, (n,).
        freedom: Its degrees of freedom.
        share: In 0 to 1, (n,).
    """
    small = value < LARGE
    solved = np.maximum(0, (np.sqrt(value) - scipy.special.ndtri(share)) ** 2 - (freedom - 1))
    solved[small] = scipy.special.chndtrinc(np.maximum(value[small], 1e-9), freedom, share[small])
    return np.where(solved < 1e-9, 0, solved)  # it says nothing by numbers like 1e-315
