"""The command line: `python study/run.py --search capacity_grid`.

Exit codes: 0 done, 1 trials (or the report, or the mirror) failed or differ, 2 bad input (or Ray did not start, or the
disk is full), 3 trials left over by --max-trials, --max-hours or --max-cost, 130 Ctrl-C, 143 SIGTERM.
"""

import argparse
import dataclasses
import functools
import os
import signal
import sys
import time
from pathlib import Path

from study.config import EXECUTORS, Launch, StudyConfig
from study.copies import ready
from study.dashboard import serve
from study.flags import launch_of, parser, store_of, study_of
from study.lock import has_driver
from study.mirror import beside
from study.plan import ASSUMED_STEPS_PER_SECOND, Speed, duration, price, report_sparingly, to_run
from study.preflight import check_address, check_disk, check_memory, cores, gpus, provenance
from study.prices import priced
from study.progress import measured_speed, progress
from study.protocols import PROTOCOLS
from study.searches import SEARCHES, identity_of, planned, protocol_of, source_of
from study.store import Store, StoreError, Study, open_study
from study.tradeoff import whole_settings
from study.verify import verify
from trainables.checks import InputError
from trainables.config import TrialConfig
from trainables.data.cache import check_known, locate
from trainables.data.dataset import Dataset, open_dataset
from trainables.hardware import cpu_has_bf16, require_precision
from trainables.own import load, source_sha256


def main(words: list[str]) -> int:
    """Run the command; bad input is one line on standard error and exit code 2."""
    try:
        arguments = parser().parse_args(words)
        if arguments.list:
            return list_searches()
        if arguments.status:
            return show_status(open_study(arguments.status))
        if arguments.verify_pack is not None:
            return verify(store_of(arguments), arguments.verify_pack)
        if arguments.port is not None and not arguments.dashboard:
            raise InputError(f"--port={arguments.port} is the dashboard's; give --dashboard STORE too, or leave it out")
        if arguments.dashboard:
            return serve(arguments.dashboard, arguments.port)
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
            trials = planned(study).values()
            print(f"  {protocol}: {price(trials, study.evaluation, where.slots, speed_of(study, None, where))}")
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
    study = study_of(arguments)
    path = store_of(arguments)
    if os.path.exists(path) and not path.is_dir():
        raise StoreError(f"store {path} is a file; give a folder with --store")
    where = launch_of(arguments)
    check_address(where.address)
    asked = study.of(protocol_of(study))
    for name in asked.own:
        load(name)
    check_known(asked.dataset)
    if arguments.results is not None:
        wanted = {"search": study.search, "protocol": study.protocol}
        ready(path, arguments.results, wanted, arguments.dry_run)
    existing = open_study(path) if os.path.exists(path / "study.json") else None
    executor = executor_of(study, existing, where)
    study, where = dataclasses.replace(study, executor=executor), where.placing(executor)
    study = settled(study, existing, where)
    if existing:
        existing.check_identity(identity_of(study, existing.identity.get("dataset", "")))
    plan = planned(study, existing)
    if study.adaptive:
        arguments.max_trials = whole_settings(arguments.max_trials, len(study.seeds_of(protocol_of(study))))
    left = to_run(plan, existing.status() if existing else {}, arguments.retry_failed)
    pending = list(left.values())[: arguments.max_trials]
    if pending:
        where.check(executor)
    where, machines = priced(where, len(pending))
    dataset = open_dataset(locate(study.dataset))
    SEARCHES[study.search].check(study, protocol_of(study), dataset)
    speed = speed_of(study, existing, where)
    if arguments.dry_run and pending and not where.imagined:
        speed = calibrated(pending[0], where, executor) or speed
    cost = price(pending, study.evaluation, where.slots, speed)
    print(f"{study.search} ({study.protocol}): {len(plan)} trials, {len(plan) - len(pending)} not to be run, in {path}")
    money = where.budget.cost(cost.seconds)
    if pending:
        print(f"to run now, {min(where.slots, len(pending))} at a time: {cost}{money}", flush=True)
    if machines:
        print(machines, flush=True)
    where.budget.check(cost)
    if not where.imagined:
        check_disk(path, cost.disk_bytes)
    if pending and not where.elsewhere:
        check_memory(min(where.slots, len(pending)), packed=where.lanes is not None)
    return 0 if arguments.dry_run else start(arguments, command, study, dataset, path, where, f"{cost}{money}")


def calibrated(config: TrialConfig, where: Launch, executor: str) -> Speed | None:
    """As fast as such a trial trains where it would run, or None, said why, where that cannot be tried now."""
    from study.launch import calibrate

    try:
        return calibrate(config, where, executor)
    except InputError as error:
        print(f"the speed cannot be measured: {error}")
        return None


def start(
    arguments: argparse.Namespace,
    command: list[str],
    study: StudyConfig,
    dataset: Dataset,
    path: Path,
    where: Launch,
    predicted: str,
) -> int:
    """Open the store and hand over to Ray, which is imported only here."""
    if not where.address:
        require_precision(study.pinned["precision"][0], on_gpu=where.gpus > 0)
    own = {name: source_sha256(name) for name in study.own}
    price_per_hour = {"price_per_hour": where.budget.price_per_hour, "began": time.time()}
    recorded = provenance(command, predicted) | price_per_hour | {"dataset": dataset.about, "own": own}
    with Store.open(path, identity_of(study, dataset.sha256), recorded) as store:
        for warning in store.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        known = open_study(path)  # again, now that no other driver can write
        source = source_of(study, known, arguments.retry_failed, arguments.max_trials)
        plan = {"hash": study.hash(), "study": study.to_json(), "trials": len(source.planned())}
        store.extend_plan(plan)
        from study.launch import run as run_on_ray

        on_ray = functools.partial(run_on_ray, store, source, study.evaluation, where, not arguments.no_report)
        return beside(path, arguments.results, on_ray)


def executor_of(study: StudyConfig, existing: Study | None, where: Launch) -> str:
    """The executor that was asked for, or the store's, or what suits: stacked on a GPU, if the trials can be.

    Raises:
        InputError: Stacked was asked for, and they cannot be.
    """
    stackable = study.of(protocol_of(study)).is_stackable
    if study.executor == "stacked" and not stackable:
        named = ", ".join(study.own) or study.of(protocol_of(study)).pinned["model"][0]
        raise InputError(f"{named} cannot be stacked, only burgess2018-a1 under our objectives; use --executor loop")
    on_gpu = (where.gpus or where.lanes) and not (where.trials_per_gpu or where.on_cpu)
    suits = "stacked" if on_gpu and stackable else EXECUTORS[0]
    return study.executor or (existing.identity.get("executor", EXECUTORS[0]) if existing else suits)


def settled(study: StudyConfig, existing: Study | None, where: Launch) -> StudyConfig:
    """The study with `auto` settings resolved: once, when the study is created, and then as its store says."""
    protocol = protocol_of(study)
    study = study.of(protocol)
    if existing:
        settings = existing.identity
        return study.settled(settings.get("precision", "fp32"), settings.get("report_every", 1))
    precision = "bf16" if cpu_has_bf16() or where.gpus else "fp32"
    evaluation = dataclasses.replace(protocol.evaluation, **study.measured)
    thinned = report_sparingly(evaluation, where.slots, ASSUMED_STEPS_PER_SECOND["gpu"])
    return study.settled(precision, thinned.report_every)


def speed_of(study: StudyConfig, existing: Study | None, where: Launch) -> Speed:
    """Updates a second of one trial: as measured in the store, else as assumed of a laptop's core, else unknown."""
    in_turn = min(where.lanes or 1, where.slots)  # a loop times each lane by itself, a stack all of them together
    if measured := measured_speed(existing) if existing else None:
        return Speed.measured(measured / (in_turn if study.executor == "loop" else 1))
    on_cores = not (where.elsewhere or where.gpus)
    return Speed(ASSUMED_STEPS_PER_SECOND[study.pinned["precision"][0]] / in_turn if on_cores else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
