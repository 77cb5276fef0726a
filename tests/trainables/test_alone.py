import pytest
import torch

from trainables import alone
from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.trainer import Trainer

EVALUATION = Evaluation(report_every=2, report_rows=20, probe_rows=40)
CONFIG = TrialConfig(steps=3, ramp_steps=2, batch_size=4)


def test_it_is_a_trainer_run_to_its_end(tiny: Dataset) -> None:
    ended, trainer = alone.train(CONFIG, EVALUATION, tiny, "cpu"), Trainer(CONFIG, EVALUATION, tiny, "cpu")
    while not (report := trainer.run_to_report()).done:
        pass
    assert ended
    assert ended.weights == trainer.state()
    assert ended.row["recon"] == report.row["recon"]
    assert report.arrays is not None
    assert ended.arrays.keys() == report.arrays.keys()
    assert alone.device_for(ended.weights, "trial") == ("cpu", "cpu")


def test_a_divergence_is_none(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "update", _to_nan)
    assert alone.train(CONFIG, EVALUATION, tiny, "cpu") is None


def _to_nan(trainer: Trainer) -> None:
    trainer.step += 1
    trainer.finite &= torch.tensor(False)


@pytest.mark.parametrize("here", [False, True])
def test_what_a_gpu_has_trained_is_trained_on_one_where_it_is_here(here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone.checkpoint, "places", lambda state, whose: {"cpu", "cuda:1"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    assert alone.device_for(b"", "trial") == ("cuda", "cuda" if here else "cpu")


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(ConfigError, match="checkpoint of trial a cannot be read"):
        alone.device_for(b"weights", "trial a")
