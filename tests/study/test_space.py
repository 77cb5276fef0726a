import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.space import Range, Space, read_ranges, reads
from trainables.checks import ConfigError
from trainables.config import TrialConfig

BASE = TrialConfig(steps=100, ramp_steps=10)
RANGES = {"beta": Range(0.5, 16), "gamma": Range(10, 1000), "ramp_steps": Range(1, 100), "capacity_max": Range(3, 15)}


def asked(space: Space, seed: int) -> tuple[TrialConfig, dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    return space.suggest(trial), trial.params


@given(seed=st.integers(0, 10_000))
def test_a_setting_is_inside_canonical_of_three_digits_and_conditional(seed: int) -> None:
    config, params = asked(Space(BASE, ("beta_vae", "capacity"), RANGES, {"latents": (5, 10)}), seed)
    assert config == config.canonical()
    assert params["objective"] == config.objective
    assert ("beta" in params) == (config.objective == "beta_vae")
    assert ("gamma" in params) == ("ramp_steps" in params) == (config.objective == "capacity")
    assert config.latents == params["latents"] in (5, 10)
    for name in set(params) & set(RANGES):
        value = getattr(config, name)
        assert RANGES[name].low <= value <= RANGES[name].high
        assert value == pytest.approx(params[name], rel=0.01)
        assert len(f"{value:.10g}".replace(".", "").strip("0")) <= 3


def test_logarithmic_fields_are_drawn_by_their_logarithm() -> None:
    space = Space(BASE, ("capacity",), {"gamma": Range(1, 10_000), "capacity_max": Range(0, 100)}, {})
    drawn = [asked(space, seed)[0] for seed in range(200)]
    middle = sorted(math.log10(config.gamma) for config in drawn)[100]
    assert 1.5 < middle < 2.5
    assert 35 < sorted(config.capacity_max for config in drawn)[100] < 65


def test_one_objective_is_not_asked_for() -> None:
    config, params = asked(Space(BASE, ("beta_vae",), {"beta": Range(1, 4)}, {}), 0)
    assert set(params) == {"beta"}
    assert config.objective == "beta_vae"


@given(value=st.floats(1.0, 1e6), low=st.floats(1.0, 100.0), width=st.floats(1.0, 1e6))
def test_rounding_never_leaves_the_range(value: float, low: float, width: float) -> None:
    bounds = Range(low, low + width)
    assert bounds.low <= bounds.rounded(min(max(value, bounds.low), bounds.high), whole=False) <= bounds.high


def test_a_corner_that_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match="ramp_steps=200 exceeds steps=100"):
        Space(BASE, ("capacity",), {"ramp_steps": Range(10, 200)}, {})
    with pytest.raises(ConfigError, match=r"capacity_start=5.0 exceeds capacity_max=3.0"):
        Space(BASE, ("capacity",), {"capacity_max": Range(3, 15), "capacity_start": Range(0, 5)}, {})
    with pytest.raises(ConfigError, match=r"gamma=-1.0 is outside"):
        Space(BASE, ("capacity",), {}, {"gamma": (1.0, -1.0)})


def test_a_field_that_no_objective_reads_is_refused() -> None:
    with pytest.raises(ConfigError, match="no objective of beta_vae reads gamma; leave it out"):
        Space(BASE, ("beta_vae",), {"gamma": Range(1, 2)}, {})
    with pytest.raises(ConfigError, match="no objective of vae reads beta"):
        Space(BASE, ("vae",), {"beta": Range(1, 2)}, {})


def test_who_reads_what() -> None:
    assert reads("capacity", "gamma")
    assert not reads("capacity", "beta")
    assert reads("beta_vae", "beta")
    assert reads("beta_vae", "learning_rate")
    assert reads("my.loss:f", "gamma")


def test_ranges_are_told_from_values() -> None:
    words = ["gamma=10:1e3", "beta=1,4", "ramp_steps=5:20", "objective=my.loss:f", "dataset=C:file", " steps = 3 "]
    ranges, others = read_ranges(words)
    assert ranges == {"gamma": Range(10, 1000), "ramp_steps": Range(5, 20)}
    assert others == ["beta=1,4", "objective=my.loss:f", "dataset=C:file", " steps = 3 "]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("gamma=100:10", "gamma=100:10 is an empty range; give low:high, or one value to pin it"),
        ("gamma=7:7", "gamma=7:7 is an empty range"),
        ("gamma=0:10", "gamma=0:10 is searched on a logarithmic scale; give a lower end above 0"),
        ("gamma=1:1e999", "gamma=1:1e999 is an empty range"),
        ("gamma=1.2.3:4", "gamma=1.2.3:4 is not a range low:high; write for example gamma=10:1000"),
        ("gamma=10:", "gamma=10: is not a range low:high"),
        ("gamma=10:100:1000", "is not a range low:high"),
        ("gamma=10:100,500", "is not a range low:high"),
        ("gamma=nan:10", "gamma=nan:10 is an empty range"),
        ("report_every=3:6", "report_every=3:6: all trials of a study are measured alike; give one value"),
        ("gama=1:2", "unknown key 'gama'; did you mean gamma"),
        ("ramp_steps=1.5:3", "ramp_steps=1.5:3 counts whole steps; give whole numbers"),
        ("seed=0:5", "seed=0:5: replicates are not searched; give --seeds N"),
    ],
)
def test_a_bad_range_is_refused(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_ranges([word])
    assert said in str(error.value)


def test_a_range_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="gamma is given two ranges; give one"):
        read_ranges(["gamma=1:2", "gamma=1:3"])


@given(low=st.floats(0.01, 500), width=st.floats(0.001, 50), whole=st.booleans())
def test_the_values_of_a_range_are_all_that_rounding_gives(low: float, width: float, whole: bool) -> None:
    bounds = Range(float(round(low)), float(round(low) + max(1, round(width)))) if whole else Range(low, low + width)
    values = bounds.values(whole)
    assert list(values) == sorted(set(values))
    assert (values[0], values[-1]) == (bounds.rounded(bounds.low, whole), bounds.rounded(bounds.high, whole))
    for share in (0.1, 0.37, 0.5, 0.93):
        raw = bounds.low + share * (bounds.high - bounds.low)
        raw = round(raw) if whole else raw
        kept = bounds.rounded(raw, whole)
        assert min(abs(kept - value) for value in values) <= 1e-9 * abs(kept)


def test_the_size_counts_settings_that_differ() -> None:
    choices = {"latents": (5, 10)}
    assert Space(BASE, ("beta_vae", "capacity"), {}, choices | {"beta": (1.0, 2.0, 4.0)}).size == 2 * 3 + 2
    assert Space(BASE, ("beta_vae",), {"beta": Range(1, 16)}, {}).size == 900 + 61
    assert Space(BASE, ("beta_vae", "capacity"), RANGES, {}).size == math.inf


def test_the_points_of_a_small_space_are_what_optuna_holds_of_every_setting() -> None:
    narrow = Space(
        BASE, ("beta_vae", "capacity"), {"beta": Range(1.0, 1.02), "ramp_steps": Range(2, 3)}, {"latents": (5, 10)}
    )
    points = narrow.points
    assert len(points) == narrow.size == 3 * 2 + 2 * 2
    for hashed, params in points.items():
        fixed = optuna.trial.FixedTrial(params)
        assert narrow.suggest(fixed).setting() == hashed
        assert fixed.params == params
    assert Space(BASE, ("beta_vae", "capacity"), RANGES, {}).points == {}
