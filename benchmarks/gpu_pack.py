"""What does a pack gain on this GPU? Stacks of 1, 2, 4, ... lanes against trials without packs, and against the floor.

Writes gpu_pack.json (after every measurement) and gpu_pack.png. What the time did not allow, or what failed, is listed
in the JSON under not_measured with its reason. torch alone: no Ray, no Optuna.

PYTHONPATH=. python benchmarks/gpu_pack.py --out FOLDER
"""

import argparse
import dataclasses
import datetime
import functools
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_baselines import LOOP, PROCESSES, loop, workers
from benchmarks.gpu_figure import draw
from benchmarks.gpu_floor import Card, Work, measured, work
from benchmarks.gpu_session import Session
from benchmarks.gpu_stacks import Cell, Setup, learning, one_update, speed
from trainables import hardware
from trainables.checks import ConfigError, InputError
from trainables.config import PRECISIONS, TrialConfig
from trainables.data.cache import locate
from trainables.data.dataset import Dataset, open_dataset
from trainables.data.resident import Resident
from trainables.packing.network import FORMS

TRIAL_STEPS = 100_000
BENCHMARK_MODELS, BENCHMARK_STEPS = 12_600, 300_000
"""Locatello et al. 2019, "Challenging common assumptions": 12,600 models, 300,000 steps of batch 64 each."""
FORMULAS = {
    "percent_of_floor": "100 * model_steps_per_s / floor[precision].model_steps_per_s",
    "trial_seconds": f"{TRIAL_STEPS} * lanes / model_steps_per_s",
    "trial_gpu_seconds": f"{TRIAL_STEPS} / model_steps_per_s",
    "benchmark_gpu_hours": f"{BENCHMARK_MODELS} * {BENCHMARK_STEPS} / model_steps_per_s / 3600 (training alone)",
}
FLAT = 1.05
"""More lanes than 64 are tried while doubling them gains more than this factor."""
STEPS, SEEDS, SEEDS_ALONE = 1500, 8, 3
"""Of the trials whose learning is compared."""


def cells(smoke: bool, compiled: bool) -> list[Cell]:
    """All stacks to be timed, the ones that matter most first."""
    plain = [(form, precision) for precision in reversed(PRECISIONS) for form in FORMS]
    tiers = [(False, 1), (False, 2)] if smoke else [(False, 64), (False, 16), (False, 1)]
    tiers += [(True, 2 if smoke else 64)] if compiled else []
    tiers += [] if smoke else [(False, lanes) for lanes in (32, 128, 256, 8, 4, 2)]
    tiers += [(True, lanes) for lanes in (128, 32, 16, 8, 4, 2, 1)] if compiled and not smoke else []
    return [Cell(form, precision, made, lanes) for made, lanes in tiers for form, precision in plain]


def pointless(cell: Cell, results: dict[str, Any]) -> str | None:
    """Why a stack of many lanes need not be tried, after narrower ones have shown it."""
    like = (cell.form, cell.precision, cell.compiled)
    rates = {row["lanes"]: row["model_steps_per_s"] for row in results["cells"] if _combination(row) == like}
    failed = [
        row["lanes"]
        for row in results["not_measured"]
        if _combination(row) == like and row["why"].startswith("no memory")
    ]
    if any(lanes < cell.lanes for lanes in failed):
        return f"no memory for {min(failed)} lanes"
    half = rates.get(cell.lanes // 2)
    quarter = rates.get(cell.lanes // 4)
    if cell.lanes > 64 and half and quarter and half < FLAT * quarter:
        return f"throughput has ended: {cell.lanes // 2} lanes give {half / quarter:.2f} times {cell.lanes // 4}"
    return None


def _combination(row: dict[str, Any]) -> tuple[Any, ...]:
    return row.get("form"), row.get("precision"), row.get("compiled")


def priced(row: dict[str, Any], card: Card, works: dict[str, Work], eager: dict[str, float]) -> dict[str, Any]:
    """A timed stack or baseline, with what follows from its rate; see `FORMULAS`."""
    rate, precision = row["model_steps_per_s"], row["precision"]
    return row | {
        "percent_of_floor": 100 * rate * card.floor(works[precision], precision),
        "times_one_eager_trial": rate / eager[precision] if precision in eager else None,
        "trial_seconds": TRIAL_STEPS * row["lanes"] / rate,
        "trial_gpu_seconds": TRIAL_STEPS / rate,
        "benchmark_gpu_hours": BENCHMARK_MODELS * BENCHMARK_STEPS / rate / 3600,
    }


def main(words: list[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON and the figure")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--dataset", default="dsprites")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--batch-size", type=int, help="64, or 2 in a smoke run")
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, help="also by torch.compile")
    parser.add_argument("--smoke", action="store_true", help="the same paths, tiny")
    arguments = parser.parse_args(words)
    try:
        dataset, path = _checked(arguments)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    smoke: bool = arguments.smoke
    compiled: bool = not smoke if arguments.compiled is None else arguments.compiled
    batch = arguments.batch_size or (2 if smoke else TrialConfig.batch_size)
    began, device = time.monotonic(), torch.device(arguments.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # as a trial does
        hardware.keep_freed_memory()
    setup = Setup(
        dataset,
        Resident(dataset, device),
        TrialConfig(batch_size=batch, dataset=arguments.dataset),
        device,
        seconds=0.02 if smoke else 0.4,
        repeats=2 if smoke else 5,
    )
    card = measured(device, smoke)
    network = setup.trainers("fp32")[0].model
    works = {precision: work(network, dataset.image_shape, batch, precision) for precision in PRECISIONS}
    results = {"about": _about(setup, smoke), "formulas": FORMULAS, **_floors(card, works)}
    results |= {kind: [] for kind in ("one_update", "baselines", "cells", "learning", "not_measured")}
    session = Session(path, 60 * arguments.minutes - (time.monotonic() - began), results)
    _measure(session, setup, card, works, compiled, smoke)
    results["best"] = _best(results["cells"])
    session.save()
    if smoke:
        print("a smoke run: its numbers say that the code runs, and nothing else")
    for precision, row in results["best"].items():
        print(
            f"{precision}: {row['model_steps_per_s']:,.0f} model-steps/s ({row['form']}, {row['lanes']} lanes"
            f"{', compiled' * row['compiled']}): {row['percent_of_floor']:.0f} % of the floor, "
            f"{row['times_one_eager_trial'] or float('nan'):.1f} times one eager trial; the published benchmark "
            f"{row['benchmark_gpu_hours']:,.0f} GPU-hours"
        )
    if not draw(results, arguments.out / "gpu_pack.png"):
        print("no figure: matplotlib is not installed here")
    print(f"{time.monotonic() - began:.0f} s in all; {session.path}")
    return 0


def _checked(arguments: argparse.Namespace) -> tuple[Dataset, Path]:
    """The dataset, and the JSON that nothing has been written to yet.

    Raises:
        InputError: There is no GPU, an earlier result, or no such dataset.
        OSError: The folder cannot be made.
    """
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise InputError(f"torch {torch.__version__} finds no GPU; use --device cpu --smoke to try it")
    path: Path = arguments.out / "gpu_pack.json"
    if path.exists():
        raise InputError(f"{path} is an earlier result; give another --out")
    dataset = open_dataset(locate(arguments.dataset))
    arguments.out.mkdir(parents=True, exist_ok=True)
    return dataset, path


def _measure(session: Session, setup: Setup, card: Card, works: dict[str, Work], compiled: bool, smoke: bool) -> None:
    """Everything, in the order of importance, but what the models learn, which has its time reserved."""
    results, eager, honoured = session.results, dict[str, float](), []

    def price(row: dict[str, Any]) -> dict[str, Any]:
        if row["lanes"] == 1 and "baseline" in row:
            eager.setdefault(row["precision"], row["model_steps_per_s"])
        return priced(row, card, works, eager)

    for precision in PRECISIONS:
        try:
            hardware.require_precision(precision, on_gpu=setup.device.type == "cuda")
            honoured.append(precision)
        except ConfigError as error:
            session.skip("cells", {"precision": precision}, str(error))
    for precision in honoured:
        session.measure("baselines", {"precision": precision, "lanes": 1}, lambda p=precision: price(loop(setup, p, 1)))
        for form in FORMS:
            what = {"form": form, "precision": precision}
            session.measure("one_update", what, lambda w=what: one_update(setup, **w))
    todo = [cell for cell in cells(smoke, compiled) if cell.precision in honoured]
    first = len(todo) if smoke else 12  # 64, 16 and 1 lanes; then what they are held against; then the rest
    for cell in todo[:first]:
        _stack(session, setup, cell, price)
    counts = [1, 2] if smoke else [1, 2, 4, 8, 16]
    _processes(session, setup, honoured, counts, price)
    for precision in honoured:
        for lanes in counts[1:] if smoke else (4, 16, 64):
            what = {"baseline": LOOP, "precision": precision, "lanes": lanes}
            session.measure("baselines", what, lambda p=precision, n=lanes: price(loop(setup, p, n)))
    for cell in todo[first:]:
        _stack(session, setup, cell, price)
    form = max(results["cells"], key=lambda row: row["model_steps_per_s"], default={"form": "windows"})["form"]
    steps, seeds = (2, 2) if smoke else (STEPS, SEEDS)
    for arm, precision, many in (
        ("stacked", "fp32", seeds),
        ("stacked", "bf16", seeds),
        ("alone", "fp32", min(seeds, SEEDS_ALONE)),
    ):
        if precision in honoured:
            what = {"arm": arm, "precision": precision}
            session.measure(
                "learning", what, lambda w=what, n=many: learning(setup, form=form, seeds=n, steps=steps, **w)
            )


def _stack(session: Session, setup: Setup, cell: Cell, price: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    what = dataclasses.asdict(cell)
    if why := pointless(cell, session.results):
        session.skip("cells", what, why)
        return
    session.measure("cells", what, lambda: price(speed(setup, cell)), "compiled" if cell.compiled else None)


def _processes(
    session: Session,
    setup: Setup,
    precisions: list[str],
    counts: list[int],
    price: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """So many processes with an eager trial each: started once, then timed few and many."""
    wanted = [{"baseline": PROCESSES, "precision": p, "lanes": n} for p in precisions for n in counts]
    if why := session.no_time(PROCESSES):
        for what in wanted:
            session.skip("baselines", what, why)
        return
    left = list(wanted)
    try:
        with workers(setup, precisions, counts[-1]) as crew:
            while left:
                what = left[0]
                rate = functools.partial(crew.rate, setup, what["precision"], what["lanes"])
                session.measure("baselines", what, lambda rate=rate: price(rate()))
                del left[0]
    except RuntimeError as error:
        for what in left:
            session.skip("baselines", what, str(error))


def _best(timed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The fastest stack of each precision."""
    rising = sorted(timed, key=lambda row: row["model_steps_per_s"])
    return {row["precision"]: row for row in rising}


def _about(setup: Setup, smoke: bool) -> dict[str, Any]:
    on_gpu = setup.device.type == "cuda"
    return {
        "card": torch.cuda.get_device_name(setup.device) if on_gpu else platform.processor() or platform.machine(),
        "card_memory_gb": torch.cuda.get_device_properties(setup.device).total_memory / 1e9 if on_gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "batch_size": setup.config.batch_size,
        "dataset": setup.dataset.name,
        "repeats": setup.repeats,
        "repeat_seconds": setup.seconds,
        "smoke": smoke,
    }


def _floors(card: Card, works: dict[str, Work]) -> dict[str, Any]:
    floors = {}
    for precision, of in works.items():
        seconds = card.floor(of, precision)
        floors[precision] = {
            "operations_per_model_step": of.operations,
            "bytes_per_model_step": of.bytes,
            "bound_by": "memory" if seconds == of.bytes / card.bytes_per_second else "arithmetic",
            "model_steps_per_s": 1 / seconds,
        }
    return {"measured_card": dataclasses.asdict(card), "floor": floors}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
