"""Matched comparisons in sentences and tables: numbers, intervals, and what cannot be said."""

import pandas as pd

from analysis.statistics import CLAIM_SEEDS
from analysis.tradeoff.matched import LEVEL, Comparison, Gap


def sentences(comparisons: list[Comparison]) -> list[str]:
    """What each comparison says, in their order.

    Args:
        comparisons: As `matched.summary` gives them.
    """
    return [_sentence(comparison) for comparison in comparisons]


def table(comparisons: list[Comparison]) -> pd.DataFrame:
    """Matched reconstruction as text, one row a comparison.

    Returns:
        `arms`, `settings` of each, `seeds` with a gap of all, `shared recon` (nats, of all these seeds), `paired` and
        `unpaired` (mean gap in the score with its interval), `effect` (mean gap in sd over seeds), `p`, `p (Holm)`,
        `verdict`, and why seeds have no gap.
    """
    return pd.DataFrame(
        {
            "arms": _title(one),
            "settings": "{} / {}".format(*one.settings),
            "seeds": f"{len(one.delta.values)} of {len(one.gaps)}",
            "shared recon": "{:.1f} to {:.1f}".format(*one.common) if one.unpaired.values else "-",
            "paired": format(one.delta, "+.3f"),
            "unpaired": format(one.unpaired, "+.3f"),
            "effect": "-" if one.effect is None else f"{one.effect:+.1f} sd",
            "p": _p(one.p),
            "p (Holm)": _p(one.adjusted),
            "verdict": one.verdict,
            "without a gap": _lost(one.gaps) or "-",
        }
        for one in comparisons
    )


def reached(comparisons: list[Comparison]) -> pd.DataFrame:
    """Matched disentanglement as text, one row a comparison and score asked for.

    Returns:
        `arms`, `score`, `difference` (least recon of the first minus that of the second, nats; under 0 the first
        reconstructs better), `seeds` in which both reach it, of all that both have, and in how many the `first` and the
        `second` are censored: no setting of theirs reaches it.
    """
    return pd.DataFrame(
        {
            "arms": _title(one),
            "score": f"{one.score} >= {level.at_least:.3f}",
            "difference": format(level.difference, "+.1f"),
            "seeds": f"{len(level.difference.values)} of {level.seeds}",
            "first censored": str(level.censored[0]),
            "second censored": str(level.censored[1]),
        }
        for one in comparisons
        for level in one.levels
    )


def _sentence(one: Comparison) -> str:
    opening = f"{'Primary' if one.primary else 'Secondary'}: {one.a} minus {one.b}, at equal reconstruction"
    if seeds := len(one.delta.values):
        apart = f"; unpaired {one.unpaired:+.3f}" if one.unpaired.values else ""
        effect = f"; {one.effect:+.1f} sd over seeds" if one.effect is not None else ""
        paired = f"{seeds} seeds, paired" if seeds > 1 else "one seed"
        words = [f"{opening}: {one.delta:+.3f} in {one.score} ({paired}{apart}{effect})."]
    else:
        words = [f"{opening}: no seed has a gap in {one.score}."]
    words.append(verdict(one))
    if lost := _lost(one.gaps):
        words.append(f"Without a gap: {lost}.")
    if one.crossed:
        words.append(f"The arms are no one-parameter families: {', '.join(one.crossed)} vary too.")
    return " ".join(words)


def verdict(one: Comparison) -> str:
    """The verdict in a sentence, with what it rests on."""
    better = f"{one.a if one.verdict == 'confirmed' else one.b} disentangles better"
    said = {
        "not tested": "Not tested: a laptop run shows no matched gaps",
        "not comparable": "Not comparable",
        "inconclusive": f"Inconclusive: {_doubt(one)}",
        "confirmed": f"Confirmed: {better}",
        "refuted": f"Refuted: {better}",
    }[one.verdict]
    return f"{said}{'' if one.adjusted is None else f' (p {_p(one.p)}; {_p(one.adjusted)} after Holm)'}."


def _doubt(one: Comparison) -> str:
    if len(one.delta.values) < CLAIM_SEEDS:
        return f"a claim takes {CLAIM_SEEDS} seeds"
    if one.delta.low is not None and one.delta.high is not None and one.delta.low <= 0 <= one.delta.high:
        return "the interval holds 0"
    return f"p is over {LEVEL:g}{'' if one.primary else ' after Holm'}"


def _lost(gaps: tuple[Gap, ...]) -> str:
    """`seeds 3, 4: capacity has not finished it; seed 7: ...`, most seeds first."""
    by_reason: dict[str, list[str]] = {}
    for gap in gaps:
        if gap.reason:
            by_reason.setdefault(gap.reason, []).append(str(gap.seed))
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return "; ".join(f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}: {reason}" for reason, seeds in ordered)


def _title(one: Comparison) -> str:
    return f"{one.a} - {one.b}{' (primary)' if one.primary else ''}"


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
