import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from trainables.metrics.audit import information_per_latent
from trainables.metrics.inputs import MetricError
from trainables.metrics.joint import Joint, joint_information

Table = NDArray[np.float64]


def channel(rows: int, stds: list[float], seed: int = 0) -> tuple[Table, Table, Table]:
    """Independent Gaussian channels whose aggregate is N(0, 1): latent j transmits -ln of its std."""
    generator, s = np.random.default_rng(seed), np.array(stds)
    mean = np.sqrt(1 - s**2) * generator.normal(size=(rows, len(s)))
    return mean, np.log(np.broadcast_to(s, mean.shape)), mean + s * generator.normal(size=mean.shape)


def plain(mean: Table, log_std: Table, draws: Table, own: bool) -> float:
    """The slow twin: scipy's density of every posterior at every draw, row by row."""
    pairs = zip(mean, log_std, strict=True)
    densities = [multivariate_normal(m, np.diag(np.exp(2 * s))) for m, s in pairs]  # type: ignore[arg-type]
    values = []
    for i, z in enumerate(draws):
        logs = [density.logpdf(z) for j, density in enumerate(densities) if own or j != i]
        values.append(densities[i].logpdf(z) - logsumexp(logs) + math.log(len(logs)))
    return float(np.mean(values))


@pytest.mark.parametrize("latents", [1, 3])
def test_both_ends_agree_with_the_plain_definition(latents: int) -> None:
    generator = np.random.default_rng(1)
    mean, log_std = generator.normal(size=(40, latents)), generator.uniform(-2, 0, size=(40, latents))
    draws = mean + np.exp(log_std) * generator.normal(size=mean.shape)
    joint = joint_information(mean, log_std, draws)
    assert joint.low == pytest.approx(plain(mean, log_std, draws, own=True), abs=1e-9)
    assert joint.high == pytest.approx(plain(mean, log_std, draws, own=False), abs=1e-9)


@pytest.mark.parametrize("stds", [[0.6], [0.5, 0.7], [0.6, 0.8, 0.9, 1.0]])
def test_gaussian_channels_lie_inside_the_bracket(stds: list[float]) -> None:
    joint = joint_information(*channel(4000, stds))
    true = -sum(math.log(s) for s in stds)
    assert joint.resolved
    # 4 standard errors of the draws, and as much again for the rows that make the aggregate
    assert joint.low - 8 * joint.low_se <= true <= joint.high + 8 * joint.high_se
    assert joint.low == pytest.approx(true, abs=0.1)


def test_too_many_nats_for_n_rows_are_not_resolved() -> None:
    joint = joint_information(*channel(500, [0.05, 0.05, 0.05]))  # 9 nats, where ln 500 is 6.2
    assert joint.low <= math.log(500)
    assert joint.high > 9
    assert not joint.resolved
    assert Joint(4.0, 4.5, 0.0, 0.0).resolved
    assert not Joint(4.0, 4.51, 0.0, 0.0).resolved


def test_equal_posteriors_say_nothing_and_separate_ones_which_row_it_is() -> None:
    draws = np.random.default_rng(0).normal(size=(50, 2))
    same = joint_information(np.zeros((50, 2)), np.zeros((50, 2)), draws)
    assert (same.low, same.high) == pytest.approx((0, 0), abs=1e-9)
    mean = 100 * np.random.default_rng(1).permutation(50)[:, None] * np.ones(2)
    apart = joint_information(mean, np.zeros((50, 2)), mean + draws)
    assert apart.low == pytest.approx(math.log(50))
    assert apart.high > 1000


def test_one_latent_agrees_with_the_integral() -> None:
    mean, log_std, draws = channel(3000, [0.2], seed=3)
    joint = joint_information(mean, log_std, draws)
    # the integral has the own row in; the draws' standard error is its only difference
    assert joint.low == pytest.approx(information_per_latent(mean, log_std).info[0], abs=4 * joint.low_se)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_total_correlation_is_what_two_latents_both_say(rho: float) -> None:
    generator, rows, s = np.random.default_rng(5), 4000, 0.3
    shared, each = math.sqrt(rho * (1 - s**2)), math.sqrt((1 - rho) * (1 - s**2))
    mean = shared * generator.normal(size=(rows, 1)) + each * generator.normal(size=(rows, 2))
    log_std = np.full_like(mean, math.log(s))
    joint = joint_information(mean, log_std, mean + s * generator.normal(size=mean.shape))
    info_sum = float(information_per_latent(mean, log_std).info.sum())
    low, high = joint.total_correlation(info_sum)
    true = -0.5 * math.log(1 - (rho * (1 - s**2)) ** 2)  # both aggregates are N(0, 1)
    assert low - 0.05 <= true <= high + 0.05  # standard errors of about .012 of each term
    assert high - low == pytest.approx(min(joint.high - joint.low, high), abs=1e-9)
    assert high == pytest.approx(max(0.0, info_sum - joint.low))


def test_some_outer_rows_against_a_larger_aggregate() -> None:
    mean, log_std, draws = channel(2000, [0.3, 0.5])
    rows = np.random.default_rng(0).permutation(2000)[:700]
    some = joint_information(mean, log_std, draws[rows], own=rows)
    whole = joint_information(mean, log_std, draws)
    assert some.low == pytest.approx(whole.low, abs=4 * some.low_se)
    assert some.low_se > whole.low_se


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_laws_of_the_bracket(rows: int, latents: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    mean, log_std = generator.normal(size=(rows, latents)), generator.uniform(-4, 0, size=(rows, latents))
    draws = mean + np.exp(log_std) * generator.normal(size=mean.shape)
    joint = joint_information(mean, log_std, draws)
    assert joint.low <= joint.high
    assert joint.low <= math.log(rows) + 1e-9
    order, columns = generator.permutation(rows), generator.permutation(latents)
    shuffled = joint_information(*(table[order][:, columns] for table in (mean, log_std, draws)))
    assert (shuffled.low, shuffled.high) == pytest.approx((joint.low, joint.high), abs=1e-9)
    stretch, shift = generator.uniform(0.5, 2, latents), generator.normal(size=latents)
    moved = joint_information(stretch * mean + shift, log_std + np.log(stretch), stretch * draws + shift)
    assert (moved.low, moved.high) == pytest.approx((joint.low, joint.high), abs=1e-6)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = channel(300, [0.4, 0.4])
    whole = joint_information(*tables)
    monkeypatch.setattr("trainables.metrics.joint.CELLS", 7 * 300)
    pieces = joint_information(*tables)
    assert (pieces.low, pieces.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_tables_that_do_not_fit_are_refused() -> None:
    mean, log_std, draws = channel(10, [0.5, 0.5])
    for tables in ((mean[:, :1], log_std, draws), (mean, log_std, draws[:9]), (mean[:1], log_std[:1], draws[:1])):
        with pytest.raises(MetricError, match="do not fit"):
            joint_information(*tables)
    with pytest.raises(MetricError, match="reaches 400"):
        joint_information(mean, np.full_like(mean, -400.0), draws)


@pytest.mark.parametrize(("most", "high"), [(9.0, 6.0), (5.0, 5.0), (3.0, 4.0)])
def test_the_upper_end_is_bounded_and_never_under_the_lower(most: float, high: float) -> None:
    bounded = Joint(4.0, 6.0, 0.1, 0.2).bounded(most)
    assert bounded == Joint(4.0, high, 0.1, 0.2)
