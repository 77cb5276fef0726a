import contextlib
import hashlib
import io
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import rescore, scorecard
from analysis.frames import _with_later, load, records
from analysis.report import command
from study.config import StudyConfig
from study.store import Scores, read_scores
from tests.analysis.conftest import write_study
from trainables.checks import InputError
from trainables.metrics import table

ROOT = Path(__file__).parents[2]
CHEAP = ["mig", "modularity", "irs"]


@pytest.fixture
def store(fake_study: Path, tmp_path: Path) -> Path:
    """A copy to write scores into."""
    path = tmp_path / "study"
    shutil.copytree(fake_study, path, ignore=shutil.ignore_patterns("report", "scores"))
    return path


@pytest.fixture(scope="module")
def rescored(fake_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """A study with the cheap scores, its files before, and what was printed."""
    path = tmp_path_factory.mktemp("rescored") / "study"
    shutil.copytree(fake_study, path, ignore=shutil.ignore_patterns("report", "scores"))
    before, printed = digests(path), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert rescore.main([str(path), "--metrics", *CHEAP, "--workers", "2"]) == 0
    return path, before, printed.getvalue()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of this process: to start others takes longer than these scores."""
    monkeypatch.setattr(rescore, "ProcessPoolExecutor", lambda *how, **options: ThreadPoolExecutor(1))


def digests(store: Path) -> dict[str, str]:
    """What every file of the study holds, the scores apart."""
    files = [path for path in store.rglob("*") if path.is_file() and "scores" not in path.parts]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_finished_trial_is_scored_as_its_codes_say(rescored: tuple[Path, dict[str, str], str]) -> None:
    store, before, printed = rescored
    assert "30 computations" in printed
    assert digests(store) == before
    frames = load(store)
    found = read_scores(store)
    assert sorted(found) == sorted(CHEAP)
    for name in CHEAP:
        (metric,) = table.named([name])
        rows = {row["key"]: row for row in records(found[name])}
        assert set(rows) == set(frames.finished["key"])
        key = list(rows)[3]
        arrays = frames.study.arrays(key)
        expected = table.calibrated(metric, arrays["mean"], arrays["factors"])[name]
        for beside in ("value", "null", "null_sd", "ceiling", "sd", "calibrated"):
            column = name if beside == "value" else f"{name}_{beside}"
            assert rows[key][column] == pytest.approx(getattr(expected, beside), nan_ok=True)
        assert {row["missing"] for row in rows.values()} == {""}
    assert min(found["mig"]["mig[x]"].tolist()) > 0
    assert set(found["mig"]["bins"]) == {20}


def test_what_is_there_is_kept_and_only_the_rest_computed(
    store: Path, here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = load(store).finished["key"].tolist()
    with Scores(store) as scores:
        scores.add(
            "irs", [{"key": keys[0], "irs": 42.0, "irs_ceiling": 1.0, "irs_nulls": 20, "latents": 3, "missing": ""}]
        )
    assert rescore.main([str(store), "--metrics", "irs", "--nulls", "0"]) == 0
    assert "9 computations" in capsys.readouterr().out
    rows = {row["key"]: row["irs"] for row in records(read_scores(store)["irs"])}
    assert rows.pop(keys[0]) == 42.0
    assert len(rows) == 9
    assert max(rows.values()) <= 1
    assert rescore.main([str(store), "--metrics", "irs"]) == 0
    said = capsys.readouterr().out
    assert "0 computations" in said
    assert "9 rows of irs have fewer than 20 permutations; delete its file to redo them" in said


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 4])
def test_one_unreadable_file_costs_no_other_trial(place: int, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = load(store).finished["key"].iloc[place]
    arrays = store / "arrays" / f"{key}.h5"
    kept = arrays.read_bytes()
    arrays.write_bytes(b"junk")
    assert rescore.main([str(store), "--metrics", "irs"]) == 1
    assert f"irs of trial {key}: StoreError: {arrays} cannot be read" in capsys.readouterr().err
    assert command.main([str(store), "--trials", key]) == 0
    assert f"warning: {arrays} cannot be read" in capsys.readouterr().err
    assert f"Trial {key} has no pictures" in (store / "report" / "index.html").read_text()
    assert set(read_scores(store)["irs"]["key"]) == set(load(store).finished["key"]) - {key}
    arrays.write_bytes(kept)
    assert rescore.main([str(store), "--metrics", "irs"]) == 0
    assert "1 computations" in capsys.readouterr().out


def test_a_trial_without_a_score_in_its_row_takes_the_later_one(store: Path) -> None:
    trials = load(store).trials.assign(irs=[0.5] + [float("nan")] * 11)
    later = pd.DataFrame({"key": trials["key"], "irs": range(12), "irs_null": 0.25, "n": 7})
    merged = _with_later(trials, {"irs": later.iloc[::-1]})
    assert merged["irs"].tolist() == [0.5, *range(1, 12)]
    assert merged["irs_null"].tolist() == [0.25] * 12
    assert "n" not in merged


def test_a_hundred_columns_of_later_are_joined_without_a_warning(store: Path) -> None:
    names = [name for metric in table.METRICS for name in metric.names]
    keys = load(store).trials["key"].tolist()
    with Scores(store) as scores:
        for name in names:
            beside = {f"{name}_{word}": 0.5 for word in (*table.BESIDE, "a", "b", "c")}
            scores.add(name, [{"key": key, name: 0.25, **beside, "missing": ""} for key in keys])
    trials = load(store).trials  # a warning is an error here
    assert set(trials["dci_completeness"]) == {0.25}
    assert set(trials["sap_missing"]) == {""}
    assert len(trials) == 12


def test_scores_of_one_computation_are_completed_together(store: Path) -> None:
    key = load(store).finished["key"].iloc[0]
    tasks = rescore.lacking(table.METRICS, {key: 3}, {})
    assert tasks[0].metric == "dci_disentanglement"  # the costly first
    assert {name for task in tasks for name in task.names} == {
        name for metric in table.METRICS for name in metric.names
    }
    with Scores(store) as scores:
        scores.add("infom", [{"key": key, "infom": 0.5}])
    (task,) = rescore.lacking(table.named(["infoe"]), {key: 3}, read_scores(store))
    assert task.names == ("infoe", "infoc")


def test_frames_and_scorecard_show_the_scores(fake_study: Path, rescored: tuple[Path, dict[str, str], str]) -> None:
    assert "irs_calibrated" not in load(fake_study).trials
    frames = load(rescored[0])
    assert not np.isnan(frames.finished["irs_calibrated"].to_numpy()).any()
    assert "irs" in scorecard.scored(frames.finished)
    assert max(frames.finished["mig"].tolist()) > 0.1  # the study's own, which the store holds already
    assert not {"n", "missing", "seconds_x"} & set(frames.trials)


def test_a_score_that_cannot_be_had_is_missing_with_its_reason(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = rescore.Context(store, ["shape", "x", "y"], 0, None)
    score = table.calibrated(table.named(["sap"])[0], np.zeros((50, 1)), np.arange(50)[:, None] % 3)["sap"]
    row = rescore.row_of("sap", score, context)
    assert math.isnan(row["sap"])
    assert "there is 1" in row["missing"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "migg"], "no score is called 'migg'; did you mean mig"),
        (["--workers", "0"], "--workers=0 is under 1"),
        (["--nulls", "-1"], "--nulls=-1 is under 0"),
    ],
)
def test_bad_input_is_one_line(store: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rescore.main([str(store), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_store_without_trials_or_factors_is_refused(tmp_path: Path, here: None) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    empty = load(write_study(tmp_path / "a", lambda config: "diverged", study))
    blind = load(write_study(tmp_path / "b", lambda config: "finished", study, factors=False))
    for frames, said in ((empty, "has no finished trial"), (blind, "has no factors, which mig compares codes with")):
        with Scores(frames.study.path) as scores, pytest.raises(InputError, match=said):
            rescore.rescore(scores, frames, ["mig"], None, 1)
    assert rescore.main([str(blind.study.path)]) == 0  # what needs no factors
    assert list(read_scores(blind.study.path)) == ["gaussian_total_correlation"]


@pytest.mark.slow
def test_interrupted_it_keeps_what_is_done_and_goes_on(store: Path) -> None:
    command = [sys.executable, "-m", "analysis.rescore", str(store), "--metrics", "beta_vae", "mig"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    limit = time.monotonic() + 60
    while len(read_scores(store).get("beta_vae", ())) < 2:
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "stopped; what is done is kept, and the same command goes on"
    assert "Traceback" not in error
    done = read_scores(store)["beta_vae"]
    assert len(done) < 10
    assert rescore.main([str(store), "--metrics", "beta_vae", "--nulls", "0"]) == 0
    again = read_scores(store)["beta_vae"]
    assert len(again) == 10
    assert again.iloc[: len(done)].equals(done)


def test_ceilings_that_are_stored_are_not_computed_again() -> None:
    row = {"key": "a", "latents": 3, "irs": 0.5, "irs_ceiling": 0.9}
    infom = {"key": "a", "latents": 3, "infom": 0.5, "infom_ceiling": 0.8}
    stored = {"irs": pd.DataFrame([row, row | {"key": "b", "latents": 5, "irs_ceiling": 0.7}])}
    stored |= {"infom": pd.DataFrame([infom])}
    assert rescore._stored_ceilings(table.named(["irs", "infom", "mig"]), stored) == {
        ("irs", 3): {"irs": 0.9},
        ("irs", 5): {"irs": 0.7},
    }  # of one of InfoMEC's three scores alone the others' ceilings are not known
