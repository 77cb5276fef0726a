"""The generator: its posterior in closed form, its learning rates, and its place in trainer and evaluator."""

import io
import math

import numpy as np
import pytest
import torch

from trainables import checkpoint
from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig
from trainables.data.dataset import Dataset
from trainables.generator import LOG_STD, SCALE, FactorCode, Generator, rates
from trainables.metrics.audit import information_per_latent
from trainables.model import VAE, build
from trainables.objectives import gaussian_kl
from trainables.pictures import Snapshots
from trainables.trainer import Trainer

VALUES = {
    "shape": (1.0, 2.0, 3.0),
    "scale": (0.5, 1.0),
    "orientation": (0.0, math.pi / 2, math.pi, 2 * math.pi),
    "x": (0.0, 0.5, 1.0),
}
GRID = torch.cartesian_prod(*(torch.arange(len(numbers)) for numbers in VALUES.values()))
EVALUATION = Evaluation(report_every=4, report_rows=60, probe_rows=80)


def test_the_plain_code_has_the_kl_of_its_formula() -> None:
    code = FactorCode(VALUES, "scalar")
    with torch.no_grad():
        code.scale.copy_(torch.tensor([0.5, 1.0, 2.0, 0.0]))
        code.log_std.copy_(torch.tensor([-1.0, -0.2, -3.0, 0.0]))
        kl = gaussian_kl(*code(GRID)).mean(0)
    a, s = code.scale.detach(), code.log_std.detach().exp()
    torch.testing.assert_close(kl, 0.5 * (a**2 + s**2 - 1) - s.log(), atol=1e-5, rtol=1e-5)


def test_each_latent_is_its_factor_standardised() -> None:
    mean, log_std = FactorCode(VALUES, "scalar")(GRID)
    assert log_std.eq(LOG_STD).all()
    for place, numbers in enumerate(VALUES.values()):
        values = np.array(numbers)[GRID[:, place].numpy()]
        expected = SCALE * (values - values.mean()) / values.std()
        np.testing.assert_allclose(mean[:, place].detach().numpy(), expected, atol=1e-5)


def test_at_the_start_a_factor_has_a_tenth_of_a_nat() -> None:
    kl = gaussian_kl(*FactorCode(VALUES, "scalar")(GRID)).mean(0)
    assert kl.tolist() == pytest.approx([0.1] * 4, abs=0.005)


def test_grouped_latents_share_one_scale_and_one_noise() -> None:
    code = FactorCode(VALUES, "grouped")
    assert code.group.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert code.scale.shape == (4,)
    mean, _ = code(GRID)
    standardised = mean / SCALE
    assert standardised.mean(0).tolist() == pytest.approx([0] * 7, abs=1e-5)
    assert standardised.square().mean(0).tolist() == pytest.approx([1] * 7, abs=1e-4)
    same_angle = GRID[:, 2] == 0, GRID[:, 2] == 3
    torch.testing.assert_close(mean[same_angle[0]][:, 4:6], mean[same_angle[1]][:, 4:6], atol=1e-5, rtol=0)


def test_an_orientation_that_does_not_go_round_stays_a_number() -> None:
    code = FactorCode({"orientation": (-30.0, 0.0, 30.0)}, "grouped")
    assert code.group.tolist() == [0]


def test_information_of_a_factor_beyond_its_entropy_is_its_entropy() -> None:
    """KL may exceed what there is to know: with tiny noise I(z; f) = ln 3 while the KL is many nats."""
    code = FactorCode({"x": (0.0, 0.5, 1.0)}, "scalar")
    with torch.no_grad():
        code.log_std.fill_(-6.0)
        mean, log_std = code(torch.arange(3).repeat(40)[:, None])
    found = information_per_latent(mean.numpy(), log_std.numpy())
    assert found.info[0] == pytest.approx(math.log(3), abs=0.02)
    assert found.kl[0] > 5


def test_scales_and_noises_learn_at_a_rate_of_their_own() -> None:
    config = TrialConfig(model="burgess2018-generator", latents=4, learning_rate=1e-3, factor_lr=0.05)
    model = build(config, (1, 64, 64), VALUES)
    assert isinstance(model, Generator)
    decoder, code = rates(model, config.learning_rate, config.factor_lr)
    assert (decoder["lr"], code["lr"]) == (1e-3, 0.05)
    assert {id(parameter) for parameter in code["params"]} == {id(model.code.scale), id(model.code.log_std)}
    assert len(decoder["params"]) + 2 == len(list(model.parameters()))
    (alone,) = rates(VAE((1, 64, 64), 4), 1e-3, 0.05)
    assert alone["lr"] == 1e-3


@pytest.mark.parametrize(("changes", "message"), [
    ({"latents": 10}, r"latents=10 does not fit the generator.*give latents=5 for factor_code=scalar of shape, scale"),
    ({"latents": 5, "factor_code": "grouped"}, "give latents=8 for factor_code=grouped"),
])  # fmt: skip
def test_latents_that_do_not_fit_are_refused(tiny: Dataset, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(TrialConfig(model="burgess2018-generator", **changes), (1, 64, 64), tiny.values)


def test_a_dataset_without_factors_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a dataset with factors"):
        build(TrialConfig(model="burgess2018-generator", latents=5), (1, 64, 64), {})


def generator_trial(dataset: Dataset) -> Trainer:
    config = TrialConfig(
        model="burgess2018-generator", latents=5, gamma=100.0, capacity_start=0.5, capacity_max=8.0, batch_size=8,
        steps=12, ramp_steps=12, learning_rate=1e-3,
    )  # fmt: skip
    return Trainer(config, EVALUATION, dataset, device="cpu")


def test_a_generator_trains_reports_resumes_and_comes_back(tiny: Dataset) -> None:
    whole = generator_trial(tiny)
    for _ in range(2):  # C is 5.5 nats then, and the first snapshot is taken
        whole.run_to_report()
    halfway = generator_trial(tiny)
    halfway.load(whole.state())
    last, again = whole.run_to_report(), halfway.run_to_report()
    assert last.done
    for name in ("recon", "kl", "info_0", "kl_4"):
        assert last.row[name] == again.row[name]
    arrays = last.arrays
    assert arrays is not None
    assert again.arrays is not None
    assert arrays["snapshot_capacities"].tolist() == [5.5, 8.0]  # reports at 3, 5.5 and 8 nats
    assert arrays["snapshots"].shape == (2, 11, 64, 64, 1)
    np.testing.assert_array_equal(arrays["snapshots"], again.arrays["snapshots"])
    assert last.row["missing_scores"] == "the generator's codes are its factors, noised"
    assert "mig" not in last.row

    back = checkpoint.model_of(whole.state(), "it")
    assert isinstance(back, Generator)
    classes = torch.from_numpy(tiny.factors_of(whole.evaluator.probe.rows))
    with torch.no_grad():
        np.testing.assert_allclose(back.encode(classes)[0].numpy(), arrays["mean"], atol=1e-6)


def test_the_encoder_never_sees_an_image(tiny: Dataset) -> None:
    run = generator_trial(tiny)
    rows = run.evaluator.probe.rows[:6]
    inputs = run.passes.inputs(rows, run.passes.images(rows))
    assert inputs.tolist() == tiny.factors_of(rows).tolist()


def test_a_state_of_before_snapshots_goes_on(tiny: Dataset) -> None:
    run = generator_trial(tiny)
    run.run_to_report()
    state = torch.load(io.BytesIO(run.state()), weights_only=True)
    del state["snapshots"], state["factor_values"]
    old = io.BytesIO()
    torch.save(state, old)
    again = generator_trial(tiny)
    again.load(old.getvalue())
    assert again.step == run.step


def test_a_report_that_passes_several_capacities_takes_one_picture(tiny: Dataset) -> None:
    run, taken = generator_trial(tiny), Snapshots()
    for capacity in (float("nan"), 2.0, 8.0, 9.0, 16.0, 25.0, 25.0):
        taken.add(run.passes, run.model, run.evaluator.probe.rows, capacity)
    assert taken.capacities == [8.0, 16.0, 25.0]
