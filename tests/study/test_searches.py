from pathlib import Path

import numpy as np
import pytest

from study.config import StudyConfig
from study.protocols import PROTOCOLS
from study.searches import SEARCHES, GridSearch, planned, protocol_of
from trainables.checks import ConfigError
from trainables.config import TrialConfig
from trainables.data.dataset import Dataset, open_dataset
from trainables.data.layout import write_dataset


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


def check(study: StudyConfig, dataset: Dataset) -> None:
    protocol = protocol_of(study)
    SEARCHES[study.search].check(study.of(protocol), protocol, dataset)


def test_a_dataset_that_a_search_cannot_use_is_refused_before_anything_starts(tiny: Dataset, tmp_path: Path) -> None:
    check(StudyConfig("generator"), tiny)
    check(StudyConfig("blobs"), tiny)  # dSprites has positions too
    with pytest.raises(ConfigError, match=r"latents=10 does not fit the generator.*give latents=5"):
        check(StudyConfig("generator", pinned={"latents": (10,)}), tiny)
    images = np.random.default_rng(0).integers(0, 256, (60, 512), dtype=np.uint8)
    write_dataset(tmp_path / "plain.h5", "plain", [images], np.empty((60, 0), np.uint8), {})
    plain = open_dataset(tmp_path / "plain.h5")
    with pytest.raises(ConfigError, match="needs a dataset with factors, and this one has none"):
        check(StudyConfig("generator"), plain)
    with pytest.raises(ConfigError, match="search blobs asks for the factor 'x', and dataset plain has no factors"):
        check(StudyConfig("blobs"), plain)
    check(StudyConfig("traversals"), plain)
    small = np.zeros((60, 32, 32, 1), np.uint8)
    small[:, :, :, 0] = np.arange(60)[:, None, None]
    write_dataset(tmp_path / "small.h5", "small", [small], np.empty((60, 0), np.uint8), {})
    with pytest.raises(ConfigError, match="images of 32 x 32 pixels do not fit"):
        check(StudyConfig(), open_dataset(tmp_path / "small.h5"))


def test_the_headlines_arms_are_of_equal_size_and_differ_in_one_thing() -> None:
    for protocol, size in (("laptop", 3), ("paper", 8)):
        trials = [config for config in cells(StudyConfig("headline", protocol)) if config.seed == 0]
        by_arm: dict[tuple, list[TrialConfig]] = {}
        for config in trials:
            ramped = config.ramp_steps > 1 if config.family == "capacity" else config.beta_start
            by_arm.setdefault((config.family, ramped), []).append(config)
        arms = [("capacity", True), ("beta", None), ("capacity", False), ("beta", 64.0)]
        # An annealed beta that ends where it starts is a fixed beta: the paper's ladder ends at 64.
        shared = int(protocol == "paper")
        assert [len(by_arm[arm]) for arm in arms] == [size, size, size, size - shared]
        assert {config.ramp_steps for config in by_arm["beta", 64.0]} == {
            config.ramp_steps for config in by_arm["capacity", True]
        }
        assert len({(c.steps, c.batch_size, c.learning_rate, c.init) for c in trials}) == 1


def test_the_experiments_bring_their_dataset_and_model() -> None:
    for search, dataset, model in (
        ("blobs", "blobs", "burgess2018-a1"),
        ("blobs_wide", "blobs_wide", "burgess2018-a1"),
        ("generator", "dsprites", "burgess2018-generator"),
        ("traversals", "coloured_dsprites", "burgess2018-a1"),
    ):
        study = StudyConfig(search)
        study = study.of(protocol_of(study))
        assert study.dataset == dataset
        assert study.identity("")["model"] == model
        assert {config.dataset for config in cells(study)} == {dataset}
    given = StudyConfig("traversals", pinned={"dataset": ("faces.h5",)})
    assert given.of(protocol_of(given)).dataset == "faces.h5"
    assert StudyConfig().of(protocol_of(StudyConfig())) == StudyConfig()  # others stay as they were


def test_what_a_family_is_about_is_not_pinned_away() -> None:
    shorter = StudyConfig("headline", pinned={"ramp_steps": (1000,), "steps": (1200,)})
    ramps = {config.ramp_steps for config in cells(shorter) if config.family == "capacity"}
    assert ramps == {1, 1000}
    with pytest.raises(ConfigError, match="search headline itself says beta_start of each of its families"):
        cells(StudyConfig("headline", pinned={"beta_start": (32.0,)}))


def test_one_factor_code_can_be_asked_for() -> None:
    only = cells(StudyConfig("generator", pinned={"factor_code": ("grouped",)}))
    assert {(config.factor_code, config.latents) for config in only} == {("grouped", 8)}
    both = StudyConfig("generator", pinned={"factor_code": ("scalar", "grouped")})
    assert cells(both) == cells(StudyConfig("generator"))
    with pytest.raises(ConfigError, match="unknown factor_code 'onehot'; choose one of scalar, grouped"):
        cells(StudyConfig("generator", pinned={"factor_code": ("onehot",)}))
    other = cells(StudyConfig("generator", pinned={"factor_code": ("scalar",), "latents": (6,)}))
    assert {(config.factor_code, config.latents) for config in other} == {("scalar", 6)}
