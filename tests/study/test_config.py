import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study import flags
from study.config import Launch, StudyConfig
from study.protocols import LAPTOP, PAPER
from trainables.checks import ConfigError, InputError


def test_the_paper_protocol_has_the_papers_values() -> None:
    trial = PAPER.trial
    assert (trial.learning_rate, trial.batch_size, trial.ramp_steps) == (5e-4, 64, 100_000)
    assert 1000.0 in PAPER.gammas
    assert {5.0, 25.0, 50.0} <= set(PAPER.capacities)
    assert 100_000 in PAPER.ramps
    assert trial.steps > max(PAPER.ramps)


def test_the_laptop_protocol_is_a_slice_that_fits() -> None:
    assert LAPTOP.trial.ramp_steps < LAPTOP.trial.steps
    assert (LAPTOP.betas, LAPTOP.capacities, LAPTOP.seeds) == ((1, 4), (5, 10), 2)


@given(
    seeds=st.none() | st.integers(1, 50),
    gammas=st.lists(st.floats(0, 1e6), min_size=1, max_size=3),
    every=st.integers(1, 500),
)
def test_json_and_back(seeds: int | None, gammas: list[float], every: int) -> None:
    study = StudyConfig(seeds=seeds, pinned={"gamma": tuple(gammas)}, measured={"report_every": every})
    again = StudyConfig.from_json(study.to_json())
    assert again == study
    assert again.hash() == study.hash()


def test_measured_settings_replace_the_protocols() -> None:
    assert StudyConfig(measured={"probe_rows": 7}).evaluation.probe_rows == 7
    assert StudyConfig().evaluation == LAPTOP.evaluation


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": "laptob"}, "unknown protocol 'laptob'; did you mean laptop?"),
        ({"seeds": 0}, "seeds=0 is outside [1, 10000]"),
        ({"seeds": 3, "pinned": {"seed": (1,)}}, "both choose the replicates"),
        ({"pinned": {"precision": ("fp32", "bf16")}}, "run a study for each"),
    ],
)
def test_refusals(change: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        StudyConfig(**change)


def test_another_aggregate_is_another_identity_and_the_usual_one_is_none() -> None:
    usual, wide = StudyConfig(), StudyConfig(measured={"aggregate_rows": 5000})
    assert "aggregate_rows" not in usual.identity("f")  # so that stores from before it existed go on
    assert wide.identity("f") == usual.identity("f") | {"aggregate_rows": 5000}


def test_identity_changes_with_what_makes_trials_incomparable() -> None:
    study = StudyConfig(pinned={"precision": ("bf16",)})
    identity = study.identity("abc")
    changed = [
        study.identity("abd"),
        StudyConfig(pinned={"precision": ("fp32",)}).identity("abc"),
        StudyConfig(protocol="paper", pinned={"precision": ("bf16",)}).identity("abc"),
        StudyConfig(measured={"eval_seed": 1}, pinned={"precision": ("bf16",)}).identity("abc"),
        StudyConfig(measured={"probe_rows": 5}, pinned={"precision": ("bf16",)}).identity("abc"),
        StudyConfig(measured={"report_every": 5}, pinned={"precision": ("bf16",)}).identity("abc"),
    ]
    assert all(other != identity for other in changed)
    wider = StudyConfig(seeds=9, pinned={"precision": ("bf16",), "gamma": (1.0, 2.0)})
    assert wider.identity("abc") == identity


def test_settling_chooses_only_what_nobody_has_chosen() -> None:
    free = StudyConfig().settled("bf16", 300)
    assert free.pinned == {"precision": ("bf16",)}
    assert free.evaluation.report_every == 300
    chosen = StudyConfig(pinned={"precision": ("fp32",)}, measured={"report_every": 7}).settled("bf16", 300)
    assert chosen.pinned == {"precision": ("fp32",)}
    assert chosen.evaluation.report_every == 7


@pytest.mark.parametrize(
    ("launch", "slots"),
    [
        (Launch(cores=2), 2),
        (Launch(cores=2, concurrency=5), 5),
        (Launch(cores=2, gpus=2), 2),
        (Launch(cores=2, gpus=2, trials_per_gpu=8), 16),
        (Launch(cores=2, gpus=2, lanes=32), 64),
        (Launch(cores=2, lanes=8, on_cpu=True), 8),
        (Launch(cores=2, lanes=8), 2),
        (Launch(cores=2, lanes=8, on_cpu=True, concurrency=9), 8),
        (Launch(cores=2, lanes=8, on_cpu=True, concurrency=3), 3),
        (Launch(cores=2, lanes=8, concurrency=64, address="auto"), 64),
        (Launch(cores=2, lanes=8, address="auto"), 8),
        (Launch(cores=2, address="auto"), 2),
        (Launch(cores=2, lanes=8, concurrency=64, imagined=True), 64),
        (Launch(cores=2, lanes=8, imagined=True), 8),
    ],
)
def test_slots(launch: Launch, slots: int) -> None:
    assert launch.slots == slots


def test_a_pack_on_the_cpu_leaves_the_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "gpus", lambda: 2)
    words = ["--lanes", "8"]
    assert flags.launch_of(flags.parser().parse_args(words)).gpus == 2
    words.append("--pack-on-cpu")
    assert flags.launch_of(flags.parser().parse_args(words)).gpus == 0  # else bf16 is chosen for them


def test_a_stacked_study_is_placed_in_packs_or_nowhere() -> None:
    alone, card = Launch(cores=2), Launch(cores=2, gpus=1)
    shared, few = dataclasses.replace(card, trials_per_gpu=4), dataclasses.replace(card, lanes=4)
    for where in (alone, card, shared, few):
        assert where.placing("loop") == where
        where.check("loop")
    assert card.placing("stacked").lanes == 32
    for where in (alone, shared, few):
        assert where.placing("stacked") == where
    for where in (few, card.placing("stacked")):
        where.check("stacked")
    for where in (alone, shared):
        with pytest.raises(InputError, match="executor=stacked trains in packs; give --lanes N"):
            where.check("stacked")


@pytest.mark.parametrize(
    ("pinned", "stackable"),
    [
        ({}, True),
        ({"objective": ("vae", "capacity"), "model": ("burgess2018-a1",)}, True),
        ({"objective": ("my.loss:f",)}, False),
        ({"model": ("burgess2018-generator",)}, False),
        ({"model": ("my.net:Net",)}, False),
    ],
)
def test_what_can_be_stacked(pinned: dict, stackable: bool) -> None:
    assert StudyConfig(pinned=pinned).is_stackable is stackable


def test_the_executor_is_a_part_of_the_identity() -> None:
    assert StudyConfig().identity("")["executor"] == "loop"
    assert StudyConfig(executor="stacked").identity("")["executor"] == "stacked"


def test_a_study_has_one_model_and_says_which() -> None:
    assert StudyConfig().identity("")["model"] == "burgess2018-a1"
    study = StudyConfig(pinned={"model": ("my.net:Net",)})
    assert study.identity("")["model"] == "my.net:Net"
    assert study.own == ("my.net:Net",)
    with pytest.raises(ConfigError, match="model=a:b,c:d differs inside one study"):
        StudyConfig(pinned={"model": ("a:b", "c:d")})
