import dataclasses
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.frames import Frames, load
from analysis.report import explorer
from analysis.report.explorer import fragment, incomparable, payload
from analysis.report.trial import POINTS, described, number, plain
from analysis.tradeoff.settings import by_setting
from study.config import StudyConfig
from study.store import Store
from tests.analysis.conftest import pictures, write_study


@pytest.fixture(scope="module")
def frames(fake_study: Path) -> Frames:
    return load(fake_study)


@pytest.fixture(scope="module")
def told(frames: Frames) -> dict[str, Any]:
    return payload([frames])


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)
    else:
        yield value


def test_it_is_json_without_nan(told: dict[str, Any]) -> None:
    assert json.loads(json.dumps(told, allow_nan=False))["scores"] == told["scores"]
    assert all(type(leaf) in (str, int, float, bool, type(None)) for leaf in leaves(told))  # no numpy either


def test_every_finished_trial_is_there_with_its_own_numbers(told: dict[str, Any], frames: Frames) -> None:
    trials = {trial["key"]: trial for trial in told["trials"]}
    assert sorted(trials) == sorted(frames.finished["key"])
    for key, trial in trials.items():
        row = frames.trial(key)
        assert trial["values"] == {name: pytest.approx(row[name]) for name in ("recon", "kl", "mig_calibrated")}
        assert (trial["seed"], trial["fields"]["verdict"]) == (row["seed"], row["verdict"])
        assert told["settings"][trial["setting"]]["family"] == row["family"]
        audit = dict(trial["audit"])
        assert audit["resolved"] == ("yes" if row["info_resolved"] else "no")  # of this seed, not of another
        assert audit["I(x;z)"] == f"{row['info_low']:.1f} to {row['info_high']:.1f} nats"
        assert (audit["verdict"], dict(trial["config"])["seed"]) == (row["verdict"], str(row["seed"]))
        assert trial["scores"] == [["mig", *(f"{row[name]:.3f}" for name in SCORE)]]
        assert trial["load"] == f"open_study({str(frames.study.path)!r}).trial({key!r}).model()"


SCORE = ("mig", "mig_calibrated", "mig_null", "mig_ceiling", "mig_sd")


def test_means_and_intervals_are_those_of_the_table(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (2.0, 8.0)}, seeds=3)
    frames = load(write_study(tmp_path / "s", lambda config: "finished", study))
    rows = {row.label: row for row in by_setting(frames.trials)}
    settings = payload([frames])["settings"]
    assert sorted(setting["label"] for setting in settings) == sorted(rows)
    for setting in settings:
        for name, estimate in rows[setting["label"]].estimates.items():
            expected = (estimate.mean, estimate.low, estimate.high)
            assert setting["means"][name] == pytest.approx(expected, rel=1e-4)


def test_a_field_is_of_the_families_that_read_it(told: dict[str, Any]) -> None:
    for trial in told["trials"]:
        of_beta = trial["fields"]["family"] == "beta"
        assert (trial["fields"]["beta"] is None, trial["fields"]["capacity_max"] is None) == (not of_beta, of_beta)
    fields = {field["name"]: field for field in told["fields"]}
    assert fields["capacity_max"]["values"] == [(6.0, "6"), (12.0, "12"), (18.0, "18")]
    assert fields["family"]["values"] == [("beta", "fixed β"), ("capacity", "controlled capacity")]
    assert [(name, field["numeric"]) for name, field in fields.items()] == [
        ("family", False), ("beta", True), ("capacity_max", True), ("seed", True), ("verdict", False),
    ]  # fmt: skip


def test_families_differ_in_colour_and_in_shape() -> None:
    families = explorer._families(["beta", "capacity", "my:loss", "beta", "my:other"])
    assert [one["name"] for one in families] == ["beta", "capacity", "my:loss", "my:other"]
    for name in ("colour", "marker"):
        assert len({one[name] for one in families}) == 4


def test_curves_are_thinned_and_keep_their_ends(frames: Frames) -> None:
    trial = next(frames.trial(key) for key in frames.finished["key"] if frames.trial(key)["family"] == "capacity")
    reports = frames.reports(trial["key"])
    audit = {"key": "k", "KL": "1.00", "dim KL": "-", "verdict": "fine"}
    few = described(trial, audit, [], reports)["curves"]
    assert few["steps"] == [100, 600, 1200, 1700]
    assert few["capacity"] == pytest.approx(reports["capacity"].tolist(), abs=0.005)
    assert few["latents"]["1"] == [0.0, 0.1, 0.7, 1.2]
    assert few["opened"] == [[0, 200], [1, 700]]
    many = reports.loc[reports.index.repeat(100)].assign(step=range(1, 401))
    curves = described(trial, audit, [], many.sample(frac=1, random_state=0))["curves"]  # in any order
    assert len(curves["steps"]) == len(curves["kl"]) == len(curves["latents"]["0"]) == POINTS
    assert (curves["steps"][0], curves["steps"][-1], sorted(curves["steps"])) == (1, 400, curves["steps"])
    bare = described(trial | {"beta_start": math.nan}, audit, [], None)
    assert bare["curves"] is None
    assert bare["audit"] == [["KL", "1.00 nats"], ["dim KL", "-"], ["verdict", "fine"]]


def test_fixed_beta_has_no_capacity(told: dict[str, Any]) -> None:
    for trial in told["trials"]:
        assert (trial["curves"]["capacity"] is None) is (trial["fields"]["family"] == "beta")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_missing_or_infinite_is_null(value: float | None) -> None:
    assert number(value) is None
    assert plain(value) is None


def test_a_trial_without_arrays_is_told_without_pictures(fake_study: Path, tmp_path: Path) -> None:
    shutil.copytree(fake_study, tmp_path / "s")
    gone, broken, bare, *_ = load(fake_study).finished["key"].tolist()
    arrays = tmp_path / "s" / "arrays"
    (arrays / f"{broken}.h5").write_bytes(b"no HDF5")
    with Store.open(tmp_path / "bare", {}, {}) as store:
        store._write_arrays(bare, {"mean": pictures(0)["mean"]})
    shutil.copy(tmp_path / "bare" / "arrays" / f"{bare}.h5", arrays)
    trials = {trial["key"]: trial for trial in payload([load(tmp_path / "s")])["trials"]}
    assert len(trials) == 10
    assert "cannot be read" in trials[broken]["missing"]
    assert "no traversals and no originals" in trials[bare]["missing"]
    assert "pictures" in trials[gone]
    assert all(("pictures" in trial) != ("missing" in trial) for trial in trials.values())


def test_studies_of_one_evaluation_share_their_axes(frames: Frames, tmp_path: Path) -> None:
    assert incomparable([frames]) == incomparable([frames, frames]) == []
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    other = dataclasses.replace(study, protocol="paper", measured={"eval_seed": 3})
    both = [frames, load(write_study(tmp_path / "other", lambda config: "diverged", other))]
    sentences = incomparable(both)
    assert sentences[:2] == [
        "The protocol differs: laptop in capacity_grid-laptop, paper in other.",
        "The evaluation seed differs: 0 in capacity_grid-laptop, 3 in other.",
    ]
    assert sentences[-1] == "So each study has its own axes: values of one cannot be compared with those of another."
    told = payload(both)
    assert told["comparable"] is False
    assert told["notes"][: len(sentences)] == sentences
    assert [study["name"] for study in told["studies"]] == ["capacity_grid-laptop", "other"]  # without a trial, too


def test_two_studies_keep_their_trials_apart(frames: Frames) -> None:
    told = payload([frames, frames])
    assert told["comparable"] is True
    assert [study["name"] for study in told["studies"]] == ["capacity_grid-laptop (1)", "capacity_grid-laptop (2)"]
    assert [trial["study"] for trial in told["trials"]] == [0] * 10 + [1] * 10
    assert all(told["settings"][trial["setting"]]["study"] == trial["study"] for trial in told["trials"])
    assert any("their axes are the same" in note for note in told["notes"])


def test_without_a_score_there_is_none_to_choose(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    told = payload([load(write_study(tmp_path / "s", lambda config: "finished", study, factors=False))])
    assert told["scores"] == []
    assert any("No finished trial has a disentanglement score" in note for note in told["notes"])
    assert {trial["fields"]["family"] for trial in told["trials"]} == {"beta"}
    assert told["trials"][0]["pictures"]["rows"][0]["factor"] is None


def test_arms_of_the_headline_search_have_no_front(told: dict[str, Any], tmp_path: Path) -> None:
    study = StudyConfig(search="headline", pinned={"steps": (1700,), "ramp_steps": (1200,)}, seeds=1)
    arms = payload([load(write_study(tmp_path / "s", lambda config: "finished", study))])
    assert arms["studies"][0]["front"] is False
    assert any("No front is drawn" in note for note in arms["notes"])
    assert told["studies"][0]["front"] is True


def test_calibrated_mig_is_the_first_choice(told: dict[str, Any], frames: Frames) -> None:
    assert [score["name"] for score in told["scores"]] == ["mig_calibrated"]
    trials = frames.trials.assign(a_score=0.5, a_score_null=0.1)
    both = payload([dataclasses.replace(frames, trials=trials[sorted(trials.columns)])])
    assert [score["name"] for score in both["scores"]] == ["mig_calibrated", "a_score"]
    assert both["scores"][1]["title"] == "a_score; more is better"
    assert both["trials"][0]["values"]["a_score"] == 0.5


def test_the_markup_reads_without_a_script() -> None:
    text = fragment({"notes": ["a < b", "second"]})
    assert "<p>a &lt; b</p><p>second</p>" in text
    assert re.search(r"<noscript>.*JavaScript.*</noscript>", text)
