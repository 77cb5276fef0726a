"""`--verify-pack N`: finished trials of a store trained again, each alone in this process, and compared. No Ray.

The store is only read, also while its driver writes. Trials of the loop executor must come out bit for bit. Stacked
training sums in another order, and training is chaotic: there, differences are held against the spread over seeds.
"""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.compare import UNTIMED, arrays_apart, same
from study.plan import ASSUMED_STEPS_PER_SECOND, START_SECONDS, Speed, duration, price
from study.preflight import provenance
from study.progress import measured_speed, named, searched
from study.spread import FALSE_ALARM, Column, columns, flagged, is_number
from study.store import StoreError, Study, open_study
from trainables.checks import check_range
from trainables.config import Evaluation, TrialConfig, field_names, is_own
from trainables.data.cache import locate
from trainables.data.dataset import Dataset, DatasetError, open_dataset
from trainables.own import load, source_sha256

if TYPE_CHECKING:
    from trainables.alone import Ended

SAME, DIFFERENT = 0, 1
MAIN = ("recon", "objective_value", "kl", "info_sum", "active_latents", "mig", "mig_calibrated")
"""Columns that are looked at first."""
NAMED = 6
"""Columns of a trial that are named in one line."""


@dataclass(frozen=True)
class Task:
    """What to train again, and where.

    Attributes:
        configs: By key.
        evaluation: The study's.
        datasets: The study's, opened, by the names that the trials give it.
        devices: `cpu` or `cuda`, by key.
        inexact: Why bits need not be equal; empty where every one must.
    """

    configs: Mapping[str, TrialConfig]
    evaluation: Evaluation
    datasets: Mapping[str, Dataset]
    devices: Mapping[str, str]
    inexact: str = ""


def verify(path: Path, count: int) -> int:
    """Train `count` finished trials of a store again, and print how they differ from what it holds.

    Args:
        path: Of the store.
        count: Trials; all finished ones where there are fewer.

    Returns:
        0 nothing found, 1 a difference that should not be, 130 Ctrl-C.

    Raises:
        InputError: There is no finished trial, its checkpoint cannot be read, or what it was trained with (dataset,
            own source, precision) is not here.
    """
    check_range("--verify-pack", count, 1, 100_000)
    study = open_study(path)
    keys = chosen(study, count)
    if lost := incomplete(study):
        what = f"{', '.join(lost)} had finished and lost row, arrays or weights"
        print(f"note: {what}: not looked at; the study run again makes their ends again", flush=True)
    task = prepared(study, keys)
    print(announced(study, task), flush=True)
    for change in study.changed(provenance([], "")):
        print(f"note: {change}", flush=True)
    try:
        return judged(study, task)
    except KeyboardInterrupt:
        print("stopped; nothing was written, and the same command starts again", file=sys.stderr)
        return 130


def chosen(study: Study, count: int) -> list[str]:
    """The keys of `count` finished trials: a study's own random order, the first of which are always the same.

    Raises:
        StoreError: None is finished.
    """
    finished = sorted(key for key, status in study.status().items() if status == "finished")
    if not finished:
        raise StoreError(
            f"{study.path} has no finished trial, with its arrays and weights, to train again; run the study first"
        )
    order = sorted(finished, key=lambda key: hashlib.sha256(f"verify {key}".encode()).digest())
    return order[:count]


def incomplete(study: Study) -> list[str]:
    """The keys of trials that had finished, and of which something has been lost since."""
    events, status = study.events(), study.status()
    ended = {str(key) for key, kind in zip(events["key"], events["kind"], strict=True) if kind == "finished"}
    return sorted(key for key in ended if status.get(key) != "finished")


def prepared(study: Study, keys: Sequence[str]) -> Task:
    """Everything that training again needs, checked.

    Raises:
        InputError: As `verify`.
    """
    from trainables.alone import device_for  # torch

    known, identity = study.configs(), study.identity
    configs = {key: known[key] for key in keys}
    for name in {name for config in configs.values() for name in (config.objective, config.model) if is_own(name)}:
        load(name)
        study.check_own({name: source_sha256(name)})
    settings = {name: identity[name] for name in field_names(Evaluation) if name in identity}
    datasets = {name: opened(name, study) for name in {config.dataset for config in configs.values()}}
    places = {key: device_for(study.checkpoint(key) or b"", f"trial {key}") for key in keys}
    devices = {key: here for key, (_, here) in places.items()}
    inexact = "executor=stacked" if identity.get("executor") == "stacked" else ""
    if not inexact and any(was != here for was, here in places.values()):
        inexact = "trained on a GPU, and none is here"
    return Task(configs, Evaluation(**settings), datasets, devices, inexact)


def opened(name: str, study: Study) -> Dataset:
    """The dataset of a study.

    Raises:
        DatasetError: It is not here, or another one is.
    """
    dataset, sha256 = open_dataset(locate(name)), study.identity.get("dataset", "")
    if dataset.sha256 != sha256:
        raise DatasetError(
            f"{dataset.path} is not the dataset of {study.path} (sha256 {dataset.sha256[:12]}, not {sha256[:12]}); "
            "put the one back that its trials were trained on"
        )
    return dataset


def announced(study: Study, task: Task) -> str:
    """What will be trained, how it will be compared, and what it costs."""
    on, (was, *_) = set(task.devices.values()), task.configs.values()
    rate = measured_speed(study)
    speed = Speed.measured(rate) if rate else Speed(ASSUMED_STEPS_PER_SECOND[was.precision])
    cost = price(task.configs.values(), task.evaluation, 1, speed)
    seconds = (cost.seconds or 0.0) - START_SECONDS  # without Ray
    how = f"by the spread over seeds ({task.inexact})" if task.inexact else "bit for bit"
    return (
        f"{cost.trials} finished trials of {study.path} are trained again, alone, on {' and '.join(sorted(on))}, and "
        f"compared {how}: {cost.steps:,} updates, about {duration(seconds)} by {speed.source}"
    )


def judged(study: Study, task: Task) -> int:
    """Train, compare and print; 0 or 1."""
    stored, settings = last_rows(study), {key: config.setting() for key, config in study.configs().items()}
    again: dict[str, dict[str, Any]] = {}
    apart: dict[str, list[str]] = {}
    for place, (key, config) in enumerate(task.configs.items(), 1):
        began, ended = time.monotonic(), trained(task, key)
        row = stored[key]
        apart[key] = differences(study, key, row, ended, exact=not task.inexact)
        if ended:
            again[key] = ended.row
        said = f"differs in {listed(apart[key])}" if apart[key] else "equal, bit for bit"
        if task.inexact and ended:
            said = ", ".join(f"{name} {ended.row[name]:.4g} (stored {row[name]:.4g})" for name in MAIN if
                             is_number(ended.row.get(name)) and is_number(row.get(name)))  # fmt: skip
        called = f"{named(config, searched([config]))}, seed {config.seed}"
        took = duration(time.monotonic() - began)
        print(f"{place} of {len(task.configs)}, trial {key} ({called}; {took}): {said}", flush=True)
    if not task.inexact and not any(apart.values()):
        print("all equal, bit for bit: last rows, arrays and weights")
        return SAME
    found = columns(stored, again, settings)
    beyond = flagged(found)
    print("\n".join([*table(found, beyond), *closing(task, found, beyond, apart)]))
    return DIFFERENT if beyond or len(again) < len(apart) or not task.inexact else SAME


def trained(task: Task, key: str) -> "Ended | None":
    """The trial's end, trained anew; None where it diverges."""
    from trainables import alone  # torch

    config = task.configs[key]
    return alone.train(config, task.evaluation, task.datasets[config.dataset], task.devices[key])


def last_rows(study: Study) -> dict[str, dict[str, Any]]:
    """The last row of every finished trial, by key."""
    status = study.status()
    rows = study.rows().drop_duplicates(subset="key", keep="last").to_dict("records")
    named = [{str(name): value for name, value in row.items()} for row in rows]
    return {row["key"]: row for row in named if status.get(row["key"]) == "finished"}


def differences(study: Study, key: str, row: Mapping[str, Any], ended: "Ended | None", exact: bool) -> list[str]:
    """What is not equal of one trial: columns of its last row, and, where bits must be equal, arrays and weights."""
    if ended is None:
        return ["its end (it diverges)"]
    names = [name for name in {**ended.row, **row} if name not in (*UNTIMED, "key")]
    found = [name for name in names if not same(row.get(name), ended.row.get(name))]
    if exact:
        found += [f"array {name}" for name in arrays_apart(study.arrays(key), ended.arrays)]
        found += ["weights"] if study.checkpoint(key) != ended.weights else []
    return found


def table(found: Sequence[Column], beyond: Sequence[Column]) -> list[str]:
    """A line for each column that differs or is looked at first, those first; what is flagged is marked."""
    order = {name: place for place, name in enumerate(MAIN)}
    shown = sorted((column for column in found if column.largest or column.name in order),
                   key=lambda column: order.get(column.name, len(order)))  # fmt: skip
    width = max([len(column.name) for column in shown], default=6)
    lines = [f"{'column':{width}}  trials  {'largest':>10}  {'mean':>10}  {'seed SD':>10}  {'ratio':>8}"]
    for column in shown:
        sd, ratio = ("unknown" if value is None else f"{value:.3g}" for value in (column.sd, column.ratio))
        numbers = f"{len(column.differences):6}  {column.largest:10.3g}  {column.mean:10.3g}  {sd:>10}  {ratio:>8}"
        lines.append(f"{column.name:{width}}  {numbers}{'  <- beyond' * (column in beyond)}")
    alike = [column.name for column in found if column not in shown]
    return [*lines, *([f"no difference: {', '.join(alike)}"] if alike else [])]


def closing(
    task: Task, found: Sequence[Column], beyond: Sequence[Column], apart: Mapping[str, Sequence[str]]
) -> list[str]:
    """How to read the table, what else differs, and the verdict."""
    numbers = {column.name for column in found}
    lines = ["ratio: RMS difference / (sqrt(2) x seed SD), about 1 or less where both draw from one spread"]
    others = {name: sum(name in names for names in apart.values()) for names in apart.values() for name in names}
    words = [f"{name} in {many} of {len(apart)} trials" for name, many in others.items() if name not in numbers]
    if words:
        lines.append(f"also different: {', '.join(words)}")
    if beyond:
        lines.append(f"beyond the spread over seeds: {', '.join(column.name for column in beyond)}")
    elif found and all(column.sd is None for column in found):
        lines.append("the spread over seeds is unknown: no setting has two finished seeds, so nothing can be flagged")
    elif task.inexact:
        lines.append(f"no column is beyond the spread over seeds (a false alarm in {FALSE_ALARM:.0%} of such tables)")
    if not task.inexact:
        lines.append(f"not equal bit for bit: trials {', '.join(key for key, names in apart.items() if names)}")
    return lines


def listed(names: Sequence[str]) -> str:
    """`recon, kl, mig and 30 more`."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
