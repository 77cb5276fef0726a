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
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.adapters import Shelf, SourceSearcher, SourceStopper, StoreCallback
from study.config import Launch
from study.plan import Speed, duration, to_run
from study.source import Source
from study.store import Store, open_study
from trainables.checks import InputError
from trainables.config import Evaluation, TrialConfig, from_dict
from trainables.trial import VAETrial

MAX_FAILURES = 2
"""Attempts of a trial beyond its first."""
GPU_CHECKPOINT_SECONDS = 60.0
HANG_SECONDS = 900.0
"""A trial's start and a full evaluation take less, whatever the machine."""
CALIBRATION_SECONDS, CALIBRATION_TIMEOUT = 4.0, 90.0
DONE, FAILED, LEFT_OVER = 0, 1, 3


class Interrupted(KeyboardInterrupt):
    """A second signal: stop without waiting for the next reports."""


def run(store: Store, source: Source, evaluation: Evaluation, launch: Launch) -> int:
    """Train what the source has, and write the report.

    Args:
        store: Open for writing; closed at the end.
        source: Of the trials.
        evaluation: How trials are measured.
        launch: Where to run.

    Returns:
        0 done, 1 trials have failed or the report has, 3 trials are left over, 130 or 143 stopped by a signal.

    Raises:
        InputError: Ray does not start, or is not at the address, or has nothing that a trial could run on.
    """
    if code := train(store, source, evaluation, launch):
        return code
    report = subprocess.run([sys.executable, "-m", "analysis.report", str(store.path)], check=False)
    if report.returncode:
        print(f"the report could not be written; once more: python -m analysis.report {store.path}", file=sys.stderr)
        return FAILED
    status, plan = open_study(store.path).status(), source.planned()
    if any(status.get(key) == "failed" for key in plan):
        return FAILED
    return LEFT_OVER if to_run(plan, status) else DONE


def train(
    store: Store, source: Source, evaluation: Evaluation, launch: Launch, trainable: type[VAETrial] = VAETrial
) -> int:
    """Train what the source has, show how it goes, and close the store: `run` without its report.

    Returns:
        0, or 128 + the signal that stopped it.
    """
    with _quiet(store.path / "logs") as show:
        code, began = DONE, time.monotonic()
        try:
            if source.has_more:
                code = _tune(store, source, evaluation, launch, trainable, show)
                seconds = time.monotonic() - began
                left = to_run(source.planned(), open_study(store.path).status())
                took = f"{duration(seconds)}{launch.budget.cost(seconds)}{', and trials are left' * bool(left)}"
                show(f"predicted: {store.record_actual(took)}; took {took}")
            for line in source.closing():
                show(line)
        finally:
            store.close()
    return code


def _tune(
    store: Store,
    source: Source,
    evaluation: Evaluation,
    launch: Launch,
    trainable: type[VAETrial],
    show: Callable[[str], None],
) -> int:
    """Run Tune over what the source has; DONE, or 128 + the signal that stopped it."""
    stop = SourceStopper(source)
    scratch = tempfile.mkdtemp(prefix="capacity-study-")  # Tune's own folder; the store is the record
    try:
        _start_ray(launch)
        resources, slots = _resources(launch)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)  # else a custom Searcher allows one pending trial
        os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(10**6)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        callback = StoreCallback(store, source, stop, show, launch.budget)
        bound = tune.with_parameters(
            trainable,
            evaluation=asdict(evaluation),
            shelf=_shelf(store.path),
            dataset_sha256=open_study(store.path).identity["dataset"],
            hang_seconds=HANG_SECONDS + evaluation.report_every,  # slower than one update a second is a hang
            checkpoint_seconds=GPU_CHECKPOINT_SECONDS if "gpu" in resources else 0.0,
        )
        tuner = tune.Tuner(
            tune.with_resources(bound, resources),
            tune_config=tune.TuneConfig(
                search_alg=SourceSearcher(source, stop),
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
        show(f"training, {slots} trials at a time; Ray's own output: {store.path}/logs/ray.txt")
        with _signals(stop, show) as received:
            try:
                tuner.fit()
            except Interrupted:
                show("stopped at once; the same command continues from the last checkpoints")
        show(str(callback.snapshot(None)))
        return 128 + received[0] if received else DONE
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def calibrate(config: TrialConfig, launch: Launch) -> Speed:
    """How fast a trial trains on the kind of node that will train it, with as many others beside it as planned.

    Raises:
        InputError: No such node is there now, or it cannot train the trial.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet(Path(folder)):
        try:
            _start_ray(launch)
            resources, slots = _resources(launch)
            task = _updates_per_second.options(num_cpus=resources["cpu"], num_gpus=resources.get("gpu", 0))
            have = ray.cluster_resources()
            room = int(have.get("GPU", 0) / resources["gpu"]) if "gpu" in resources else int(have.get("CPU", 0))
            tasks = [task.remote(asdict(config), CALIBRATION_SECONDS) for _ in range(min(slots, room))]
            if not tasks:
                raise InputError("no node of that kind has joined the cluster yet")
            done = ray.get(tasks, timeout=CALIBRATION_TIMEOUT)
        except GetTimeoutError:
            raise InputError(f"no node has answered within {CALIBRATION_TIMEOUT:.0f} s") from None
        except RayTaskError as error:
            raise InputError(str(error.cause)) from None
        except RayError as error:  # the worker or its node has died
            raise InputError(str(error).splitlines()[0]) from None
        finally:
            ray.shutdown()
    kind = "a GPU" if "gpu" in resources else "a core"
    beside = f", {len(done)} at a time" if len(done) > 1 else ""
    return Speed.calibrated(sum(done) / len(done), f"{kind} of a node that would train{beside}")


@ray.remote(max_retries=0)
def _updates_per_second(config: dict[str, Any], seconds: float) -> float:
    from trainables.speed import updates_per_second  # torch, in the worker alone

    return updates_per_second(from_dict(TrialConfig, config), seconds)


def _start_ray(launch: Launch) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # a trial's relative paths are the driver's
    if not launch.address:
        cores = launch.concurrency or launch.cores
        try:
            ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
        except Exception as error:  # Ray's own class for a node that did not come up in time is Exception itself
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"Ray did not start on this machine ({reason}); the same command tries again") from error
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
def _signals(stop: SourceStopper, show: Callable[[str], None]) -> Iterator[list[int]]:
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
        with contextlib.suppress(OSError):  # a terminal that has been closed costs the study nothing
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
