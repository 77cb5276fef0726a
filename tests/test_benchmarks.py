"""What the benchmarks compare is what they say; how fast it is, is no test's business."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.cpu_trainer import plain_model, trial
from trainables.model import Doubling, build

ROOT = Path(__file__).parents[1]
MOST_KB = 40
"""Of Python's own objects, for each trial (22 measured); with its rows left in Tune it was 451."""


def test_the_plain_model_is_ours_in_the_librarys_own_layers() -> None:
    config = trial(batch_size=4, precision="fp32")
    plain, ours = plain_model(config, (1, 64, 64)), build(config, (1, 64, 64))
    assert not any(isinstance(layer, Doubling) for layer in plain.modules())
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in plain.modules()) == 4
    codes, features = torch.randn(3, config.latents), []
    for layer in plain.decoder:
        layer.register_forward_hook(lambda _layer, _given, output: features.append(output))
    with torch.no_grad():
        torch.testing.assert_close(plain.decode(codes), ours.decode(codes), rtol=1e-4, atol=1e-4)  # type: ignore[operator]
    assert all(output.is_contiguous() for output in features)  # channels first throughout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_drivers_memory_grows_by_no_more_than_its_trials_are_worth() -> None:
    command = [sys.executable, "benchmarks/driver_scale.py", "--trials", "500", "--slots", "2", "--traced"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"500 trials, .* memory grows by (-?[\d.]+) kB a trial", done.stdout)
    assert found, done.stdout
    assert float(found[1]) < MOST_KB
