"""Position rows of real datasets, and the columns that come of them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config import Evaluation, TrialConfig
from trainables.data.blobs import render_blobs
from trainables.data.coloured import colour
from trainables.data.dataset import Dataset, open_dataset
from trainables.data.layout import write_dataset
from trainables.metrics.alignment import axis_alignment
from trainables.passes import Passes
from trainables.position import _pixels, mapped, position_rows, scored, traversed
from trainables.trainer import Trainer


def test_rows_differ_from_the_given_one_in_position_alone(tiny: Dataset) -> None:
    rows = position_rows(tiny, 777)
    assert rows is not None
    assert rows.shape == (8, 8)
    given = tiny.factors_of(np.array([777]))[0]
    for i in range(8):
        for j in range(8):
            expected = [*given[:3], i, j]
            assert tiny.factors_of(rows[i, j : j + 1])[0].tolist() == expected


def test_a_coloured_row_keeps_its_colour(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_path, tmp_path / "tiny.h5")
    colour(tmp_path / "tiny.h5", tmp_path / "coloured.h5")
    coloured = open_dataset(tmp_path / "coloured.h5")
    rows = position_rows(coloured, 512 * 100 + 99)
    assert rows is not None
    colours = coloured.factors_of(rows.ravel())[:, -3:]
    assert (colours == coloured.factors_of(np.array([512 * 100 + 99]))[0, -3:]).all()


def test_where_a_position_is_missing_or_has_no_name_there_is_no_map(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 512), dtype=np.uint8)
    grid = np.indices((8, 8), dtype=np.uint8).reshape(2, -1).T
    places = {"x": range(8), "y": range(8)}
    write_dataset(tmp_path / "all.h5", "all", [images], grid, places)
    assert position_rows(open_dataset(tmp_path / "all.h5"), 5) is not None
    hole = grid.copy()
    hole[9] = hole[10]
    write_dataset(tmp_path / "hole.h5", "hole", [images], hole, places)
    assert position_rows(open_dataset(tmp_path / "hole.h5"), 5) is None
    write_dataset(tmp_path / "other.h5", "other", [images], grid, {"a": range(8), "b": range(8)})
    assert position_rows(open_dataset(tmp_path / "other.h5"), 5) is None


class Centroid(torch.nn.Module):
    """A model that knows: z0 and z1 are the blob's centre, turned by an angle; it decodes what z0 and z1 say."""

    def __init__(self, degrees: float) -> None:
        super().__init__()
        turn = np.radians(degrees)
        self.turn = torch.tensor([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], dtype=torch.float32)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, whole = torch.arange(64.0), images.sum((1, 2, 3))
        x, y = (images.sum((1, axis)) @ pixels / whole for axis in (2, 3))
        codes = torch.stack([x - 31.5, y - 31.5], dim=1) / 12 @ self.turn.T
        mean = torch.cat([codes, torch.zeros(len(codes), 1)], dim=1)
        return mean, torch.full_like(mean, -2.0)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        centre = codes[:, :2] @ self.turn * 12 + 31.5
        pixels = torch.arange(64.0)
        rows, columns = (torch.exp(-((pixels - centre[:, k, None]) ** 2) / 128) for k in (1, 0))
        return torch.logit((rows[:, :, None] * columns[:, None, :]).clamp(1e-4, 1 - 1e-4))[:, None]


@pytest.mark.parametrize(("degrees", "aspect"), [(0, 1), (20, 1), (45, 1), (20, 2)])
def test_the_columns_of_a_model_that_knows_the_position(degrees: int, aspect: int, tmp_path: Path) -> None:
    render_blobs(tmp_path / "blobs.h5", aspect)
    blobs = open_dataset(tmp_path / "blobs.h5")
    rows = position_rows(blobs, 3)
    assert rows is not None
    passes = Passes(blobs, TrialConfig(latents=3), torch.device("cpu"))
    kl, info = np.array([3.0, 3.0, 0.0]), np.array([3.0, 3.0, 0.0])
    with torch.no_grad():
        place = mapped(passes, Centroid(degrees), rows)
        row, arrays = scored(traversed(passes, Centroid(degrees), place, kl, info), kl, info)
    plain, _ = scored(place, kl, info)
    assert plain == {name: row[name] for name in row if name not in ("jumps", "ghosts")}
    # Clipped at the edge, the centroid is no straight function of the centre: near the axes all the same.
    assert row["position_latents"] == 2
    assert row["alignment"] == pytest.approx(abs(np.cos(2 * np.radians(degrees))), abs=0.02)
    assert row["axis_angle"] == pytest.approx(degrees, abs=1)
    assert (row["torn_share"], row["jumps"], row["ghosts"]) == (0, 0, 0)
    assert arrays["position_means"].shape == (32, 32, 3)
    again = axis_alignment(arrays["position_means"], (63 / 31, 63 / 31 / aspect), kl, arrays["position_latents"])
    assert again.alignment == pytest.approx(row["alignment"], abs=1e-3)


def test_a_trials_last_row_has_the_columns_and_others_do_not(tiny: Dataset) -> None:
    config = TrialConfig(capacity_max=2.0, ramp_steps=2, steps=4, batch_size=4, latents=3)
    run = Trainer(config, Evaluation(report_every=2, report_rows=20, probe_rows=40), tiny, device="cpu")
    first, last = run.run_to_report(), run.run_to_report()
    assert first.row["full"]
    assert not {"alignment", "position_latents"} & first.row.keys()
    assert {"alignment", "axis_angle", "torn_share", "position_latents"} <= last.row.keys()
    assert "jumps" not in last.row  # of dSprites, a traversal shows more than a position
    assert last.arrays is not None
    assert last.arrays["position_means"].shape == (8, 8, 3)


def test_the_unit_of_the_factors_changes_nothing(tmp_path: Path) -> None:
    """Jumps are of pixels, also where the table of factors counts from 0 to 1."""
    render_blobs(tmp_path / "blobs.h5")
    blobs = open_dataset(tmp_path / "blobs.h5")
    unit = dataclasses.replace(blobs, values={name: tuple(np.linspace(0, 1, 32)) for name in ("x", "y")})
    found = []
    for dataset in (blobs, unit):
        passes = Passes(dataset, TrialConfig(latents=3), torch.device("cpu"))
        rows, nats = position_rows(dataset, 3), np.array([3.0, 3.0, 0.0])
        assert rows is not None
        with torch.no_grad():
            place = mapped(passes, Centroid(20), rows)
            found.append(scored(traversed(passes, Centroid(20), place, nats, nats), nats, nats)[0])
    assert found[0] == found[1]


def test_pixels_are_those_between_the_first_and_the_last_position(tiny: Dataset, tmp_path: Path) -> None:
    render_blobs(tmp_path / "wide.h5", aspect=2.0)
    for dataset, across, down in ((tiny, 31, 31), (open_dataset(tmp_path / "wide.h5"), 63, 31.5)):
        rows = position_rows(dataset, 0)
        assert rows is not None
        found = _pixels(Passes(dataset, TrialConfig(), torch.device("cpu")), rows)
        assert found == pytest.approx((across, down), rel=0.05)
