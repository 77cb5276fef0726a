import dataclasses
import math

import pandas as pd
import pytest

from analysis.tradeoff.matched import across, compare, summary
from analysis.tradeoff.matched_words import flips, lacking, reached, sentences, table
from tests.analysis.curves import curve, planted, seeded, study, trials


def said(offsets: list[float], protocol: str = "paper", **changes) -> str:
    found = compare(planted(offsets), "a", "b", "score", protocol)
    (sentence,) = sentences([dataclasses.replace(found, **changes)])
    return sentence


def test_a_sentence_has_the_numbers_the_seeds_and_the_verdict() -> None:
    assert said([0.1, 0.2]) == (
        "Primary: a minus b, at equal reconstruction: +0.150 (+0.100, +0.200) in score (2 seeds, paired; unpaired "
        "+0.150 (+0.100, +0.200)). Inconclusive: a claim takes 10 seeds."
    )
    assert said([0.1, 0.2, 0.3], primary=False).startswith(
        "Secondary: a minus b, at equal reconstruction: +0.200 [-0.048, +0.448] in score (3 seeds, paired; unpaired "
    )
    assert "; +2.0 sd over seeds)" in said([0.1, 0.2, 0.3])
    assert "+0.100 in score (one seed;" in said([0.1])


@pytest.mark.parametrize(("mean", "changes", "ending"), [
    (0.2, {"adjusted": 0.0004}, "Confirmed: a disentangles better (p < 0.001; < 0.001 after Holm)."),
    (-0.2, {}, "Refuted: b disentangles better."),
    (0.001, {"adjusted": 1.0}, "Inconclusive: the interval holds 0 (p 0.975; 1.000 after Holm)."),
    (0.2, {"adjusted": 0.06, "primary": False},
     "Inconclusive: p is over 0.05 after Holm (p < 0.001; 0.060 after Holm)."),
    (0.2, {"crossed": ("gamma",)}, "Inconclusive: a claim takes one-parameter families. The arms are no one-parameter "
     "families: gamma varies too."),
    (0.2, {"protocol": "laptop", "adjusted": 0.01}, "Not tested: a laptop run shows no matched gaps."),
])  # fmt: skip
def test_every_verdict_has_its_reason(mean: float, changes: dict, ending: str) -> None:
    assert said(seeded(mean, 0.1, 10), **changes).endswith(f"). {ending}")


def test_seeds_without_a_gap_and_crossed_fields_are_named() -> None:
    frame = trials({
        ("a", 1): curve([100, 150]), ("b", 1): curve([145, 190]),
        ("a", 4): curve([100, 150]), ("b", 4): curve([300, 390]),
        ("a", 2): curve([100, 150]),
    })  # fmt: skip
    found = dataclasses.replace(compare(frame, "a", "b", "score", "paper"), crossed=("gamma", "ramp_steps"))
    assert sentences([found]) == [
        "Primary: a minus b, at equal reconstruction: no seed has a gap in score. Not comparable. Without a gap: "
        "seeds 1, 4: the arms share under 10 nats of reconstruction; seed 2: b has not finished it. The arms are no "
        "one-parameter families: gamma, ramp_steps vary too."
    ]
    (row,) = table([found]).to_dict("records")
    assert [row[name] for name in ("seeds", "shared recon", "paired", "unpaired", "effect", "p", "p (Holm)")] == [
        "0 of 3", *["-"] * 6,
    ]  # fmt: skip
    assert row["without a gap"].startswith("seeds 1, 4: the arms share")


def test_the_table_has_a_row_a_comparison() -> None:
    gaps = {"capacity": [0.0] * 10, "fixed beta": seeded(0.2, 0.1, 10), "annealed beta": seeded(0.1, 0.1, 10)}
    rows = table(summary(study(gaps), "paper")).to_dict("records")
    assert [row["arms"] for row in rows] == ["capacity - fixed beta (primary)", "capacity - annealed beta"]
    first = rows[0]
    assert [first[name] for name in ("settings", "seeds", "shared recon", "effect", "p", "p (Holm)", "verdict")] == [
        "3 / 3", "10 of 10", "100.0 to 200.0", "+2.0 sd", "< 0.001", "< 0.001", "confirmed",
    ]  # fmt: skip
    assert first["paired"].startswith("+0.200 [+0.1")
    assert first["without a gap"] == "-"
    assert table([]).empty


def test_the_censored_are_in_the_table_of_matched_disentanglement() -> None:
    gaps = {"capacity": [0.0, 0.0, 0.0], "fixed beta": [0.0, 0.0, 0.5]}
    rows = reached(summary(study(gaps), "paper")).to_dict("records")
    assert len(rows) == 4
    assert rows[-1] == {
        "arms": "capacity - fixed beta (primary)",
        "score": "mig_calibrated >= 0.520",
        "difference": "+0.0 (+0.0, +0.0)",
        "effect": "-",
        "p (Holm)": "-",
        "seeds": "2 of 3",
        "first censored": "0",
        "second censored": "1",
    }
    none = compare(
        trials({("a", 0): curve([1.0, 2.0], math.nan), ("b", 0): curve([1.0, 2.0])}), "a", "b", "score", "paper"
    )
    assert reached([none]).empty


def test_levels_have_an_effect_and_their_own_correction_where_no_seed_is_censored() -> None:
    frame = study({"capacity": [0.0] * 14, "fixed beta": seeded(0.1, 0.1, 14)})
    shifts = frame["seed"] * 0.1 * (frame["family"] == "beta")
    frame["recon"] = frame["recon"] + shifts
    rows = reached(summary(frame, "paper")).to_dict("records")
    assert len(rows) == 4
    free = [row for row in rows if row["second censored"] == "0"]
    assert any(int(row["seeds"].split()[0]) >= 10 for row in rows if row not in free)
    assert free
    assert len(free) < 4
    assert all(row["effect"].endswith(" sd") for row in rows)
    assert all((row["p (Holm)"] == "-") == (row not in free) for row in rows)


def scored(gaps: dict[str, list[float]]) -> pd.DataFrame:
    """A study with that gap, capacity minus fixed beta, in each score, one value a seed."""
    frames = [study({"capacity": offsets, "fixed beta": [0.0] * len(offsets)}) for offsets in gaps.values()]
    columns = {name: (-frame["mig_calibrated"]).tolist() for name, frame in zip(gaps, frames, strict=True)}
    return frames[0].assign(**columns)


def test_across_scores_it_is_said_where_the_sign_or_the_verdict_flips() -> None:
    up, noise = seeded(0.2, 0.1, 10), seeded(0.01, 0.1, 10)
    gaps = {"mig_calibrated": up, "sap": up, "turned": [-gap for gap in up], "weak": noise, "none": [math.nan] * 10}
    said = flips(across(scored(gaps), "paper", list(gaps)))
    opening, turned, verdict, same, without = said.split(". ")
    assert opening.startswith("Under other scores than mig_calibrated (+0.200 [+0.1")
    assert opening.endswith("confirmed), capacity minus fixed beta at equal reconstruction, exploratory, Holm over 3")
    assert turned.startswith("The sign flips under turned (-0.200 [")
    assert turned.endswith("refuted)")
    assert verdict.startswith("The verdict differs under weak (+0.010 [")
    assert same.startswith("Neither differs under sap (")
    assert without == "No gap under none."


def test_without_a_gap_in_the_score_of_the_claim_nothing_flips() -> None:
    said = flips(across(scored({"mig_calibrated": [math.nan], "sap": [0.5]}), "laptop", ["sap"]))
    assert said.startswith("Under other scores than mig_calibrated (-, not tested), ")
    assert "exploratory. The score of the claim has no gap; there is one under sap (+0.500, not tested)." in said
    assert flips(across(scored({"mig_calibrated": [0.1]}), "paper", [])) == ""
    assert flips([]) == ""


def test_a_study_that_lacks_an_arm_is_told_which() -> None:
    one = study({"capacity": [0.0]})
    assert lacking(one) == (
        "No comparison at equal reconstruction: no trial of fixed beta has finished (the arm capacity alone)."
    )
    assert "no trial of capacity has finished (the arms fixed beta, annealed beta)" in lacking(
        study({"fixed beta": [0.0], "annealed beta": [0.0]})
    )
    assert "no trial of capacity or fixed beta has finished (none)" in lacking(pd.DataFrame())
    assert lacking(study({"capacity": [0.0], "fixed beta": [0.0]})) == ""
