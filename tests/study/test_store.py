import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import study.store
from study.store import Store, StoreError, compare, open_study
from tests.study.stores import BETA, CAPACITY, IDENTITY, arrays, build, open_store, row, start


def test_what_was_written_is_read(tmp_path: Path):
    reader = open_study(build(tmp_path / "s"))
    assert reader.identity == IDENTITY
    assert reader.problems == []
    assert reader.configs() == {CAPACITY.key(): CAPACITY, BETA.key(): BETA}
    assert reader.status() == {CAPACITY.key(): "finished", BETA.key(): "diverged"}
    assert reader.attempts() == {CAPACITY.key(): 1, BETA.key(): 1}
    assert reader.events()["kind"].tolist() == ["started", "finished", "started", "diverged"]
    rows = reader.rows()
    assert rows["key"].tolist() == sorted(rows["key"])
    assert rows[rows["key"] == CAPACITY.key()]["step"].tolist() == [10, 20]
    assert np.abs(rows["time"] - time.time()).max() < 600
    read = reader.arrays(CAPACITY.key())
    assert read.keys() == arrays().keys()
    for name, array in arrays().items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    assert reader.checkpoint(CAPACITY.key()) == b"weights"
    assert reader.checkpoint(BETA.key()) is None


def test_an_empty_store_reads_as_empty(tmp_path: Path):
    with open_store(tmp_path / "s"):
        pass
    reader = open_study(tmp_path / "s")
    assert reader.status() == reader.configs() == reader.attempts() == {}
    assert len(reader.rows()) == len(reader.trials()) == len(reader.events()) == 0
    assert {"key", "step"} <= set(reader.rows().columns)


def test_rows_wait_for_200_or_two_seconds_and_events_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = 100.0
    monkeypatch.setattr(study.store.time, "monotonic", lambda: clock)
    with open_store(tmp_path / "s") as store:
        reader, key = open_study(tmp_path / "s"), CAPACITY.key()
        for step in range(199):
            store.add_row(key, 1, row(step))
        assert len(reader.rows()) == 0
        store.add_row(key, 1, row(199))
        assert len(reader.rows()) == 200
        store.add_row(key, 1, row(200))
        clock += 1.9
        store.tick()
        assert len(reader.rows()) == 200
        clock += 0.2
        store.tick()
        assert len(reader.rows()) == 201
        store.add_row(key, 1, row(201))
        start(store, CAPACITY)
        assert len(reader.rows()) == 202
        store.add_row(key, 1, row(202))
        store.save_checkpoint(key, b"state")
        assert len(reader.rows()) == 203


def test_the_plan_grows_only_when_it_differs(tmp_path: Path):
    with open_store(tmp_path / "s") as store:
        for trials in (4, 4, 6, 6, 4):
            store.extend_plan({"trials": trials})
    with open_store(tmp_path / "s") as store:
        store.extend_plan({"trials": 4})
    plan = open_study(tmp_path / "s").plan
    assert [entry["trials"] for entry in plan] == [4, 6, 4]
    assert all(entry["date"] for entry in plan)


def test_another_identity_is_refused_with_the_difference(tmp_path: Path):
    build(tmp_path / "s")
    before = (tmp_path / "s" / "study.json").read_bytes()
    with pytest.raises(StoreError, match=r"another study: eval_seed was 0, now 1; use another --store"):
        open_store(tmp_path / "s", identity={"eval_seed": 1})
    assert (tmp_path / "s" / "study.json").read_bytes() == before
    open_store(tmp_path / "s").close()  # the refused driver holds no lock


def test_changed_provenance_is_recorded_and_warned_about(tmp_path: Path):
    with open_store(tmp_path / "s") as store:
        assert store.warnings == []
    with open_store(tmp_path / "s", predicted="3 trials") as store:
        assert store.warnings == []
    with open_store(tmp_path / "s", commit="def") as store:
        (warning,) = store.warnings
        assert "commit was abc, now def" in warning
    provenance = open_study(tmp_path / "s").provenance
    assert (provenance[0]["commit"], provenance[-1]["commit"]) == ("abc", "def")
    assert all(entry["date"] for entry in provenance)


def test_a_driver_waits_out_whoever_looks_whether_it_is_there(tmp_path: Path):
    open_store(tmp_path / "s").close()
    with open(tmp_path / "s" / "lock") as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        threading.Timer(0.15, lambda: fcntl.flock(glance, fcntl.LOCK_UN)).start()
        with open_store(tmp_path / "s"):
            pass


def test_arrays_that_cannot_be_opened_are_named(tmp_path: Path):
    study = open_study(build(tmp_path / "s"))
    assert study.unreadable_arrays == []
    path = tmp_path / "s" / "arrays" / f"{CAPACITY.key()}.h5"
    path.write_bytes(path.read_bytes()[:100])
    (said,) = study.unreadable_arrays
    assert said.startswith(f"{path} cannot be read")
    with pytest.raises(StoreError, match=r"cannot be read .*; delete it, and the study run again makes it"):
        study.arrays(CAPACITY.key())


def test_ones_own_code_that_has_changed_since_is_refused(tmp_path: Path):
    with open_store(tmp_path / "s", own={"mine:loss": "aa"}):
        pass
    with open_store(tmp_path / "s", own={"mine:Model": "bb"}):  # another beside it may come
        pass
    with pytest.raises(StoreError, match="holds trials of mine:loss as it was before its file changed; restore"):
        open_store(tmp_path / "s", own={"mine:loss": "cc"})


def test_a_second_driver_is_refused_until_the_first_lets_go(tmp_path: Path):
    store = open_store(tmp_path / "s")
    with pytest.raises(StoreError, match=rf"open in another driver \(.*{os.getpid()}"):
        open_store(tmp_path / "s")
    store.close()
    store.close()
    open_store(tmp_path / "s").close()


def test_paths_that_are_no_store_are_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"cannot be written.*--store"):
            open_store(path)
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match=r"is no store"):
            open_study(path)
    (tmp_path / "study.json").write_text('{"identity": ')
    with pytest.raises(StoreError, match=r"study.json cannot be read"):
        open_study(tmp_path)
    with pytest.raises(StoreError, match=r"has no arrays"):
        open_study(build(tmp_path / "s")).arrays(BETA.key())


def test_a_corrupt_part_is_named_and_the_rest_read_and_no_driver_writes_over_it(tmp_path: Path):
    path = build(tmp_path / "s")
    bad = sorted((path / "rows").glob("*.parquet"))[-1]
    bad.write_bytes(bad.read_bytes()[:50])
    reader = open_study(path)
    assert len(reader.rows()) == 2
    assert reader.status() == {CAPACITY.key(): "finished", BETA.key(): "diverged"}
    (problem,) = reader.problems
    assert str(bad) in problem
    with pytest.raises(StoreError, match=bad.name):
        open_store(path)
    assert bad.exists()


def test_compaction_at_start_and_every_so_many_parts_keeps_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(study.store, "COMPACT_PARTS", 5)
    path = tmp_path / "s"
    with open_store(path) as store:
        key = start(store, CAPACITY)
        for step in range(23):
            store.add_row(key, 1, row(step))
            store.flush()
            assert len(list((path / "rows").glob("*.parquet"))) <= 5
    rows, events = open_study(path).rows(), open_study(path).events()
    assert rows["step"].tolist() == list(range(23))
    open_store(path).close()
    assert len(list((path / "rows").glob("*.parquet"))) == 1
    pd.testing.assert_frame_equal(open_study(path).rows(), rows)
    pd.testing.assert_frame_equal(open_study(path).events(), events)


class Killed(BaseException):
    """Stands for kill -9: nothing that comes after it happens."""


@pytest.mark.parametrize("renames", range(5))
def test_finishing_killed_before_any_of_its_renames_can_be_repeated(tmp_path: Path, monkeypatch, renames: int):
    path = tmp_path / "s"
    store = open_store(path)
    key = start(store, CAPACITY)
    store.add_row(key, 1, row(10, mig=None, tracking=float("nan")))  # still in the buffer when the trial ends
    last, done, replace = row(20, full=True, mig=0.25, tracking=0.5), 0, os.replace

    def kill_before(source: Any, target: Any) -> None:
        nonlocal done
        if done == renames:
            raise Killed
        done += 1
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill_before)
        with pytest.raises(Killed):  # five renames: arrays, earlier rows, weights, the last row, the event
            store.finish(key, 1, last, arrays(), b"weights")
    store._lock.close()  # as the system does when a process dies
    reader = open_study(path)
    assert reader.problems == []
    assert reader.status() == {key: "running"}
    if reader.checkpoint(key) == b"weights":  # a trial that resumes from its end never reports step 10 again
        assert 10 in reader.rows()["step"].tolist()
    with open_store(path) as store:
        start(store, CAPACITY, attempt=2)
        store.add_row(key, 2, row(10, mig=None, tracking=float("nan")))
        store.finish(key, 2, last, arrays(), b"weights")
        start(store, BETA)
        store.add_row(BETA.key(), 1, row(10))
        store.add_event(BETA.key(), 1, "diverged", "the loss was not finite")
    assert compare(path, build(tmp_path / "whole")) == []


DRIVER = """
import dataclasses, json, os, pathlib, random, signal, sys, time
import numpy as np
import study.store
from study.store import Store
from trainables.config import TrialConfig

study.store.COMPACT_PARTS = 6
store_path, notes = pathlib.Path(sys.argv[1]), os.open(sys.argv[2], os.O_APPEND | os.O_CREAT | os.O_WRONLY)


def note(*words):  # only what a call has returned from is noted, and a kill cannot take a note back
    os.write(notes, (json.dumps(words) + chr(10)).encode())


def drive(round):
    with Store.open(store_path, {"schema": 1}, {"commit": "abc"}) as store:
        for number in range(1000):
            config = TrialConfig(seed=1000 * round + number, steps=4, ramp_steps=4)
            key = config.key()
            store.add_event(key, 1, "started", json.dumps(dataclasses.asdict(config)))
            note("started", key, 0)
            for step in range(1, 4):
                store.add_row(key, 1, {"step": step, "full": step == 3, "seconds": 1.0, "value": step * 0.5})
                store.save_checkpoint(key, bytes([step]) * 300_000)
                note("checkpoint", key, step)
            row = {"step": 4, "full": True, "seconds": 1.0, "value": 2.0}
            store.finish(key, 1, row, {"codes": np.full((100, 10), 4.0)}, bytes([4]) * 300_000)
            note("finished", key, 4)


dice = random.Random(0)
for round in range(int(sys.argv[3])):
    child = os.fork()
    if child == 0:
        drive(round)
    time.sleep(dice.uniform(0.05, 0.35))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL  # it was at work, and died of this
"""


def test_nothing_acknowledged_is_lost_when_drivers_are_killed_at_random_moments(tmp_path: Path):
    path, notes = tmp_path / "s", tmp_path / "notes"
    subprocess.run([sys.executable, "-c", DRIVER, str(path), str(notes), "14"], check=True, timeout=60)
    reader = open_study(path)
    status, rows, configs = reader.status(), reader.rows(), reader.configs()
    values = {(key, step): value for key, step, value in zip(rows["key"], rows["step"], rows["value"], strict=True)}
    noted = [json.loads(line) for line in notes.read_text().splitlines()]
    assert reader.problems == []
    assert len(noted) > 20
    assert "running" in status.values()
    for what, key, step in noted:
        assert key in configs
        state = reader.checkpoint(key)
        if step:
            assert state is not None
            assert state[0] >= step
            assert all(values[key, earlier] == earlier * 0.5 for earlier in range(1, step + 1))
        if what == "finished":
            assert status[key] == "finished"
    for key, state in status.items():
        assert key in configs
        if state == "finished":
            np.testing.assert_array_equal(reader.arrays(key)["codes"], np.full((100, 10), 4.0))
            assert reader.checkpoint(key) == bytes([4]) * 300_000
            assert values[key, 4] == 2.0
        elif checkpoint := reader.checkpoint(key):  # whole, and preceded by its rows
            assert checkpoint == checkpoint[:1] * 300_000
            assert all((key, step) in values for step in range(1, min(checkpoint[0], 3) + 1))
    with Store.open(path, {"schema": 1}, {"commit": "abc"}):
        pass
    assert len(open_study(path).trials()) == len(status)
    pd.testing.assert_frame_equal(open_study(path).rows(), rows)
