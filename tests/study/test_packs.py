"""Packs in whole studies, on the CPU, beside a GPU that Ray is only told of: faults, and three hundred short trials."""

import dataclasses
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.raylets import descendants
from study.config import Launch
from study.launch import train
from study.source import Grid
from study.store import Store, compare, open_study
from tests.study.commandline import Command
from trainables.config import Evaluation, TrialConfig
from trainables.measurement import Measurement, Report
from trainables.packed import PackedTrial, Serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PACKED = ("--lanes", "8", "--pack-on-cpu", "--concurrency", "8")


def servers(pid: int) -> list[int]:
    return [child for child, line in descendants(pid).items() if line.startswith("ray::PackServer")]


def test_a_packed_study_is_the_same_study_and_goes_on_unpacked(
    command: Command, uninterrupted: tuple[Path, str]
) -> None:
    command.reports = False
    driver = command.start(*PACKED)
    command.wait_for(lambda: command.rows() >= 10)
    (server,) = servers(driver.pid)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    command.processes[-1] = command.start("--max-trials", "2")  # unpacked
    command.processes[-1].communicate(timeout=180)
    assert not Path(f"/proc/{server}").exists()  # it has ended with its driver
    code, output = command.run(*PACKED)
    assert code == 0, output
    assert compare(command.store, uninterrupted[0]) == []


def test_kill_9_of_the_pack_server(tiny_path: Path, tmp_path: Path) -> None:
    alone, packed = Command(tiny_path, tmp_path / "alone"), Command(tiny_path, tmp_path / "packed")
    alone.reports = packed.reports = False
    try:
        code, output = alone.run(capacity_max="2,3")
        assert code == 0, output
        driver = packed.start(*PACKED, capacity_max="2,3")
        packed.wait_for(lambda: packed.rows() >= 12 and bool(servers(driver.pid)))
        os.kill(servers(driver.pid)[0], signal.SIGKILL)
        output, _ = driver.communicate(timeout=300)
        assert driver.returncode == 0, output
    finally:
        alone.end()
        packed.end()
    study = open_study(packed.store)
    assert Counter(study.status().values()) == {"finished": 8}
    assert Counter(study.events()["kind"])["retried"] == 8  # each trial has been told, and none twice
    assert compare(packed.store, alone.store) == []


STEPS, SLOTS = 4, 8


@dataclasses.dataclass(frozen=True)
class Fate:
    """What happens to a trial, as its seed says."""

    ends: str
    dies_at: int

    @classmethod
    def of(cls, config: TrialConfig) -> "Fate":
        """Most trials finish; the last ones all do, so that no lane is still being left when the study ends."""
        draw = random.Random(config.seed)
        ends = draw.choices(["finished", "diverged", "stopped"], [6, 2, 2])[0] if config.seed < 280 else "finished"
        return cls(ends, draw.randrange(1, STEPS) if draw.random() < 0.06 else 0)


class Rolls:
    """A pack whose lanes count; now and then its process ends. Who holds a lane is written down."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lanes, self.notices, self.rounds = folder, dict[str, tuple[TrialConfig, int]](), [], 0

    def _note(self, kind: str, name: str) -> None:
        with (self.folder / f"{os.getpid()}.lanes").open("a") as file:
            file.write(f"{kind} {name}\n")

    def join(self, name: str, config: TrialConfig, state: bytes | None) -> None:
        assert name not in self.lanes
        self.lanes[name] = config, int(state or 0)
        assert len(self.lanes) <= SLOTS
        self._note("join", name)

    def leave(self, name: str) -> None:
        if self.lanes.pop(name, None):
            self._note("leave", name)

    def state(self, name: str) -> bytes:
        return str(self.lanes[name][1]).encode()

    def advance(self, names: Collection[str]) -> Iterator[tuple[str, Measurement]]:
        self.rounds += 1
        if self.rounds == 100 and len(list(self.folder.glob("*.lanes"))) <= 2:  # twice in all
            self._note("killed", "")
            os._exit(1)
        for name in names:
            config, step = self.lanes[name]
            self.lanes[name] = config, step + 1
            diverged = Fate.of(config).ends == "diverged" and step == 1
            yield name, Measurement(step=step + 1, done=diverged or step + 1 == STEPS, diverged=diverged)


class RollsServing(Serving):
    """Of packs that train nothing; the dataset's place is the folder where lanes are written down."""

    def pack(self) -> Any:
        return Rolls(Path(self.dataset))


class Rows:
    """A scorer of nothing."""

    def report(self, measured: Measurement) -> Report:
        """The row of a measurement."""
        if measured.diverged:
            return Report({}, None, done=True, diverged=True, step=measured.step)
        row = {"step": measured.step, "full": measured.done, "seconds": 0.01, "recon": 1.0, "mig_calibrated": 0.1}
        arrays = {"mean": np.zeros((2, 2), np.float32)} if measured.done else None
        return Report(row, arrays, measured.done, step=measured.step)


class RollingTrial(PackedTrial):
    """A thin trial whose process ends once where its fate says so."""

    serving = RollsServing

    def _scorer(self, config: TrialConfig) -> Any:
        return Rows()

    def step(self) -> dict[str, Any]:
        config = self._config()
        result, died = super().step(), Path(config.dataset) / f"{config.seed}.died"
        if not result["done"] and Fate.of(config).dies_at == result["_row"]["step"] and not died.exists():
            died.touch()
            os._exit(1)
        return result


class Stopping(Grid):
    """Gives trials up where their fate says so."""

    def gives_up(self, config: TrialConfig, row: Mapping[str, Any]) -> str:
        """At the second report."""
        return "its fate" if Fate.of(config).ends == "stopped" and row["step"] >= 2 else ""


def test_three_hundred_trials_are_all_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    folder = tmp_path / "lanes"
    folder.mkdir()
    base = TrialConfig(objective="beta_vae", steps=STEPS, batch_size=1, dataset=str(folder))
    cells = {c.key(): c for c in (dataclasses.replace(base, seed=seed).canonical() for seed in range(300))}
    store = Store.open(tmp_path / "store", {"schema": 1, "dataset": "none", "executor": "loop"}, {})
    launch = Launch(cores=2, lanes=SLOTS, on_cpu=True)
    assert train(store, Stopping(cells, {}), Evaluation(report_every=1), launch, RollingTrial) == 0
    study = open_study(store.path)
    assert study.status() == {key: Fate.of(config).ends for key, config in cells.items()}

    rows = study.rows()
    last = {"finished": STEPS, "diverged": 1, "stopped": 2}
    for key, config in cells.items():
        steps = sorted(rows.loc[rows["key"] == key, "step"])
        assert steps == list(range(1, last[Fate.of(config).ends] + 1))  # every row, each once

    died = {int(path.stem) for path in folder.glob("*.died")}
    assert len(died) > 5
    assert len(list(folder.glob("*.lanes"))) == 3  # two servers were killed
    open_lanes: dict[str, set[str]] = {}
    for path in folder.glob("*.lanes"):
        held: set[str] = set()
        for kind, name in (line.split(" ") for line in path.read_text().splitlines()):
            held = held | {name} if kind == "join" else held - {name} if kind == "leave" else set()
        open_lanes[path.stem] = held
    assert set().union(*open_lanes.values()) == set(), json.dumps({pid: list(held) for pid, held in open_lanes.items()})
