"""The flags of `python study/run.py`, and what they say about the study and about where it runs."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

from study.config import MOST_LANES, SAMPLERS, TARGETS, Adaptive, Launch, StudyConfig
from study.plan import Budget
from study.preflight import cores, gpus
from study.searches import SEARCHES
from study.space import read_ranges
from study.tradeoff import TradeoffSearch
from trainables.checks import InputError, check_choice, check_range
from trainables.data.cache import RENDERED
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
    flags.add_argument("--results", metavar="URL",
                       help="mirror the store there, s3://bucket/folder say, or bring it back from there")  # fmt: skip
    flags.add_argument("--seeds", type=int, help="replicates of each setting")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE[,VALUE]",
                       help="any trial or evaluation setting; pins a searched one, several widen it")  # fmt: skip
    flags.add_argument("--retry-failed", action="store_true", help="also train again what failed")
    flags.add_argument("--dry-run", action="store_true", help="measure the speed, print the plan and its price")
    flags.add_argument("--no-report", action="store_true", help="train only; python -m analysis.report STORE writes it")
    flags.add_argument("--list", action="store_true", help="print the searches and their price")
    flags.add_argument("--status", type=a_path, metavar="STORE", help="print where a study stands")
    flags.add_argument("--verify-pack", type=int, metavar="N",
                       help="train N finished trials of --store again, alone, and compare")  # fmt: skip
    flags.add_argument("--dashboard", type=a_path, metavar="STORE", help="serve optuna-dashboard on its journal")
    flags.add_argument("--port", type=int, help="of the dashboard (default: 8080)")

    budget = flags.add_argument_group("budget", "a run that it ends is continued by the same command")
    budget.add_argument("--max-trials", type=int, metavar="N", help="train at most N trials now")
    budget.add_argument("--max-hours", type=float, metavar="H", help="stop after H hours")
    budget.add_argument("--max-cost", type=float, metavar="X", help="stop when this run has cost X")
    budget.add_argument("--price-per-hour", type=float, metavar="X",
                        help="of all machines together (default with --address: by cluster.yaml)")  # fmt: skip

    where = flags.add_argument_group("where")
    where.add_argument("--concurrency", type=int, metavar="N", help="trials at a time (default: one a core)")
    where.add_argument("--lanes", type=int, metavar="N", help="trials that each GPU trains as one model (default: 32)")
    where.add_argument("--trials-per-gpu", type=int, metavar="N", help="processes of a trial each that share one GPU")
    where.add_argument("--executor", metavar="NAME", help="loop or stacked; fixed when a study is created")
    where.add_argument("--pack-on-cpu", action="store_true", help="train the --lanes of one pack on this machine's CPU")
    where.add_argument("--hang-minutes", type=float, metavar="M",
                       help="a trial that is silent for so long is tried again (default: 15 or more)")  # fmt: skip
    where.add_argument("--address", help="host:port of a running Ray cluster, or auto on its head")

    adaptive = flags.add_argument_group("--search tradeoff", "ranges are given as --set KEY=LOW:HIGH")
    adaptive.add_argument("--settings", type=int, metavar="N", help="how many settings to try")
    adaptive.add_argument("--target", metavar="SCORE", help=f"maximised beside recon: {', '.join(TARGETS)}")
    adaptive.add_argument("--sampler", metavar="NAME", help=" or ".join(SAMPLERS))
    adaptive.add_argument("--search-seed", type=int, metavar="N", help="of the sampler (default: 0)")
    adaptive.add_argument("--stop-futile", action="store_true", default=None,
                          help="give up settings whose nats say nothing inside the ramp")  # fmt: skip
    return flags


def store_of(arguments: argparse.Namespace) -> Path:
    """The folder of the study."""
    return arguments.store or Path("results") / f"{arguments.search}-{arguments.protocol}"


def study_of(arguments: argparse.Namespace) -> StudyConfig:
    """The study that the flags ask for.

    Raises:
        InputError: A flag is out of range, or belongs to another search.
    """
    for name, most in (
        ("max_trials", 100_000),
        ("concurrency", 100_000),
        ("trials_per_gpu", 100_000),
        ("lanes", MOST_LANES),
    ):
        check_range(f"--{name.replace('_', '-')}", getattr(arguments, name), 1, most)
    check_choice("search", arguments.search, tuple(SEARCHES))
    ranges, words = read_ranges(arguments.set)
    trial, measured = read_settings(words)
    if "dataset" in trial:  # workers may run in another folder; a name that we render is no path
        named = [name in RENDERED or not os.path.exists(name) for name in trial["dataset"]]
        trial["dataset"] = [
            name if known else os.path.abspath(name) for name, known in zip(trial["dataset"], named, strict=True)
        ]
    return StudyConfig(
        search=arguments.search,
        protocol=arguments.protocol,
        seeds=arguments.seeds,
        pinned={name: tuple(values) for name, values in trial.items()},
        measured=measured,
        executor=arguments.executor,
        adaptive=_adaptive(arguments, {name: (bounds.low, bounds.high) for name, bounds in ranges.items()}),
    )


def _adaptive(arguments: argparse.Namespace, ranges: dict[str, tuple[float, float]]) -> Adaptive | None:
    names = ("settings", "target", "sampler", "search_seed", "stop_futile")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if isinstance(SEARCHES[arguments.search], TradeoffSearch):
        return Adaptive(**given, ranges=ranges)
    for name in given:
        raise InputError(f"--{name.replace('_', '-')} belongs to --search tradeoff; leave it out of {arguments.search}")
    for name, (low, high) in ranges.items():
        raise InputError(
            f"search {arguments.search} takes values, not the range {name}={low:g}:{high:g}; list them, or use "
            "--search tradeoff"
        )
    return None


def launch_of(arguments: argparse.Namespace) -> Launch:
    """Where the flags, the environment and this machine say that the study runs.

    Raises:
        InputError: Shares of GPUs are asked of a machine that has none, or in two ways.
    """
    address = arguments.address or os.environ.get("RAY_ADDRESS")  # set inside `ray job submit`
    lanes, processes, on_cpu = arguments.lanes, arguments.trials_per_gpu, arguments.pack_on_cpu
    found = 0 if address or on_cpu else gpus()
    if lanes and processes:
        raise InputError(f"--lanes={lanes} and --trials-per-gpu={processes} both share a GPU out; give one")
    if on_cpu and (address or not lanes):
        raise InputError("--pack-on-cpu trains one pack on this machine; give --lanes N too, and no --address")
    nowhere = bool(lanes or processes) and not (address or found or on_cpu)
    for flag, shared in (("--lanes", lanes), ("--trials-per-gpu", processes)):
        if shared and nowhere and not arguments.dry_run:
            raise InputError(
                f"{flag}={shared} on a machine without an NVIDIA GPU; leave it out, give the --address of a cluster, "
                "ask with --dry-run what one would cost, or try a pack with --lanes N --pack-on-cpu"
            )
    budget = Budget(arguments.max_hours, arguments.max_cost, arguments.price_per_hour)
    check_range("--hang-minutes", arguments.hang_minutes, 0.01, 1e6)
    return Launch(
        cores=cores(),
        gpus=found,
        address=address,
        concurrency=arguments.concurrency,
        lanes=lanes,
        trials_per_gpu=processes,
        hang_seconds=arguments.hang_minutes and 60 * arguments.hang_minutes,
        on_cpu=on_cpu,
        budget=budget,
        imagined=nowhere,
    )
