import dataclasses
from pathlib import Path
from typing import Any

import pytest

from analysis.frames import load
from analysis.replay import main, replay
from tests.study.stores import BETA, arrays, open_store, row, start
from trainables.checks import InputError
from trainables.config import TrialConfig

BASE = TrialConfig(steps=100, ramp_steps=60)


def study(path: Path, settings: dict[float, list[tuple[float, float, str]]], end: str = "finished") -> Path:
    """A store of capacity trials: by gamma, of each seed recon, score and the verdicts at steps 10, 20, ..., 60."""
    names = {"-": "not informative", "+": "fine"}
    with open_store(path) as store:
        for gamma, seeds in settings.items():
            for seed, (recon, score, verdicts) in enumerate(seeds):
                config = dataclasses.replace(BASE, gamma=gamma, seed=seed)
                key = start(store, config)
                for number, verdict in enumerate(verdicts, start=1):
                    store.add_row(key, 1, row(10 * number, verdict=names[verdict]))
                last: dict[str, Any] = row(100, full=True, recon=recon, mig_calibrated=score, verdict="fine")
                if end == "finished":
                    store.finish(key, 1, last, arrays(), b"weights")
                else:
                    store.add_event(key, 1, end)
    return path


def test_a_futile_setting_off_the_front_saves_what_its_slower_replicate_had_left(tmp_path: Path) -> None:
    found = replay(
        load(
            study(
                tmp_path / "s",
                {
                    10.0: [(50.0, 0.1, "+"), (52.0, 0.1, "+")],
                    100.0: [(60.0, 0.3, "+"), (61.0, 0.3, "+")],
                    1000.0: [(90.0, 0.0, "---"), (90.0, 0.0, "+---")],
                },
            )
        )
    )
    assert found.given_up == ["gamma = 1000, C = 25"]
    assert found.on_front == []
    assert found.harmless == 1
    assert (found.steps, found.saved, found.bound) == (600, 2 * (100 - 40), 200)
    assert "1 of 3 settings would be given up (gamma = 1000, C = 25)" in str(found)
    assert "may be a default" in str(found)


def test_a_futile_setting_on_the_front_is_named_and_no_replay_is_harmless(tmp_path: Path) -> None:
    found = replay(load(study(tmp_path / "s", {10.0: [(50.0, 0.1, "---")] * 2, 100.0: [(60.0, 0.0, "+")] * 2})))
    assert found.on_front == found.given_up == ["gamma = 10, C = 25"]
    assert found.harmless == 0
    assert "may not be a default" in str(found)


def test_a_setting_of_one_futile_seed_is_kept_but_given_up_in_the_replays_that_draw_it_alone(tmp_path: Path) -> None:
    found = replay(load(study(tmp_path / "s", {10.0: [(50.0, 0.1, "---"), (50.0, 0.1, "+")]})), draws=2000)
    assert found.given_up == []
    assert found.saved == 0
    assert found.harmless == pytest.approx(3 / 4, abs=0.04)  # one of four draws of two is the futile seed twice


def test_fronts_are_taken_inside_families(tmp_path: Path) -> None:
    path = study(tmp_path / "s", {10.0: [(50.0, 0.1, "---")] * 2})
    with open_store(path) as store:  # better on both targets, and of the other family
        for seed in range(2):
            config = dataclasses.replace(BETA, seed=seed, steps=100)
            key = start(store, config)
            last = row(100, full=True, recon=40.0, mig_calibrated=0.9, verdict="fine")
            store.finish(key, 1, last, arrays(), b"weights")
    assert len(replay(load(path)).on_front) == 1


def test_where_nothing_was_futile_the_study_says_nothing(tmp_path: Path) -> None:
    found = replay(load(study(tmp_path / "s", {10.0: [(50.0, 0.1, "+")] * 2})))
    assert str(found).startswith("No setting of 1 was ever futile")


def test_a_setting_with_a_lost_replicate_does_not_compete(tmp_path: Path) -> None:
    path = study(
        tmp_path / "s", {10.0: [(50.0, 0.1, "+")] * 2, 100.0: [(60.0, 0.5, "---"), (60.0, float("nan"), "---")]}
    )
    assert replay(load(path)).settings == 1


@pytest.mark.parametrize(("end", "said"), [("stopped", "the curves are cut"), ("diverged", "no setting has finished")])
def test_what_cannot_be_replayed_is_refused(tmp_path: Path, end: str, said: str) -> None:
    path = study(tmp_path / "s", {10.0: [(50.0, 0.1, "+")]}, end=end)
    with pytest.raises(InputError, match=said):
        replay(load(path))


def test_the_command_prints_it_and_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(tmp_path / "s", {10.0: [(50.0, 0.1, "---")] * 2})
    assert main([str(path)]) == 0
    assert "1 of 1 settings would be given up" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main([str(path), "--score", "mig_calibrate"]) == 2
    assert "unknown score 'mig_calibrate'; did you mean mig_calibrated?" in capsys.readouterr().err
