"""Any score of every stored trial, from its probe codes, without retraining: `scores/<score>.parquet`.

python -m analysis.rescore results/capacity_grid-laptop --metrics dci_disentanglement infom
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from analysis.frames import Frames, load, records
from study.store import Scores, StoreError, open_study, read_scores
from trainables.checks import InputError
from trainables.metrics import table
from trainables.metrics.calibration import Score
from trainables.metrics.table import Metric

LINE_SECONDS = 60.0
"""Between two lines of progress where nobody watches a terminal."""


@dataclass(frozen=True)
class Task:
    """One metric of one trial.

    Attributes:
        metric: The first of its names.
        names: Of its scores, those that the trial lacks.
        key: The trial's; of a ceiling, that of any trial with as many latents.
        latents: d.
    """

    metric: str
    names: tuple[str, ...]
    key: str
    latents: int


@dataclass(frozen=True)
class Context:
    """What all tasks of a study share.

    Attributes:
        store: The study's folder.
        factors: Their names.
        seed: The study's `eval_seed`.
        nulls: Permutations of a null at most; None for each metric's own number.
    """

    store: Path
    factors: list[str]
    seed: int
    nulls: int | None


def main(words: list[str]) -> int:
    """Compute what is missing; 0 done, 1 some could not be computed, 2 bad input, 130 Ctrl-C, 143 SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m analysis.rescore", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("store", type=Path, help="the folder of a study")
    parser.add_argument("--metrics", nargs="+", default=[], metavar="SCORE", help="by name; default: all")
    parser.add_argument("--nulls", type=int, metavar="N", help="at most so many permutations a null; 0 for none")
    parser.add_argument("--workers", type=int, default=_cores(), help="processes; default: cores")
    arguments = parser.parse_args(words)
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for name, value, least in (("--workers", arguments.workers, 1), ("--nulls", arguments.nulls, 0)):
            if value is not None and value < least:
                raise InputError(f"{name}={value} is under {least}; raise it")
        frames = load(arguments.store)
        with Scores(frames.study.path) as scores:
            return rescore(scores, frames, arguments.metrics, arguments.nulls, arguments.workers)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is done is kept, and the same command goes on", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def rescore(scores: Scores, frames: Frames, names: list[str], nulls: int | None, workers: int) -> int:
    """Compute the scores that finished trials lack, store each as it is done, and print what came of it.

    Args:
        scores: Where to put them.
        frames: Of the study.
        names: Of the scores; all that the factors allow without.
        nulls: Permutations of a null at most; None for each metric's own number.
        workers: Processes, each of one thread.

    Returns:
        0, or 1 where a computation has failed: that one is tried again by the same command.

    Raises:
        InputError: An unknown score, no finished trial, scores that need factors of a dataset without, or a worker that
            was killed.
    """
    study, begin = frames.study, time.monotonic()
    if frames.finished.empty:
        raise StoreError(f"{study.path} has no finished trial; run the study first")
    context = Context(study.path, frames.factors, int(study.identity.get("eval_seed", 0)), nulls)
    latents = {key: int(count) for key, count in zip(frames.finished["key"], frames.finished["latents"], strict=True)}
    known, stored = _known(frames, list(latents)), read_scores(study.path)
    wanted = table.named(names, known) if names else [metric for metric in known if frames.factors or not metric.nulls]
    if not frames.factors and (needy := [metric.names[0] for metric in wanted if metric.nulls]):
        raise StoreError(f"the dataset of {study.path} has no factors, which {needy[0]} compares codes with")
    tasks, failed = lacking(wanted, latents, stored), []
    tops = _stored_ceilings(wanted, stored)
    one_each = {(task.metric, task.latents): task for task in tasks}  # the probe, and so the ceiling, is one a study
    asked = [(task, context) for pair, task in one_each.items() if pair not in tops]
    with _workers(workers) as pool:
        for (task, _), found in _computed(pool, _ceilings, asked, "ceilings"):
            tops[task.metric, task.latents] = found if isinstance(found, dict) else {}
        jobs = [(task, context, tops[task.metric, task.latents]) for task in tasks]
        for (task, *_), found in _computed(pool, _scores, jobs, "scores"):
            if isinstance(found, str):
                failed.append(f"{task.metric} of trial {task.key}: {found}")
                continue
            beside = {"key": task.key, "latents": task.latents, "seed": context.seed, "seconds": found[1]}
            for name in task.names:
                scores.add(name, [beside | row_of(name, found[0][name], context)])
    for line in failed:
        print(f"failed, and tried again by the same command: {line}", file=sys.stderr)
    asked_for = ", ".join(name for metric in wanted for name in metric.names)
    print(f"{len(tasks)} computations in {time.monotonic() - begin:.0f} s, in {scores.folder}")
    if not tasks:
        print(f"nothing is missing of {asked_for}; to compute a score anew, delete its file")
    for line in _fewer_nulls(wanted, nulls, read_scores(study.path)):
        print(line)
    return 1 if failed else 0


def lacking(wanted: Iterable[Metric], latents: dict[str, int], stored: Mapping[str, pd.DataFrame]) -> list[Task]:
    """What is missing, the metrics that cost most first, so that the cores end together.

    Args:
        wanted: Metrics, cheap ones first.
        latents: d of each finished trial, by key.
        stored: As `read_scores`.
    """
    have = {name: set(frame["key"]) for name, frame in stored.items()}
    tasks = []
    for metric in reversed(list(wanted)):
        for key, count in latents.items():
            names = tuple(name for name in metric.names if key not in have.get(name, ()))
            tasks += [Task(metric.names[0], names, key, count)] if names else []
    return tasks


def row_of(name: str, score: Score, context: Context) -> dict[str, Any]:
    """A score as columns: the value, what is known beside it, and what each factor contributes (`<score>[x]`)."""
    per_factor = [] if score.per_factor is None else score.per_factor.tolist()
    train, test = score.split or (0, 0)
    return (
        {name: score.value}
        | {f"{name}_{beside}": getattr(score, beside) for beside in table.BESIDE}
        | {f"{name}[{factor}]": value for factor, value in zip(context.factors, per_factor, strict=False)}
        | {"n": score.n, "bins": score.bins or 0, "trained_on": train, "tested_on": test}
        | {"skipped": score.skipped, "missing": score.missing}
    )


def _known(frames: Frames, keys: list[str]) -> tuple[Metric, ...]:
    """The metrics of the probe's factors, which are the same in every trial: of the first that can be read."""
    for key in keys if frames.factors else []:
        with contextlib.suppress(StoreError):
            return table.metrics_of(frames.study.arrays(key)["factors"], frames.factors)
    return table.METRICS


def _stored_ceilings(
    wanted: Iterable[Metric], stored: Mapping[str, pd.DataFrame]
) -> dict[tuple[str, int], dict[str, float]]:
    """Ceilings that an earlier rescoring has stored, by metric and d."""
    tops: dict[tuple[str, int], dict[str, float]] = {}
    for metric in wanted:
        for name in metric.names:
            for row in records(stored[name]) if name in stored else []:
                tops.setdefault((metric.names[0], int(row["latents"])), {})[name] = row[f"{name}_ceiling"]
    whole = {metric.names[0]: set(metric.names) for metric in wanted}
    return {pair: found for pair, found in tops.items() if set(found) == whole[pair[0]]}


def _fewer_nulls(wanted: Iterable[Metric], nulls: int | None, stored: Mapping[str, pd.DataFrame]) -> list[str]:
    """What earlier rescorings computed with fewer permutations than are asked for now."""
    lines = []
    for metric in wanted:
        asked = metric.nulls if nulls is None else min(nulls, metric.nulls)
        for name in metric.names:
            rows = records(stored[name]) if name in stored else []
            fewer = sum(row[f"{name}_nulls"] < asked and not row["missing"] for row in rows)
            if fewer:
                lines.append(
                    f"{fewer} rows of {name} have fewer than {asked} permutations; delete its file to redo them"
                )
    return lines


Job = TypeVar("Job", bound=tuple[Any, ...])


def _computed(pool: Executor, compute: Callable[..., Any], jobs: list[Job], what: str) -> Iterator[tuple[Job, Any]]:
    """Each job with its result, in the order in which they end; with the reason, a string, where it has failed."""
    if not jobs:
        return
    futures = {pool.submit(compute, *job): job for job in jobs}
    seconds = 0.1 if sys.stderr.isatty() else LINE_SECONDS
    for future in tqdm(as_completed(futures), what, len(futures), unit="task", mininterval=seconds):
        try:
            yield futures[future], future.result()
        except BrokenProcessPool:
            raise
        except Exception as error:  # an unreadable file, a fault in a score: the others go on
            yield futures[future], f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _workers(count: int) -> Iterator[Executor]:
    """So many processes, started when there is work, and ended at once by whatever interrupts it."""
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise StoreError(f"a worker has died ({error}); use fewer --workers, and the same command goes on") from None
    except BaseException:
        for child in active_children():  # a task takes minutes: nobody who interrupts waits for it
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """A worker's start: one thread each, as many as cores; Ctrl-C is the parent's affair, and its death is ours."""
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def _ceilings(task: Task, context: Context) -> dict[str, float]:
    metric, _, factors = _asked(task, context)
    return table.ceilings_of(metric, factors, task.latents, context.seed)


def _scores(task: Task, context: Context, ceilings: dict[str, float]) -> tuple[dict[str, Score], float]:
    """A trial's scores, and the seconds that they took."""
    begin = time.monotonic()
    metric, codes, factors = _asked(task, context)
    return table.calibrated(metric, codes, factors, context.seed, context.nulls, ceilings), time.monotonic() - begin


def _asked(task: Task, context: Context) -> tuple[Metric, np.ndarray, np.ndarray]:
    arrays = open_study(context.store).arrays(task.key)
    factors = arrays.get(
        "factors", np.zeros((len(arrays["mean"]), 1), np.uint8)
    )  # read by no score where there are none
    (metric,) = table.named([task.metric], table.metrics_of(factors, context.factors))
    return metric, arrays["mean"], factors


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
