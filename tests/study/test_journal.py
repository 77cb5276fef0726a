from pathlib import Path

import optuna
import pytest
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.journal import NAME, make_sampler, open_journal
from study.store import StoreError

IDENTITY = {"search": "tradeoff", "target": "mig"}


def test_the_journal_is_optunas_own_and_says_what_it_is_about(tmp_path: Path) -> None:
    open_journal(tmp_path / "optuna.journal", IDENTITY, "mig")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "optuna.journal")))
    study = optuna.load_study(study_name=NAME, storage=storage)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["recon", "mig"]
    open_journal(tmp_path / "optuna.journal", IDENTITY, "mig")  # again


def test_a_journal_of_another_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    open_journal(path, IDENTITY, "mig")
    with pytest.raises(StoreError, match=r"optuna.journal is of another study; move it away, or use another --store"):
        open_journal(path, {**IDENTITY, "target": "sap"}, "sap")


@pytest.mark.parametrize("name", ["foreign", NAME])
def test_a_journal_that_somebody_else_made_is_refused(tmp_path: Path, name: str) -> None:
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "j")))
    optuna.create_study(storage=storage, study_name=name, directions=["minimize", "maximize"]).ask()
    with pytest.raises(StoreError, match="is of another study"):
        open_journal(tmp_path / "j", IDENTITY, "mig")


@pytest.mark.parametrize("content", [b"no journal\n", b'{"op_code": 99}\n', b"\x00\xff\n"])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content + b"{}\n")
    with pytest.raises(StoreError, match="cannot be read as an Optuna journal"):
        open_journal(tmp_path / "j", IDENTITY, "mig")
    assert (tmp_path / "j").read_bytes() == content + b"{}\n"


def test_half_a_line_of_a_killed_writer_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "j"
    open_journal(path, IDENTITY, "mig")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')
    open_journal(path, IDENTITY, "mig")
    assert path.read_bytes().startswith(whole)
    assert b'"wor{' not in path.read_bytes()
    open_journal(path, IDENTITY, "mig")


def test_samplers_are_functions_of_seed_and_number() -> None:
    assert isinstance(make_sampler("tpe", 0, 0), TPESampler)
    assert isinstance(make_sampler("nsga2", 0, 0), NSGAIISampler)

    def first(name: str, seed: int, number: int) -> float:
        return optuna.create_study(sampler=make_sampler(name, seed, number)).ask().suggest_float("x", 0, 1)

    for name in ("tpe", "nsga2"):
        drawn = [first(name, *place) for place in ((0, 0), (0, 1), (1, 0), (1, 1))]
        assert len(set(drawn)) == 4
        assert first(name, 0, 1) == drawn[1]
