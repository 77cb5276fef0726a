import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from analysis import findings
from analysis.frames import Frames, load
from analysis.tradeoff.settings import Setting, by_setting
from study.config import StudyConfig
from tests.analysis.conftest import two_lost, write_study
from trainables.checks import InputError


def told(path: Path) -> tuple[Frames, list[Setting], list[str]]:
    frames = load(path)
    rows = by_setting(frames.trials)
    return frames, rows, findings.sentences(frames, rows, findings.by_trial(frames, rows))


def test_one_row_a_finished_trial(fake_study: Path) -> None:
    frames = load(fake_study)
    trials = findings.by_trial(frames, by_setting(frames.trials))
    assert len(trials) == 10
    first = trials[trials["setting"] == "C = 12"].iloc[0]
    assert first["seed"] == 0
    assert first["follows"] == pytest.approx(0.1)
    assert first["opened"] == "z0 2.0, z1 7.0"  # 0.2 nats at updates 200 and 700
    assert first["position_r2"] > 0.9
    fixed = trials[trials["setting"] == "β = 4"].iloc[0]
    assert fixed["opened"] == "z0 200, z1 700"
    assert fixed["follows"] != fixed["follows"]


def test_what_the_study_says(fake_study: Path) -> None:
    assert told(fake_study)[2] == [
        "8 of 10 finished trials are off the plateau (recon < 0.35 R0, R0 = 556.3 nats).",
        "Of 12 trials started, some enter no table or figure: 1 diverged, 1 failed.",
        "Over the ramp KL stays within 1 nat of C on average in 5 of 5 capacity trials "
        "(mean |KL - C| from 0.10 to 0.10 nats).",
        "The first two latents to open jointly predict x and y (R^2 >= 0.8) in 5 of 5 beta trials and in 5 of 5 "
        "capacity trials.",
        "The audit's verdicts: fine 8, not informative 2 (C = 6).",
        "In 2 capacity trials KL follows C, but under half of it says anything of the image, or the image is not "
        "reconstructed (C = 6).",
        "Of no setting more than two seeds have finished: the spread over seeds is unknown, and no interval is given.",
        findings.LAPTOP_CLAIM,
    ]  # fmt: skip


def test_one_family_one_seed_and_no_factors_are_said(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (1.0, 4.0)}, seeds=1)
    _, _, sentences = told(write_study(tmp_path / "s", lambda config: "finished", study, factors=False))
    assert "All trials are of the family beta: it cannot be compared with another." in sentences
    assert any(sentence.startswith("Of no setting more than one seed has finished") for sentence in sentences)
    assert "Scores are missing in 2 trials: the dataset has no factors." in sentences
    assert any(sentence.startswith("The dataset names no factors x and y") for sentence in sentences)
    assert not any("Over the ramp" in sentence for sentence in sentences)


def test_silent_trials_count_and_ties_are_told_apart(fake_study: Path) -> None:
    frames = load(fake_study)
    trials = findings.by_trial(frames, by_setting(frames.trials))
    keys = trials.loc[trials["family"] == "capacity", "key"].tolist()
    for column in ("info_0", "info_1"):
        frames.rows.loc[frames.rows["key"] == keys[0], column] = 0.0  # opens nothing
    frames.rows.loc[frames.rows["key"] == keys[1], "info_2"] = frames.rows["info_1"]  # a third beside the second
    frames.rows.loc[frames.rows["key"] == keys[2], "kl"] += 1.5
    rows = by_setting(frames.trials)
    trials = findings.by_trial(frames, rows)
    sentences = findings.sentences(frames, rows, trials)
    assert any(
        "(R^2 >= 0.8) in 5 of 5 beta trials and in 3 of 4 capacity trials." in sentence for sentence in sentences
    )
    tie = "Which two were first cannot be told of 1 capacity trials: the third opens within a report of the second."
    assert any(tie in sentence for sentence in sentences)
    assert any("in 4 of 5 capacity trials (mean |KL - C| from 0.10 to 1.60" in sentence for sentence in sentences)
    shown = findings.table(trials).set_index("key")["position R^2"]
    assert (shown[keys[0][:8]], shown[keys[1][:8]]) == ("-", "tie")


def test_too_few_probe_rows_tell_no_position(fake_study: Path) -> None:
    frames = load(fake_study)
    frames.trials["probe_rows"] = 50.0
    rows = by_setting(frames.trials)
    sentences = findings.sentences(frames, rows, findings.by_trial(frames, rows))
    assert any(sentence.startswith("Under 100 probe rows") for sentence in sentences)


def test_of_many_settings_some_are_named_and_the_rest_counted(fake_study: Path) -> None:
    frames, rows, _ = told(fake_study)
    trials = findings.by_trial(frames, rows)
    trials.loc[trials["setting"] != "β = 1", "verdict"] = "not informative"
    (sentence,) = [one for one in findings.sentences(frames, rows, trials) if one.startswith("The audit's verdicts")]
    assert sentence == "The audit's verdicts: fine 2, not informative 8 (β = 4, β = 16, C = 6 and 2 more)."


def test_three_seeds_are_not_called_few(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (1.0,)}, seeds=3)
    _, _, sentences = told(write_study(tmp_path / "s", lambda config: "finished", study))
    assert not any("Of no setting" in sentence for sentence in sentences)


def test_the_trial_with_the_least_seed_is_looked_at(fake_study: Path) -> None:
    frames, rows, _ = told(fake_study)
    keys = findings.chosen(frames, rows, [])
    assert [frames.trial(key)["seed"] for key in keys] == [0] * 6
    assert [frames.trial(key)["setting"] for key in keys] == [row.id for row in rows]


def test_a_setting_whose_first_seed_was_lost_shows_its_second(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (1.0,)})
    path = write_study(tmp_path / "s", lambda config: "diverged" if config.seed == 0 else "finished", study)
    frames, rows, _ = told(path)
    assert [frames.trial(key)["seed"] for key in findings.chosen(frames, rows, [])] == [1]


def test_trials_are_named_by_the_beginning_of_their_keys(fake_study: Path) -> None:
    frames, rows, _ = told(fake_study)
    key = frames.finished["key"].iloc[4]
    assert findings.chosen(frames, rows, [key[:7]]) == [key]
    with pytest.raises(InputError, match=f"has no trial '{key[:-1]}x'; did you mean {key}"):
        findings.chosen(frames, rows, [f"{key[:-1]}x"])


def test_a_lost_trial_cannot_be_looked_at(fake_study: Path) -> None:
    frames, rows, _ = told(fake_study)
    lost = frames.trials.query("status == 'diverged'")["key"].iloc[0]
    with pytest.raises(InputError, match="is diverged and has no pictures"):
        findings.chosen(frames, rows, [lost])


def test_lost_trials_are_those_of_the_fixture() -> None:
    study = dataclasses.replace(StudyConfig(), pinned={"beta": (16.0,), "capacity_max": (18.0,), "gamma": (100.0,)})
    from study.searches import planned

    assert sorted(two_lost(config) for config in planned(study).values()) == [
        "diverged",
        "failed",
        "finished",
        "finished",
    ]


def test_a_score_missing_in_the_row_and_in_a_later_file_is_one_missing_score() -> None:
    reason = "no value of factor 2 is shared by 64 of the 50 rows"
    finished = pd.DataFrame({
        "missing_scores": [f"factor_vae: {reason}", "", float("nan")],
        "factor_vae_missing": [reason, "", reason],
        "sap_missing": ["one latent", float("nan"), ""],
    })  # fmt: skip
    assert findings._missing_scores(finished) == [
        f"Scores are missing in 2 trials: factor_vae: {reason}.",
        "Scores are missing in 1 trials: sap: one latent.",
    ]


def test_what_a_search_chose_is_said_to_be_no_fair_sample(fake_study: Path) -> None:
    frames, rows, sentences = told(fake_study)
    assert findings.SEARCH_CLAIM not in sentences
    frames.study.identity["search"] = "tradeoff"
    assert findings.SEARCH_CLAIM in findings.sentences(frames, rows, findings.by_trial(frames, rows))
