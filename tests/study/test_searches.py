import pytest

from study.config import StudyConfig
from study.protocols import PROTOCOLS
from study.searches import SEARCHES, GridSearch, planned, protocol_of
from trainables.checks import ConfigError
from trainables.config import TrialConfig


def cells(study: StudyConfig) -> list[TrialConfig]:
    return list(planned(study).values())


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("search", [name for name, search in SEARCHES.items() if isinstance(search, GridSearch)])
def test_every_grid_is_complete_without_duplicates_and_canonical(search: str, protocol: str) -> None:
    study = StudyConfig(search, protocol)
    trials = cells(study)
    keys = [config.key() for config in trials]
    assert len(set(keys)) == len(keys) > 0
    assert all(config == config.canonical() for config in trials)
    by_setting: dict[str, set[int]] = {}
    for config in trials:
        by_setting.setdefault(config.setting(), set()).add(config.seed)
    assert all(seeds == set(study.seeds_of(protocol_of(study))) for seeds in by_setting.values())


def test_the_laptop_grid_is_twelve_trials_of_both_families() -> None:
    trials = cells(StudyConfig())
    assert len(trials) == 12
    assert sorted({c.beta for c in trials if c.family == "beta"}) == [1, 4]
    assert sorted({c.capacity_max for c in trials if c.family == "capacity"}) == [5, 10]
    assert [config.seed for config in trials] == [0] * 6 + [1] * 6


def test_more_seeds_and_a_wider_grid_contain_the_old_study() -> None:
    old = {config.key() for config in cells(StudyConfig())}
    assert old < {config.key() for config in cells(StudyConfig(seeds=3))}
    wider = StudyConfig(pinned={"capacity_max": (5.0, 10.0, 20.0)})
    assert old < {config.key() for config in cells(wider)}


def test_a_pinned_key_is_pinned_in_its_family_alone() -> None:
    trials = cells(StudyConfig(pinned={"capacity_max": (9.0,), "gamma": (30.0,)}))
    assert {(c.capacity_max, c.gamma) for c in trials if c.family == "capacity"} == {(9.0, 30.0)}
    assert len([c for c in trials if c.family == "beta"]) == 4


def test_a_pinned_objective_leaves_one_family() -> None:
    assert {c.objective for c in cells(StudyConfig(pinned={"objective": ("capacity",)}))} == {"capacity"}
    vae = cells(StudyConfig(pinned={"objective": ("vae",)}))
    assert [(c.objective, c.beta, c.seed) for c in vae] == [("beta_vae", 1.0, 0), ("beta_vae", 1.0, 1)]


def test_unknown_search_names_the_near_one() -> None:
    with pytest.raises(ConfigError, match="unknown search 'capacity_gird'; did you mean capacity_grid"):
        cells(StudyConfig(search="capacity_gird"))


def test_a_cell_that_cannot_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="ramp_steps=3000 exceeds steps=300"):
        cells(StudyConfig(pinned={"steps": (300,)}))


def test_an_objective_of_ones_own_is_a_family_beside_ours() -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae", "my.loss:f"), "beta": (1.0, 4.0)})
    trials = cells(study)
    assert {config.family for config in trials} == {"beta", "my.loss:f"}
    assert len(trials) == 2 * 2 * 2  # families, betas, seeds
    assert study.own == ("my.loss:f",)


def test_an_objective_of_ones_own_alone() -> None:
    trials = cells(StudyConfig(pinned={"objective": ("my.loss:f",), "gamma": (1.0, 2.0, 3.0)}, seeds=1))
    assert [config.gamma for config in trials] == [1.0, 2.0, 3.0]


def test_the_beta_grid_and_the_gamma_ramp_are_one_family_each() -> None:
    assert [(c.family, c.beta, c.seed) for c in cells(StudyConfig("beta_grid"))] == [
        ("beta", 1, 0), ("beta", 4, 0), ("beta", 1, 1), ("beta", 4, 1),
    ]  # fmt: skip
    ramp = cells(StudyConfig("gamma_ramp", "paper"))
    assert {c.capacity_max for c in ramp} == {25}
    assert {(c.gamma, c.ramp_steps) for c in ramp} == {
        (gamma, steps) for gamma in (30, 100, 300, 1000, 3000) for steps in (1, 25_000, 50_000, 100_000)
    }
    assert len(ramp) == 20 * 5


def test_the_benchmark_is_the_published_grid() -> None:
    study = StudyConfig("benchmark", "paper")
    trials = cells(study)
    assert len(trials) == (6 + 6) * 50
    assert {c.beta for c in trials if c.family == "beta"} == {1, 2, 4, 6, 8, 16}
    capacity = [c for c in trials if c.family == "capacity"]
    assert {c.capacity_max for c in capacity} == {5, 10, 25, 50, 75, 100}
    assert {(c.gamma, c.ramp_steps) for c in capacity} == {(1000, 100_000)}
    assert {(c.steps, c.learning_rate, c.batch_size) for c in trials} == {(300_000, 1e-4, 64)}
    assert study.seeds_of(protocol_of(study)) == tuple(range(50))
    assert StudyConfig(seeds=3).seeds_of(protocol_of(study)) == (0, 1, 2)
    short = cells(StudyConfig("benchmark"))
    assert {(c.steps, c.seed) for c in short} == {(3500, 0), (3500, 1)}
    assert {c.capacity_max for c in short if c.family == "capacity"} == {c.capacity_max for c in capacity}


def test_a_searchs_own_protocol_leaves_the_others_alone() -> None:
    assert protocol_of(StudyConfig("capacity_grid", "paper")).trial.steps == 200_000
    assert protocol_of(StudyConfig("benchmark", "paper")).trial.steps == 300_000
