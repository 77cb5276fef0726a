"""Matched comparisons in sentences and tables: numbers, intervals, and what cannot be said."""

import pandas as pd

from analysis.statistics import CLAIM_SEEDS
from analysis.tradeoff import arms
from analysis.tradeoff.gaps import Gap
from analysis.tradeoff.matched import COMPARISONS, LEVEL, Comparison


def sentences(comparisons: list[Comparison]) -> list[str]:
    """What each comparison says, in their order.

    Args:
        comparisons: As `matched.summary` gives them.
    """
    return [_sentence(comparison) for comparison in comparisons]


def lacking(finished: pd.DataFrame) -> str:
    """Why a study has no primary comparison: which arm it lacks; empty where it has both."""
    present = list(dict.fromkeys(arms.with_arms(finished)["arm"])) if len(finished) else []
    absent = [name for name in COMPARISONS[0] if name not in present]
    if not absent:
        return ""
    had = f"the arms {', '.join(present)}" if len(present) > 1 else f"the arm {present[0]} alone" if present else "none"
    return f"No comparison at equal reconstruction: no trial of {' or '.join(absent)} has finished ({had})."


def flips(comparisons: list[Comparison]) -> str:
    """Where the primary comparison's conclusion hangs on the score: its sign, or its verdict.

    Args:
        comparisons: As `matched.across` gives them.

    Returns:
        One sentence for each thing to say; empty without a second score. A sign is that of the mean over seeds: the
        intervals beside it say whether it is one.
    """
    if len(comparisons) < 2:
        return ""
    first, *others = comparisons
    tested = sum(one.adjusted is not None for one in others)
    words = [
        f"Under other scores than {_under(first)}, {first.a} minus {first.b} at equal reconstruction, exploratory"
        f"{f', Holm over {tested}' if tested else ''}."
    ]
    groups = _by_conclusion(first, [one for one in others if one.delta.values])
    words += [f"{what} under {'; '.join(map(_under, listed))}." for what, listed in groups.items() if listed]
    if without := [one.score for one in others if not one.delta.values]:
        words.append(f"No gap under {', '.join(without)}.")
    return " ".join(words)


def _by_conclusion(first: Comparison, others: list[Comparison]) -> dict[str, list[Comparison]]:
    """The others by what differs from the first, whose gap there may not be; all of them have one."""
    if not first.delta.values:
        return {"The score of the claim has no gap; there is one": others}
    groups: dict[str, list[Comparison]] = {"The sign flips": [], "The verdict differs": [], "Neither differs": []}
    for one in others:
        if one.delta.mean * first.delta.mean < 0:
            groups["The sign flips"].append(one)
        else:
            groups["Neither differs" if one.verdict == first.verdict else "The verdict differs"].append(one)
    return groups


def table(comparisons: list[Comparison]) -> pd.DataFrame:
    """Matched reconstruction as text, one row a comparison.

    Returns:
        `arms`, `score`, `settings` of each, `seeds` with a gap of all, `shared recon` (nats, of all these seeds),
        `paired` and `unpaired` (mean gap in the score with its interval), `effect` (mean gap in sd over seeds), `p`,
        `p (Holm)`, `verdict`, and why seeds have no gap.
    """
    return pd.DataFrame(
        {
            "arms": _title(one),
            "score": one.score,
            "settings": "{} / {}".format(*one.settings),
            "seeds": f"{len(one.delta.values)} of {len(one.gaps)}",
            "shared recon": "{:.1f} to {:.1f}".format(*one.common) if one.unpaired.values else "-",
            "paired": format(one.delta, "+.3f"),
            "unpaired": format(one.unpaired, "+.3f"),
            "effect": effect(one.effect),
            "p": _p(one.p),
            "p (Holm)": _p(one.adjusted),
            "verdict": one.verdict,
            "without a gap": lost(one.gaps) or "-",
        }
        for one in comparisons
    )


def reached(comparisons: list[Comparison]) -> pd.DataFrame:
    """Matched disentanglement as text, one row a comparison and score asked for.

    Returns:
        `arms`, `score`, `difference` (least recon of the first minus that of the second, nats; under 0 the first
        reconstructs better), `effect` (in sd over seeds), `p (Holm)` over all levels (none where a seed is censored),
        `seeds` in which both reach it, of all that both have, and in how many the `first` and the `second` are
        censored: no setting of theirs reaches it.
    """
    return pd.DataFrame(
        {
            "arms": _title(one),
            "score": f"{one.score} >= {level.at_least:.3f}",
            "difference": format(level.difference, "+.1f"),
            "effect": effect(level.effect),
            "p (Holm)": _p(level.adjusted),
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
        size = f"; {effect(one.effect)} over seeds" if one.effect is not None else ""
        paired = f"{seeds} seeds, paired" if seeds > 1 else "one seed"
        words = [f"{opening}: {one.delta:+.3f} in {one.score} ({paired}{apart}{size})."]
    else:
        words = [f"{opening}: no seed has a gap in {one.score}."]
    words.append(verdict(one))
    if without := lost(one.gaps):
        words.append(f"Without a gap: {without}.")
    if one.crossed:
        words.append(no_families(one.crossed))
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
    if one.crossed:
        return "a claim takes one-parameter families"
    if one.delta.low is not None and one.delta.high is not None and one.delta.low <= 0 <= one.delta.high:
        return "the interval holds 0"
    return f"p is over {LEVEL:g}{'' if one.primary else ' after Holm'}"


def lost(gaps: tuple[Gap, ...]) -> str:
    """Why seeds have no gap, `seeds 3, 4: capacity has not finished it; seed 7: ...`, most seeds first."""
    by_reason: dict[str, list[str]] = {}
    for gap in gaps:
        if gap.reason:
            by_reason.setdefault(gap.reason, []).append(str(gap.seed))
    ordered = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return "; ".join(f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}: {reason}" for reason, seeds in ordered)


def _title(one: Comparison) -> str:
    return f"{one.a} - {one.b}{' (primary)' if one.primary else ''}"


def _under(one: Comparison) -> str:
    """`mig_calibrated (+0.150 [+0.100, +0.200], inconclusive)`."""
    return f"{one.score} ({one.delta:+.3f}, {one.verdict})"


def no_families(crossed: tuple[str, ...]) -> str:
    """What forbids a claim where arms differ in more than the field that orders them."""
    verb = "varies" if len(crossed) == 1 else "vary"
    return f"The arms are no one-parameter families: {', '.join(crossed)} {verb} too."


def effect(value: float | None) -> str:
    """`+1.2 sd`: a mean gap in standard deviations of the seeds' gaps; a dash where there is none."""
    return "-" if value is None else f"{value:+.1f} sd"


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
