"""Fig. 3 in numbers: factors' sums, openings over seeds and the paper's order, on a store whose curves are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.frames import Frames, load
from analysis.paper import generator
from study.config import StudyConfig
from tests.analysis.conftest import write_study


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Latent 0, the shape, opens at 200 updates; x at 700; y never; both codes, two seeds."""
    path = tmp_path_factory.mktemp("studies") / "generator-laptop"
    study = StudyConfig("generator", seeds=2)
    return load(write_study(path, lambda config: "finished", study))


def capacity_at(step: float) -> float:
    return 0.5 + 24.5 * step / 6000


def test_a_factor_has_the_sum_of_its_latents(frames: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    key = frames.finished["key"].iloc[0]
    alone = generator.by_factor(frames, key)
    np.testing.assert_allclose(alone["kl_1"], frames.reports(key)["kl_1"])
    arrays = frames.study.arrays(key) | {"latent_factors": np.array([0, 0, 2])}
    monkeypatch.setattr(type(frames.study), "arrays", lambda self, key: arrays)
    grouped = generator.by_factor(frames, key)
    np.testing.assert_allclose(grouped["kl_0"], alone["kl_0"] + alone["kl_1"])
    np.testing.assert_allclose(grouped["info_2"], alone["info_2"])
    assert not np.asarray(grouped["kl_1"]).any()


def test_openings_are_named_by_factor(frames: Frames) -> None:
    for measure in generator.MEASURES:
        for order in generator.orders(frames, "scalar", measure):
            assert order["y"] is None
            shape, x = order["shape"], order["x"]
            assert shape is not None
            assert x is not None
            assert shape.capacity == pytest.approx(capacity_at(200))
            assert x.capacity == pytest.approx(capacity_at(700))


def test_the_table_tells_capacities_and_censoring(frames: Frames) -> None:
    table = generator.opening_table(frames)
    assert list(zip(table["factor code"], table["opens by"], strict=True)) == [
        ("scalar", "KL"), ("scalar", "information"), ("grouped", "KL"), ("grouped", "information")
    ]  # fmt: skip
    first = table.iloc[0]
    assert first["seeds"] == "2"
    assert str(first["x"]).startswith(f"{capacity_at(700):.1f}")
    assert first["y"] == "> C_max in 2"


def test_the_matrix_reads_row_before_column(frames: Frames) -> None:
    matrix = generator.matrix_table(frames, "scalar", "kl").set_index("opens first")
    assert matrix.loc["shape", "x"] == "0 of 2 (2 cannot be told)"  # closer than a report
    assert matrix.loc["shape", "y"] == "2 of 2"
    assert matrix.loc["y", "shape"] == "0 of 2"
    assert matrix.loc["y", "y"] == "-"


def test_sentences_say_where_position_is_alone_and_which_steps_of_the_order_hold(frames: Frames) -> None:
    by_kl, by_information, uneven = generator.sentences(frames)
    # Here the shape opens first, and y never.
    assert "to themselves in 0, something else opens before both in 2 of 2 seeds." in by_kl
    assert "by information" in by_information
    assert "The dataset has not the paper's factors." in by_kl  # there is no scale here
    # Three reports up to 5 nats: x has 0, .1 and .7 nats, and y .01.
    assert "differ by 0.26 (0.26, 0.26) nats" in uneven


def opening(step: float) -> Any:
    return generator.Opening(0, step, step / 100, 0, False, 10)


def test_a_step_of_the_order_takes_both_positions_and_counts_ties() -> None:
    orders = [
        {"x": opening(100), "y": opening(120), "scale": opening(500), "shape": opening(505), "orientation": None},
        {"x": opening(100), "y": opening(600), "scale": opening(500), "shape": opening(900), "orientation": None},
    ]
    words = generator._agreement(orders)
    assert "x and y before scale in 1 of 2;" in words
    assert "scale before shape in 1 of 2 (1 cannot be told);" in words
    assert "shape before orientation in 2 of 2." in words


def test_a_step_holds_in_a_seed_only_where_both_positions_come_first() -> None:
    late, early = opening(500), opening(100)
    orders = [
        {"x": early, "y": opening(900), "scale": late},
        {"x": opening(900), "y": early, "scale": late},
        {"x": early, "y": early, "scale": late},
        {"x": early, "y": opening(495), "scale": late},
        {"x": opening(900), "y": opening(495), "scale": late},
    ]
    assert generator._agreement(orders) == "The paper's order: x and y before scale in 1 of 5 (1 cannot be told)."


def test_capacity_to_themselves_takes_seeds_in_which_both_positions_open_first() -> None:
    seeds = [
        {"x": opening(50), "y": opening(60), "scale": opening(300), "shape": opening(400)},
        {"x": opening(50), "y": opening(60), "scale": None, "shape": None},
        {"x": None, "y": opening(60), "scale": opening(200), "shape": None},
        {"x": opening(50), "y": opening(250), "scale": opening(200), "shape": None},
    ]
    assert generator._alone(seeds) == (
        "x and y have the capacity to themselves up to C = 3.0 nats in 1, up to C_max in 1, something else opens "
        "before both in 2 of 4 seeds."
    )
    assert generator._alone(seeds[2:]).startswith("x and y have the capacity to themselves in 0, something else")


def test_no_finished_trial_says_nothing(frames: Frames) -> None:
    empty = Frames(frames.study, frames.trials.assign(status="running"), frames.rows)
    assert generator.sentences(empty) == []


def test_the_figure_has_a_line_a_factor_and_seed(frames: Frames, tmp_path: Path) -> None:
    drawn = generator.figure(frames)
    by_capacity, by_accuracy, images = drawn.axes
    assert len(by_capacity.lines) == 2 * 3 * 2 + 1  # seeds, factors, KL and information; the legend's dashes
    assert len(by_accuracy.lines) == 2 * 3
    assert [text.get_text() for text in images.get_yticklabels()] == ["held-out", "C = 7.4 nats", "C = 3.2 nats"]
    key = frames.finished.query("factor_code == 'scalar'").sort_values(by="seed")["key"].iloc[0]
    recon = -frames.reports(key)["recon"].to_numpy(float)
    assert by_accuracy.lines[0].get_xdata() == pytest.approx(recon)
    drawn.savefig(tmp_path / "generator.png")
