from pathlib import Path

import pytest

from analysis.frames import load, varied_fields
from study.store import StoreError


def test_trials_and_rows_of_a_study(fake_study: Path) -> None:
    frames = load(fake_study)
    assert len(frames.trials) == 12
    assert len(frames.finished) == 10
    assert len(frames.rows) == 22
    assert set(frames.trials["family"]) == {"beta", "capacity"}


def test_varied_fields_are_those_that_tell_settings_apart(fake_study: Path) -> None:
    trials = load(fake_study).trials
    assert varied_fields(trials) == ["beta", "capacity_max"]
    trials.loc[trials["family"] == "capacity", "gamma"] = [30.0, 100.0] * 3
    assert varied_fields(trials) == ["beta", "gamma", "capacity_max"]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no store"):
        load(tmp_path)
