import dataclasses
from typing import Any

import pytest

from study.config import StudyConfig
from study.pilot import Pilot, steps_of
from study.protocols import LAPTOP
from study.searches import identity_of, planned
from trainables.checks import ConfigError
from trainables.config import TrialConfig

SEEDS = (0, 1)
R0 = 500.0


def pilot(study: StudyConfig | None = None, **options: Any) -> Pilot:
    first, ladder = steps_of(study or StudyConfig("pilot"), LAPTOP)
    return Pilot(first, ladder, SEEDS, options.pop("status", {}), options.pop("rows", {}), **options)


def row(config: TrialConfig, **changes: float) -> dict[str, float]:
    """KL follows C from gamma 100 on, and from 1000 on says nothing."""
    nats = 17.34 + 0.2 * config.seed if config.family == "beta" else config.capacity_max
    found = {"recon": 100.0, "kl": nats, "info_sum": 0.9 * nats, "constant_loss": R0, "tracking": 0.2}
    if config.family == "capacity" and config.gamma < 100:
        found["tracking"] = 3.0
    if config.family == "capacity" and config.gamma >= 1000:
        found["info_sum"] = 0.1 * nats
    return found | changes


def run(source: Pilot, changes: dict[str, float] | None = None, status: str = "finished") -> list[TrialConfig]:
    """Train one after another; `changes` are of the ladder's rows."""
    begun = []
    while (config := source.next()) or source.waiting:
        assert config, "it waits though nothing runs"
        begun.append(config)
        end = row(config, **(changes or {}) if config.family == "capacity" else {})
        source.ended(config, status, end if status == "finished" else {})
    return begun


def test_the_ladder_waits_for_the_low_beta_runs_and_takes_their_mean_kl() -> None:
    source = pilot()
    first, second = source.next(), source.next()
    assert first
    assert second
    assert [(c.objective, c.beta, c.seed) for c in (first, second)] == [("beta_vae", 1.0, 0), ("beta_vae", 1.0, 1)]
    assert source.next() is None
    assert source.waiting
    assert source.closing() == ["advice: not yet; the same command continues"]
    assert len(source.planned()) == 8
    source.ended(first, "finished", row(first))
    assert source.waiting
    source.ended(second, "finished", row(second))
    assert not source.waiting
    assert source.capacity_max == 17.0  # 17.44 at two digits
    ladder = run(source)
    assert [(c.gamma, c.capacity_max, c.seed) for c in ladder] == [
        (gamma, 17.0, seed) for gamma in LAPTOP.gamma_ladder for seed in SEEDS
    ]
    assert set(source.planned()) == {config.key() for config in (first, second, *ladder)}
    assert not source.has_more


def test_the_advice_is_the_smallest_gamma_that_holds_in_every_seed() -> None:
    source = pilot()
    run(source)
    assert source.closing() == [
        "at C_max 17 (the KL of beta 1), over 2 seeds:",
        "  gamma 10: KL - C is +3.0 nats over the ramp; KL - C is +3.0 nats over the ramp",
        "  gamma 100: holds",
        "  gamma 1000: only 10% of its nats say something; only 10% of its nats say something",
        "advice: --set gamma=100 --set capacity_max=17 --set ramp_steps=3000",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tracking": -1.5}, "KL - C is -1.5 nats over the ramp"),
        ({"tracking": float("nan")}, "KL - C is +nan nats over the ramp"),
        ({"recon": 460.0}, "recon 460 is no better than 0.9 R0"),
    ],
)
def test_where_no_gamma_holds_the_advice_says_so(changes: dict[str, float], said: str) -> None:
    source = pilot()
    run(source, changes)
    lines = source.closing()
    assert said in lines[2]
    assert lines[-1] == "advice: no gamma of the ladder holds; try others (--set gamma=...) or a longer ramp"


def test_one_bad_seed_is_enough() -> None:
    source = pilot()
    while config := source.next():
        bad = config.gamma == 100 and config.seed == 1
        source.ended(config, "diverged" if bad else "finished", {} if bad else row(config))
    assert "  gamma 100: diverged" in source.closing()
    assert "no gamma of the ladder holds" in source.closing()[-1]


@pytest.mark.parametrize(("status", "recon"), [("diverged", 100.0), ("finished", 490.0)])
def test_without_a_low_beta_run_that_reconstructs_there_is_no_ladder(status: str, recon: float) -> None:
    source = pilot()
    for _ in SEEDS:
        config = source.next()
        assert config
        source.ended(config, status, row(config, recon=recon) if status == "finished" else {})
    assert source.next() is None
    assert not source.waiting
    assert not source.has_more
    assert len(source.planned()) == 2
    assert source.closing()[0].startswith("advice: none; beta 1 does not reconstruct after 3,500 updates")


def test_a_stopped_pilot_goes_on_where_it_was() -> None:
    source = pilot(limit=3)
    begun = run(source)
    assert len(begun) == 3
    again = pilot(status=source.status, rows=source.rows)
    assert again.capacity_max == 17.0
    assert len(run(again)) == 5
    assert {config.key() for config in begun} | set(again.planned()) == set(again.planned())


def test_failed_trials_are_tried_again_only_when_asked() -> None:
    source = pilot()
    run(source, status="failed")
    assert not pilot(status=source.status).has_more
    assert len(run(pilot(status=source.status, retry_failed=True))) == 8


def test_ones_own_ladder_is_sorted_and_what_the_pilot_finds_cannot_be_pinned() -> None:
    study = StudyConfig("pilot", pinned={"gamma": (300.0, 30.0), "steps": (4000,)})
    _, ladder = steps_of(study, LAPTOP)
    assert [(c.gamma, c.steps) for c in ladder] == [(30.0, 4000), (300.0, 4000)]
    with pytest.raises(ConfigError, match="capacity_max=5: the pilot chooses objective, beta"):
        steps_of(dataclasses.replace(study, pinned={"capacity_max": (5.0,)}), LAPTOP)


def test_the_plan_of_a_pilot_counts_both_steps() -> None:
    assert len(planned(StudyConfig("pilot"))) == 8
    assert len(planned(StudyConfig("pilot", seeds=1))) == 4


def test_a_longer_ladder_is_the_same_pilot_and_other_settings_are_not() -> None:
    usual = identity_of(StudyConfig("pilot"), "sha")
    assert identity_of(StudyConfig("pilot", pinned={"gamma": (30.0, 300.0)}), "sha") == usual
    assert identity_of(StudyConfig("pilot", pinned={"steps": (5000,)}), "sha") != usual
    assert identity_of(StudyConfig("pilot", seeds=3), "sha") != usual


def test_another_ladder_is_planned_in_full_beside_what_was_trained() -> None:
    source = pilot()
    run(source)
    wider = pilot(StudyConfig("pilot", pinned={"gamma": (30.0, 300.0)}), status=source.status, rows=source.rows)
    assert len(wider.planned()) == 6
    assert len(run(wider)) == 4


def test_of_several_gammas_that_hold_the_smallest_is_advised() -> None:
    source = pilot(StudyConfig("pilot", pinned={"gamma": (300.0, 100.0, 200.0)}))
    run(source)
    assert source.closing()[-1] == "advice: --set gamma=100 --set capacity_max=17 --set ramp_steps=3000"


def test_a_spent_limit_waits_for_nothing() -> None:
    source = pilot(limit=2)
    assert source.next()
    assert source.next()
    assert source.next() is None
    assert not source.waiting
