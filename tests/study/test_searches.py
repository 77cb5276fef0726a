import pytest

from study.config import PROTOCOLS, StudyConfig
from study.searches import SEARCHES, cells
from trainables.config import ConfigError


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("search", list(SEARCHES))
def test_every_search_is_complete_without_duplicates_and_canonical(search: str, protocol: str) -> None:
    study = StudyConfig(search, protocol)
    trials = cells(study)
    keys = [config.key() for config in trials]
    assert len(set(keys)) == len(keys) > 0
    assert all(config == config.canonical() for config in trials)
    by_setting: dict[str, set[int]] = {}
    for config in trials:
        by_setting.setdefault(config.setting(), set()).add(config.seed)
    assert all(seeds == set(study.replicate_seeds) for seeds in by_setting.values())


def test_the_laptop_grid_is_twelve_trials_of_both_families() -> None:
    trials = cells(StudyConfig())
    assert len(trials) == 12
    assert sorted({c.beta for c in trials if c.family == "beta"}) == [1, 4, 16]
    assert sorted({c.capacity_max for c in trials if c.family == "capacity"}) == [6, 12, 18]
    assert [config.seed for config in trials] == [0] * 6 + [1] * 6


def test_more_seeds_and_a_wider_grid_contain_the_old_study() -> None:
    old = {config.key() for config in cells(StudyConfig())}
    assert old < {config.key() for config in cells(StudyConfig(seeds=3))}
    wider = StudyConfig(pinned={"capacity_max": (6.0, 12.0, 18.0, 24.0)})
    assert old < {config.key() for config in cells(wider)}


def test_a_pinned_key_is_pinned_in_its_family_alone() -> None:
    trials = cells(StudyConfig(pinned={"capacity_max": (9.0,), "gamma": (30.0,)}))
    assert {(c.capacity_max, c.gamma) for c in trials if c.family == "capacity"} == {(9.0, 30.0)}
    assert len([c for c in trials if c.family == "beta"]) == 6


def test_a_pinned_objective_leaves_one_family() -> None:
    assert {c.objective for c in cells(StudyConfig(pinned={"objective": ("capacity",)}))} == {"capacity"}
    vae = cells(StudyConfig(pinned={"objective": ("vae",)}))
    assert [(c.objective, c.beta, c.seed) for c in vae] == [("beta_vae", 1.0, 0), ("beta_vae", 1.0, 1)]


def test_unknown_search_names_the_near_one() -> None:
    with pytest.raises(ConfigError, match="unknown search 'capacity_gird'; did you mean capacity_grid"):
        cells(StudyConfig(search="capacity_gird"))


def test_a_cell_that_cannot_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="ramp_steps=1200 exceeds steps=300"):
        cells(StudyConfig(pinned={"steps": (300,)}))
