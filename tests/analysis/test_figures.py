from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from analysis import figures
from analysis.frames import load
from analysis.tradeoff import settings


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def test_every_finished_trial_and_every_mean_is_drawn_where_it_is(fake_study: Path) -> None:
    frames = load(fake_study)
    rows = settings(frames.trials)
    axes = figures.tradeoff(plt.figure().subplots(), frames.finished, rows)
    drawn = {tuple(point) for points in axes.collections for point in np.asarray(points.get_offsets())}
    trials = {
        (recon, score) for recon, score in zip(frames.finished["recon"], frames.finished["mig_calibrated"], strict=True)
    }
    means = {(row.estimates["recon"].mean, row.estimates["mig_calibrated"].mean) for row in rows}
    assert drawn == trials | means
    assert {text.get_text() for text in axes.texts} == {"β = 1", "β = 4", "β = 16", "C = 6", "C = 12", "C = 18"}
    assert "nats per image" in axes.get_xlabel()
    assert "mig_calibrated" in axes.get_title()
    legend = axes.get_legend()
    assert legend is not None
    assert "not informative" in {text.get_text() for text in legend.get_texts()}
