import dataclasses
from pathlib import Path

import pytest

from analysis.frames import load, load_finished, varied_fields
from study.config import StudyConfig
from study.store import StoreError
from tests.analysis.conftest import write_study
from tests.study.stores import BETA, arrays, open_store, row, start
from trainables.checks import InputError


def test_trials_and_rows_of_a_study(fake_study: Path) -> None:
    frames = load(fake_study)
    assert len(frames.trials) == 12
    assert len(frames.finished) == 10
    assert len(frames.rows) == 46
    assert set(frames.trials["family"]) == {"beta", "capacity"}


def test_varied_fields_are_those_that_tell_settings_apart(fake_study: Path) -> None:
    trials = load(fake_study).trials
    assert varied_fields(trials) == ["beta", "capacity_max"]
    trials.loc[trials["family"] == "capacity", "gamma"] = [30.0, 100.0] * 3
    assert varied_fields(trials) == ["beta", "gamma", "capacity_max"]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no store"):
        load(tmp_path)


def test_an_objective_of_ones_own_reads_every_field(fake_study: Path) -> None:
    trials = load(fake_study).trials
    trials.loc[trials["family"] == "capacity", ["family", "objective", "beta"]] = ["my.loss:a", "my.loss:a", 3.0]
    assert "gamma" not in varied_fields(trials)
    trials.loc[trials["family"] == "beta", "gamma"] = 1.0  # not read there
    assert "gamma" not in varied_fields(trials)
    trials.loc[trials["seed"] == 1, "gamma"] = 5.0
    assert "gamma" in varied_fields(trials)


def test_what_the_driver_recorded_of_the_dataset(fake_study: Path) -> None:
    frames = load(fake_study)
    assert frames.factors == ["shape", "x", "y"]
    assert frames.dataset["entropy"] == 8.0


def test_one_trial_and_its_reports(fake_study: Path) -> None:
    frames = load(fake_study)
    key = frames.trials["key"].iloc[3]
    assert frames.trial(key)["key"] == key
    assert frames.reports(key)["step"].tolist() == [100, 600, 1200, 1700]


def test_an_adaptive_search_judges_settings_whole(tmp_path: Path) -> None:
    def build(path: Path, search: str) -> list[str]:
        with open_store(path, identity={"search": search, "seeds": [0, 1]}) as store:
            for beta, ends in ((1.0, ("finished", "finished")), (4.0, ("finished", "diverged"))):
                for seed, end in enumerate(ends):
                    config = dataclasses.replace(BETA, beta=beta, seed=seed)
                    key = start(store, config)
                    if end == "finished":
                        store.finish(key, 1, row(20, full=True), arrays(), b"weights")
                    else:
                        store.add_event(key, 1, end)
        frames = load(path)
        assert len(frames.finished) == frames.trials["status"].tolist().count("finished")
        return frames.trials.sort_values(["beta", "seed"])["status"].tolist()

    assert build(tmp_path / "grid", "beta_grid") == ["finished", "finished", "finished", "diverged"]
    assert build(tmp_path / "search", "tradeoff") == ["finished", "finished", "set aside", "diverged"]


def test_trials_that_share_a_seed_are_no_replicates(tmp_path: Path) -> None:
    pinned = {"objective": ("beta_vae",), "beta": (4.0,), "init_seed": (1, 2)}
    frames = load(write_study(tmp_path / "s", lambda config: "finished", StudyConfig(pinned=pinned, seeds=2)))
    assert sorted(frames.finished["seed"]) == [0, 1]
    assert set(frames.finished["init_seed"]) == {1}
    assert frames.trials["status"].tolist().count("set aside") == 2


def test_a_store_without_finished_trials_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_study(tmp_path / "s", lambda config: "diverged", StudyConfig(seeds=1))
    with pytest.raises(InputError, match="all have diverged; lower the learning rate or gamma"):
        load_finished(path)
