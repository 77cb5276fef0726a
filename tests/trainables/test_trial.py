import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from trainables.checks import InputError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import DatasetError, open_dataset
from trainables.software import software
from trainables.trainer import Trainer
from trainables.trial import ARRAYS, LOG, ROW, STATE, VAETrial

EVALUATION = Evaluation(report_every=2, report_rows=20, probe_rows=40)


@ray.remote(num_cpus=0)
class FakeShelf:
    def __init__(self, states: dict[str, bytes]) -> None:
        self.states = states

    def get(self, key: str) -> bytes | None:
        return self.states.get(key)


def config(path: Path, **changes: object) -> TrialConfig:
    base = TrialConfig(objective="beta_vae", steps=4, batch_size=4, dataset=str(path))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def trial(states: dict[str, bytes], first: TrialConfig) -> VAETrial:
    made = VAETrial({"trial": dataclasses.asdict(first)})
    made.setup(made.config, dataclasses.asdict(EVALUATION), FakeShelf.remote(states))  # type: ignore[attr-defined]
    return made


def test_a_trial_reports_rows_states_and_arrays(tiny_path: Path, local_ray: None) -> None:
    run = trial({}, config(tiny_path))
    first, last = run.step(), run.step()
    assert (first["done"], last["done"]) == (False, True)
    assert (first[ROW]["step"], last[ROW]["step"]) == (2, 4)
    assert first[ARRAYS] is None
    assert last[ARRAYS]["mean"].shape == (40, 10)
    assert len(last[STATE]) < len(first[STATE])
    assert first[LOG] == ""


def test_a_reused_process_gives_the_next_trial_what_a_new_one_would(tiny_path: Path, local_ray: None) -> None:
    reused = trial({}, config(tiny_path))
    reused.step()
    other = config(tiny_path, beta=7.0, seed=3)
    assert reused.reset_config({"trial": dataclasses.asdict(other)})
    fresh = trial({}, other)
    ours, theirs = reused.step()[ROW], fresh.step()[ROW]
    untimed = [name for name in theirs if name not in ("seconds", "steps_per_second")]
    assert [repr(ours[name]) for name in untimed] == [repr(theirs[name]) for name in untimed]  # NaN reads as itself


def test_a_trial_goes_on_from_the_shelf(tiny_path: Path, local_ray: None) -> None:
    chosen = config(tiny_path)
    trainer = Trainer(chosen, EVALUATION, open_dataset(tiny_path), device="cpu")
    trainer.run_to_report()
    run = trial({chosen.key(): trainer.state()}, chosen)
    last = run.step()
    assert last[ROW]["step"] == 4
    expected = trainer.run_to_report()
    assert expected.arrays is not None
    np.testing.assert_array_equal(last[ARRAYS]["mean"], expected.arrays["mean"])


def test_a_node_with_another_dataset_refuses_the_trial(tiny_path: Path, local_ray: None) -> None:
    run = VAETrial({"trial": dataclasses.asdict(config(tiny_path))})
    run.setup(run.config, dataclasses.asdict(EVALUATION), dataset_sha256="0" * 64)
    with pytest.raises(DatasetError, match="is not the study's dataset"):
        run.step()
    run.setup(run.config, dataclasses.asdict(EVALUATION), dataset_sha256=open_dataset(tiny_path).sha256)
    assert run.step()[ROW]["step"] == 2


def test_a_machine_with_other_software_refuses_the_trial(tiny_path: Path) -> None:
    run = VAETrial({"trial": dataclasses.asdict(config(tiny_path))})
    run.setup(run.config, software=software())
    with pytest.raises(InputError, match=r"other software than the driver \(code \w+, not 0\).* or end it"):
        run.setup(run.config, software={**software(), "code": "0"})


def test_what_a_failing_trial_has_printed_is_part_of_its_error(tiny_path: Path, local_ray: None) -> None:
    run = trial({}, config(tiny_path))

    def begin() -> None:
        print("my last words")
        raise RuntimeError("no")

    run._begin = begin  # type: ignore[method-assign, assignment]
    with pytest.raises(RuntimeError) as caught:
        run.step()
    assert "my last words" in caught.value.__notes__[0]


def test_a_trial_trains_on_one_thread(tiny_path: Path, local_ray: None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        trial({}, config(tiny_path)).step()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_step_that_hangs_ends_its_process_with_a_stack() -> None:
    script = """
import time
from trainables.trial import VAETrial
run = VAETrial.__new__(VAETrial)
run.hang_seconds, run.trainer = 1.0, None
run._begin = lambda: time.sleep(60)
run.step()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 1
    assert "Timeout (0:00:01)!" in ended.stderr
