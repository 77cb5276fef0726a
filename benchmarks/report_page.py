"""How big is the interactive page of 1,000 trials, and when does a browser show its text? Beside one of 12 trials.

Trials are invented, as large as real ones: pictures of 64 x 64 pixels that look like dSprites, a report a curve point.

python benchmarks/report_page.py
"""

import argparse
import dataclasses
import json
import shutil
import statistics
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from analysis.frames import load
from analysis.report.explorer import payload
from analysis.report.page import Page
from analysis.report.trial import POINTS
from study.store import Store
from trainables.config import TrialConfig

SIDE, LATENTS, COLUMNS, IMAGES, ROWS = 64, 10, 11, 4, 10_000
SEEDS = 5
DISTINCT = 50
"""Sets of pictures: drawing them takes longer than all else."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main(words: list[str] | None = None) -> int:
    """Print a line of each page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--trials", type=int, nargs="+", default=[12, 1_000])
    parser.add_argument("--keep", type=Path, help="a folder that keeps the pages")
    arguments = parser.parse_args(words)
    for trials in arguments.trials:
        with tempfile.TemporaryDirectory() as folder:
            store = invent(Path(folder) / "grid", trials)
            path = (arguments.keep or Path(folder)) / f"{trials}-trials.html"
            began, worked = time.perf_counter(), time.process_time()
            write(store, path)
            seconds, busy = time.perf_counter() - began, time.process_time() - worked
            size, painted = path.stat().st_size / 1e6, first_paint(path)
        took = f"written in {seconds:.1f} s ({busy:.1f} s of CPU)"
        print(f"{trials:,} trials: {size:.1f} MB, {took}, text after {painted:.2f} s", flush=True)
    return 0


def write(store: Path, path: Path) -> None:
    """The page's interactive part alone, under a sentence."""
    page = Page(store.name, "Invented trials.")
    page.paragraph("What a reader sees first.")
    page.explorer(payload([load(store)]))
    page.write(path, "An invented study.")


def first_paint(path: Path, repeats: int = 3) -> float:
    """Seconds until headless Chromium shows something of the page: the median of some visits."""
    from playwright.sync_api import sync_playwright

    asked = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    found = next((place for name in CHROMIUM if (place := shutil.which(name))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        seconds = []
        for _ in range(repeats):
            visit = browser.new_page()
            visit.goto(path.resolve().as_uri(), timeout=120_000)
            seconds.append(visit.evaluate(asked) / 1_000)
            visit.close()
        browser.close()
    return statistics.median(seconds)


def invent(path: Path, trials: int) -> Path:
    """A store of as many finished trials, half of each family, five seeds a setting."""
    provenance = {
        "commit": "none",
        "dataset": {"name": "dsprites", "factors": ["shape", "scale", "x", "y"], "entropy": 13.5},
    }
    with Store.open(path, {"schema": 1, "protocol": "paper", "search": "invented"}, provenance) as store:
        for place in range(trials):
            config = _config(place)
            rng = np.random.default_rng(place)
            store.add_event(config.key(), 1, "started", json.dumps(dataclasses.asdict(config)))
            rows = _reports(config, rng)
            for row in rows[:-1]:
                store.add_row(config.key(), 1, row)
            store.finish(config.key(), 1, rows[-1] | _scores(config, rng), _arrays(place % DISTINCT), b"weights")
    return path


def _config(place: int) -> TrialConfig:
    setting, seed = divmod(place, SEEDS)
    if setting % 2:
        return TrialConfig(objective="beta_vae", beta=1.0 + setting / 10, seed=seed)
    return TrialConfig(
        objective="capacity", capacity_max=5.0 + setting / 10, gamma=(100.0, 1000.0)[setting % 4 // 2], seed=seed
    )


def _reports(config: TrialConfig, rng: np.random.Generator) -> list[dict[str, Any]]:
    shares = rng.dirichlet(np.full(LATENTS, 0.4))
    rows = []
    for step in np.linspace(config.steps / POINTS, config.steps, POINTS).round().astype(int).tolist():
        level = config.capacity_max if config.family == "capacity" else 60 / (config.beta + 2)
        kl = level * min(1.0, 2 * step / config.steps) * shares * rng.uniform(0.95, 1.05, LATENTS)
        rows.append(
            {
                "step": step,
                "full": step == config.steps,
                "recon": 40 + 300 / (1 + kl.sum()),
                "kl": kl.sum(),
                "seconds": 1.0,
            }
            | {"capacity": level * min(1.0, 2 * step / config.steps) if config.family == "capacity" else np.nan}
            | {f"kl_{j}": value for j, value in enumerate(kl)}
            | {f"info_{j}": 0.95 * value for j, value in enumerate(kl)}
        )
    return rows


def _scores(config: TrialConfig, rng: np.random.Generator) -> dict[str, Any]:
    audit = {"info_sum": 12.0, "dim_kl": 1.0, "info_low": 11.0, "info_high": 11.4, "info_resolved": True, "excess": 0.0}
    found = {"verdict": "fine", "probe_rows": ROWS, "tc_low": 0.5, "tc_high": 0.9, "tracking": 0.1} | audit
    for name in ("mig", "modularity", "factor_vae", "mig_within_shape", "mig_phase"):
        value = float(rng.uniform(0.1, 0.6))
        found |= {
            name: value,
            f"{name}_null": 0.01,
            f"{name}_ceiling": 0.9,
            f"{name}_sd": 0.004,
            f"{name}_calibrated": value,
        }
    return found


@cache
def _arrays(place: int) -> dict[str, np.ndarray]:
    """A sprite whose place, size and slant the latents move, with the soft edge of a decoder."""
    rng = np.random.default_rng(place)
    base = np.column_stack([rng.uniform(-1, 1, (IMAGES, 2)), rng.uniform(-1, 1, (IMAGES, 2))])
    moved = np.repeat(np.repeat(base[:, None, None], LATENTS, 1), COLUMNS, 2)  # (images, latents, columns, 4)
    for latent in range(LATENTS):
        moved[:, latent, :, latent % 4] += np.linspace(-1, 1, COLUMNS) * (1.0 if latent < 6 else 0.02)
    originals = rng.uniform(-1, 1, (COLUMNS, 4))
    factors = rng.integers(0, 4, (ROWS, 4)).astype(np.uint8)
    return {
        "traversals": _sprites(moved, 3.0),
        "originals": _sprites(originals, 0.2),
        "reconstructions": _sprites(originals + rng.normal(0, 0.03, originals.shape), 3.0),
        "mean": rng.normal(size=(ROWS, LATENTS)).astype(np.float32),
        "log_std": np.zeros((ROWS, LATENTS), np.float32),
        "factors": factors,
        "mutual_information": rng.uniform(0, 0.7, (LATENTS, 4)),
    }


def _sprites(places: np.ndarray, edge: float) -> np.ndarray:
    """Slanted ellipses, uint8 (..., side, side, 1); `edge` in pixels."""
    x, y, size, slant = (places[..., k, None, None] for k in range(4))
    down, across = np.mgrid[:SIDE, :SIDE]
    across, down = across - SIDE / 2 - 20 * x, down - SIDE / 2 - 20 * y
    turned = across * np.cos(slant) + down * np.sin(slant), down * np.cos(slant) - across * np.sin(slant)
    radius = np.hypot(turned[0] / 1.5, turned[1])
    light = 1 / (1 + np.exp(np.clip((radius - 5 - 2 * size) / edge * 2, -30, 30)))
    return (255 * light).astype(np.uint8)[..., None]


if __name__ == "__main__":
    raise SystemExit(main())
