"""The command line: `python study/run.py --search capacity_grid`.

Exit codes: 0 done, 1 trials (or the report) failed, 2 bad input, 3 trials left over by --max-trials, --max-hours or
--max-cost, 130 Ctrl-C, 143 SIGTERM.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from study.config import Launch, StudyConfig
from study.lock import has_driver
from study.plan import ASSUMED_STEPS_PER_SECOND, Budget, Speed, duration, price, report_sparingly, to_run
from study.preflight import check_address, check_disk, cores, gpus, provenance
from study.progress import measured_speed, progress
from study.protocols import PROTOCOLS
from study.searches import SEARCHES, cells
from study.store import Store, StoreError, Study, open_study
from trainables.config import InputError, check_image_shape, check_range, is_own
from trainables.data.cache import RENDERED, check_known, locate
from trainables.data.dataset import open_dataset
from trainables.hardware import cpu_has_bf16, require_precision
from trainables.own import load, source_sha256
from trainables.settings import read_settings


class Flags(argparse.ArgumentParser):
    """A parser whose errors are one line like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{message}; --help lists the flags")


def a_path(word: str) -> Path:
    """A path from the command line; an empty word, often an unset variable, is none."""
    if not word.strip():
        raise argparse.ArgumentTypeError("the path is empty; give a folder")
    return Path(word)


def parser() -> argparse.ArgumentParser:
    """Every flag of the command."""
    flags = Flags(
        prog="python study/run.py",
        allow_abbrev=False,
        description="Train many small VAEs side by side and tabulate what reconstruction costs in disentanglement.",
        epilog="The same command run again continues: finished trials are kept, interrupted ones resume.",
    )
    flags.add_argument("--search", default="capacity_grid", help="which trials (--list)")
    flags.add_argument("--protocol", default="laptop", help="laptop (minutes on 2 cores) or paper (GPU days)")
    flags.add_argument("--store", type=a_path, help="default: results/<search>-<protocol>")
    flags.add_argument("--seeds", type=int, help="replicates of each setting")
    flags.add_argument("--max-trials", type=int, metavar="N", help="train at most N trials now")
    flags.add_argument(
        "--max-hours", type=float, metavar="H", help="stop after H hours; the same command goes on later"
    )
    flags.add_argument("--max-cost", type=float, metavar="X", help="stop when this run has cost X (--price-per-hour)")
    flags.add_argument("--price-per-hour", type=float, metavar="X", help="of all machines of the study together")
    flags.add_argument("--concurrency", type=int, metavar="N", help="trials at a time (default: one a core)")
    flags.add_argument("--trials-per-gpu", type=int, metavar="N", help="trials that share one GPU")
    flags.add_argument("--address", help="host:port of a running Ray cluster, or auto on its head")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE[,VALUE]",
                       help="any trial or evaluation setting; pins a searched one, several widen it")  # fmt: skip
    flags.add_argument("--retry-failed", action="store_true", help="also train again what failed")
    flags.add_argument("--dry-run", action="store_true", help="print the plan and its price, start nothing")
    flags.add_argument("--list", action="store_true", help="print the searches and their price")
    flags.add_argument("--status", type=a_path, metavar="STORE", help="print where a study stands")
    return flags


def main(words: list[str]) -> int:
    """Run the command; bad input is one line on standard error and exit code 2."""
    try:
        arguments = parser().parse_args(words)
        if arguments.list:
            return list_searches()
        if arguments.status:
            return show_status(open_study(arguments.status))
        return run(arguments, ["study/run.py", *words])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the study's own handlers are in place, or after
        print("stopped; the same command continues", file=sys.stderr)
        return 130
    except SystemExit as ended:  # Ray's own handler of SIGTERM, while Ray starts
        if ended.code == signal.SIGTERM:
            return 128 + signal.SIGTERM
        raise


def list_searches() -> int:
    """Print each search with its trials and price under each protocol, on this machine."""
    where = Launch(cores(), gpus())
    for name, search in SEARCHES.items():
        print(f"{name}: {search.purpose}")
        for protocol in PROTOCOLS:
            study = settled(StudyConfig(name, protocol), None, where)
            print(f"  {protocol}: {price(cells(study), study.evaluation, where.slots, speed_of(study, None, where))}")
    return 0


def show_status(study: Study) -> int:
    """Print a study's counts, rate, and whatever is wrong with its files."""
    print(progress(study.path))
    rows, status = study.rows(), study.status()
    if len(rows):
        print(f"last report {duration(time.time() - max(rows['time']))} ago")  # long ago: the driver is gone
    if not has_driver(study.path) and "running" in status.values():
        print("no driver is running: the same command continues")
    for key, state in status.items():
        if state == "failed":
            print(f"trial {key} failed: see {study.log_path(key)}")
    for problem in [*study.problems, *study.unreadable_arrays]:
        print(f"warning: {problem}")
    return 0


def run(arguments: argparse.Namespace, command: list[str]) -> int:
    """Check everything, print the plan and its price, then train."""
    for name, low in (("max_trials", 1), ("concurrency", 1), ("trials_per_gpu", 1)):
        check_range(f"--{name.replace('_', '-')}", getattr(arguments, name), low, 100_000)
    trial, measured = read_settings(arguments.set)
    if "dataset" in trial:  # workers may run in another folder; a name that we render is no path
        named = [name in RENDERED or not os.path.exists(name) for name in trial["dataset"]]
        trial["dataset"] = [
            name if known else os.path.abspath(name) for name, known in zip(trial["dataset"], named, strict=True)
        ]
    study = StudyConfig(
        search=arguments.search,
        protocol=arguments.protocol,
        seeds=arguments.seeds,
        pinned={name: tuple(values) for name, values in trial.items()},
        measured=measured,
    )
    path = arguments.store or Path("results") / f"{study.search}-{study.protocol}"
    if os.path.exists(path) and not path.is_dir():
        raise StoreError(f"store {path} is a file; give a folder with --store")
    existing = open_study(path) if os.path.exists(path / "study.json") else None
    where = launch_of(arguments)
    check_address(where.address)
    study = settled(study, existing, where)
    if existing:
        existing.check_identity(study.identity(existing.identity.get("dataset", "")))
    plan = cells(study)
    for name in study.own:
        load(name)
    check_known(study.dataset)
    pending = to_run(plan, existing.status() if existing else {}, arguments.retry_failed)[: arguments.max_trials]
    cost = price(pending, study.evaluation, where.slots, speed_of(study, existing, where))
    print(f"{study.search} ({study.protocol}): {len(plan)} trials, {len(plan) - len(pending)} not to be run, in {path}")
    money = where.budget.cost(cost.seconds) if cost.seconds else ""
    print(f"to run now, {min(where.slots, len(pending))} at a time: {cost}{money}", flush=True)
    where.budget.check(cost)
    check_disk(path, cost.disk_bytes)
    return 0 if arguments.dry_run else start(arguments, command, study, path, where, str(cost))


def start(
    arguments: argparse.Namespace, command: list[str], study: StudyConfig, path: Path, where: Launch, predicted: str
) -> int:
    """Open the store and hand over to Ray, which is imported only here."""
    if not where.address:
        require_precision(study.pinned["precision"][0], on_gpu=where.gpus > 0)
    dataset = open_dataset(locate(study.dataset))
    if not is_own(study.identity("")["model"]):
        check_image_shape(dataset.image_shape)
    own = {name: source_sha256(name) for name in study.own}
    recorded = provenance(command, predicted) | {"dataset": dataset.about, "own": own}
    with Store.open(path, study.identity(dataset.sha256), recorded) as store:
        for warning in store.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        plan = cells(study)
        store.extend_plan({"hash": study.hash(), "study": study.to_json(), "trials": len(plan)})
        known = open_study(path).status()  # again, now that no other driver can write
        pending = to_run(plan, known, arguments.retry_failed)[: arguments.max_trials]
        from study.launch import run as run_on_ray

        return run_on_ray(store, plan, pending, study.evaluation, where)


def launch_of(arguments: argparse.Namespace) -> Launch:
    """Where the flags, the environment and this machine say that the study runs.

    Raises:
        InputError: Shares of GPUs are asked of a machine that has none.
    """
    address = arguments.address or os.environ.get("RAY_ADDRESS")  # set inside `ray job submit`
    found = 0 if address else gpus()
    if arguments.trials_per_gpu and not (address or found):
        raise InputError(
            f"--trials-per-gpu={arguments.trials_per_gpu} on a machine without an NVIDIA GPU; "
            "leave it out, or give the --address of a cluster"
        )
    budget = Budget(arguments.max_hours, arguments.max_cost, arguments.price_per_hour)
    return Launch(cores(), found, address, arguments.concurrency, arguments.trials_per_gpu, budget)


def settled(study: StudyConfig, existing: Study | None, where: Launch) -> StudyConfig:
    """The study with `auto` settings resolved: once, when the study is created, and then as its store says."""
    if existing:
        settings = existing.identity
        return study.settled(settings.get("precision", "fp32"), settings.get("report_every", 1))
    precision = "bf16" if cpu_has_bf16() or where.gpus else "fp32"
    thinned = report_sparingly(study.evaluation, where.slots, ASSUMED_STEPS_PER_SECOND["gpu"])
    return study.settled(precision, thinned.report_every)


def speed_of(study: StudyConfig, existing: Study | None, where: Launch) -> Speed:
    """Updates a second of one trial: as measured in the store, else as assumed of a laptop's core, else unknown."""
    if measured := measured_speed(existing) if existing else None:
        return Speed(measured, measured=True)
    on_cores = not (where.address or where.gpus)
    return Speed(ASSUMED_STEPS_PER_SECOND[study.pinned["precision"][0]] if on_cores else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
