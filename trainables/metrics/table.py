"""Every score by name: who computes it, how its null, ceiling and spread are taken, and whether it is cheap.

docs/metrics.md says what each one asks, and what it is blind to.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.checks import near
from trainables.metrics import (
    beta_vae,
    calibration,
    dci,
    explicitness,
    factor_vae,
    infomec,
    irs,
    mig,
    modularity,
    orientation,
    sap,
    total_correlation,
)
from trainables.metrics.calibration import Measure, Result, Score, spread_over_draws, spread_over_rows
from trainables.metrics.inputs import MetricError, checked_table, varied_columns

BESIDE = ("null", "null_sd", "nulls", "ceiling", "sd", "calibrated")
"""What a row holds beside a score."""


@dataclass(frozen=True)
class Metric:
    """One computation, which yields one or several scores.

    Attributes:
        names: Of its scores.
        measure: The computation.
        nulls: Permutations of its null by default; 0 where factors are not read.
        has_ceiling: Whether a perfect code has its largest value.
        spread: Over the rows, or over its own draws.
        cheap: Fit for the full evaluation of a trial; others run in rescoring only.
        recode: Other class indices for the factors, the same for value, null and ceiling.
    """

    names: tuple[str, ...]
    measure: Measure
    nulls: int = 20
    has_ceiling: bool = True
    spread: Callable[[Measure, dict[str, Result], NDArray, NDArray, int], dict[str, float]] = spread_over_rows
    cheap: bool = False
    recode: Callable[[ArrayLike], NDArray] = np.asarray


METRICS = (
    Metric(("mig",), mig.measure, cheap=True),
    Metric(("modularity",), modularity.measure, has_ceiling=False, cheap=True),  # its dead latents count 0
    Metric(("factor_vae",), factor_vae.measure, nulls=5, spread=spread_over_draws, cheap=True),
    Metric(("gaussian_total_correlation",), total_correlation.measure, nulls=0, has_ceiling=False, cheap=True),
    Metric(("irs",), irs.measure),
    Metric(("beta_vae",), beta_vae.measure, spread=spread_over_draws),
    Metric(("sap",), sap.measure, has_ceiling=False),  # a line reads an index badly
    Metric(("sap_continuous",), sap.measure_continuous),
    Metric(("explicitness",), explicitness.measure),
    Metric(infomec.NAMES, infomec.measure),
    Metric(dci.NAMES, dci.measure, nulls=5),
)
"""The cheap ones first."""


def metrics_of(factors: ArrayLike, names: Sequence[str] = ()) -> tuple[Metric, ...]:
    """Every metric of a table: where it has dSprites' orientation, also those that read it in another way.

    Args:
        factors: (n, k) class indices.
        names: Of the factors, where they are known.
    """
    found = orientation.columns_of(names, factors)
    if found is None:
        return METRICS
    shape, column = found
    inside = partial(orientation.measure_within_shape, shape=shape, orientation=column)
    turned, phase = (
        partial(orientation.turned, orientation=column),
        partial(orientation.phase, shape=shape, orientation=column),
    )
    return (
        *METRICS,
        Metric(("mig_within_shape",), inside, cheap=True, recode=turned),
        Metric(("mig_phase",), partial(_renamed, mig.measure, "mig_phase"), cheap=True, recode=phase),
        Metric(
            ("sap_continuous_phase",),
            partial(_renamed, sap.measure_continuous, "sap_continuous_phase"),
            recode=phase,
        ),
    )


def named(names: Sequence[str], known: Sequence[Metric] = METRICS) -> list[Metric]:
    """The metrics that yield the scores asked for, each once, in the order of the table.

    Raises:
        MetricError: A name that none yields, with the near ones.
    """
    every = [name for metric in known for name in metric.names]
    for name in names:
        if name not in every:
            raise MetricError(f"no score is called {name!r}; {near(name, every)}")
    return [metric for metric in known if set(metric.names) & set(names)]


def score(
    codes: ArrayLike, factors: ArrayLike, metrics: Sequence[str] | str | None = None, seed: int = 0
) -> dict[str, float]:
    """Scores by name, without nulls and ceilings.

    Args:
        codes: (n, d) floats, in random order of rows: scores that predict train on the first ones.
        factors: (n, k) class indices.
        metrics: Names, or one; None for all of `METRICS`, of which DCI takes about a minute at dSprites' sizes.
        seed: Of whatever a score draws.

    Returns:
        The scores asked for. One that this table cannot have is NaN, and a warning says why.

    Raises:
        MetricError: An unknown name; codes or factors that no score can take.
    """
    varied_columns(checked_table(codes, factors)[1])
    asked = [metrics] if isinstance(metrics, str) else metrics
    asked = [name for metric in METRICS for name in metric.names] if asked is None else list(asked)
    values = {}
    for metric in named(asked):
        for name, result in measured(metric, codes, factors, seed).items():
            if result.missing and name in asked:
                warnings.warn(f"{name} is missing: {result.missing}", stacklevel=3)
            values[name] = result.value
    return {name: values[name] for name in asked}


def measured(metric: Metric, codes: ArrayLike, factors: ArrayLike, seed: int = 0) -> dict[str, Result]:
    """A metric's results; where it refuses the table, missing ones with the reason."""
    try:
        return metric.measure(np.asarray(codes), metric.recode(factors), seed)
    except MetricError as error:
        return dict.fromkeys(metric.names, Result(math.nan, len(np.asarray(codes)), missing=str(error)))


def calibrated(
    metric: Metric,
    codes: ArrayLike,
    factors: ArrayLike,
    seed: int = 0,
    nulls: int | None = None,
    ceilings: Mapping[str, float] | None = None,
) -> dict[str, Score]:
    """A metric's scores with null, ceiling and spread.

    Args:
        metric: Which.
        codes: (n, d).
        factors: (n, k) class indices.
        seed: Fixes permutations and draws.
        nulls: Permutations at most; None for the metric's own number.
        ceilings: As `ceilings_of` gives them for the same factors and d; None computes them.

    Returns:
        By name; missing scores with the reason alone.

    Raises:
        MetricError: Codes or factors that no score can take.
    """
    checked_table(codes, factors)
    results = measured(metric, codes, factors, seed)
    if all(result.missing for result in results.values()):
        return {name: _scored(result) for name, result in results.items()}
    plain = dataclasses.replace(metric, recode=np.asarray)
    attempt = partial(measured, plain)  # a permutation or a part of the rows that cannot be scored gives NaN
    table, recoded = np.asarray(codes), metric.recode(factors)
    draws = metric.nulls if nulls is None else min(nulls, metric.nulls)
    chance = calibration.null(attempt, table, recoded, draws, seed) if draws else {}
    spread = metric.spread(attempt, results, table, recoded, seed)
    tops = ceilings if ceilings is not None else ceilings_of(metric, factors, table.shape[1], seed)
    scores = {}
    for name, result in results.items():
        drawn = chance.get(name, np.empty(0))
        drawn = drawn[~np.isnan(drawn)]
        scores[name] = _scored(
            result,
            null=float(drawn.mean()) if len(drawn) else math.nan,
            null_sd=float(drawn.std(ddof=1)) if len(drawn) > 1 else math.nan,
            nulls=len(drawn),
            ceiling=tops.get(name, math.nan),
            sd=spread[name],
        )
    return scores


def ceilings_of(metric: Metric, factors: ArrayLike, latents: int, seed: int = 0) -> dict[str, float]:
    """The scores of a perfect code of d latents: the same for all trials of a study; empty where there are none."""
    if not metric.has_ceiling:
        return {}
    perfect = calibration.perfect_codes(metric.recode(factors), latents)
    return {name: result.value for name, result in measured(metric, perfect, factors, seed).items()}


def columns(results: Mapping[str, Result]) -> dict[str, float]:
    """Results as columns of a metrics row: `<score>` and what is known beside it; what is NaN is left out.

    Beside it: `<score>_null`, `_null_sd`, `_nulls`, `_ceiling`, `_sd` and `_calibrated`.
    """
    found: dict[str, float] = {}
    for name, result in results.items():
        found[name] = result.value
        if isinstance(result, Score):
            found |= {f"{name}_{beside}": getattr(result, beside) for beside in BESIDE}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def reasons(results: Mapping[str, Result]) -> str:
    """Why scores are missing, `mig, modularity: all 5 factors are constant`; empty where none is."""
    names: dict[str, list[str]] = {}
    for name, result in results.items():
        if result.missing:
            names.setdefault(result.missing, []).append(name)
    return "; ".join(f"{', '.join(missing)}: {reason}" for reason, missing in names.items())


def _renamed(measure: Measure, name: str, codes: NDArray, factors: NDArray, seed: int) -> dict[str, Result]:
    (result,) = measure(codes, factors, seed).values()
    return {name: result}


def _scored(result: Result, **beside: Any) -> Score:
    return Score(**{field.name: getattr(result, field.name) for field in dataclasses.fields(result)}, **beside)
