"""A study as a driver would have left it, made with the real writer."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from study.config import StudyConfig
from study.searches import cells
from study.store import Store


def final_row(config, recon: float, score: float, verdict: str = "fine") -> dict:
    return {
        "step": config.steps,
        "full": True,
        "done": True,
        "probe_rows": 10_000,
        "recon": recon,
        "kl": 10.0,
        "mig": score,
        "mig_calibrated": score,
        "verdict": verdict,
        "constant_loss": 556.3,
        "off_plateau": recon < 0.35 * 556.3,
        "seconds": 2.0,
        "steps_per_second": 15.0,
    }


@pytest.fixture(scope="session")
def fake_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve laptop trials: ten finished, one diverged, one failed; recon and score are known functions."""
    path = tmp_path_factory.mktemp("studies") / "capacity_grid-laptop"
    study = StudyConfig().settled("fp32", 100)
    provenance = {"commit": "abc123", "versions": {}, "hardware": {}}
    with Store.open(path, study.identity("f" * 64), provenance) as store:
        store.extend_plan({"study": study.to_json(), "trials": 12})
        for config in cells(study):
            key = config.key()
            store.add_event(key, 1, "started", json.dumps(dataclasses.asdict(config)))
            store.add_row(key, 1, {"step": 100, "recon": 500.0, "kl": 1.0, "full": False, "seconds": 1.0})
            if config.family == "beta" and config.beta == 16 and config.seed == 1:
                store.add_event(key, 1, "diverged")
            elif config.family == "capacity" and config.capacity_max == 18 and config.seed == 1:
                store.add_event(key, 1, "failed", "ValueError: no")
            else:
                level = config.beta if config.family == "beta" else config.capacity_max
                verdict = "not informative" if level == 6 else "fine"
                row = final_row(config, 100 + 6 * level + config.seed, 0.01 * level + 0.02 * config.seed, verdict)
                store.finish(key, 1, row, {"mean": np.zeros((3, 2))}, b"weights")
    return path
