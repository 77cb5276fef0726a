from pathlib import Path

import pandas as pd
import pytest

from analysis import findings, scorecard
from analysis.frames import Frames, load, records
from analysis.tradeoff.settings import by_setting


@pytest.fixture
def frames(fake_study: Path) -> Frames:
    return load(fake_study)


def test_a_score_stands_beside_its_null_ceiling_and_spread(frames: Frames) -> None:
    rows = by_setting(frames.trials)
    table = scorecard.scores(frames.finished, rows)
    assert set(table["score"]) == {"mig"}
    assert table["setting"].tolist() == [row.label for row in rows]
    first = table[table["setting"] == "C = 12"].iloc[0]
    assert first["raw"] == first["calibrated"] == "0.130 (0.120, 0.140)"  # 0.01 C + 0.02 seed
    assert first["null"] == "0.0010 ± 0.0002"
    assert (first["ceiling"], first["sd of one"]) == ("0.900", "0.0040")
    assert table[table["setting"] == "C = 18"].iloc[0]["raw"] == "0.180"  # one seed has failed


def test_scores_without_a_ceiling_or_a_null_say_so(frames: Frames) -> None:
    finished = frames.finished.drop(columns=["mig_ceiling", "mig_null_sd"]).assign(other_null=float("nan"), other=0.5)
    assert scorecard.scored(finished) == ["mig"]
    (row, *_) = records(scorecard.scores(finished, by_setting(frames.trials)))
    assert (row["null"], row["ceiling"]) == ("0.0010", "-")


def test_the_audit_says_where_the_nats_go_and_what_n_resolves(frames: Frames) -> None:
    table = scorecard.audit(frames, by_setting(frames.trials))
    assert len(table) == 10
    seeds = [row for row in records(table) if row["setting"] == "C = 12"]
    assert [row["I(x;z)"] for row in seeds] == ["7.0 to 7.3", "7.0 to 9.3"]
    assert [row["resolved"] for row in seeds] == ["yes", "no"]
    assert seeds[0]["TC"] == "1.7 to 2.0"
    assert (seeds[0]["KL"], seeds[0]["sum of I_j"], seeds[0]["dim KL"]) == ("10.00", "9.00", "1.00")
    assert (seeds[0]["excess"], seeds[0]["tracking"], seeds[0]["verdict"]) == ("2.00", "0.10", "fine")
    assert table[table["setting"] == "β = 1"].iloc[0]["tracking"] == "-"


def test_a_store_from_before_the_brackets_shows_the_rest(frames: Frames) -> None:
    older = Frames(frames.study, frames.trials.drop(columns=["info_low", "info_high", "tc_low"]), frames.rows)
    row = scorecard.audit(older, by_setting(frames.trials)).iloc[0]
    assert (row["I(x;z)"], row["TC"], row["resolved"], row["KL"]) == ("-", "-", "-", "10.00")


def test_kl_that_follows_c_and_says_nothing_is_told_in_words(frames: Frames) -> None:
    rows = by_setting(frames.trials)
    trials = findings.by_trial(frames, rows)
    said = findings.sentences(frames, rows, trials)
    (empty,) = [sentence for sentence in said if "KL follows C, but" in sentence]
    assert empty.startswith("In 2 capacity trials")
    assert empty.endswith("(C = 6).")
    far = trials.assign(follows=[2.0 if verdict == "not informative" else 0.1 for verdict in trials["verdict"]])
    assert not any("KL follows C, but" in sentence for sentence in findings.sentences(frames, rows, far))
    told = findings.sentences(frames, rows, trials.assign(verdict="fine"))
    assert not any("KL follows C, but" in sentence for sentence in told)
    shown = findings.table(pd.DataFrame(trials))
    assert shown[shown["setting"] == "C = 12"].iloc[0]["mig"] == "0.120 ± 0.004"
