import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.checkpoint import model_of, read
from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.model import build
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


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def saved(**content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_nothing_of_a_checkpoint_is_run(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "harmed")
    for state in (pickle.dumps(bomb), pickle.dumps({"config": {}, "model": bomb}), saved(config={}, model=bomb)):
        with pytest.raises(ConfigError, match=r"checkpoint of trial abc cannot be read .*; give its own") as caught:
            model_of(state, "trial abc")
        assert "weights_only" not in str(caught.value)  # torch's advice is to run it
    assert not (tmp_path / "harmed").exists()
    torch.load(io.BytesIO(saved(model=bomb)), weights_only=False)
    assert (tmp_path / "harmed").exists()  # the bomb is one


def test_a_checkpoint_names_no_command(tmp_path: Path) -> None:
    run = ("touch", str(tmp_path / "harmed"))
    state = saved(config={"model": "subprocess:check_output"}, image_shape=run, model={})
    with pytest.raises(ConfigError, match=r"does not fit its own config \(images of shape \('touch'"):
        model_of(state, "trial abc")
    with pytest.raises(ConfigError, match=r"subprocess:check_output is no subclass of torch\.nn\.Module"):
        build(TrialConfig(model="subprocess:check_output"), run)  # type: ignore[arg-type]
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"config": {}},
        {"config": {}, "image_shape": (1, 64, 64)},
        {"config": {}, "image_shape": (1, 64, 64), "model": 3},
        {"config": {}, "image_shape": (1, 64, 64), "model": {"head.weight": torch.zeros(3)}},
        {"config": {}, "image_shape": (10**9, 64, 64), "model": {}},
        {"config": {}, "image_shape": (-1, 64, -64), "model": {}},
        {"config": {}, "image_shape": 7, "model": {}},
        {"config": {1: 2}, "image_shape": (1, 64, 64), "model": {}},
        {"config": {"model": "burgess2018-generator"}, "image_shape": (1, 64, 64), "model": {}, "factor_values": 3},
        {"config": 3},
        {"step": 3},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_form_is_one_sentence(content: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]+$"):
        model_of(saved(**content), "trial abc")
