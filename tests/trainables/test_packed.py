"""Thin trials and their server on real Ray, with the pack itself on the CPU."""

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError

from study.workers import beside_the_driver
from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import DatasetError, open_dataset
from trainables.packed import PackedTrial, PackRegistry, Serving
from trainables.packing.desk import PackFailed
from trainables.trainer import Trainer
from trainables.trial import ARRAYS, DIVERGED, ROW, STATE

EVALUATION = Evaluation(report_every=2, report_rows=20, probe_rows=40)
UNTIMED = ("seconds", "steps_per_second")


@ray.remote(num_cpus=0)
class FakeShelf:
    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}

    def put(self, key: str, state: bytes) -> None:
        self.states[key] = state

    def get(self, key: str) -> bytes | None:
        return self.states.get(key)


def config(path: Path, **changes: Any) -> TrialConfig:
    base = TrialConfig(objective="beta_vae", steps=4, batch_size=2, latents=4, dataset=str(path))
    return dataclasses.replace(base, **changes)


class Packs:
    """A registry, a shelf, and trials on them."""

    def __init__(self, path: Path, **changes: Any) -> None:
        told = Serving(EVALUATION, "loop", str(path), on_cpu=True)
        self.registry: Any = beside_the_driver(PackRegistry).remote(dataclasses.replace(told, **changes))
        self.shelf: Any = FakeShelf.remote()  # type: ignore[attr-defined]

    def trial(self, chosen: TrialConfig) -> PackedTrial:
        made = PackedTrial({"trial": dataclasses.asdict(chosen)})
        made.setup(made.config, dataclasses.asdict(EVALUATION), self.shelf, registry=self.registry)
        return made

    @property
    def servers(self) -> list[Any]:
        return ray.get(self.registry.all.remote())

    def lanes(self) -> int:
        return sum(ray.get([server.lanes.remote() for server in self.servers]))

    def end(self) -> None:
        for actor in (*self.servers, self.registry, self.shelf):
            ray.kill(actor)


@pytest.fixture(scope="module")
def packs(tiny_path: Path, local_ray: None) -> Any:
    made = Packs(tiny_path)
    yield made
    made.end()


def soon(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def untimed(row: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in row.items() if name not in UNTIMED}  # NaN reads as itself


def test_a_lanes_reports_are_those_of_the_trial_alone(tiny_path: Path, packs: Packs) -> None:
    chosen = [config(tiny_path), config(tiny_path, beta=7.0, seed=3)]
    trials = [packs.trial(each) for each in chosen]
    alone = [Trainer(each, EVALUATION, open_dataset(tiny_path), device="cpu") for each in chosen]
    for _ in range(2):
        for run, trainer in zip(trials, alone, strict=True):
            result, report = run.step(), trainer.run_to_report()
            assert untimed(result[ROW]) == untimed(report.row)
            assert result["done"] == report.done
            assert (result[ARRAYS] is None) == (report.arrays is None)
            assert result[STATE] == trainer.state()
    assert len(packs.servers) == 1
    assert packs.lanes() == 0  # ended lanes are given up


def test_a_reused_process_leaves_the_lane_of_its_last_trial(tiny_path: Path, packs: Packs) -> None:
    run = packs.trial(config(tiny_path, seed=10))
    run.step()
    assert packs.lanes() == 1
    other = config(tiny_path, seed=11)
    assert run.reset_config({"trial": dataclasses.asdict(other)})
    soon(lambda: packs.lanes() == 0)
    expected = Trainer(other, EVALUATION, open_dataset(tiny_path), device="cpu").run_to_report()
    assert untimed(run.step()[ROW]) == untimed(expected.row)
    run.cleanup()
    soon(lambda: packs.lanes() == 0)


def test_a_lane_that_diverges_says_at_which_step(tiny_path: Path, packs: Packs) -> None:
    result = packs.trial(config(tiny_path, learning_rate=1.0, seed=5)).step()
    assert (result["done"], result[DIVERGED], result[ROW]) == (True, 2, {})
    assert packs.lanes() == 0


def test_after_the_servers_death_every_trial_goes_on_from_its_own_checkpoint(tiny_path: Path, packs: Packs) -> None:
    chosen = [config(tiny_path, seed=seed) for seed in (20, 21)]
    trials = [packs.trial(each) for each in chosen]
    for run, each in zip(trials, chosen, strict=True):
        ray.get(packs.shelf.put.remote(each.key(), run.step()[STATE]))
    (server,) = packs.servers
    ray.kill(server)
    for run in trials:
        with pytest.raises(ActorDiedError):
            run.step()
    for each in chosen:  # as Tune makes them anew
        row = packs.trial(each).step()[ROW]
        alone = Trainer(each, EVALUATION, open_dataset(tiny_path), device="cpu")
        alone.advance()
        assert untimed(row) == untimed(alone.run_to_report().row)
    assert len(packs.servers) == 1
    assert packs.servers != [server]


def test_a_server_that_does_not_answer_is_killed_and_another_one_is_made(tiny_path: Path, packs: Packs) -> None:
    run = packs.trial(config(tiny_path, seed=7))
    run.step()
    (server,), stopped = packs.servers, run.named
    pid: Any = ray.get(server.__ray_call__.remote(lambda self: os.getpid()))
    os.kill(pid, signal.SIGSTOP)
    run.hang_seconds = 1.0
    with pytest.raises(PackFailed, match="the pack has not answered for 1 s"):
        run._report()
    soon(lambda: not Path(f"/proc/{pid}").exists())
    run.hang_seconds = 100.0
    run.trainer = None
    run.step()
    assert run.named != stopped
    run.cleanup()


def test_a_trial_that_is_sent_to_a_dead_server_gets_another_at_once(tiny_path: Path, packs: Packs) -> None:
    packs.trial(config(tiny_path, seed=30)).step()
    (server,) = packs.servers
    ray.kill(server)
    assert packs.trial(config(tiny_path, seed=31)).step()[ROW]["step"] == 2
    assert len(packs.servers) == 1
    assert packs.servers != [server]


def test_the_registrys_death_is_that_of_its_servers_and_no_more(tiny_path: Path, packs: Packs) -> None:
    chosen = config(tiny_path, seed=30)
    run = packs.trial(chosen)
    ray.get(packs.shelf.put.remote(chosen.key(), run.step()[STATE]))
    ray.kill(packs.registry, no_restart=False)
    with pytest.raises(ActorDiedError):
        run.step()
    assert packs.trial(chosen).step()[ROW]["step"] == 4


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"on_cpu": False}, ConfigError, r"finds no GPU on .*, though Ray has given one; .* or use --pack-on-cpu"),
        ({"dataset_sha256": "0" * 64}, DatasetError, "is not the study's dataset"),
    ],
)
def test_a_server_that_cannot_train_says_why(
    tiny_path: Path, local_ray: None, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    packs = Packs(tiny_path, **changes)
    with pytest.raises(error, match=words):
        packs.trial(config(tiny_path)).step()
    packs.end()


def test_a_trial_that_cannot_be_stacked_fails_alone(tiny_path: Path, local_ray: None) -> None:
    packs = Packs(tiny_path, executor="stacked")
    with pytest.raises(ConfigError, match="cannot be stacked"):
        packs.trial(config(tiny_path, objective="examples.free_bits:free_bits")).step()
    assert packs.trial(config(tiny_path)).step()[ROW]["step"] == 2
    packs.end()
