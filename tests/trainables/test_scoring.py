"""Rows and arrays from measurements made by hand; the real ones' columns are in test_evaluation.py."""

import dataclasses
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.measurement import Full, Measurement
from trainables.metrics import audit, table
from trainables.metrics.joint import joint_information
from trainables.scoring import Scorer
from trainables.trainer import Trainer

CONFIG = TrialConfig(capacity_max=3.0, ramp_steps=4, steps=8, latents=4)
ROOT = Path(__file__).parents[2]


def measurement(dataset: Dataset, done: bool = True, **changes: Any) -> Measurement:
    """Of 100 rows and 4 latents, that say something of the factors."""
    rng = np.random.default_rng(0)
    probe = rng.permutation(dataset.held_out_rows)[:100]
    mean, noise = rng.normal(size=(2, 100, 4)).astype(np.float32)
    mean += dataset.classes[probe].sum(1)[:, None] / 4
    log_std = np.full((100, 4), -1.0, np.float32)
    full = Full(probe, 210.0, 40.0, 190.0, mean + np.exp(log_std) * noise)
    return Measurement(
        step=8, done=done, recon=200.0, objective_value=300.0, capacity=3.0, mean=mean, log_std=log_std, full=full,
        **changes,
    )  # fmt: skip


def scorer(dataset: Dataset, config: TrialConfig = CONFIG) -> Scorer:
    return Scorer(dataset, Evaluation(), config)


def scored(dataset: Dataset, measured: Measurement) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    report = scorer(dataset).report(measured)
    return report.row, report.arrays or {}


def test_what_was_measured_is_in_the_row(tiny: Dataset) -> None:
    measured = measurement(tiny, updates=6, training_seconds=2.0, seconds=3.0, tracking=0.25)
    row, arrays = scored(tiny, measured)
    for name in ("step", "done", "recon", "objective_value", "capacity", "tracking"):
        assert row[name] == getattr(measured, name)
    assert (row["recon_mean"], row["mse"], row["recon_train"], row["probe_rows"]) == (210.0, 40.0, 190.0, 100)
    assert row["full"] is True
    assert row["steps_per_second"] == 3.0
    assert row["seconds"] > 3.0  # scoring counts too
    assert math.isnan(scored(tiny, measurement(tiny))[0]["steps_per_second"])
    info = audit.information_per_latent(measured.mean, measured.log_std)
    assert [row[f"kl_{j}"] for j in range(4)] == info.kl.tolist()
    assert [row[f"info_{j}"] for j in range(4)] == info.info.tolist()
    assert row["kl"] == pytest.approx(row["info_sum"] + row["dim_kl"], abs=0.02)
    assert arrays["mean"] is measured.mean


def test_a_cheap_report_is_the_row_without_scores_and_without_arrays(tiny: Dataset) -> None:
    whole = measurement(tiny)
    full, _ = scored(tiny, whole)
    report = scorer(tiny).report(dataclasses.replace(whole, full=None, done=False))
    assert (report.arrays, report.done, report.row["full"]) == (None, False, False)
    untimed = report.row.keys() - {"full", "done", "seconds", "steps_per_second"}
    assert {name: full[name] for name in untimed} == {name: report.row[name] for name in untimed} | {
        "tracking": pytest.approx(math.nan, nan_ok=True)
    }
    assert not {"mig", "info_high", "recon_mean"} & report.row.keys()


def test_at_the_ramps_end_scores_have_no_nulls_and_nothing_is_kept(tiny: Dataset) -> None:
    report = scorer(tiny).report(measurement(tiny, done=False))
    assert (report.arrays, report.done, report.row["full"]) == (None, False, True)
    assert "mig_null" not in report.row
    assert {"mig", "modularity", "gaussian_total_correlation"} <= report.row.keys()


def test_a_diverged_trial_has_ended_and_has_no_row(tiny: Dataset) -> None:
    report = scorer(tiny).report(Measurement(diverged=True))
    assert (report.row, report.arrays, report.done, report.diverged) == ({}, None, True, True)


def test_snapshots_and_sheets_are_among_the_arrays(tiny: Dataset) -> None:
    measured = measurement(tiny, snapshots={"snapshots": np.ones(3)})
    assert measured.full is not None
    full = dataclasses.replace(measured.full, sheets={"originals": np.zeros(2)}, latent_factors=np.arange(4))
    _, arrays = scored(tiny, dataclasses.replace(measured, full=full))
    assert {"snapshots", "originals", "latent_factors", "factors", "probe_rows"} <= arrays.keys()


def test_the_aggregate_takes_the_place_of_the_probes_own_posteriors(tiny: Dataset) -> None:
    measured = measurement(tiny)
    assert measured.full is not None
    mean, log_std = np.tile(measured.mean, (2, 1)), np.tile(measured.log_std, (2, 1))
    full = dataclasses.replace(measured.full, aggregate=(mean, log_std, measured.full.sampled[:50]))
    row, _ = scored(tiny, dataclasses.replace(measured, full=full))
    joint = joint_information(mean, log_std, measured.full.sampled[:50], np.arange(50))
    assert (row["info_n"], row["info_low"]) == (200, joint.low)
    assert row["info_sum"] == scored(tiny, measured)[0]["info_sum"]


def test_a_dataset_without_factors_keeps_the_audit_and_says_what_is_missing(tiny: Dataset) -> None:
    blind = dataclasses.replace(tiny, factors=(), classes=tiny.classes[:, :0])
    measured = measurement(tiny)
    row, arrays = scored(blind, measured)
    assert row["missing_scores"] == "the dataset has no factors"
    assert not {"mig", "mig_calibrated", "factor_vae"} & row.keys()
    assert row["gaussian_total_correlation"] > 0
    assert not {"factors", "mutual_information"} & arrays.keys()
    seen, _ = scored(tiny, measured)
    assert seen["missing_scores"] == (
        "factor_vae: no value of factor 0 is shared by 64 of the 100 rows; score more rows"
    )  # of so few images; the others are there
    assert "mig_calibrated" in seen
    for name in ("recon", "kl", "info_sum", "active_latents"):
        assert row[name] == seen[name]


def test_a_generators_codes_are_not_scored(tiny: Dataset) -> None:
    row = scorer(tiny, TrialConfig(model="burgess2018-generator", latents=4)).report(measurement(tiny)).row
    assert row["missing_scores"] == "the generator's codes are its factors, noised"
    assert "mig" not in row


def test_a_score_that_cannot_be_computed_is_missing_with_its_reason(tiny: Dataset) -> None:
    constant = dataclasses.replace(tiny, classes=np.zeros_like(tiny.classes))
    row, arrays = scored(constant, measurement(tiny))
    assert "are constant" in row["missing_scores"]
    assert row["missing_scores"].startswith("mig, modularity, factor_vae: ")
    assert "mig" not in row
    assert "factors" in arrays


def test_the_cheap_scores_have_null_ceiling_and_spread_at_the_end(tiny: Dataset) -> None:
    row, arrays = scored(tiny, measurement(tiny))
    for name in ("mig", "modularity"):
        (metric,) = table.named([name], table.metrics_of(arrays["factors"], tiny.factors))
        score = table.calibrated(metric, arrays["mean"], arrays["factors"])[name]
        assert row[name] == pytest.approx(score.value)
        for beside in ("null", "null_sd", "nulls", "ceiling", "sd"):
            assert row.get(f"{name}_{beside}", np.nan) == pytest.approx(getattr(score, beside), nan_ok=True)
        assert row[f"{name}_nulls"] == 20
        assert row.get(f"{name}_calibrated", np.nan) == pytest.approx(score.calibrated, nan_ok=True)
    assert not {"sap", "dci_disentanglement", "infom"} & row.keys()  # the costly ones are rescoring's
    assert "gaussian_total_correlation_null" not in row


def test_a_fault_in_a_score_costs_that_score_alone(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*given: object) -> dict:
        raise ZeroDivisionError("no luck")

    broken = tuple(
        dataclasses.replace(metric, measure=faulty) if metric.names == ("modularity",) else metric
        for metric in table.METRICS
    )
    monkeypatch.setattr(table, "METRICS", broken)
    row, _ = scored(tiny, measurement(tiny))
    assert "modularity: ZeroDivisionError: no luck" in row["missing_scores"]
    assert "modularity" not in row
    assert "mig_calibrated" in row


def test_thresholds_are_above_the_pixels_own_entropy(tiny: Dataset) -> None:
    """A floor of 400 nats under R0 = 500: 430 is 0.3 of what can be won, though 0.86 of R0."""
    judge = scorer(dataclasses.replace(tiny, recon_floor=400.0, constant_loss=500.0))
    row = {"kl": 5.0, "info_sum": 5.0, "capacity": 5.0, "tracking": 0.0}
    assert judge._above_floor(430.0) == pytest.approx(0.3)
    assert judge.verdict(row | {"recon": 430.0}) == "fine"
    assert judge.verdict(row | {"recon": 495.0}) == "not informative"
    plain = scorer(dataclasses.replace(tiny, recon_floor=0.0, constant_loss=500.0))
    assert plain.verdict(row | {"recon": 430.0}) == "fine"
    assert plain.verdict(row | {"recon": 460.0}) == "not informative"


SCORE = """
import pickle, sys
from trainables.data.dataset import open_dataset
from trainables.scoring import Scorer
path, evaluation, config, measured = pickle.load(sys.stdin.buffer)
report = Scorer(open_dataset(path), evaluation, config).report(measured)
if "torch" in sys.modules:
    sys.exit("scoring loads torch")
sys.stdout.buffer.write(pickle.dumps(report))
"""


def test_a_process_without_torch_scores_what_a_trainer_measured(tiny: Dataset) -> None:
    config = TrialConfig(capacity_max=8.0, ramp_steps=2, steps=2, batch_size=4, latents=3)
    evaluation = Evaluation(report_rows=20, probe_rows=40, aggregate_rows=60, eval_seed=2)
    measured = Trainer(config, evaluation, tiny, device="cpu").advance()
    given = pickle.dumps((tiny.path, evaluation, config, measured))
    done = subprocess.run([sys.executable, "-c", SCORE], input=given, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    report = pickle.loads(done.stdout)
    here = Trainer(config, evaluation, tiny, device="cpu").run_to_report()
    assert list(report.row) == list(here.row)
    untimed = [name for name in here.row if name not in ("seconds", "steps_per_second")]
    assert [repr(report.row[name]) for name in untimed] == [repr(here.row[name]) for name in untimed]
    assert report.arrays is not None
    assert here.arrays is not None
    assert list(report.arrays) == list(here.arrays)
    assert {"snapshots", "position_means", "traversals"} <= report.arrays.keys()
    for name, array in here.arrays.items():
        np.testing.assert_array_equal(report.arrays[name], array)
