from pathlib import Path

import numpy as np

from analysis.figures.tuning import tuning_figure
from analysis.frames import load
from analysis.tuning import position_map
from study.config import StudyConfig
from tests.analysis.conftest import write_study


def test_a_row_an_active_latent_a_column_a_factor_and_the_map(fake_study: Path) -> None:
    frames = load(fake_study)
    key = frames.finished["key"].iloc[0]
    figure = tuning_figure(frames, key)
    assert figure is not None
    grid = np.array(figure.axes).reshape(2, 4)  # latents 0 and 1 are active; shape, x, y and the map
    assert [axes.get_title() for axes in grid[0]] == ["shape", "x", "y", "x and y"]
    assert [line[0].get_ylabel() for line in grid] == ["z0, mean\n(KL 1.7 nats)", "z1, mean\n(KL 1.2 nats)"]
    arrays = frames.study.arrays(key)
    x, means = arrays["factors"][:, 1], arrays["mean"][:, 0]
    drawn = np.asarray(grid[0, 1].lines[0].get_ydata())
    np.testing.assert_allclose(drawn, [means[x == value].astype(float).mean() for value in np.unique(x)])
    np.testing.assert_allclose(
        np.ma.filled(grid[1, 3].images[0].get_array(), np.nan),
        position_map(arrays["mean"][:, 1], x, arrays["factors"][:, 2]),
    )


def test_without_factors_there_is_no_tuning(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    frames = load(write_study(tmp_path / "s", lambda config: "finished", study, factors=False))
    assert tuning_figure(frames, frames.finished["key"].iloc[0]) is None
