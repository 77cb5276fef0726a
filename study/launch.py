"""Runs a study from its plan to its report: the store, Ray, the Tuner, signals and the exit code."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ray
from ray import tune

from study.adapters import SourceSearcher, SourceStopper, StoreCallback
from study.config import Launch
from study.lost import survive_lost_results
from study.patience import MAX_FAILURES
from study.plan import Speed, duration, to_run
from study.source import Source
from study.store import Store, no_room, open_study
from study.workers import measured_speed, start_ray, workers
from trainables.config import Evaluation, TrialConfig
from trainables.trial import VAETrial

DONE, FAILED, LEFT_OVER = 0, 1, 3


class Interrupted(KeyboardInterrupt):
    """A second signal: stop without waiting for the next reports."""


def run(store: Store, source: Source, evaluation: Evaluation, launch: Launch, report: bool = True) -> int:
    """Train what the source has, and write the report.

    Args:
        store: Open for writing; closed at the end.
        source: Of the trials.
        evaluation: How trials are measured.
        launch: Where to run.
        report: Whether to write it.

    Returns:
        0 done, 1 trials have failed or the report has, 3 trials are left over, 130 or 143 stopped by a signal.

    Raises:
        InputError: Ray does not start, or is not at the address, or has nothing that a trial could run on.
    """
    if code := train(store, source, evaluation, launch):
        return code
    write = [sys.executable, "-m", "analysis.report", str(store.path)]
    if report and subprocess.run(write, check=False).returncode:
        print(f"the report could not be written; once more: python -m analysis.report {store.path}", file=sys.stderr)
        return FAILED
    status, plan = open_study(store.path).status(), source.planned()
    if any(status.get(key) == "failed" for key in plan):
        return FAILED
    return LEFT_OVER if to_run(plan, status) else DONE


def train(
    store: Store, source: Source, evaluation: Evaluation, launch: Launch, trainable: type[VAETrial] | None = None
) -> int:
    """Train what the source has, show how it goes, and close the store: `run` without its report.

    Returns:
        0, or 128 + the signal that stopped it.

    Raises:
        InputError: As `run`.
        StoreError: The store's disk is full.
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
            store.close()
        except Exception as error:  # Tune's own class wraps what a callback has raised
            if full := no_room(store.path, error):
                raise full from None
            raise
        finally:
            with contextlib.suppress(OSError):
                store.close()
    return code


def _tune(
    store: Store,
    source: Source,
    evaluation: Evaluation,
    launch: Launch,
    trainable: type[VAETrial] | None,
    show: Callable[[str], None],
) -> int:
    """Run Tune over what the source has; DONE, or 128 + the signal that stopped it."""
    stop = SourceStopper(source)
    scratch = scratch_of(store.path)
    shutil.rmtree(scratch, ignore_errors=True)  # of a driver that was killed
    try:
        scratch.mkdir(mode=0o700)
        start_ray(launch)
        dataset = next(iter(source.planned().values())).dataset
        ours = workers(store.path, dataset, evaluation, launch, trainable)
        survive_lost_results()
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(ours.slots)  # else a custom Searcher allows one pending trial
        os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(10**6)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        callback = StoreCallback(store, source, stop, show, launch.budget, ours.hang_seconds)
        tuner = tune.Tuner(
            ours.trainable,
            tune_config=tune.TuneConfig(
                search_alg=SourceSearcher(source, stop),
                num_samples=-1,
                max_concurrent_trials=ours.slots,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=str(scratch),
                verbose=0,
                stop=stop,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        )
        show(f"training, {ours.slots} trials at a time; Ray's own output: {store.path}/logs/ray.txt")
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


def scratch_of(store: Path) -> Path:
    """Tune's own folder of a study, which has one driver at a time; the store is the record."""
    named = hashlib.sha256(os.fsencode(store.resolve())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"capacity-study-{os.getuid()}-{named}"


def calibrate(config: TrialConfig, launch: Launch, executor: str) -> Speed:
    """How fast a trial trains on the kind of node that will train it, with as many others beside it as planned.

    Raises:
        InputError: No such node is there now, or it cannot train the trial.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet(Path(folder)):
        try:
            start_ray(launch)
            return measured_speed(config, launch, executor)
        finally:
            ray.shutdown()


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
        with contextlib.suppress(OSError), (folder / "progress.txt").open("a") as progress:  # nor does a full disk
            progress.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    try:
        yield show
    finally:
        for chatty in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                chatty.flush()
        os.dup2(terminal, 1)
        os.dup2(errors, 2)
        os.close(terminal)
        os.close(errors)
