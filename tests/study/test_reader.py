import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from study.store import StoreError, open_study
from tests.study.stores import BETA, CAPACITY, build, open_store, row, start


def test_trials_have_config_status_and_the_last_full_row(tmp_path: Path):
    path = build(tmp_path / "s")
    trials = open_study(path).trials().set_index("key")
    one, other = trials.loc[CAPACITY.key()], trials.loc[BETA.key()]
    assert (one["family"], one["status"], one["setting"]) == ("capacity", "finished", CAPACITY.setting())
    assert (one["gamma"], one["steps"], one["step"], one["mig"], one["recon"]) == (1000.0, 20, 20, 0.25, 80.0)
    assert one["seconds"] == 4.0
    assert (other["family"], other["beta"], other["status"], other["attempts"]) == ("beta", 4.0, "diverged", 1)
    assert pd.isna(other["mig"])
    assert pd.isna(other["recon"])  # a cheap row is not a result
    stored = pd.read_parquet(path / "trials.parquet").set_index("key")
    assert stored.columns.tolist() == trials.columns.tolist()
    assert stored.loc[CAPACITY.key(), ["mig", "seconds"]].tolist() == [0.25, 4.0]


def test_rows_of_the_last_attempt_stand_whatever_the_order_of_writing(tmp_path: Path):
    with open_store(tmp_path / "s") as store:
        key = start(store, CAPACITY)
        written = [(2, 10, 0.2), (1, 10, 0.1), (1, 20, 0.3), (2, 20, 0.4), (2, 20, 0.5), (1, 30, 0.6)]
        for attempt, step, value in written:
            store.add_row(key, attempt, row(step, mig=value))
            store.flush()
    assert open_study(tmp_path / "s").rows()[["step", "mig"]].to_numpy().tolist() == [[10, 0.2], [20, 0.5], [30, 0.6]]


def test_status_is_that_of_the_last_event(tmp_path: Path):
    with open_store(tmp_path / "s") as store:
        for kinds in (["started"], ["started", "retried"], ["started", "failed", "started", "interrupted"]):
            config = dataclasses.replace(CAPACITY, seed=len(kinds))
            for kind in kinds:
                if kind == "started":
                    start(store, config)
                else:
                    store.add_event(config.key(), 1, kind)
            expected = "interrupted" if len(kinds) == 4 else "running"
            assert open_study(tmp_path / "s").status()[config.key()] == expected


def test_a_trial_is_found_by_its_key_or_a_beginning_of_it(tmp_path: Path):
    study = open_study(build(tmp_path / "s"))
    key = CAPACITY.key()
    trial = study.trial(key)
    assert (trial.key, trial.config, trial.status) == (key, CAPACITY, "finished")
    assert study.trial(key[:6]).key == key
    assert trial.rows()["key"].unique().tolist() == [key]
    assert trial.arrays().keys() == study.arrays(key).keys()


def test_a_key_that_does_not_exist_names_the_near_ones(tmp_path: Path):
    study = open_study(build(tmp_path / "s"))
    key = CAPACITY.key()
    with pytest.raises(StoreError, match=f"has no trial '{key[:-1]}x'; did you mean {key}"):
        study.trial(key[:-1] + "x")
    with pytest.raises(StoreError, match=f"has no trial '{key[:3]}x'; did you mean {key}"):
        study.trial(key[:3] + "x")  # a mistyped beginning
    with pytest.raises(StoreError, match="has no trial ''"):
        study.trial("")


def test_several_trials_that_begin_alike_are_all_named(tmp_path: Path):
    with open_store(tmp_path / "s") as store:
        keys = [start(store, dataclasses.replace(CAPACITY, seed=seed)) for seed in range(40)]
    first = next(a[0] for a in keys if sum(b.startswith(a[0]) for b in keys) > 1)
    with pytest.raises(StoreError, match="give one of ") as caught:
        open_study(tmp_path / "s").trial(first)
    assert all(key in str(caught.value) for key in keys if key.startswith(first))


def test_a_trial_without_weights_has_no_model(tmp_path: Path):
    with open_store(tmp_path / "s") as store:
        key = start(store, CAPACITY)
    with pytest.raises(StoreError, match=f"has no weights of trial {key}; run the study to make them"):
        open_study(tmp_path / "s").trial(key).model()
