"""Where trials run: Ray on this machine or at an address, what a trial reserves, and the actors beside it."""

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.config import Launch
from study.plan import GPU_CHECKPOINT_SECONDS, Speed
from study.shelf import Shelf
from study.store import open_study
from trainables.checks import InputError
from trainables.config import Evaluation, TrialConfig, from_dict
from trainables.data.cache import cache_folder
from trainables.packed import PackedTrial, PackRegistry
from trainables.software import check_software, commit, software
from trainables.trial import VAETrial

HANG_SECONDS = 900.0
"""A trial's start and a full evaluation take less, whatever the machine."""
THIN_PATIENCE = 3
"""A trial in a pack waits so much longer than its server: while it joins, and for the reports of its neighbours."""
DRIVER_PATIENCE = 1.5
"""As much longer the driver waits, for a process that is stopped, or a node that is: neither ends itself."""
CALIBRATION_SECONDS, CALIBRATION_TIMEOUT, CHECK_TIMEOUT = 4.0, 90.0, 60.0


@dataclass(frozen=True)
class Workers:
    """What Tune needs to know of the trials.

    Attributes:
        trainable: With all that its trials are told.
        slots: Trials at a time.
        hang_seconds: A trial that is silent for longer has not been ended by its own watch.
    """

    trainable: Any
    slots: int
    hang_seconds: float


def start_ray(launch: Launch) -> None:
    """Start Ray on this machine, or join it at the address.

    Raises:
        InputError: It does not start, or is not there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # a trial's relative paths are the driver's
    if not launch.address:
        cores = launch.cores if launch.lanes else launch.concurrency or launch.cores  # lanes need none
        gpus = 1 if launch.on_cpu else None  # one that is not there: it stands for the pack
        try:
            ray.init(address="local", num_cpus=cores, num_gpus=gpus, include_dashboard=False, log_to_driver=False)
        except Exception as error:  # Ray's own class for a node that did not come up in time is Exception itself
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"Ray did not start on this machine ({reason}); the same command tries again") from error
        return
    try:
        ray.init(address=launch.address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"no Ray cluster at address {launch.address} ({reason}); start one, or leave it out; one with a token "
            "wants RAY_AUTH_MODE=token here too"
        ) from None


def workers(
    store: Path, dataset: str, evaluation: Evaluation, launch: Launch, trainable: type[VAETrial] | None = None
) -> Workers:
    """The trials of a study on the Ray that has been started: each a process of its own, or lanes of packs.

    Args:
        store: Its folder.
        dataset: Name or path.
        evaluation: How trials are measured.
        launch: Where to run.
        trainable: Instead of our own trials.

    Raises:
        InputError: As `resources`, or as `check_nodes`.
    """
    reserved, slots = resources(launch)
    if launch.address:
        check_nodes()
    identity = open_study(store).identity
    hang_seconds = launch.hang_seconds or HANG_SECONDS + evaluation.report_every  # a second an update is a hang
    told: dict[str, Any] = {
        "evaluation": asdict(evaluation),
        "shelf": beside_the_driver(Shelf).remote(str(store.resolve()), dataset, str(cache_folder().resolve())),
        "software": software() if launch.address else None,  # nodes that join later are held to it too
        "dataset_sha256": identity["dataset"],
        "hang_seconds": hang_seconds,
        "checkpoint_seconds": GPU_CHECKPOINT_SECONDS if "gpu" in reserved and not launch.on_cpu else 0.0,
    }
    kind = trainable or (PackedTrial if launch.lanes else VAETrial)
    if launch.lanes and issubclass(kind, PackedTrial):
        slower = launch.lanes if launch.on_cpu or identity["executor"] == "loop" else 1  # lanes one after another
        told["hang_seconds"] = THIN_PATIENCE * hang_seconds * slower  # its server is the first to notice
        serving = kind.serving(
            evaluation=evaluation,
            executor=identity["executor"],
            dataset=dataset,
            dataset_sha256=identity["dataset"],
            on_cpu=launch.on_cpu,
            hang_seconds=hang_seconds * slower,
            shelf=told["shelf"],
        )
        told["registry"] = beside_the_driver(PackRegistry).remote(serving)
    ours = tune.with_resources(tune.with_parameters(kind, **told), reserved)
    return Workers(ours, slots, DRIVER_PATIENCE * told["hang_seconds"])


def check_nodes() -> None:
    """Refuse a cluster some node of which runs other software than the driver, before the first trial.

    Raises:
        InputError: Naming the nodes, what differs and the remedy.
    """
    told = {**software(), "commit": commit()}
    asked = {node: _checked.options(scheduling_strategy=_on(node)).remote(told) for node in _alive()}
    limit, problems = time.monotonic() + CHECK_TIMEOUT, list[str]()
    for node, answer in asked.items():
        try:
            said = ray.get(answer, timeout=max(0.0, limit - time.monotonic()))
        except GetTimeoutError:
            said = f"no answer within {CHECK_TIMEOUT:.0f} s"
        except RayError as error:
            said = str(error).splitlines()[-1]
        if said and node in _alive():  # a machine that has just been taken away is none of ours
            problems.append(said)
    if problems:
        raise InputError(f"not every node can train: {'; '.join(dict.fromkeys(problems))}")


def beside_the_driver(actor: Any) -> Any:
    """The actor on the driver's own node, whose disk holds the store; it comes back as often as it dies."""
    here = _on(ray.get_runtime_context().get_node_id())
    return actor.options(scheduling_strategy=here, max_restarts=-1, max_task_retries=-1)


def resources(launch: Launch) -> tuple[dict[str, float], int]:
    """What Tune reserves for a trial, and how many trials run at a time.

    Raises:
        InputError: The cluster has nothing to run on, and no flag says what will join it.
    """
    have = ray.cluster_resources()
    cores, gpus = int(have.get("CPU", 0)), int(have.get("GPU", 0))
    if shared := launch.per_gpu or (1 if gpus else None):
        room = max(gpus, 1) * shared
        more = launch.concurrency or room  # of a cluster, more GPUs may join
        return {"cpu": 0, "gpu": 1 / shared}, more if launch.address else min(more, room)
    if not (cores or launch.concurrency):
        raise InputError(
            "the cluster has neither CPUs nor GPUs for trials yet; say what will join it: --lanes N (or "
            "--trials-per-gpu N) --concurrency M"
        )
    return {"cpu": 1}, launch.concurrency or cores


def measured_speed(config: TrialConfig, launch: Launch, executor: str) -> Speed:
    """How fast a trial trains on the kind of node that will train it, with as many others beside it as planned.

    Args:
        config: Of the trial.
        launch: Where it would run; Ray has been started.
        executor: Of a pack.

    Raises:
        InputError: No such node is there now, or it cannot train the trial.
    """
    reserved, slots = resources(launch)
    have, fields = ray.cluster_resources(), asdict(config)
    if launch.lanes:
        pack = (launch.lanes, executor, launch.on_cpu)
        tasks = [_in_a_pack.options(num_gpus=1).remote(fields, CALIBRATION_SECONDS, *pack)] if have.get("GPU") else []
    else:
        alone = _alone.options(num_cpus=reserved["cpu"], num_gpus=reserved.get("gpu", 0))
        room = have.get("GPU", 0) / reserved["gpu"] if "gpu" in reserved else have.get("CPU", 0)
        tasks = [alone.remote(fields, CALIBRATION_SECONDS) for _ in range(min(slots, int(room)))]
    if not tasks:
        raise InputError("no node of that kind has joined the cluster yet")
    try:
        done = ray.get(tasks, timeout=CALIBRATION_TIMEOUT)
    except GetTimeoutError:
        raise InputError(f"no node has answered within {CALIBRATION_TIMEOUT:.0f} s") from None
    except RayTaskError as error:
        raise InputError(str(error.cause)) from None
    except RayError as error:  # the worker or its node has died
        raise InputError(str(error).splitlines()[0]) from None
    kind = "a GPU" if "gpu" in reserved and not launch.on_cpu else "a core"
    many = launch.lanes or len(done)
    return Speed.calibrated(
        sum(done) / len(done), f"{kind} of a node that would train{f', {many} at a time' * (many > 1)}"
    )


def _alive() -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


@ray.remote(num_cpus=0, max_retries=0)
def _checked(expected: dict[str, str]) -> str:
    try:
        check_software(expected)
    except InputError as error:
        return str(error)
    return ""


@ray.remote(max_retries=0)
def _alone(config: dict[str, Any], seconds: float) -> float:
    from trainables.speed import updates_per_second  # torch, in the worker alone

    return updates_per_second(from_dict(TrialConfig, config), seconds)


@ray.remote(num_cpus=0, max_retries=0)
def _in_a_pack(config: dict[str, Any], seconds: float, lanes: int, executor: str, on_cpu: bool) -> float:
    from trainables.speed import updates_per_second, updates_per_second_packed

    trial, device = from_dict(TrialConfig, config), "cpu" if on_cpu else None
    if executor == "loop":  # one lane after another
        return updates_per_second(trial, seconds, device) / lanes
    return updates_per_second_packed(trial, seconds, lanes, device)
