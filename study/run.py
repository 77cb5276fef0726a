"""The command line: `python study/run.py --search capacity_grid`.

Exit codes: 0 done, 1 trials failed, 2 bad input, 3 trials left over by --max-trials, 130 Ctrl-C, 143 SIGTERM.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from study.config import PROTOCOLS, StudyConfig
from study.plan import ASSUMED_STEPS_PER_SECOND, Price, duration, price, report_sparingly, to_run
from study.progress import snapshot
from study.searches import SEARCHES, cells
from study.store import Store, StoreError, Study, open_study
from trainables.config import InputError, check_range, read_settings
from trainables.data.cache import locate
from trainables.data.dataset import open_dataset
from trainables.hardware import cpu_has_bf16, require_precision


def parser() -> argparse.ArgumentParser:
    """Every flag of the command."""
    flags = argparse.ArgumentParser(
        prog="python study/run.py",
        description="Train many small VAEs side by side and tabulate what reconstruction costs in disentanglement.",
        epilog="The same command run again continues: finished trials are kept, interrupted ones resume.",
    )
    flags.add_argument("--search", default="capacity_grid", help="which trials (--list)")
    flags.add_argument("--protocol", default="laptop", help="laptop (minutes on 2 cores) or paper (GPU days)")
    flags.add_argument("--store", type=Path, help="default: results/<search>-<protocol>")
    flags.add_argument("--seeds", type=int, help="replicates of each setting")
    flags.add_argument("--max-trials", type=int, metavar="N", help="train at most N trials now")
    flags.add_argument("--concurrency", type=int, metavar="N", help="trials at a time (default: one a core)")
    flags.add_argument("--trials-per-gpu", type=int, metavar="N", help="trials that share one GPU")
    flags.add_argument("--address", help="host:port of a running Ray cluster, or auto on its head")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE[,VALUE]",
                       help="any trial or evaluation setting; pins a searched one, several widen it")  # fmt: skip
    flags.add_argument("--retry-failed", action="store_true", help="also train again what failed")
    flags.add_argument("--dry-run", action="store_true", help="print the plan and its price, start nothing")
    flags.add_argument("--list", action="store_true", help="print the searches and their price")
    flags.add_argument("--status", type=Path, metavar="STORE", help="print where a study stands")
    return flags


def main(words: list[str]) -> int:
    """Run the command; bad input is one line on standard error and exit code 2."""
    arguments = parser().parse_args(words)
    try:
        if arguments.list:
            return list_searches()
        if arguments.status:
            return show_status(open_study(arguments.status))
        return run(arguments, ["study/run.py", *words])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the study's own handlers are in place, or after
        return 130


def list_searches() -> int:
    """Print each search with its trials and price under each protocol, on this machine."""
    for name, search in SEARCHES.items():
        print(f"{name}: {search.purpose}")
        for protocol in PROTOCOLS:
            study = settled(StudyConfig(name, protocol), None)
            print(f"  {protocol}: {price(cells(study), study.evaluation, cores(), None)}")
    return 0


def show_status(study: Study) -> int:
    """Print a study's counts, rate, and whatever is wrong with its files."""
    plans = [StudyConfig.from_json(entry["study"]) for entry in study.plan]
    targets = {config.key(): config.steps for plan in plans for config in cells(plan)}
    status = study.status()
    running = sum(state == "running" for state in status.values())
    print(snapshot(targets, status, study.steps(), (measured_speed(study) or 0.0) * running))
    times = study.rows().get("time")
    if times is not None:
        print(f"last report {duration(time.time() - times.max())} ago")  # old while trials run: their driver is gone
    for key, state in status.items():
        if state == "failed":
            print(f"trial {key} failed: see {study.log_path(key)}")
    for problem in study.problems:
        print(f"warning: {problem}")
    return 0


def run(arguments: argparse.Namespace, command: list[str]) -> int:
    """Check everything, print the plan and its price, then train."""
    for name, low in (("max_trials", 1), ("concurrency", 1), ("trials_per_gpu", 1)):
        check_range(f"--{name.replace('_', '-')}", getattr(arguments, name), low, 100_000)
    trial, measured = read_settings(arguments.set)
    study = StudyConfig(
        search=arguments.search,
        protocol=arguments.protocol,
        seeds=arguments.seeds,
        pinned={name: tuple(values) for name, values in trial.items()},
        measured=measured,
    )
    path = arguments.store or Path("results") / f"{study.search}-{study.protocol}"
    existing = open_study(path) if (path / "study.json").exists() else None
    study = settled(study, existing)
    plan = cells(study)
    slots = arguments.concurrency or cores()
    speed = measured_speed(existing) if existing else None
    pending = to_run(plan, existing.status() if existing else {}, arguments.retry_failed)
    pending = pending[: arguments.max_trials]
    cost = price(pending, study.evaluation, slots, speed)
    print(f"{study.search} ({study.protocol}): {len(plan)} trials, {len(plan) - len(pending)} not to be run, in {path}")
    print(f"to run now, {min(slots, len(pending))} at a time: {cost}", flush=True)
    check_disk(path, cost)
    if arguments.dry_run:
        return 0
    return start(arguments, command, study, path, cost)


def start(
    arguments: argparse.Namespace,
    command: list[str],
    study: StudyConfig,
    path: Path,
    cost: Price,
) -> int:
    """Open the store and hand over to Ray, which is imported only here."""
    from study import launch

    launch.check_address(arguments.address)
    if not arguments.address:
        require_precision(study.pinned["precision"][0], on_gpu=has_gpu())
    dataset = open_dataset(locate(study.dataset))
    with Store.open(path, study.identity(dataset.sha256), launch.provenance(command, cost)) as store:
        for warning in store.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        plan = cells(study)
        store.extend_plan({"study": study.to_json(), "trials": len(plan)})
        known = open_study(path).status()  # again, now that no other driver can write
        pending = to_run(plan, known, arguments.retry_failed)[: arguments.max_trials]
        slots = arguments.concurrency or cores()
        where = launch.Launch(arguments.address, arguments.concurrency, arguments.trials_per_gpu)
        evaluation = report_sparingly(study.evaluation, slots, assumed_speed(study))
        return launch.run(store, plan, pending, evaluation, where)


def settled(study: StudyConfig, existing: Study | None) -> StudyConfig:
    """The study with `auto` settings resolved: once, when the study is created, and then as its store says."""
    if "precision" in study.pinned:
        return study
    if existing:
        return study.with_precision(existing.identity["precision"])
    return study.with_precision("bf16" if cpu_has_bf16() or has_gpu() else "fp32")


def measured_speed(study: Study) -> float | None:
    """Updates a second of one trial, the median over the store's reports; None without any."""
    rows = study.rows()
    speeds = rows["steps_per_second"].dropna() if "steps_per_second" in rows else []
    return statistics.median(speeds) if len(speeds) else None


def assumed_speed(study: StudyConfig) -> float:
    """Updates a second of one trial where none has been measured."""
    return ASSUMED_STEPS_PER_SECOND[study.pinned["precision"][0]]


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA driver; asked without loading torch."""
    return shutil.which("nvidia-smi") is not None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_disk(path: Path, cost: Price) -> None:
    """Refuse a plan that does not fit the disk.

    Raises:
        StoreError: Naming what is needed, what is free and the remedy.
    """
    parent = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < cost.disk_bytes:
        raise StoreError(
            f"the plan needs {cost.disk_bytes / 1e6:,.0f} MB and {parent} has {free / 1e6:,.0f} MB free; "
            "free some, or use --store on another disk"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
