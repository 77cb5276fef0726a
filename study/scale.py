"""A large study on paper: its hours, and what it asks of the driver and of the machines beside what each can do.

Nobody has measured how many updates a second a GPU makes, so that is asked; all else has its source beside it.
`python -m study.scale` prints the table of docs/cluster.md.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from study.plan import (
    ASSUMED_STEPS_PER_SECOND,
    CHECKPOINT_BYTES,
    GPU_CHECKPOINT_SECONDS,
    MAX_ROWS_PER_SECOND,
    STORED_BYTES,
    report_sparingly,
    updates_of,
)
from study.preflight import LANE_BYTES
from study.prices import CLUSTER, fleet
from study.protocols import PAPER, published
from trainables.config import Evaluation, TrialConfig

DRIVER_SECONDS, DRIVER_BYTES = 0.09, 35_600
"""Of a trial that trains nothing: of the driver's time and memory (docs/searches.md, 10,000 trials on 2 cores)."""
DRIVER_BASE_BYTES = 1_000_000_000
"""Of the driver and Ray's own processes beside it, before any trial; assumed."""
ROW_BYTES, READ_BYTES = 1_050, 2_500
"""Of a report of 100 columns: in the store once compacted, and of memory while all are read as one table, as at a
study's end and in its report (400,000 rows took 982 MB)."""
PART_FILES = 600
"""Of rows and events at most: compacted at 500, and one more for every 64 MB (study/store.py, study/parts.py)."""
PROCESS_SECONDS, REUSED_SECONDS = 1.9, 0.23
"""Until a trial begins: in a process of its own, and in one that another trial has left (Tune 2.60, on 2 cores)."""
FILES = 3
"""Of a finished trial: arrays, weights, log."""
SCORING_SECONDS = 20.0
"""Of a core of the GPU machine, a trial: the last full evaluation with its nulls (docs/packing.md)."""
DRIVER_BYTES_PER_SECOND, DISK_BYTES_PER_SECOND = 70e6, 125e6
"""Of checkpoints: by the driver's CPU time (benchmarks/driver_scale.py), and that AWS's gp3 disk writes as it comes."""
SYSTEM_BYTES = 4_000_000_000
"""Of a GPU machine's memory: the system, Ray, and a pack's server with torch, CUDA and the dataset; assumed."""


TRIALS, GPUS, LANES, UPDATES = 12_600, (1, 8, 64), 32, (3_000, 15_000)
"""Of the table: the published benchmark's trials, GPUs, and what two full packs might make in a second."""


@dataclass(frozen=True)
class Machine:
    """What `cluster.yaml` has machines of.

    Attributes:
        cores: Of one with a GPU.
        memory: Of the same, bytes; of the head too.
        disk: Of the head, bytes.
    """

    cores: int = 4
    memory: float = 16 * 2**30
    disk: float = 150 * 2**30


@dataclass(frozen=True)
class Scale:
    """What a study comes to.

    Attributes:
        slots: Trials at a time.
        hours: At best: every lane always busy, nothing but training and measuring.
        hours_at_worst: All lanes of all GPUs begin together and so end together; the last round takes as long with
            its few trials as with all; and the driver starts one process after another.
        rows_per_second: Reports through the driver.
        checkpoints_per_second: States through the driver and onto its disk.
        bytes_per_second: Of these, and of what finished trials leave.
        start_seconds: Until the last of the first trials has begun, one after another.
        restart_seconds: Until the last of the next ones has, in processes that are there, where all end together.
        tail: Share of the worst hours in which GPUs wait for the last trials.
        store_bytes: At its end, with the checkpoints of what runs.
        files: In the store at its end.
        driver_bytes: Of the head's memory, when all rows are read at the end.
        machine_bytes: Of a GPU machine's memory.
        loads: What is asked over what can be had, by what it is asked of; over 1 it is the limit, not the GPUs.
    """

    slots: int
    hours: float
    hours_at_worst: float
    rows_per_second: float
    checkpoints_per_second: float
    bytes_per_second: float
    start_seconds: float
    restart_seconds: float
    tail: float
    store_bytes: float
    files: int
    driver_bytes: float
    machine_bytes: float
    loads: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """What reaches its limit first as the study grows."""
        return max(self.loads, key=self.loads.__getitem__)


def on_paper(
    trials: int,
    gpus: int,
    lanes: int,
    updates_per_second: float,
    config: TrialConfig,
    evaluation: Evaluation,
    machine: Machine | None = None,
) -> Scale:
    """A study of so many equal trials on so many GPUs, from the constants above.

    Args:
        trials: At least 1.
        gpus: One a machine.
        lanes: Trials that each trains as one pack.
        updates_per_second: Of a full pack, all its lanes together.
        config: Of every trial.
        evaluation: As the protocol has it; reports are thinned as the plan thins them.
        machine: None for those of `cluster.yaml`.
    """
    machine, slots = machine or Machine(), gpus * lanes
    thinned = report_sparingly(evaluation, slots, ASSUMED_STEPS_PER_SECOND["gpu"])
    updates, every = updates_of(config, thinned), thinned.report_every
    round_seconds = updates * lanes / updates_per_second
    rounds, seconds = math.ceil(trials / slots), trials * updates / updates_per_second / gpus
    per_second = min(trials, slots) / round_seconds  # trials that end
    start, restart = (each * min(trials, slots) for each in (PROCESS_SECONDS, REUSED_SECONDS))
    worst = start + rounds * max(round_seconds, restart)

    report_seconds = every * lanes / updates_per_second
    checkpoint_seconds = math.ceil(GPU_CHECKPOINT_SECONDS / report_seconds) * report_seconds
    checkpoints = min(trials, slots) / checkpoint_seconds
    bytes_per_second = checkpoints * CHECKPOINT_BYTES + per_second * STORED_BYTES
    rows, all_rows = min(trials, slots) / report_seconds, trials * config.steps / every
    store = trials * STORED_BYTES + all_rows * ROW_BYTES + min(trials, slots) * CHECKPOINT_BYTES
    driver = DRIVER_BASE_BYTES + trials * DRIVER_BYTES + all_rows * READ_BYTES
    on_machine = SYSTEM_BYTES + lanes * LANE_BYTES
    return Scale(
        slots=slots,
        hours=seconds / 3600,
        hours_at_worst=worst / 3600,
        rows_per_second=rows,
        checkpoints_per_second=checkpoints,
        bytes_per_second=bytes_per_second,
        start_seconds=start,
        restart_seconds=restart,
        tail=(rounds - trials / slots) * round_seconds / worst,
        store_bytes=store,
        files=trials * FILES + PART_FILES,
        driver_bytes=driver,
        machine_bytes=on_machine,
        loads={
            "reports": rows / MAX_ROWS_PER_SECOND,
            "trials": per_second * DRIVER_SECONDS,
            "checkpoints": bytes_per_second / min(DRIVER_BYTES_PER_SECOND, DISK_BYTES_PER_SECOND),
            "the head's memory": driver / machine.memory,
            "the head's disk": store / machine.disk,
            "a machine's memory": on_machine / machine.memory,
            "a machine's cores": per_second / gpus * SCORING_SECONDS / machine.cores,
        },
    )


def table() -> Iterator[str]:
    """The published benchmark on 1, 8 and 64 GPUs of `cluster.yaml`, in Markdown."""
    protocol, cluster = published(PAPER), yaml.safe_load(CLUSTER.read_text())
    cases = [(gpus, updates) for updates in UPDATES for gpus in GPUS]
    found = [on_paper(TRIALS, gpus, LANES, updates, protocol.trial, protocol.evaluation) for gpus, updates in cases]
    yield _row("GPUs", *(gpus for gpus, _ in cases))
    yield _row(*["---"] * (len(cases) + 1))
    yield _row("updates/s of a pack, assumed", *(f"{updates:,}" for _, updates in cases))
    yield _row("hours", *(f"{scale.hours:.1f} to {scale.hours_at_worst:.1f}" for scale in found))
    yield _row("tail, of the longest", *(f"{scale.tail:.1%}" for scale in found))
    yield _row("first trials begin within, min", *(f"{scale.start_seconds / 60:.0f}" for scale in found))
    yield _row("next ones within, s", *(f"{scale.restart_seconds:.0f}" for scale in found))
    yield _row("reports/s", *(f"{scale.rows_per_second:.0f}" for scale in found))
    yield _row("checkpoints/s", *(f"{scale.checkpoints_per_second:.1f}" for scale in found))
    yield _row("MB/s", *(f"{scale.bytes_per_second / 1e6:.0f}" for scale in found))
    yield _row("store, GB", *(f"{scale.store_bytes / 1e9:.0f}" for scale in found))
    yield _row("files", *(f"{scale.files:,}" for scale in found))
    yield _row("head's memory, GB", *(f"{scale.driver_bytes / 1e9:.1f}" for scale in found))
    yield _row("a machine's memory, GB", *(f"{scale.machine_bytes / 1e9:.1f}" for scale in found))
    for what in found[0].loads:
        yield _row(f"load: {what}", *(f"{scale.loads[what]:.2f}" for scale in found))
    yield _row("**first limit**", *(_first(scale) for scale in found))
    costs = []
    for (gpus, _), scale in zip(cases, found, strict=True):
        wide = {**cluster, "max_workers": gpus}
        wide["available_node_types"] = {
            name: {**kind, "max_workers": min(kind["max_workers"], 1) * gpus}
            for name, kind in cluster["available_node_types"].items()
        }
        if bill := fleet(wide, scale.slots, LANES):
            costs.append(f"{bill.per_hour * scale.hours_at_worst:,.0f} ({bill.at_most * scale.hours_at_worst:,.0f})")
    yield _row("USD, spot (on demand)", *costs)


def _first(scale: Scale) -> str:
    return scale.bottleneck if scale.loads[scale.bottleneck] >= 1 else f"the GPUs; then {scale.bottleneck}"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table())
