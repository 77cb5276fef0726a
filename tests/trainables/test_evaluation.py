import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config import Evaluation, TrialConfig
from trainables.data.coloured import colour
from trainables.data.dataset import Dataset, open_dataset
from trainables.evaluation import Evaluator
from trainables.metrics import audit, table
from trainables.metrics.joint import joint_information
from trainables.model import VAE, initialise
from trainables.objectives import reconstruction_loss
from trainables.passes import NotFinite

CONFIG = TrialConfig(capacity_max=3.0, ramp_steps=4, steps=8, latents=4)


@pytest.fixture(scope="module")
def model() -> VAE:
    model = VAE((1, 64, 64), latents=4)
    initialise(model, "he", seed=1)
    return model


def evaluator(dataset: Dataset, config: TrialConfig = CONFIG, **changes: int) -> Evaluator:
    evaluation = Evaluation(**({"report_rows": 70, "probe_rows": 100} | changes))
    return Evaluator(dataset, evaluation, config, torch.device("cpu"))


def test_the_probe_is_held_out_and_random_and_fixed_by_eval_seed(tiny: Dataset) -> None:
    probe = evaluator(tiny).probe
    assert len(set(probe.tolist())) == 100
    assert set(probe.tolist()) <= set(tiny.held_out_rows.tolist())
    assert probe.tolist() != sorted(probe.tolist())
    assert evaluator(tiny).probe.tolist() == probe.tolist()
    assert evaluator(tiny, eval_seed=1).probe.tolist() != probe.tolist()
    assert evaluator(tiny, probe_rows=10_000).probe.shape == tiny.held_out_rows.shape


def test_columns_against_a_plain_computation(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny)
    row, arrays = judge.full(model, step=2, nulls=True)
    with torch.no_grad():
        images = torch.from_numpy(tiny.batch(judge.probe))
        mean, log_std = model.encode(images)
        sampled = model.decode(mean + log_std.exp() * judge.noise)
        decoded = model.decode(mean)
    kl = (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).mean(0)
    assert row["recon"] == pytest.approx(reconstruction_loss(sampled, images).mean().item(), rel=1e-5)
    assert row["recon_mean"] == pytest.approx(reconstruction_loss(decoded, images).mean().item(), rel=1e-5)
    assert row["mse"] == pytest.approx((decoded.sigmoid() - images).square().sum((1, 2, 3)).mean().item(), rel=1e-5)
    assert [row[f"kl_{j}"] for j in range(4)] == pytest.approx(kl.tolist(), rel=1e-3, abs=1e-6)
    assert row["kl"] == pytest.approx(kl.sum().item(), rel=1e-3)
    assert row["capacity"] == pytest.approx(1.5)
    assert row["objective_value"] == pytest.approx(row["recon"] + 1000 * abs(row["kl"] - 1.5))
    assert row["kl"] == pytest.approx(row["info_sum"] + row["dim_kl"], abs=0.02)
    joint = joint_information(mean.numpy(), log_std.numpy(), (mean + log_std.exp() * judge.noise).numpy())
    joint = joint.bounded(min(row["info_sum"], tiny.entropy))
    assert (row["info_low"], row["info_high"]) == pytest.approx((joint.low, joint.high), abs=1e-4)
    assert row["info_resolved"] is joint.resolved
    assert row["tc_high"] == pytest.approx(max(0, row["info_sum"] - joint.low), abs=1e-4)
    np.testing.assert_allclose(arrays["mean"], mean.numpy(), rtol=1e-4, atol=1e-5)
    assert (arrays["factors"] == tiny.factors_of(judge.probe)).all()


def test_a_report_is_the_full_evaluation_of_its_first_rows(tiny: Dataset, model: VAE) -> None:
    report = evaluator(tiny).report(model, step=2)
    full, _ = evaluator(tiny, probe_rows=70).full(model, step=2, nulls=False)
    assert {name: full[name] for name in report} == report
    assert "mig_null" not in full
    assert {"mig", "modularity", "gaussian_total_correlation"} <= full.keys()


def test_sheets_vary_one_latent_from_minus_three_to_three(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny)
    _, arrays = judge.full(model, step=2, nulls=False)
    assert arrays["traversals"].shape == (4, 4, 11, 64, 64, 1)
    code = torch.from_numpy(arrays["mean"][1]).clone()
    code[2] = -3 + 0.6 * 7
    with torch.no_grad():
        frame = (model.decode(code[None]).sigmoid() * 255).round()[0, 0]
    assert np.abs(arrays["traversals"][1, 2, 7, ..., 0] - frame.numpy()).max() <= 1
    assert (arrays["originals"][..., 0] / 255 == tiny.batch(judge.probe[:11])[:, 0]).all()


def test_a_model_that_ignores_its_input_says_nothing(tiny: Dataset, model: VAE) -> None:
    silent = VAE((1, 64, 64), latents=4)
    silent.load_state_dict(model.state_dict())
    with torch.no_grad():
        silent.head.weight.zero_()
        silent.head.bias[:4] = 1.5  # a constant mean has KL and no information
    judge = evaluator(tiny)
    row, _ = judge.full(silent, step=4, nulls=False)
    assert row["kl"] == pytest.approx(4 * 1.5**2 / 2, rel=1e-4)
    assert row["info_sum"] == pytest.approx(0, abs=1e-3)
    assert judge.verdict(row | {"tracking": 0.0}) == "not informative"
    assert row["active_latents"] == 0
    assert audit.active_units(np.full((10, 4), 1.5)) == row["active_units"] == 0


def test_a_dataset_without_factors_keeps_the_audit_and_says_what_is_missing(tiny: Dataset, model: VAE) -> None:
    blind = dataclasses.replace(tiny, factors=(), classes=tiny.classes[:, :0])
    row, arrays = evaluator(blind).full(model, step=2, nulls=True)
    assert row["missing_scores"] == "the dataset has no factors"
    assert not {"mig", "mig_calibrated", "factor_vae"} & row.keys()
    assert row["gaussian_total_correlation"] > 0
    assert not {"factors", "mutual_information"} & arrays.keys()
    seen, more = evaluator(tiny).full(model, step=2, nulls=True)
    assert seen["missing_scores"] == (
        "factor_vae: no value of factor 0 is shared by 64 of the 100 rows; score more rows"
    )  # of so few images; the others are there
    assert "mig_calibrated" in seen
    for name in ("recon", "kl", "info_sum", "active_latents"):
        assert row[name] == seen[name]
    assert (arrays["traversals"] == more["traversals"]).all()


def test_a_score_that_cannot_be_computed_is_missing_with_its_reason(tiny: Dataset, model: VAE) -> None:
    constant = dataclasses.replace(tiny, classes=np.zeros_like(tiny.classes))
    row, arrays = evaluator(constant).full(model, step=2, nulls=True)
    assert "are constant" in row["missing_scores"]
    assert row["missing_scores"].startswith("mig, modularity, factor_vae: ")
    assert "mig" not in row
    assert "factors" in arrays


def test_the_objectives_value_is_that_of_the_held_out_means(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny)
    row = judge.report(model, step=2)
    assert row["objective_value"] == pytest.approx(row["recon"] + 1000 * abs(row["kl"] - 1.5), rel=1e-5)
    fixed = TrialConfig(objective="beta_vae", beta=4.0, latents=4)
    row = evaluator(tiny, fixed).report(model, step=2)
    assert row["objective_value"] == pytest.approx(row["recon"] + 4 * row["kl"], rel=1e-5)


def test_the_cheap_scores_have_null_ceiling_and_spread_at_the_end(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny)
    row, arrays = judge.full(model, step=8, nulls=True)
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


def test_the_aggregate_of_training_images_has_many_rows_and_few_draws(tiny: Dataset, model: VAE) -> None:
    rows = min(400, len(tiny.train_rows))
    judge = evaluator(tiny, aggregate_rows=rows)
    row, _ = judge.full(model, step=2, nulls=False)
    with torch.no_grad():
        images = torch.from_numpy(tiny.batch(judge.aggregate_rows))
        mean, log_std = model.encode(images)
    drawn = mean[:100] + log_std[:100].exp() * judge.train_noise
    joint = joint_information(mean.numpy(), log_std.numpy(), drawn.numpy(), np.arange(100))
    info_sum = float(audit.information_per_latent(mean.numpy(), log_std.numpy()).info.sum())
    joint = joint.bounded(min(info_sum, tiny.entropy))
    assert row["info_n"] == rows
    assert len(judge.aggregate_rows) == rows
    assert (row["info_low"], row["info_high"], row["info_se"]) == pytest.approx(
        (joint.low, joint.high, joint.high_se), abs=1e-4
    )
    assert judge.aggregate_rows[:100].tolist() == judge.train_rows.tolist()  # so that the stored draws are theirs


def test_posteriors_that_are_not_finite_on_training_images_are_a_divergence(tiny: Dataset, model: VAE) -> None:
    broken = VAE((1, 64, 64), latents=4)
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        broken.head.bias[0] = float("nan")
    judge = evaluator(tiny, aggregate_rows=50)
    with torch.no_grad(), pytest.raises(NotFinite, match="infinite posterior"):
        judge.passes.posteriors(broken, judge.aggregate_rows)


def test_a_fault_in_a_score_costs_that_score_alone(tiny: Dataset, model: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*given: object) -> dict:
        raise ZeroDivisionError("no luck")

    broken = tuple(
        dataclasses.replace(metric, measure=faulty) if metric.names == ("modularity",) else metric
        for metric in table.METRICS
    )
    monkeypatch.setattr(table, "METRICS", broken)
    row, _ = evaluator(tiny).full(model, step=8, nulls=True)
    assert "modularity: ZeroDivisionError: no luck" in row["missing_scores"]
    assert "modularity" not in row
    assert "mig_calibrated" in row


def test_thresholds_are_above_the_pixels_own_entropy(tiny: Dataset, model: VAE) -> None:
    """A floor of 400 nats under R0 = 500: 430 is 0.3 of what can be won, though 0.86 of R0."""
    floored = dataclasses.replace(tiny, recon_floor=400.0, constant_loss=500.0)
    judge = evaluator(floored)
    row = {"kl": 5.0, "info_sum": 5.0, "capacity": 5.0, "tracking": 0.0}
    assert judge._above_floor(430.0) == pytest.approx(0.3)
    assert judge.verdict(row | {"recon": 430.0}) == "fine"
    assert judge.verdict(row | {"recon": 495.0}) == "not informative"
    plain = evaluator(dataclasses.replace(tiny, recon_floor=0.0, constant_loss=500.0))
    assert plain.verdict(row | {"recon": 430.0}) == "fine"
    assert plain.verdict(row | {"recon": 460.0}) == "not informative"


def test_a_coloured_trial_is_scored_on_its_colours_too(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_path, tmp_path / "tiny.h5")
    colour(tmp_path / "tiny.h5", tmp_path / "coloured.h5")
    coloured = open_dataset(tmp_path / "coloured.h5")
    judge = evaluator(coloured)
    stored = judge.probe // 512
    assert set(stored.tolist()) <= set(coloured.held_out_rows.tolist())
    assert len(set(stored.tolist())) == 100  # no shape twice
    assert len(set((judge.probe % 512).tolist())) > 50  # and many colours
    assert judge.probe.tolist() == evaluator(coloured).probe.tolist()
    assert not set((judge.train_rows // 512).tolist()) & set(coloured.held_out_rows.tolist())
    colourful = VAE((3, 64, 64), latents=4)
    initialise(colourful, "he", seed=1)
    row, arrays = judge.full(colourful, step=8, nulls=True)
    assert arrays["factors"].shape == (100, 8)
    assert arrays["originals"].shape == (11, 64, 64, 3)
    np.testing.assert_array_equal(arrays["factors"], coloured.factors_of(judge.probe))
    assert row["recon_floor"] == coloured.recon_floor
    assert {"mig", "alignment"} <= row.keys()
