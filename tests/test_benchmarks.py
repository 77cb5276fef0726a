"""What the benchmarks compare is what they say; how fast it is, is no test's business."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.cpu_trainer import plain_model, trial
from benchmarks.gpu_floor import Card, work
from benchmarks.gpu_pack import Cell, cells, main, pointless
from benchmarks.gpu_session import Session
from trainables.config import PRECISIONS
from trainables.hardware import cpu_has_bf16
from trainables.model import VAE, Doubling, build
from trainables.packing.network import FORMS

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


def test_the_work_of_a_model_step_is_counted_by_layer() -> None:
    found = work(VAE((1, 64, 64), latents=10), (1, 64, 64), batch=64, precision="bf16")
    convolutions = 2 * 16 * (32 * 32 * 32 + 32 * 32 * (16**2 + 8**2 + 4**2))  # multiply-adds of both halves
    dense = 2 * (512 * 256 + 256 * 256) + 256 * 20 + 10 * 256
    first = 16 * 32 * 32 * 32
    assert found.operations == 2 * 64 * (3 * (convolutions + dense) - first)
    planes = 2 * (32 * (16**2 + 8**2) + 512) + 2 * 32 * 32**2 + 64**2  # each half: 16 x 16, 8 x 8, 4 x 4 of 32; 32 x 32
    numbers = planes + 4 * 256 + 20
    parameters = sum(parameter.numel() for parameter in VAE((1, 64, 64), 10).parameters())
    assert found.bytes == 4 * 2 * 64 * numbers + 40 * parameters


def test_the_floor_is_whichever_takes_longer() -> None:
    one = work(VAE((1, 64, 64), latents=10), (1, 64, 64), batch=64, precision="fp32")
    card = Card(bytes_per_second=1e12, operations_per_second={"fp32": 1e9, "bf16": 1e20})
    assert card.floor(one, "fp32") == one.operations / 1e9
    assert card.floor(one, "bf16") == one.bytes / 1e12


def test_wider_stacks_are_tried_while_they_gain() -> None:
    narrow = Cell("windows", "bf16", False, 64)
    row = {"form": "windows", "precision": "bf16", "compiled": False}
    other = row | {"form": "grouped", "lanes": 64, "model_steps_per_s": 1.0}
    for gained, said in ((1.04, "throughput has ended"), (1.5, None)):
        found = [row | {"lanes": lanes, "model_steps_per_s": gained ** (lanes // 64)} for lanes in (64, 128)]
        results = {"cells": [other, *found], "not_measured": []}
        assert (pointless(Cell("windows", "bf16", False, 256), results) or "None").startswith(str(said))
        assert pointless(narrow, results) is None
    failed = [row | {"kind": "cells", "lanes": 32, "why": "no memory (of 80 GB)"}]
    assert pointless(narrow, {"cells": [], "not_measured": failed}) == "no memory for 32 lanes"
    assert pointless(Cell("grouped", "bf16", False, 64), {"cells": [], "not_measured": failed}) is None


def test_what_fails_or_comes_too_late_is_listed_with_its_reason(tmp_path: Path) -> None:
    def broken() -> dict[str, float]:
        raise RuntimeError("the compiler\nhas died")

    def full() -> dict[str, float]:
        raise torch.OutOfMemoryError("of 80 GB")

    results: dict[str, list[dict[str, object]]] = {"cells": [], "not_measured": []}
    session = Session(tmp_path / "found.json", 3600, results)
    assert session.measure("cells", {"lanes": 1}, lambda: {"model_steps_per_s": 2.0})
    assert not session.measure("cells", {"lanes": 2}, broken)
    assert not session.measure("cells", {"lanes": 3}, full)
    session.deadline = 0.0
    assert not session.measure("cells", {"lanes": 4}, lambda: {})
    kept = json.loads((tmp_path / "found.json").read_text())
    assert [row["model_steps_per_s"] for row in kept["cells"]] == [2.0]
    whys = {row["lanes"]: row["why"] for row in kept["not_measured"]}
    assert whys[2] == "RuntimeError: the compiler"
    assert whys[3] == "no memory (of 80 GB)"
    assert whys[4].startswith("no time: 0 s left")


@pytest.mark.slow
def test_a_smoke_run_of_the_pack_benchmark_holds_together(tiny_path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu_pack.py", "--device", "cpu", "--smoke"]
    done = subprocess.run(
        [*command, "--dataset", str(tiny_path), "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu_pack.json").read_text())
    assert (tmp_path / "gpu_pack.png").read_bytes().startswith(b"\x89PNG")
    missing = {row["precision"] for row in found["not_measured"]}
    assert missing == (set() if cpu_has_bf16() else {"bf16"}), found["not_measured"]
    honoured = [precision for precision in PRECISIONS if precision not in missing]
    asked = {(c.form, c.precision, c.lanes) for c in cells(smoke=True, compiled=False) if c.precision in honoured}
    assert {(row["form"], row["precision"], row["lanes"]) for row in found["cells"]} == asked
    assert {(row["form"], row["precision"]) for row in found["one_update"]} == {(f, p) for f in FORMS for p in honoured}
    assert {(row["baseline"], row["lanes"]) for row in found["baselines"]} == {
        ("one eager trial", 1),
        ("loop in one process", 2),
        ("processes on one device", 1),
        ("processes on one device", 2),
    }
    for row in [*found["cells"], *found["baselines"]]:
        rate, floor = row["model_steps_per_s"], found["floor"][row["precision"]]["model_steps_per_s"]
        assert 0 < row["slowest"] <= rate <= row["fastest"]
        assert row["percent_of_floor"] == pytest.approx(100 * rate / floor)
        assert row["trial_seconds"] == pytest.approx(100_000 * row["lanes"] / rate)
        assert row["trial_gpu_seconds"] == pytest.approx(100_000 / rate)
        assert row["benchmark_gpu_hours"] == pytest.approx(12_600 * 300_000 / rate / 3600)
    for rows, column in (
        (found["one_update"], "largest_relative_difference"),
        (found["cells"], "first_update_relative_difference"),
    ):
        assert 0 < max(row[column] for row in rows if row["precision"] == "fp32") < 1e-4
    fastest = max(found["cells"], key=lambda row: row["model_steps_per_s"])
    assert found["best"][fastest["precision"]] == fastest
    arms = {(row["arm"], row["precision"]): row for row in found["learning"]}
    assert set(arms) == {("alone", "fp32"), *(("stacked", precision) for precision in honoured)}
    assert arms["stacked", "fp32"]["recon"]["seeds"] == pytest.approx(arms["alone", "fp32"]["recon"]["seeds"], rel=1e-3)


def test_without_a_gpu_the_pack_benchmark_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert "--device cpu --smoke" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dataset", "nowhere"], "unknown dataset 'nowhere'"),
        (["--out", "OUT"], "gpu_pack.json is an earlier result; give another --out"),
        (["--out", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_the_pack_benchmark_refuses_before_it_begins(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    (before / "gpu_pack.json").write_text("dear")
    words = [str(before) if word == "OUT" else word for word in words]
    assert main(["--device", "cpu", "--smoke", "--out", str(tmp_path / "new"), *words]) == 2
    assert said in capsys.readouterr().err
    assert (before / "gpu_pack.json").read_text() == "dear"
    assert not (tmp_path / "new").exists()
