"""A study as a driver would have left it, made with the real writer."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from analysis import findings
from study.config import StudyConfig
from study.searches import planned
from study.store import Store
from trainables.config import TrialConfig
from trainables.metrics.position import position_r2

LATENTS, FACTORS, PROBE = 3, ["shape", "x", "y"], 400
REPORTS = (100, 600, 1200, 1700)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(autouse=True, scope="session")
def positions_read_once() -> Iterator[None]:
    """Trees that predict positions cost most of a report, and these studies have a few codes: each is read once."""
    known: dict[tuple[bytes, ...], np.ndarray] = {}

    def remembered(codes: np.ndarray, position: np.ndarray) -> np.ndarray:
        key = (codes.tobytes(), position.tobytes())
        if key not in known:
            known[key] = position_r2(codes, position)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings, "position_r2", remembered)
        yield


def report_row(config: TrialConfig, step: int) -> dict[str, Any]:
    """Latents 0 and 1 open one after another, latent 2 never; KL is 0.1 nats above C."""
    capacity = config.capacity_max * min(1.0, step / config.ramp_steps) if config.family == "capacity" else np.nan
    info = [step / 1000, max(0.0, step - 500) / 1000, 0.01]
    return {
        "step": step,
        "full": step == config.steps,
        "recon": 500.0 - step / 10,
        "kl": capacity + 0.1 if config.family == "capacity" else 10.0,
        "capacity": capacity,
        **{f"kl_{j}": value for j, value in enumerate(info)},
        **{f"info_{j}": value for j, value in enumerate(info)},
        "seconds": 1.0,
        "steps_per_second": 15.0,
    }


def final_row(config: TrialConfig, recon: float, score: float, verdict: str) -> dict[str, Any]:
    return report_row(config, config.steps) | {
        "done": True,
        "probe_rows": 10_000,
        "recon": recon,
        "kl": 10.0,
        "mig": score,
        "mig_null": 0.001,
        "mig_null_sd": 0.0002,
        "mig_ceiling": 0.9,
        "mig_sd": 0.004,
        "mig_calibrated": score,
        "info_sum": 9.0,
        "dim_kl": 1.0,
        "info_n": 10_000,
        "info_low": 7.0,
        "info_high": 7.3 if config.seed == 0 else 9.3,
        "info_resolved": config.seed == 0,
        "tc_low": 1.7,
        "tc_high": 2.0,
        "excess": 2.0,
        "tracking": 0.1 if config.family == "capacity" else np.nan,
        "active_latents": 2,
        "recon_floor": 0.0,
        "position_latents": 2 if config.beta > 1 else 3,
        "alignment": 0.5 + config.beta / 1000,
        "axis_angle": 5.0 if config.seed == 0 else 30.0,
        "torn_share": 0.01,
        "jumps": 1 / config.beta,
        "ghosts": 0.02,
        "verdict": verdict,
        "missing_scores": "",
        "constant_loss": 556.3,
        "off_plateau": recon < 0.35 * 556.3,
    }


def pictures(seed: int) -> dict[str, np.ndarray]:
    """Arrays of a trial whose latents 0 and 1 are the position, rotated by 45 degrees."""
    rng, probe = np.random.default_rng(seed), np.random.default_rng(0)  # the probe is one for all trials
    factors = np.column_stack([probe.integers(0, size, PROBE) for size in (3, 32, 32)])
    x, y = (factors[:, 1:].T - 15.5) / 9
    codes = np.column_stack([x + y, x - y, 0.01 * rng.normal(size=PROBE)])
    return {
        "mean": codes.astype(np.float32),
        "log_std": np.full(codes.shape, -1.0, np.float32),
        "factors": factors.astype(np.uint8),
        "mutual_information": np.array([[0.1, 1.5, 1.0], [0.0, 0.5, 1.2], [0.0, 0.0, 0.0]]),
        "traversals": rng.integers(0, 256, (4, LATENTS, 11, 8, 8, 1), dtype=np.uint8),
        "originals": rng.integers(0, 256, (11, 8, 8, 1), dtype=np.uint8),
        "reconstructions": rng.integers(0, 256, (11, 8, 8, 1), dtype=np.uint8),
        "snapshots": rng.integers(0, 256, (2, 11, 8, 8, 1), dtype=np.uint8),
        "snapshot_capacities": np.array([3.2, 7.4]),
        "position_means": rng.normal(size=(8, 8, LATENTS)).astype(np.float32),
        "latent_factors": np.arange(LATENTS),
    }


Outcome = Callable[[TrialConfig], str]


def write_study(path: Path, outcome: Outcome, study: StudyConfig | None = None, factors: bool = True) -> Path:
    """A study's store.

    Args:
        path: Its folder.
        outcome: finished, diverged or failed, of each trial.
        study: What was run.
        factors: Whether the dataset has any.
    """
    study = (study or StudyConfig()).settled("fp32", 100)
    study = dataclasses.replace(study, pinned=study.pinned | {"latents": (LATENTS,)})
    provenance = {"commit": "abc123", "versions": {}, "hardware": {}}
    provenance["dataset"] = {"name": "toy", "factors": FACTORS if factors else [], "entropy": 8.0}
    with Store.open(path, study.identity("f" * 64), provenance) as store:
        store.extend_plan({"study": study.to_json(), "trials": 12})
        for key, config in planned(study).items():
            store.add_event(key, 1, "started", json.dumps(dataclasses.asdict(config)))
            for step in REPORTS[:-1]:
                store.add_row(key, 1, report_row(config, step))
            if (ended := outcome(config)) != "finished":
                store.add_event(key, 1, ended, "ValueError: no")
                continue
            level = config.beta if config.family == "beta" else config.capacity_max
            verdict = "not informative" if level == 6 else "fine"
            row = final_row(config, 100 + 6 * level + config.seed, 0.01 * level + 0.02 * config.seed, verdict)
            arrays = pictures(config.seed)
            if not factors:
                row = {name: value for name, value in row.items() if not name.startswith("mig")}
                row["missing_scores"] = "the dataset has no factors"
                del arrays["factors"], arrays["mutual_information"]
            store.finish(key, 1, row, arrays, b"weights")
    return path


def two_lost(config: TrialConfig) -> str:
    """One trial diverged, one failed, the rest finished."""
    if config.family == "beta" and config.beta == 16 and config.seed == 1:
        return "diverged"
    return "failed" if config.family == "capacity" and config.capacity_max == 18 and config.seed == 1 else "finished"


@pytest.fixture(scope="session")
def fake_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve laptop trials: ten finished, one diverged, one failed; recon and score are known functions."""
    grid = StudyConfig(pinned={"capacity_max": (6.0, 12.0, 18.0), "beta": (1.0, 4.0, 16.0), "gamma": (100.0,)})
    grid = dataclasses.replace(grid, pinned=grid.pinned | {"ramp_steps": (1200,), "steps": (1700,)})
    return write_study(tmp_path_factory.mktemp("studies") / "capacity_grid-laptop", two_lost, grid)
