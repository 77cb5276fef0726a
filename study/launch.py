"""Runs a study from its plan to its report: the store, Ray, the Tuner, signals and the exit code."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.adapters import GracefulStop, PlanSearcher, Shelf, StoreCallback
from study.config import Launch
from study.plan import duration, to_run
from study.store import Store, open_study
from trainables.config import Evaluation, InputError, TrialConfig
from trainables.trial import VAETrial

MAX_FAILURES = 2
"""Attempts of a trial beyond its first."""
GPU_CHECKPOINT_SECONDS = 60.0
HANG_SECONDS = 900.0
"""A trial's start and a full evaluation take less, whatever the machine."""
DONE, FAILED, LEFT_OVER = 0, 1, 3


class Interrupted(KeyboardInterrupt):
    """A second signal: stop without waiting for the next reports."""


def run(
    store: Store,
    cells: list[TrialConfig],
    pending: list[TrialConfig],
    evaluation: Evaluation,
    launch: Launch,
) -> int:
    """Train the pending trials, and write the report.

    Args:
        store: Open for writing; closed at the end.
        cells: Every trial of the plan, for the progress.
        pending: What to train now, in this order.
        evaluation: How trials are measured.
        launch: Where to run.

    Returns:
        0 done, 1 trials have failed or the report has, 3 trials are left over, 130 or 143 stopped by a signal.

    Raises:
        InputError: There is no Ray at the address, or it has nothing that a trial could run on.
    """
    with _quiet(store.path / "logs") as show:
        stop, began = GracefulStop(), time.monotonic()
        try:
            code = _tune(store, cells, pending, evaluation, launch, stop, show) if pending else DONE
            if pending:
                seconds = time.monotonic() - began
                took = f"{duration(seconds)}{launch.budget.cost(seconds)}"
                show(f"predicted: {store.record_actual(took)}; took {took}")
        finally:
            store.close()
    if code != DONE:
        return code
    report = subprocess.run([sys.executable, "-m", "analysis.report", str(store.path)], check=False)
    if report.returncode:
        print(f"the report could not be written; once more: python -m analysis.report {store.path}", file=sys.stderr)
        return FAILED
    status = open_study(store.path).status()
    if any(status.get(config.key()) == "failed" for config in cells):
        return FAILED
    return LEFT_OVER if to_run(cells, status) else DONE


def _tune(
    store: Store,
    cells: list[TrialConfig],
    pending: list[TrialConfig],
    evaluation: Evaluation,
    launch: Launch,
    stop: GracefulStop,
    show: Callable[[str], None],
) -> int:
    """Run Tune over `pending`; DONE, or 128 + the signal that stopped it."""
    scratch = tempfile.mkdtemp(prefix="capacity-study-")  # Tune's own folder; the store is the record
    try:
        _start_ray(launch)
        resources, slots = _resources(launch)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)  # else a custom Searcher allows one pending trial
        os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(10**6)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        callback = StoreCallback(store, cells, stop, show, launch.budget.seconds)
        trainable = tune.with_parameters(
            VAETrial,
            evaluation=asdict(evaluation),
            shelf=_shelf(store.path),
            dataset_sha256=open_study(store.path).identity["dataset"],
            hang_seconds=HANG_SECONDS + evaluation.report_every,  # slower than one update a second is a hang
            checkpoint_seconds=GPU_CHECKPOINT_SECONDS if "gpu" in resources else 0.0,
        )
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(pending, stop),
                num_samples=-1,
                max_concurrent_trials=slots,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                verbose=0,
                stop=stop,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        show(f"{len(pending)} trials to train, {slots} at a time; Ray's own output: {store.path}/logs/ray.txt")
        with _signals(stop, show) as received:
            try:
                tuner.fit()
            except Interrupted:
                show("stopped at once; the same command continues from the last checkpoints")
        show(str(callback.snapshot(0.0)))
        return 128 + received[0] if received else DONE
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def _start_ray(launch: Launch) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # a trial's relative paths are the driver's
    if not launch.address:
        cores = launch.concurrency or launch.cores
        ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
        return
    try:
        ray.init(address=launch.address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster at address {launch.address} ({reason}); start one, or leave it out") from None


def _resources(launch: Launch) -> tuple[dict[str, float], int]:
    """What Tune reserves for a trial, and how many trials run at a time.

    Raises:
        InputError: The cluster has nothing to run on, and no flag says what will join it.
    """
    have = ray.cluster_resources()
    cores, gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
    if gpus or launch.trials_per_gpu:
        shared = launch.trials_per_gpu or 1
        return {"cpu": 0, "gpu": 1 / shared}, launch.concurrency or max(gpus, 1) * shared
    if not (cores or launch.concurrency):
        raise InputError(
            "the cluster has neither CPUs nor GPUs for trials yet; say what will join it: "
            "--trials-per-gpu N --concurrency M"
        )
    return {"cpu": 1}, launch.concurrency or cores


def _shelf(store: Path) -> Any:
    """The shelf on the driver's own node, whose disk holds the store."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Shelf.options(scheduling_strategy=here).remote(str(store.resolve()))


@contextlib.contextmanager
def _signals(stop: GracefulStop, show: Callable[[str], None]) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM end every trial at its next report; the second one ends the study at once."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)
        stop.asked = True
        if len(received) > 1:
            raise Interrupted
        show("stopping: every trial goes to its next report and is stored; once more to stop at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet(folder: Path) -> Iterator[Callable[[str], None]]:
    """Send all that Ray and Tune print to `ray.txt`, whatever they print it with.

    Yields:
        Our own way out: a line for the terminal and for `progress.txt`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal, errors = os.dup(1), os.dup(2)
    with (folder / "ray.txt").open("a") as chatter:
        os.dup2(chatter.fileno(), 1)
        os.dup2(chatter.fileno(), 2)

    def show(line: str) -> None:
        os.write(terminal, f"{line}\n".encode())
        with (folder / "progress.txt").open("a") as progress:
            progress.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    try:
        yield show
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(terminal, 1)
        os.dup2(errors, 2)
        os.close(terminal)
        os.close(errors)
