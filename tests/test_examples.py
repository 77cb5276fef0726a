"""One's own dataset, objective and model, through the real command line, as README shows them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from study.store import open_study
from tests.study.commandline import ROOT, Command
from trainables.data.dataset import open_dataset
from trainables.data.layout import write_dataset


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """The example's dataset, made by its own command."""
    path = tmp_path / "bars.h5"
    subprocess.run([sys.executable, "examples/bars.py", path], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})
    return path


@pytest.fixture
def command(bars: Path, tmp_path: Path) -> Iterator[Command]:
    command = Command(bars, tmp_path / "store")
    yield command
    command.end()


def test_the_example_dataset_has_its_factors(bars: Path) -> None:
    dataset = open_dataset(bars)
    assert dataset.factors == ("width", "x", "grey")
    assert dataset.batch(np.array([0])).sum() == pytest.approx(64 * 4 * 128 / 255)


@pytest.mark.slow
def test_own_dataset_objective_and_model_through_the_command_line(
    command: Command, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.folder = tmp_path / "elsewhere"  # somebody's own folder, whose modules nobody has installed
    shutil.copytree(ROOT / "examples", command.folder / "mine")
    own = {"objective": "beta_vae,mine.free_bits:free_bits", "model": "mine.dense_vae:DenseVAE"}
    code, output = command.run("--seeds", "1", **own)
    assert code == 0, output
    assert "mine.free_bits:free_bits" in output
    study = open_study(command.store)
    trials = study.trials()
    assert set(trials["family"]) == {"beta", "mine.free_bits:free_bits"}
    assert set(trials["status"]) == {"finished"}
    assert not np.isnan(trials["mig_calibrated"].to_numpy()).any()
    monkeypatch.chdir(command.folder)
    model = study.trial(trials["key"].iloc[0]).model()
    images = torch.from_numpy(open_dataset(bars).batch(np.arange(3)))
    with torch.no_grad():
        mean, log_std = model.encode(images)
        assert model.decode(mean).shape == images.shape
    assert mean.shape == log_std.shape == (3, 10)
    assert set(study.provenance[-1]["own"]) == set(own["objective"].split(",")[1:]) | {own["model"]}
    code, output = command.run("--seeds", "1", **{**own, "model": "burgess2018-a1"})
    assert code == 2
    assert "model was mine.dense_vae:DenseVAE, now burgess2018-a1" in output


@pytest.mark.slow
def test_images_without_factors_are_trained_and_reported(tmp_path: Path, command: Command) -> None:
    images = np.random.default_rng(0).integers(0, 256, (200, 64, 64, 1), dtype=np.uint8)
    command.dataset = tmp_path / "blind.h5"
    write_dataset(command.dataset, "blind", [images], np.empty((200, 0), np.uint8), {})
    code, output = command.run("--seeds", "1")
    assert code == 0, output
    assert "Scores are missing in 3 trials: the dataset has no factors." in output
    assert "No finished trial has a disentanglement score" in (command.store / "report" / "index.html").read_text()
