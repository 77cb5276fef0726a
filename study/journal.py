"""The Optuna journal of a store: JSON lines that optuna-dashboard opens as they are."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.store import StoreError

NAME = "tradeoff"
RANDOM_SETTINGS = 5
"""That TPE draws at random before it models; Optuna's 10 would be a whole laptop study."""
POPULATION = 20
"""Of NSGA-II; Optuna's 50 settings would be half of what `paper` tries."""


def open_journal(path: Path, identity: Mapping[str, Any], target: str) -> BaseStorage:
    """The Optuna study of a store, made where there is none.

    Args:
        path: Of the journal.
        identity: Of the store; a journal of another one is refused.
        target: The second of the two targets.

    Raises:
        StoreError: The journal is of another study, or cannot be read.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    ours = json.dumps(identity, sort_keys=True)
    _cut_half_line(path)
    storage = read_journal(path)
    names = [known.study_name for known in storage.get_all_studies()]
    wanted = {"study_name": NAME, "storage": storage, "directions": ["minimize", "maximize"]}
    study = optuna.create_study(**wanted, load_if_exists=True) if names in ([], [NAME]) else None
    if study is None or study.user_attrs.get("identity", None if study.get_trials(deepcopy=False) else ours) != ours:
        raise StoreError(f"{path} is of another study; move it away, or use another --store")
    study.set_user_attr("identity", ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["recon", target])
    return storage


def read_journal(path: Path) -> BaseStorage:
    """The Optuna storage of a journal; its file is made where there is none.

    Raises:
        StoreError: It cannot be read.
    """
    try:
        return JournalStorage(JournalFileBackend(str(path.absolute())))  # its lock is a link, which may not dangle
    except Exception as error:  # a foreign file makes Optuna raise anything, assertions too
        raise StoreError(f"{path} cannot be read as an Optuna journal ({error}); move it away, or restore it") from None


def make_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """The sampler of one suggestion, seeded by the search and the number: a sampler reopened would repeat itself."""
    mixed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=mixed)
    if name == "nsga2":
        return NSGAIISampler(population_size=POPULATION, seed=mixed)
    return TPESampler(n_startup_trials=RANDOM_SETTINGS, seed=mixed)


def _cut_half_line(path: Path) -> None:
    """Remove what a killed writer has left of a line: Optuna would append to it, and never read the journal again."""
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with open(path, "r+b") as journal:
            journal.truncate(content.rfind(b"\n") + 1)
