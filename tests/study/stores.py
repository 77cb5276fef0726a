"""Small stores, written by the real writer."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from study.store import Store
from trainables.config import TrialConfig

IDENTITY = {"schema": 1, "search": "grid", "eval_seed": 0}
PROVENANCE = {"commit": "abc", "versions": {"python": "3"}, "hardware": {"cores": 2}, "command": "run"}
CAPACITY = TrialConfig(steps=20, ramp_steps=10)
BETA = TrialConfig(objective="beta_vae", beta=4.0, steps=20)


def open_store(path: Path, **changes: Any) -> Store:
    return Store.open(path, {**IDENTITY, **changes.pop("identity", {})}, {**PROVENANCE, **changes})


def start(store: Store, config: TrialConfig, attempt: int = 1) -> str:
    store.add_event(config.key(), attempt, "started", json.dumps(dataclasses.asdict(config)))
    return config.key()


def row(step: int, full: bool = False, **metrics: Any) -> dict[str, Any]:
    return {"step": step, "full": full, "recon": 100.0 - step, "seconds": 2.0, "done": False} | metrics


def arrays() -> dict[str, np.ndarray]:
    return {
        "mean": np.array([[0.5, np.nan]], dtype=np.float32),
        "traversals": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    }


def build(path: Path, value: float = 0.25, **changes: Any) -> Path:
    """A store with a finished and a diverged trial; `changes` replaces arrays, weights or the last row's metrics."""
    with open_store(path) as store:
        key = start(store, CAPACITY)
        store.add_row(key, 1, row(10, mig=None, tracking=float("nan")))
        last = row(20, full=True, mig=value, tracking=0.5) | changes.get("row", {})
        store.finish(key, 1, last, changes.get("arrays", arrays()), changes.get("weights", b"weights"))
        start(store, BETA)
        store.add_row(BETA.key(), 1, row(10))
        store.add_event(BETA.key(), 1, changes.get("end", "diverged"), "the loss was not finite")
    return path
