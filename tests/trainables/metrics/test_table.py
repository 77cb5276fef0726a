import dataclasses
import math
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import trainables.metrics
from tests.trainables.metrics.tables import (
    DSPRITES,
    Table,
    dead,
    duplicated,
    grid,
    noise,
    noisy,
    perfect,
    random_factors,
    shuffled,
)
from trainables.metrics import calibration, factor_vae, mig, table
from trainables.metrics.calibration import Result
from trainables.metrics.inputs import MetricError
from trainables.metrics.table import METRICS, Metric, calibrated, ceilings_of, measured, metrics_of, named

ISSUE = (
    *("mig", "modularity", "explicitness", "sap", "sap_continuous"),
    *("dci_disentanglement", "dci_completeness", "dci_informativeness", "infom", "infoe", "infoc"),
    *("factor_vae", "beta_vae", "irs", "gaussian_total_correlation"),
)
"""Every score that was asked for."""
CHEAP = ("mig", "modularity", "factor_vae", "gaussian_total_correlation")
SMALL = Table(noisy(perfect(shuffled(grid(2, 3, 50))), 0.3)[:, :2], shuffled(grid(2, 3, 50))[:, :2])
"""300 rows, each of 6 pairs of classes 50 times: large enough for batches of 64 and small enough for trees."""


def metric(name: str) -> Metric:
    (found,) = named([name])
    return found


def test_every_score_that_was_asked_for_is_there_once() -> None:
    names = [name for entry in METRICS for name in entry.names]
    assert sorted(names) == sorted(ISSUE)


def test_each_metric_yields_its_names_in_order_with_values_that_are_numbers() -> None:
    for entry in METRICS:
        results = entry.measure(*SMALL, 0)
        assert tuple(results) == entry.names
        for name, result in results.items():
            assert math.isfinite(result.value), name
            assert result.missing == ""
            assert 0 < result.n <= 300
            assert result.per_factor is None or result.per_factor.shape == (2,)
            assert result.matrix is None or result.matrix.shape == (2, 2)


def test_the_cheap_ones_come_first_and_nulls_ceilings_and_spreads_are_as_decided() -> None:
    cheap = [entry.cheap for entry in METRICS]
    assert cheap == sorted(cheap, reverse=True)
    assert [name for entry in METRICS if entry.cheap for name in entry.names] == list(CHEAP)
    assert {name: entry.nulls for entry in METRICS for name in entry.names} == {
        **dict.fromkeys(ISSUE, 20),
        **dict.fromkeys(("factor_vae", *ISSUE[5:8]), 5),
        "gaussian_total_correlation": 0,
    }
    bare = {name for entry in METRICS if not entry.has_ceiling for name in entry.names}
    assert bare == {"sap", "modularity", "gaussian_total_correlation"}
    drawn = {name for entry in METRICS if entry.spread is calibration.spread_over_draws for name in entry.names}
    assert drawn == {"factor_vae", "beta_vae"}


def test_named_gives_each_metric_once_in_the_order_of_the_table() -> None:
    assert named(["infoc", "mig", "infom"]) == [metric("mig"), metric("infoe")]
    assert named([]) == []
    with pytest.raises(MetricError, match="no score is called 'migg'; did you mean mig"):
        named(["modularity", "migg"])


def test_score_is_every_score_by_name() -> None:
    scores = trainables.metrics.score(*SMALL, seed=3)
    assert sorted(scores) == sorted(ISSUE)
    for entry in METRICS:
        for name, result in entry.measure(*SMALL, 3).items():
            assert scores[name] == result.value, name
    assert table.score(*SMALL, list(CHEAP), 3) == {name: scores[name] for name in CHEAP}


def test_score_gives_what_was_asked_for_in_that_order_and_alone() -> None:
    asked = ["infoc", "mig", "infom"]
    assert list(table.score(*SMALL, asked)) == asked
    assert table.score(*SMALL, []) == {}
    codes, factors = ([list(row) for row in part] for part in (SMALL.codes, SMALL.factors))
    assert table.score(codes, factors, ["mig"]) == {"mig": mig.mig(*SMALL)}


def test_the_seed_fixes_what_a_score_draws() -> None:
    codes = noise(300, 2)
    one, again, other = (table.score(codes, SMALL.factors, ["beta_vae"], seed)["beta_vae"] for seed in (1, 1, 2))
    assert one == again != other
    assert one == pytest.approx(other, abs=0.06)  # 3,000 answers of about even odds: five times sqrt(2) .009


@pytest.mark.parametrize(
    ("names", "codes", "factors", "reason"),
    [
        (("sap", "sap_continuous"), SMALL.codes[:, :1], SMALL.factors, "SAP compares the two best latents"),
        (("modularity", "beta_vae"), SMALL.codes, SMALL.factors[:, :1], "one alone varies"),
        (("dci_completeness",), SMALL.codes[:, :1], SMALL.factors, "none to prefer"),
        (("infoc",), SMALL.codes[:, :1], SMALL.factors, "1 active latent to prefer among"),
        (("irs",), SMALL.codes * 0, SMALL.factors, "all 2 latents are constant"),
        (("factor_vae",), SMALL.codes[:60], SMALL.factors[:60], "shared by 64 of the 60 rows"),
        (("gaussian_total_correlation",), SMALL.codes[:2], SMALL.factors[:2], "2 rows are too few"),
    ],
)
def test_a_score_that_a_table_cannot_have_is_nan_and_a_warning_says_why(
    names: tuple[str, ...], codes: NDArray, factors: NDArray, reason: str
) -> None:
    for name in names:
        with pytest.warns(UserWarning, match=f"{name} is missing: .*{reason}"):
            assert math.isnan(table.score(codes, factors, [name])[name])


def test_there_is_no_warning_about_what_was_not_asked_for() -> None:
    names = ["dci_informativeness", "infoe"]  # of metrics whose other scores are missing
    assert np.isfinite(list(table.score(SMALL.codes[:, :1], SMALL.factors, names).values())).all()


def test_no_score_of_a_poor_table_is_nan_without_a_reason() -> None:
    poor = [
        (dead(SMALL.codes[:, :0], 2), SMALL.factors),
        (SMALL.codes[:, :1], SMALL.factors),
        (SMALL.codes, np.column_stack([SMALL.factors[:, 0], SMALL.factors[:, 1] * 0])),
        (SMALL.codes[:4], SMALL.factors[:4]),
        (SMALL.codes[:1], SMALL.factors[:1]),
    ]
    for codes, factors in poor:
        for entry in METRICS:
            for name, result in measured(entry, codes, factors).items():
                assert math.isnan(result.value) == bool(result.missing), name
                # what ends a metric is its own refusal, not the fault of a library that it calls
                assert not result.missing.partition(":")[0].endswith(("Error", "Warning")), (name, result.missing)


@pytest.mark.parametrize("seed", [0, 1])
def test_measured_hands_on_what_was_measured_or_says_why_not(seed: int) -> None:
    (result,) = measured(metric("mig"), *SMALL, seed).values()
    assert result.value == mig.mig(*SMALL)
    missing = measured(metric("infom"), SMALL.codes, SMALL.factors * 0, seed)
    assert list(missing) == ["infom", "infoe", "infoc"]
    for result in missing.values():
        assert math.isnan(result.value)
        assert (result.n, "all 2 factors are constant" in result.missing) == (300, True)


def test_calibrated_gathers_value_null_ceiling_and_spread() -> None:
    entry = metric("mig")
    score = calibrated(entry, *SMALL, seed=3)["mig"]
    plain = mig.measure(*SMALL)["mig"]
    draws = calibration.null(entry.measure, *SMALL, draws=20, seed=3)["mig"]
    for field in dataclasses.fields(Result):
        np.testing.assert_array_equal(getattr(score, field.name), getattr(plain, field.name))
    assert score.null == pytest.approx(np.mean(draws))
    assert score.null_sd == pytest.approx(np.std(draws, ddof=1))
    assert score.ceiling == pytest.approx(mig.mig(SMALL.factors.astype(float), SMALL.factors))
    assert score.sd == calibration.spread_over_rows(entry.measure, {"mig": plain}, *SMALL, 3)["mig"] > 0
    assert score.calibrated == (score.value - score.null) / (score.ceiling - score.null)


def test_fewer_permutations_may_be_asked_for_but_not_more() -> None:
    entry = metric("factor_vae")
    entry = dataclasses.replace(entry, measure=partial(factor_vae.measure, votes=200))
    five, more, one, none = (calibrated(entry, *SMALL, nulls=nulls)["factor_vae"] for nulls in (None, 50, 1, 0))
    assert (more.null, more.null_sd) == (five.null, five.null_sd)
    draws = calibration.null(entry.measure, *SMALL, draws=5, seed=0)["factor_vae"]
    assert five.null == pytest.approx(draws.mean())
    assert (one.null, math.isnan(one.null_sd)) == (draws[0], True)
    assert np.isnan([none.null, none.null_sd, none.calibrated]).all()
    assert none.value == five.value
    seeds = [entry.measure(*SMALL, seed)["factor_vae"].value for seed in range(5)]
    assert five.sd == pytest.approx(np.std(seeds, ddof=1))


def test_total_correlation_has_a_spread_alone_and_sap_no_ceiling() -> None:
    total = calibrated(metric("gaussian_total_correlation"), *SMALL)["gaussian_total_correlation"]
    assert np.isnan([total.null, total.null_sd, total.ceiling, total.calibrated]).all()
    assert total.sd > 0
    sap = calibrated(metric("sap"), *SMALL, nulls=2)["sap"]
    assert sap.null_sd >= 0
    assert np.isnan([sap.ceiling, sap.calibrated]).all()


def test_infinite_total_correlation_has_no_spread_and_no_warning() -> None:
    total = calibrated(metric("gaussian_total_correlation"), duplicated(SMALL.codes), SMALL.factors)
    assert total["gaussian_total_correlation"].value == math.inf
    assert math.isnan(total["gaussian_total_correlation"].sd)


def test_a_missing_score_is_calibrated_to_nothing() -> None:
    for score in calibrated(metric("mig"), SMALL.codes, SMALL.factors * 0).values():
        assert np.isnan([score.value, score.null, score.ceiling, score.sd, score.calibrated]).all()
        assert "constant" in score.missing
    alone = calibrated(metric("infom"), SMALL.codes[:, :1], SMALL.factors, nulls=2)
    assert [bool(score.missing) for score in alone.values()] == [False, False, True]
    assert np.isnan(alone["infoc"].calibrated)
    assert 0 <= alone["infoe"].calibrated <= 1


def test_a_permutation_that_cannot_be_scored_is_none() -> None:
    # One row of class 1: it has to be among the first 70 % for a machine to learn, and one time in three it is not.
    factors = np.column_stack([SMALL.factors, np.arange(300) == 3]).astype(int)
    score = calibrated(metric("sap"), SMALL.codes, factors)["sap"]
    assert score.value == metric("sap").measure(SMALL.codes, factors, 0)["sap"].value
    assert 0 <= score.null < score.value  # of the permutations that can be scored


def test_ceilings_are_of_class_indices_and_dead_latents_and_may_be_handed_in() -> None:
    factors = random_factors(DSPRITES, 500)
    codes = noise(500, 7)
    assert ceilings_of(metric("mig"), factors, 7) == {"mig": mig.mig(dead(factors.astype(float), 2), factors)}
    assert ceilings_of(metric("irs"), factors, 7) == {"irs": pytest.approx(1)}
    assert ceilings_of(metric("sap"), factors, 7) == ceilings_of(METRICS[3], factors, 7) == {}
    assert ceilings_of(metric("modularity"), factors, 7) == {}
    own = calibrated(metric("mig"), codes, factors, nulls=2)["mig"]
    handed = calibrated(metric("mig"), codes, factors, nulls=2, ceilings=ceilings_of(metric("mig"), factors, 7))["mig"]
    assert handed.ceiling == own.ceiling
    assert calibrated(metric("mig"), codes, factors, nulls=2, ceilings={"mig": 0.7})["mig"].ceiling == 0.7
    assert math.isnan(calibrated(metric("mig"), codes, factors, nulls=2, ceilings={})["mig"].ceiling)


@pytest.mark.parametrize("name", ["mig", "irs", "sap_continuous", "infom", "explicitness"])
def test_a_perfect_code_is_calibrated_to_one_and_noise_to_zero(name: str) -> None:
    factors = shuffled(grid(3, 4, 40))[:, :2]
    for score in calibrated(metric(name), dead(factors.astype(float)), factors, nulls=3).values():
        assert score.calibrated == pytest.approx(1), score
    score = calibrated(metric(name), noise(480, 3), factors, nulls=10)[name]
    # Ten draws know the spread of the null to 24 % and its middle to a third of it.
    assert abs(score.value - score.null) < 6 * score.null_sd


def test_tables_that_no_score_can_take_are_refused() -> None:
    good, known = SMALL
    for codes, factors in ((good * math.nan, known), (good, known * 1.0), (good[1:], known)):
        with pytest.raises(MetricError):
            table.score(codes, factors, ["mig"])
        with pytest.raises(MetricError):
            calibrated(metric("mig"), codes, factors)
    with pytest.raises(MetricError, match="all 2 factors are constant on 300 rows"):
        table.score(good, known * 0, "mig")
    with pytest.raises(MetricError, match="no score is called 'dci'"):
        table.score(*SMALL, ["dci"])


def test_a_table_with_dsprites_orientation_has_mig_in_three_ways() -> None:
    factors = random_factors(DSPRITES, 1000)
    known = metrics_of(factors, ("shape", "scale", "orientation", "x", "y"))
    assert known[: len(METRICS)] == METRICS
    assert [(entry.names, entry.cheap) for entry in known[len(METRICS) :]] == [
        (("mig_within_shape",), True),
        (("mig_phase",), True),
        (("sap_continuous_phase",), False),
    ]
    for name in ("mig_within_shape", "mig_phase", "sap_continuous_phase"):
        (entry,) = named([name], known)
        ideal = perfect(entry.recode(factors))
        score = calibrated(entry, ideal, factors, nulls=2)[name]
        assert score.calibrated == pytest.approx(1, abs=1e-9)  # its ceiling is a perfect code of what it asks
        gap = factors[factors[:, 2] != 17]  # a class that does not occur is no reason to number the others anew
        left = perfect(entry.recode(gap))
        again = calibrated(entry, left, gap, nulls=2)[name]
        assert again.value == entry.measure(left, entry.recode(gap), 0)[name].value
        assert again.calibrated == pytest.approx(1, abs=1e-3)  # the bins of ranks are not those of indices
    for names in ((), ("a", "b", "c", "d", "e")):
        assert metrics_of(factors, names) == METRICS


def test_the_rows_columns_leave_out_what_is_unknown_and_reasons_name_what_is_missing() -> None:
    results: dict[str, Any] = {
        "a": calibration.Score(0.5, 9, null=0.1, ceiling=0.9),
        "b": Result(0.25, 9),
        "c": Result(math.nan, 9, missing="too few"),
        "d": Result(math.nan, 9, missing="too few"),
        "e": Result(math.nan, 9, missing="too flat"),
    }
    columns = table.columns(results)
    beside = {"a_null": 0.1, "a_nulls": 0, "a_ceiling": 0.9, "a_calibrated": pytest.approx(0.5)}
    assert columns == {"a": 0.5, "b": 0.25} | beside
    assert table.reasons(results) == "c, d: too few; e: too flat"
    assert table.reasons({}) == ""


def test_the_package_and_mig_load_no_scikit_learn() -> None:
    source = "import sys, trainables.metrics, trainables.metrics.mig; print('sklearn' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
