import math
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.config import Evaluation, TrialConfig
from trainables.data.blobs import render_blobs
from trainables.data.coloured import colour
from trainables.data.dataset import Dataset, open_dataset
from trainables.evaluation import Evaluator, Passed
from trainables.measurement import Report
from trainables.metrics import audit
from trainables.metrics.joint import joint_information
from trainables.model import VAE, initialise
from trainables.objectives import reconstruction_loss
from trainables.passes import NotFinite
from trainables.scoring import Scorer

CONFIG = TrialConfig(capacity_max=3.0, ramp_steps=4, steps=8, latents=4)


@pytest.fixture(scope="module")
def model() -> VAE:
    model = VAE((1, 64, 64), latents=4)
    initialise(model, "he", seed=1)
    return model


def evaluator(dataset: Dataset, config: TrialConfig = CONFIG, **changes: int) -> Evaluator:
    evaluation = Evaluation(**({"report_rows": 70, "probe_rows": 100} | changes))
    return Evaluator(dataset, evaluation, config, torch.device("cpu"))


def full_report(judge: Evaluator, model: VAE) -> Report:
    """Of the last step, whichever it is called."""
    scorer = Scorer(judge.dataset, Evaluation(), judge.config)
    return scorer.report(judge.full(model, step=2, done=True))


def test_the_probe_is_held_out_and_random_and_fixed_by_eval_seed(tiny: Dataset) -> None:
    probe = evaluator(tiny).probe.rows
    assert len(set(probe.tolist())) == 100
    assert set(probe.tolist()) <= set(tiny.held_out_rows.tolist())
    assert probe.tolist() != sorted(probe.tolist())
    assert evaluator(tiny).probe.rows.tolist() == probe.tolist()
    assert evaluator(tiny, eval_seed=1).probe.rows.tolist() != probe.tolist()
    assert evaluator(tiny, probe_rows=10_000).probe.rows.shape == tiny.held_out_rows.shape


def test_columns_against_a_plain_computation(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny)
    report = full_report(judge, model)
    row, arrays = report.row, report.arrays
    assert arrays is not None
    with torch.no_grad():
        images = torch.from_numpy(tiny.batch(judge.probe.rows))
        mean, log_std = model.encode(images)
        sampled = model.decode(mean + log_std.exp() * judge.probe.noise)
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
    joint = joint_information(mean.numpy(), log_std.numpy(), (mean + log_std.exp() * judge.probe.noise).numpy())
    joint = joint.bounded(min(row["info_sum"], tiny.entropy))
    assert (row["info_low"], row["info_high"]) == pytest.approx((joint.low, joint.high), abs=1e-4)
    assert row["info_resolved"] is joint.resolved
    assert row["tc_high"] == pytest.approx(max(0, row["info_sum"] - joint.low), abs=1e-4)
    np.testing.assert_allclose(arrays["mean"], mean.numpy(), rtol=1e-4, atol=1e-5)
    assert (arrays["factors"] == tiny.factors_of(judge.probe.rows)).all()


def test_a_report_is_the_full_evaluation_of_its_first_rows(tiny: Dataset, model: VAE) -> None:
    report = evaluator(tiny).report(model, step=2)
    full = evaluator(tiny, probe_rows=70).full(model, step=2, done=False)
    assert (report.full, report.done, full.done) == (None, False, False)
    assert full.full is not None
    assert full.full.sheets == {}  # pictures are the end's
    assert full.full.place is None
    for name in ("step", "recon", "objective_value", "capacity"):
        assert getattr(full, name) == getattr(report, name)
    np.testing.assert_array_equal(full.mean, report.mean)
    np.testing.assert_array_equal(full.log_std, report.log_std)


def test_passes_made_elsewhere_give_the_same_measurements(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny, aggregate_rows=120)
    passes, probe = judge.passes, judge.probe
    with torch.no_grad():
        first = Passed(*passes.losses(model, probe.rows[: judge.report_rows], probe.noise))
        train, _, _ = passes.losses(model, probe.train_rows, probe.train_noise)
        whole = Passed(*passes.losses(model, probe.rows, probe.noise), train_losses=train)
    assert pickle.dumps(judge.report(model, 2, first)) == pickle.dumps(judge.report(model, 2))
    assert pickle.dumps(judge.full(model, 2, True, whole)) == pickle.dumps(judge.full(model, 2, True))


def test_a_measurement_holds_no_tensor(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny, aggregate_rows=120)
    for measured in (judge.report(model, 2), judge.full(model, 2, done=True)):
        assert b"torch" not in pickle.dumps(measured)


def test_traversals_are_searched_where_position_is_all_there_is_to_know(
    tiny: Dataset, model: VAE, tmp_path: Path
) -> None:
    render_blobs(tmp_path / "blobs.h5")
    for dataset, jumps in ((tiny, None), (open_dataset(tmp_path / "blobs.h5"), pytest.approx(math.nan, nan_ok=True))):
        measured = evaluator(dataset, probe_rows=20).full(model, 2, done=True)
        assert measured.full is not None
        assert measured.full.place is not None
        assert measured.full.place.jumps == jumps  # of an untrained model no latent is traversed


@pytest.mark.parametrize("spoilt", range(3))
def test_what_is_not_finite_is_refused(tiny: Dataset, model: VAE, spoilt: int) -> None:
    given = [torch.ones(5), torch.ones(5, 4), torch.ones(5, 4)]
    evaluator(tiny).report(model, 2, Passed(*given))
    given[spoilt].view(-1)[-1] = float("nan")
    with pytest.raises(NotFinite, match="at step 2"):
        evaluator(tiny).report(model, 2, Passed(*given))


def test_sheets_vary_one_latent_from_minus_three_to_three(tiny: Dataset, model: VAE) -> None:
    judge = evaluator(tiny)
    measured = judge.full(model, step=2, done=True)
    assert measured.full is not None
    arrays = measured.full.sheets
    assert arrays["traversals"].shape == (4, 4, 11, 64, 64, 1)
    code = torch.from_numpy(measured.mean[1]).clone()
    code[2] = -3 + 0.6 * 7
    with torch.no_grad():
        frame = (model.decode(code[None]).sigmoid() * 255).round()[0, 0]
    assert np.abs(arrays["traversals"][1, 2, 7, ..., 0] - frame.numpy()).max() <= 1
    assert (arrays["originals"][..., 0] / 255 == tiny.batch(judge.probe.rows[:11])[:, 0]).all()


def test_a_model_that_ignores_its_input_says_nothing(tiny: Dataset, model: VAE) -> None:
    silent = VAE((1, 64, 64), latents=4)
    silent.load_state_dict(model.state_dict())
    with torch.no_grad():
        silent.head.weight.zero_()
        silent.head.bias[:4] = 1.5  # a constant mean has KL and no information
    judge = evaluator(tiny)
    row = full_report(judge, silent).row
    assert row["kl"] == pytest.approx(4 * 1.5**2 / 2, rel=1e-4)
    assert row["info_sum"] == pytest.approx(0, abs=1e-3)
    assert row["verdict"] == "fine"  # C is 1.5 nats
    asked = Scorer(tiny, Evaluation(), CONFIG).verdict(row | {"capacity": 3.0})
    assert asked == "not informative"
    assert row["active_latents"] == 0
    assert audit.active_units(np.full((10, 4), 1.5)) == row["active_units"] == 0


def test_the_objectives_value_is_that_of_the_held_out_means(tiny: Dataset, model: VAE) -> None:
    for config, penalty in (
        (CONFIG, lambda kl: 1000 * abs(kl - 1.5)),
        (TrialConfig(objective="beta_vae", beta=4.0, latents=4), lambda kl: 4 * kl),
    ):
        measured = evaluator(tiny, config).report(model, step=2)
        kl = audit.kl_per_latent(measured.mean, measured.log_std).sum()
        assert measured.objective_value == pytest.approx(measured.recon + penalty(kl), rel=1e-5)


def test_the_aggregate_of_training_images_has_many_rows_and_few_draws(tiny: Dataset, model: VAE) -> None:
    rows = min(400, len(tiny.train_rows))
    judge = evaluator(tiny, aggregate_rows=rows)
    row = full_report(judge, model).row
    with torch.no_grad():
        images = torch.from_numpy(tiny.batch(judge.probe.aggregate_rows))
        mean, log_std = model.encode(images)
    drawn = mean[:100] + log_std[:100].exp() * judge.probe.train_noise
    joint = joint_information(mean.numpy(), log_std.numpy(), drawn.numpy(), np.arange(100))
    info_sum = float(audit.information_per_latent(mean.numpy(), log_std.numpy()).info.sum())
    joint = joint.bounded(min(info_sum, tiny.entropy))
    assert row["info_n"] == rows
    assert len(judge.probe.aggregate_rows) == rows
    assert (row["info_low"], row["info_high"], row["info_se"]) == pytest.approx(
        (joint.low, joint.high, joint.high_se), abs=1e-4
    )
    assert (
        judge.probe.aggregate_rows[:100].tolist() == judge.probe.train_rows.tolist()
    )  # so that the stored draws are theirs


def test_posteriors_that_are_not_finite_on_training_images_are_a_divergence(tiny: Dataset, model: VAE) -> None:
    broken = VAE((1, 64, 64), latents=4)
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        broken.head.bias[0] = float("nan")
    judge = evaluator(tiny, aggregate_rows=50)
    with torch.no_grad(), pytest.raises(NotFinite, match="infinite posterior"):
        judge.passes.posteriors(broken, judge.probe.aggregate_rows)


def test_a_coloured_trial_is_scored_on_its_colours_too(tiny_path: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_path, tmp_path / "tiny.h5")
    colour(tmp_path / "tiny.h5", tmp_path / "coloured.h5")
    coloured = open_dataset(tmp_path / "coloured.h5")
    judge = evaluator(coloured)
    stored = judge.probe.rows // 512
    assert set(stored.tolist()) <= set(coloured.held_out_rows.tolist())
    assert len(set(stored.tolist())) == 100  # no shape twice
    assert len(set((judge.probe.rows % 512).tolist())) > 50  # and many colours
    assert judge.probe.rows.tolist() == evaluator(coloured).probe.rows.tolist()
    assert not set((judge.probe.train_rows // 512).tolist()) & set(coloured.held_out_rows.tolist())
    colourful = VAE((3, 64, 64), latents=4)
    initialise(colourful, "he", seed=1)
    report = full_report(judge, colourful)
    row, arrays = report.row, report.arrays
    assert arrays is not None
    assert arrays["factors"].shape == (100, 8)
    assert arrays["originals"].shape == (11, 64, 64, 3)
    np.testing.assert_array_equal(arrays["factors"], coloured.factors_of(judge.probe.rows))
    assert row["recon_floor"] == coloured.recon_floor
    assert {"mig", "alignment"} <= row.keys()
