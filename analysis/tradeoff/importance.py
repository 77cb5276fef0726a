"""What an adaptive search says about which field mattered: exploratory, and only inside one family.

A search chooses its settings by the results of those before, so that they are no fair sample; and fields that only one
family reads have no meaning across families. So this is no share of variance, which `shares` takes of grids, and it
carries no interval.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.tradeoff.cells import by_cell, repeated
from analysis.tradeoff.settings import SYMBOLS, Setting
from trainables.config import TrialConfig, family_reads, field_names

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

EXPLORATORY = (
    "Exploratory: the search chose these settings by the results of those before, so that they are no fair sample, and "
    "no interval belongs to them."
)
LOGARITHMIC = ("beta", "gamma", "ramp_steps", "learning_rate")
"""As the search itself samples them."""
LEAST_SETTINGS = 20
"""Settings without which the best quarter, which is looked at, has under five."""
TOP = 0.25
SHUFFLES = 100
CHANCE = 0.95


@dataclass(frozen=True)
class Importance:
    """What tells the best quarter of a family's settings from the others.

    Attributes:
        family: beta, capacity, or the name of one's own objective.
        target: The column whose best quarter was looked at.
        reason: Why nothing is said; empty where something is.
        shares: By field, summing to 1: a division between the fields, not of variance.
        beyond_chance: By field, whether it tells more than in 95 % of studies in which results are dealt at random.
        settings: How many.
    """

    family: str
    target: str
    reason: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    beyond_chance: dict[str, bool] = field(default_factory=dict)
    settings: int = 0


def by_family(
    finished: pd.DataFrame, rows: list[Setting], target: str, identity: Mapping[str, Any], less_is_better: bool = False
) -> list[Importance]:
    """The importances of each family's searched fields, by PED-ANOVA on the means of the settings.

    How far the distribution of a field among the best quarter of the settings is from that among all: that the search
    visited some values more often counts on both sides.

    Args:
        finished: `Frames.finished`.
        rows: Its settings.
        target: A column.
        identity: `Study.identity`: the search, and the space that it searched.
        less_is_better: Of the target, as of recon.

    Source: Watanabe et al. 2023, "PED-ANOVA: efficiently quantifying hyperparameter importance".
    """
    families: dict[str, list[Setting]] = {}
    for row in rows:
        families.setdefault(row.family, []).append(row)
    return [_of_family(finished, own, target, identity, less_is_better) for own in families.values()]


def table(found: list[Importance]) -> pd.DataFrame:
    """The importances as text: `family`, `field`, `importance (exploratory)`, `beyond chance`."""
    lines = []
    for one in found:
        lines += [
            (one.family, SYMBOLS.get(name, name), f"{share:.2f}", "yes" if one.beyond_chance[name] else "no")
            for name, share in one.shares.items()
        ]
        lines += [(one.family, "-", one.reason, "-")] if one.reason else []
    return pd.DataFrame(lines, columns=["family", "field", "importance (exploratory)", "beyond chance"])


def sentences(found: list[Importance]) -> list[str]:
    """Which fields tell the best settings of a family from the others, or why that is not said."""
    said = []
    for one in found:
        if one.reason:
            said.append(f"Importances for {one.target} in the family {one.family} are not given: {one.reason}.")
            continue
        told = [SYMBOLS.get(name, name) for name in one.shares if one.beyond_chance[name]]
        words = f"by {', then '.join(told)}" if told else "by no field more than chance would do"
        said.append(
            f"The best quarter of {one.settings} settings of the family {one.family} by {one.target} is told from the "
            f"others {words}. {EXPLORATORY}"
        )
    return said


def _of_family(
    finished: pd.DataFrame, rows: list[Setting], target: str, identity: Mapping[str, Any], less_is_better: bool
) -> Importance:
    family = rows[0].family
    if identity.get("search") != "tradeoff":
        reason = "they are for adaptive searches; a grid has shares of variance"
        return Importance(family, target, reason)
    if reason := repeated(finished, rows):
        return Importance(family, target, reason)
    cells = by_cell(finished, rows, target).dropna()
    if (have := 0 if cells.empty else len(cells)) < LEAST_SETTINGS:
        return Importance(family, target, f"{have} settings have {target} in all seeds, and it takes {LEAST_SETTINGS}")
    means = cells.mean(axis=1)
    if np.ptp(means) == 0:
        return Importance(family, target, f"{target} is the same in all settings")
    first = finished.drop_duplicates("setting").set_index("setting").loc[means.index]
    space = {name: kind for name, kind in _space(family, identity).items() if first[name].nunique() > 1}
    if len(space) < 2:
        only = f"{', '.join(space)} alone was" if space else "nothing was"
        return Importance(family, target, f"{only} searched in it, and importances compare fields")
    params = [dict(zip(space, values, strict=True)) for values in first[list(space)].to_numpy().tolist()]
    raw, by_chance = _divergences(params, space, means.to_numpy() * (1 if less_is_better else -1))
    if not (total := sum(raw.values())):
        return Importance(family, target, "no field tells the best quarter from the others", settings=len(means))
    shares = {name: value / total for name, value in raw.items()}
    beyond = {name: raw[name] > by_chance[name] for name in raw}
    return Importance(family, target, "", shares, beyond, len(means))


def _space(family: str, identity: Mapping[str, Any]) -> "dict[str, BaseDistribution]":
    """What the search could choose in a family, as `study.json` has it: `space: gamma` is `30:3000` or a list."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found = {}
    for name in field_names(TrialConfig):
        values = identity.get(f"space: {name}")
        if name == "objective" or not family_reads(family, name):
            continue
        kind = type(getattr(TrialConfig, name))
        if isinstance(values, list) and len(values) > 1:
            found[name] = CategoricalDistribution(values)
        elif isinstance(values, str) and kind in (int, float):
            low, high = (float(end) for end in values.split(":"))
            log, whole = name in LOGARITHMIC, kind is int
            found[name] = IntDistribution(int(low), int(high), log) if whole else FloatDistribution(low, high, log)
    return found


def _divergences(
    params: list[dict[str, Any]], space: "dict[str, BaseDistribution]", values: NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, float]]:
    """PED-ANOVA's divergence by field, the greatest first, and the 95 % point of it where results are dealt at random.

    Args:
        params: Of each setting.
        space: By field.
        values: Of each setting; less is better.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP)

    def evaluated(results: NDArray[np.float64]) -> dict[str, float]:
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
        for own, value in zip(params, results.tolist(), strict=True):
            study.add_trial(optuna.trial.create_trial(params=own, distributions=space, value=value))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `normalize` is one
            return optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)

    rng = np.random.default_rng(0)
    dealt = [evaluated(rng.permutation(values)) for _ in range(SHUFFLES)]
    by_chance = {name: float(np.quantile([one[name] for one in dealt], CHANCE)) for name in space}
    return evaluated(values), by_chance
