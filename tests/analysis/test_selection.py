import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from analysis import selection
from analysis.frames import load
from analysis.report import command
from analysis.selection import (
    LABEL_FREE,
    by_setting,
    caution,
    lasso,
    pair_score,
    rank_correlation,
    regret,
    seeds_of,
    spearman,
    udr,
)
from study.config import StudyConfig
from tests.analysis.conftest import write_study


def independent(rows: int = 2000, latents: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, latents))


def rotated(codes: np.ndarray, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return codes @ np.array([[c, -s], [s, c]])


NATS = np.full(3, 2.0)


def test_pair_scores_in_closed_form() -> None:
    assert pair_score(np.eye(3)) == 1
    assert pair_score(0.5 * np.eye(3)) == 0.5  # max^2 / sum counts how strongly, not only how singly
    assert pair_score(np.full((2, 2), 0.5)) == pytest.approx(0.25)
    assert pair_score(np.array([[1.0, 1.0]])) == pytest.approx((1 + 0.5) / 2)  # one latent that two say
    assert pair_score(np.zeros((2, 2))) == 0
    assert pair_score(np.empty((0, 3))) == 0


@pytest.mark.parametrize(("relation", "same", "turned"), [(lasso, 0.9, 0.30), (spearman, 1.0, 0.36)])
def test_permuted_flipped_and_scaled_models_agree_and_rotated_ones_do_not(relation, same: float, turned: float) -> None:
    codes = independent(latents=2)
    twins = [codes, codes[:, ::-1] * [-1, 3], codes * [1, -1]]
    # Independent latents: a Lasso coefficient is 1 - alpha = 0.9 on the diagonal and 0 beside it, up to 2 / sqrt(n).
    assert udr(twins, [NATS[:2]] * 3, relation) == pytest.approx([same] * 3, abs=0.07)
    others = [codes, rotated(codes, 45), rotated(independent(latents=2, seed=1), 0)]
    scores = udr([codes, rotated(codes, 45), rotated(codes, -45)], [NATS[:2]] * 3, relation)
    # At 45 degrees each coefficient is .71 (less alpha for the Lasso): max^2 / sum = half of it
    assert scores[0] == pytest.approx(turned, abs=0.05)
    assert udr(others, [NATS[:2]] * 3, relation)[2] < 0.1  # unrelated codes


def test_lasso_and_spearman_against_plain_loops() -> None:
    one, other = selection._standardised(independent(300)), selection._standardised(independent(300, 2, 5))
    other[:, 0] += one[:, 1]
    for a, b in itertools.product(range(3), range(2)):
        fitted = Lasso(alpha=0.1).fit(one, other[:, b])
        assert lasso(one, other)[a, b] == pytest.approx(abs(fitted.coef_[a]))
        plain = float(scipy.stats.spearmanr(one[:, a], other[:, b])[0])  # type: ignore[arg-type]
        assert spearman(one, other)[a, b] == pytest.approx(abs(plain))


def test_latents_without_nats_take_no_part() -> None:
    codes = independent()
    noise = [np.column_stack([codes[:, :2], independent(2000, 1, seed)]) for seed in (1, 2, 3)]
    silent = np.array([2.0, 2.0, 0.01])
    scores = udr(noise, [silent] * 3, spearman)
    assert scores == pytest.approx([1.0] * 3, abs=0.07)
    assert max(udr(noise, [NATS] * 3, spearman)) < 0.8
    assert udr(noise, [np.zeros(3)] * 3, spearman) == [0, 0, 0]  # nothing is shared


def test_the_median_over_the_others_and_none_under_three() -> None:
    codes = independent()
    assert np.isnan(udr([codes] * 2, [NATS] * 2, spearman)).all()
    three_alike = [codes, codes, codes, independent(seed=9)]
    scores = udr(three_alike, [NATS] * 4, spearman)
    assert scores[0] == pytest.approx(1, abs=0.05)
    assert scores[3] < 0.1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([lasso, spearman]))
def test_order_sign_and_scale_of_latents_do_not_matter(seed: int, relation) -> None:
    rng = np.random.default_rng(seed)
    models = [rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3)) for _ in range(3)]
    order, signs = rng.permutation(3), rng.choice([-1, 1], 3) * rng.uniform(0.1, 10, 3)
    moved = [models[0][:, order] * signs, *models[1:]]
    assert udr(moved, [NATS] * 3, relation) == pytest.approx(udr(models, [NATS] * 3, relation), abs=1e-3)


def table(settings: int, seeds: int, seed: int = 0, noise: float = 0.1) -> pd.DataFrame:
    """Trials whose supervised score is the setting's number, and label-free ones that follow it or its opposite."""
    rng = np.random.default_rng(seed)
    rows = []
    for setting, replicate in itertools.product(range(settings), range(seeds)):
        rows.append({"setting": f"s{setting:02}", "seed": replicate, "mig": setting + noise * rng.normal()})
        rows[-1] |= {"elbo": setting + noise * rng.normal(), "recon": -setting, "kl": setting, "active_latents": 3}
    return pd.DataFrame(rows)


def test_rank_correlations_are_turned_so_that_more_is_better() -> None:
    scores = table(6, 3)
    assert rank_correlation(scores, "elbo", "mig").mean > 0.95
    assert rank_correlation(scores, "recon", "mig").mean > 0.95  # less recon is better, and here it is
    assert rank_correlation(scores, "kl", "mig").mean < -0.95
    assert rank_correlation(scores, "active_latents", "mig").values == ()  # it never varies
    assert rank_correlation(scores, "elbo", "mig").low is None  # six settings


def test_ten_settings_have_an_interval_that_holds_the_point() -> None:
    estimate = rank_correlation(table(12, 3, noise=4.0), "elbo", "mig")
    assert estimate.low is not None
    assert estimate.high is not None
    assert -1 <= estimate.low < estimate.mean < estimate.high <= 1


def test_regret_is_read_on_seeds_that_nobody_chose_by() -> None:
    scores = table(5, 3, noise=0.0)
    assert regret(scores, "elbo", "mig").values == (0,)
    assert regret(scores, "kl", "mig").values == (4,)  # chooses the worst of five
    assert regret(scores, "active_latents", "mig").values == ()  # it tells none from another
    assert regret(scores.query("seed == 0"), "elbo", "mig").values == ()
    missing = scores.copy()
    missing.loc[missing["setting"] == "s04", "mig"] = np.nan  # an incomplete setting competes with none
    assert regret(missing, "kl", "mig").values == (3,)
    tied = scores.assign(elbo=[4.0 if setting in ("s01", "s04") else 0.0 for setting in scores["setting"]])
    assert regret(tied, "elbo", "mig").values == (1.5,)  # both of the tie: the mean of 4 - 4 and 4 - 1


def test_choosing_by_noise_costs_nothing_on_average_and_is_not_flattered() -> None:
    rng = np.random.default_rng(0)
    costs = []
    for _ in range(100):
        scores = table(8, 3)
        scores[["mig", "elbo"]] = rng.normal(size=(len(scores), 2))
        costs.append(regret(scores, "elbo", "mig").mean)
    # Both choices are blind, so the left-out seed owes neither anything: standard error .08
    assert np.mean(costs) == pytest.approx(0, abs=0.25)


def test_the_report_shows_it_from_three_seeds_on(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": (1.0, 4.0)}, seeds=3)
    path = write_study(tmp_path / "s", lambda config: "finished", study)
    frames = load(path)
    scores = selection.label_free(frames)
    assert set(LABEL_FREE) <= set(scores)
    assert scores["udr_spearman"].between(0, 1).all()
    by_key = frames.finished.set_index("key")
    assert scores["elbo"].tolist() == pytest.approx(
        [-by_key["recon"][key] - by_key["kl"][key] for key in scores["key"]]
    )
    assert (seeds_of(scores), seeds_of(scores.iloc[:0])) == (3, 0)
    assert caution(3) == "UDR is weak: it compares 3 seeds (better 5 and more)."
    assert caution(2).startswith("UDR is missing: it compares replicates, and no setting has more than 2")
    assert caution(5) == ""
    assert command.main([str(path)]) == 0
    page = (path / "report" / "index.html").read_text()
    assert "rank correlation with mig_calibrated" in page
    assert "UDR is weak" in page


def test_settings_stand_by_their_udr_and_those_without_last() -> None:
    levels = {"low": 0.2, "none": np.nan, "high": 0.7}
    rows = [
        {"setting": name, "seed": seed, **dict.fromkeys(LABEL_FREE, 1.0), "udr_lasso": level}
        for name, level in levels.items()
        for seed in range(3)
    ]
    shown = by_setting(pd.DataFrame(rows), {name: f"the {name} one" for name in levels})
    assert shown["setting"].tolist() == ["the high one", "the low one", "the none one"]
    assert shown["udr_lasso"].tolist()[-1] == "-"
