"""Rate and distortion: which of two arms reconstructs better at an equal rate.

KL is what the objectives press on, yet some of it carries nothing. So the same question is asked of three rates: KL,
the sum of the latents' information, and the joint I(x;z). No plan named any of it before the run: all is exploratory,
and there is no verdict.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.tradeoff import arms
from analysis.tradeoff.arms import Curve
from analysis.tradeoff.gaps import POINTS, Along, Matched, match
from analysis.tradeoff.matched import COMPARISONS
from analysis.tradeoff.matched_words import effect, lost, no_families

MIDDLE = "info_mid"
LEAST = 1.0
"""Nats of rate that two arms, or the seeds of one, must share."""
RATES = {
    "kl": Along("kl", LEAST, "nat of KL"),
    "info_sum": Along("info_sum", LEAST, "nat of the sum of I_j"),
    MIDDLE: Along(MIDDLE, LEAST, "nat of I(x;z)"),
}
NAMES = {"kl": "KL", "info_sum": "sum of I_j", MIDDLE: "I(x;z)"}


@dataclass(frozen=True)
class Line:
    """One arm's held-out reconstruction (y, nats per image) along a rate (x, nats).

    Attributes:
        arm: Which.
        curves: Of each seed, all settings; without points where a seed has none.
        mean: Over the seeds with two settings and more, at 20 even rates that all of these reach; None under two such
            seeds, and where they share under a nat. It has no band: settings are joined, and differ in their spread.
    """

    arm: str
    curves: dict[int, Curve]
    mean: Curve | None


def with_middle(finished: pd.DataFrame) -> pd.DataFrame:
    """The trials with `info_mid`, the middle of the bracket of I(x;z), nats; NaN where n does not resolve it."""
    if not {"info_low", "info_high", "info_resolved"} <= set(finished):
        return finished.assign(**{MIDDLE: math.nan})
    brackets = zip(finished["info_low"], finished["info_high"], finished["info_resolved"], strict=True)
    middles = [(low + high) / 2 if not pd.isna(told) and told else math.nan for low, high, told in brackets]
    return finished.assign(**{MIDDLE: middles})


def unresolved(finished: pd.DataFrame, rate: str) -> str:
    """Why no curve can be drawn along a rate; empty where one can.

    Only the bracket of I(x;z) has such a reason: trials of high rate are those that n does not resolve, so a curve
    of the rest would be cut at one end.
    """
    if rate != MIDDLE:
        return ""
    missing = sum(math.isnan(middle) for middle in with_middle(finished)[MIDDLE])
    if not missing:
        return ""
    rows = [n for n in finished["info_n"] if not pd.isna(n)] if "info_n" in finished else []
    n = f" at n = {min(rows):,.0f}" if rows else ""
    return f"I(x;z) is not resolved{n} in {missing} of {len(finished)} trials"


def lines(finished: pd.DataFrame, rate: str = "kl") -> list[Line]:
    """Each arm's curves along a rate, in the order of the trials; empty where `unresolved` has a reason.

    Args:
        finished: `Frames.finished`.
        rate: One of `RATES`.
    """
    if finished.empty or unresolved(finished, rate):
        return []
    trials = arms.with_arms(with_middle(finished))
    found = {name: arms.curves(trials, name, "recon", rate) for name in dict.fromkeys(trials["arm"])}
    return [Line(name, curves, _mean(curves)) for name, curves in found.items()]


def compare(finished: pd.DataFrame, a: str, b: str, rate: str = "kl") -> Matched:
    """Held-out recon of a minus that of b at an equal rate, nats: under 0, a reconstructs better.

    Paired by seed, as `gaps.match` does it: every setting enters, nothing is extrapolated. The interval is over seeds.

    Args:
        finished: `Frames.finished`.
        a: An arm.
        b: The other.
        rate: One of `RATES`; `info_mid` gives no seed a gap unless n resolves I(x;z) in every trial of both arms.

    Raises:
        ValueError: An arm that no trial has.
    """
    trials = arms.with_arms(with_middle(finished))
    both = trials.loc[trials["arm"].isin([a, b])]
    return match(trials, a, b, "recon", RATES[rate], unresolved(both, rate))


def summary(finished: pd.DataFrame) -> list[Matched]:
    """Each of `matched.COMPARISONS` of which the study has both arms, at each of the rates."""
    present = set(arms.with_arms(finished)["arm"]) if len(finished) else set()
    return [compare(finished, a, b, rate) for a, b in COMPARISONS if {a, b} <= present for rate in RATES]


def sentences(found: list[Matched], protocol: str) -> list[str]:
    """What each comparison at equal rate says, or why it says nothing.

    Args:
        found: As `summary` gives them.
        protocol: Of the study; a laptop's gaps are no finding.
    """
    return [_sentence(one, protocol) for one in found]


def table(found: list[Matched]) -> pd.DataFrame:
    """Gaps at equal rate as text, one row a comparison and rate.

    Returns:
        `arms`, `rate`, `settings` of each, `seeds` with a gap of all, `shared rate` (nats, of all these seeds),
        `gap` (recon of the first minus that of the second, nats per image), `effect` (in sd over seeds), `area` between
        the curves (nats x nats), and why seeds have no gap.
    """
    return pd.DataFrame(
        {
            "arms": f"{one.a} - {one.b}",
            "rate": NAMES[one.along.column],
            "settings": "{} / {}".format(*one.settings),
            "seeds": f"{len(one.delta.values)} of {len(one.gaps)}",
            "shared rate": "{:.1f} to {:.1f}".format(*one.common) if one.unpaired.values else "-",
            "gap": format(one.delta, "+.2f"),
            "effect": effect(one.effect),
            "area": format(one.area, "+.1f"),
            "without a gap": lost(one.gaps) or "-",
        }
        for one in found
    )


def _sentence(one: Matched, protocol: str) -> str:
    opening = f"At equal {NAMES[one.along.column]}, {one.a} minus {one.b}"
    if seeds := len(one.delta.values):
        paired = f"{seeds} seeds, paired" if seeds > 1 else "one seed"
        size = "" if one.effect is None else f"; {effect(one.effect)} over seeds"
        words = [f"{opening}: {one.delta:+.2f} nats of held-out reconstruction ({paired}{size}; exploratory)."]
        words.append(f"Area between the curves: {one.area:+.1f} nats x nats.")
        if protocol == "laptop":
            words.append("Not tested: a laptop run shows no matched gaps.")
    else:
        words = [f"{opening}: no seed has a gap."]
    if without := lost(one.gaps):
        words.append(f"Without a gap: {without}.")
    if one.crossed:
        words.append(no_families(one.crossed))
    return " ".join(words)


def _mean(curves: dict[int, Curve]) -> Curve | None:
    told = [curve for curve in curves.values() if len(curve.x) > 1]
    low, high = max((curve.x[0] for curve in told), default=0), min((curve.x[-1] for curve in told), default=0)
    if len(told) < 2 or high - low < LEAST:
        return None
    even = np.linspace(low, high, POINTS)
    return Curve(even, np.mean([curve.at(even) for curve in told], axis=0))
