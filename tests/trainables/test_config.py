import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.checks import ConfigError
from trainables.config import Evaluation, TrialConfig, from_dict


def test_defaults_are_the_papers() -> None:
    config = TrialConfig()
    assert (config.gamma, config.capacity_max, config.ramp_steps) == (1000.0, 25.0, 100_000)
    assert (config.batch_size, config.learning_rate, config.latents) == (64, 5e-4, 10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gamma": -1.0}, "gamma=-1.0 is outside [0.0, 1000000000.0]"),
        ({"beta": float("nan")}, "beta=nan is outside"),
        ({"learning_rate": 2.0}, "learning_rate=2.0 is outside"),
        ({"steps": 1.5}, "steps=1.5 is of type float; give a value of type int"),
        ({"seed": True}, "seed=True is of type bool"),
        ({"ramp_steps": 2000, "steps": 1700}, "ramp_steps=2000 exceeds steps=1700; lower it or raise steps"),
        ({"capacity_start": 30.0}, "capacity_start=30.0 exceeds capacity_max=25.0"),
        ({"objective": "capasity"}, "unknown objective 'capasity'; did you mean capacity?"),
        ({"init": "zero"}, "choose one of he, pytorch"),
    ],
)
def test_bad_values_are_refused_with_value_limit_and_remedy(change: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        TrialConfig(**change)


def test_a_beta_trial_has_no_ramp_that_could_be_too_long() -> None:
    assert TrialConfig(objective="beta_vae", steps=10).steps == 10


def test_fields_that_an_objective_does_not_read_do_not_change_its_key() -> None:
    assert TrialConfig(beta=7.0).key() == TrialConfig().key()
    beta = TrialConfig(objective="beta_vae", beta=4.0)
    assert dataclasses.replace(beta, gamma=3.0, capacity_max=2.0, ramp_steps=5).key() == beta.key()
    assert TrialConfig(objective="vae", beta=9.0).key() == TrialConfig(objective="beta_vae", beta=1.0).key()


@pytest.mark.parametrize(
    "change",
    [{"gamma": 10.0}, {"capacity_max": 3.0}, {"ramp_steps": 7}, {"seed": 1}, {"noise_seed": 0}, {"init": "pytorch"},
     {"objective": "beta_vae"}, {"precision": "bf16"}, {"dataset": "other"}],
)  # fmt: skip
def test_fields_that_are_read_change_the_key(change: dict) -> None:
    assert dataclasses.replace(TrialConfig(), **change).key() != TrialConfig().key()


def test_keys_are_stable_between_releases() -> None:
    # Golden: a changed key orphans every trial that was ever stored.
    assert TrialConfig().key() == "44136fa355b3678a"
    assert TrialConfig(objective="beta_vae", beta=4.0, seed=3).key() == "88b80198eee62a5d"


def test_moving_a_dataset_does_not_make_another_trial() -> None:
    assert TrialConfig(dataset="/a/b.h5").key() == TrialConfig(dataset="/c/b.h5").key()


@given(seed=st.integers(0, 2**32 - 1), gamma=st.floats(0, 1e6))
def test_a_setting_is_a_config_without_its_seeds(seed: int, gamma: float) -> None:
    config = TrialConfig(gamma=gamma)
    replicate = dataclasses.replace(config, seed=seed, init_seed=seed)
    assert replicate.setting() == config.setting()
    assert from_dict(TrialConfig, dataclasses.asdict(replicate)) == replicate


def test_spawned_seeds_follow_the_seed_unless_overridden() -> None:
    config = TrialConfig(seed=5, noise_seed=7)
    assert [config.spawned_seed(name) for name in ("init", "order", "noise")] == [5, 5, 7]


def test_from_dict_refuses_unknown_keys() -> None:
    with pytest.raises(ConfigError, match="did you mean report_every"):
        from_dict(Evaluation, {"report_evry": 3})


@pytest.mark.parametrize("name", ["a:b", "a.b_2.c:D", "_a:_b"])
def test_a_name_of_ones_own_is_a_module_and_an_attribute(name: str) -> None:
    config = TrialConfig(objective=name, model=name)
    assert config.family == name
    assert config.canonical() == config


@pytest.mark.parametrize("name", ["a", "a:", ":b", "a:b:c", "a b:c", "a..b:c", "1a:b", "a.py:b(1)"])
def test_other_forms_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown objective"):
        TrialConfig(objective=name)
    with pytest.raises(ConfigError, match="unknown model"):
        TrialConfig(model=name)


def test_an_objective_of_ones_own_may_read_any_field() -> None:
    config = TrialConfig(objective="a:b")
    for change in ({"beta": 3.0}, {"gamma": 3.0}, {"capacity_max": 3.0}, {"ramp_steps": 3}, {"model": "a:b"}):
        assert dataclasses.replace(config, **change).key() != config.key()


def test_a_model_of_ones_own_initialises_itself() -> None:
    config = TrialConfig(objective="beta_vae", model="a:b", gamma=3.0)
    assert dataclasses.replace(config, init="pytorch").key() == config.key()
    assert config.key() == dataclasses.replace(config, gamma=TrialConfig.gamma).key()


def test_an_annealed_beta_is_another_trial_that_reads_the_ramp() -> None:
    fixed = TrialConfig(objective="beta_vae", beta=4.0)
    annealed = dataclasses.replace(fixed, beta_start=64.0)
    assert annealed.key() != fixed.key()
    assert annealed.key() != dataclasses.replace(annealed, ramp_steps=50_000).key()
    assert annealed.setting() == dataclasses.replace(annealed, seed=3).setting()
    assert annealed.family == "beta"
    assert dataclasses.replace(fixed, beta_start=4.0).key() == fixed.key()  # it goes nowhere
    assert TrialConfig(beta_start=64.0).key() == TrialConfig().key()  # a capacity trial has no beta
    with pytest.raises(ConfigError, match="ramp_steps=100000 exceeds steps=50"):
        TrialConfig(objective="beta_vae", beta=4.0, beta_start=64.0, steps=50)


def test_only_a_generator_reads_the_code_of_its_factors() -> None:
    assert TrialConfig(factor_code="grouped", factor_lr=0.1).key() == TrialConfig().key()
    generator = TrialConfig(model="burgess2018-generator")
    assert generator.key() != dataclasses.replace(generator, factor_code="grouped").key()
    assert generator.key() != dataclasses.replace(generator, factor_lr=0.1).key()
    with pytest.raises(ConfigError, match="unknown factor_code 'groups'; did you mean grouped"):
        TrialConfig(factor_code="groups")
