"""How far the seeds of a setting lie apart, and how many it would take to know its mean."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics import NOTHING, PLAN_SEEDS, T_SEEDS, Estimate, iqm, over_seeds, seeds_needed
from analysis.tradeoff.cells import by_cell, repeated
from analysis.tradeoff.settings import Setting

SCORE_WIDTH = 0.05
"""Half widths worth planning for: nats per image of reconstruction, and units of a calibrated score."""


@dataclass(frozen=True)
class Spread:
    """One setting's replicates on one target; all uncertainty is over seeds.

    Attributes:
        setting: Its row of the table of settings.
        mean: With its interval, as `over_seeds` gives it.
        sd: Standard deviation over seeds; None under three.
        iqm: Interquartile mean; None under eight seeds.
        needed: Seeds at which the interval would be as narrow as asked for; None under five.
        reason: Why there are no numbers; empty where there are.
    """

    setting: Setting
    mean: Estimate
    sd: float | None = None
    iqm: Estimate | None = None
    needed: int | None = None
    reason: str = ""


def spreads(finished: pd.DataFrame, rows: list[Setting], target: str, half_width: float) -> list[Spread]:
    """The spread over seeds of each setting, in the order of the settings.

    Args:
        finished: `Frames.finished`.
        rows: Its settings.
        target: A column; missing and infinite values are left out, and counted by the number of seeds.
        half_width: Of the interval to plan for, in the unit of the target.

    Raises:
        InputError: The half width is not above 0.
    """
    seeds_needed((), half_width)  # refused before there is anything to plan
    return [_of(finished, row, target, half_width) for row in rows]


def table(found: list[Spread], half_width: float, spec: str = ".3f") -> pd.DataFrame:
    """The spreads as text.

    Args:
        found: As `spreads` gives them.
        half_width: The one that they were planned for.
        spec: How numbers of the target are printed.

    Returns:
        `family`, `setting`, `seeds`, `mean` (with its 95 % interval from three seeds on), `sd` over seeds, `IQM` and
        `seeds for ± half_width`; `-` where there are too few seeds to say.
    """
    return pd.DataFrame(
        {
            "family": one.setting.family,
            "setting": one.setting.label,
            "seeds": str(len(one.mean.values)),
            "mean": one.reason or format(one.mean, spec),
            "sd": "-" if one.sd is None else format(one.sd, spec),
            "IQM": "-" if one.iqm is None else format(one.iqm, spec),
            f"seeds for ± {half_width:g}": "-" if one.needed is None else str(one.needed),
        }
        for one in found
    )


def sentences(found: list[Spread], target: str, half_width: float) -> list[str]:
    """How many seeds the settings would take, from the least to the greatest; nothing without settings."""
    if not found:
        return []
    needed = sorted((one.needed, one.setting.label) for one in found if one.needed is not None)
    if not needed:
        most = max(len(one.mean.values) for one in found)
        return [f"How many seeds {target} would take cannot be planned from {most} (it takes {PLAN_SEEDS})."]
    (least, _), (greatest, where) = needed[0], needed[-1]
    sds = [one.sd for one in found if one.sd is not None]
    return [
        f"To know a setting's mean {target} to within ± {half_width:g} would take "
        + (f"{least} seeds" if least == greatest else f"{least} to {greatest} seeds, the most at {where}")
        + f"; the standard deviations over seeds go from {min(sds):.2g} to {max(sds):.2g}. They are themselves known "
        "from few seeds: take the numbers for orders of magnitude."
    ]


def _of(finished: pd.DataFrame, row: Setting, target: str, half_width: float) -> Spread:
    if reason := repeated(finished, [row]):
        return Spread(row, NOTHING, reason=reason)
    values = by_cell(finished, [row], target).loc[row.id].dropna().tolist()
    sd = float(np.std(values, ddof=1)) if len(values) >= T_SEEDS else math.nan
    return Spread(
        row, over_seeds(values), None if math.isnan(sd) else sd, iqm(values), seeds_needed(values, half_width)
    )
