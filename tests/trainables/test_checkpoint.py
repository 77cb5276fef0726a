import numpy as np
import pytest
import torch

from trainables.checkpoint import model_of, read
from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.trainer import Trainer

CONFIG = TrialConfig(steps=3, ramp_steps=2, batch_size=4)


def trained(tiny: Dataset) -> Trainer:
    trainer = Trainer(CONFIG, Evaluation(report_every=3, report_rows=20, probe_rows=20), tiny, device="cpu")
    while not trainer.run_to_report().done:
        pass
    return trainer


def test_the_model_comes_back_as_it_was_trained(tiny: Dataset) -> None:
    trainer = trained(tiny)
    images = torch.from_numpy(tiny.batch(np.arange(5)))
    model = model_of(trainer.state(), "a trial")
    assert not model.training
    with torch.no_grad():
        mean, log_std = model.encode(images)  # type: ignore[operator]
        theirs = trainer.model.eval().encode(images)
        torch.testing.assert_close((mean, log_std), theirs)  # the trainer's memory is laid out otherwise
        assert model.decode(mean).shape == images.shape  # type: ignore[operator]


def test_a_checkpoint_names_its_trial_and_its_step(tiny: Dataset) -> None:
    loaded = read(trained(tiny).state(), "a trial")
    assert loaded["step"] == 3
    assert loaded["image_shape"] == (1, 64, 64)


@pytest.mark.parametrize("state", [b"", b"no checkpoint"])
def test_other_bytes_are_refused(state: bytes) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint of trial abc cannot be read .*; give its own"):
        read(state, "trial abc")
