"""The figure of gpu_pack.py: model-steps a second against lanes, between one eager trial and the floor."""

import importlib.util
from pathlib import Path
from typing import Any

COLOURS = {"windows": "#0072B2", "grouped": "#D55E00"}
STYLES = {"fp32": "--", "bf16": "-"}
BASELINES = {"loop in one process": ("s", "loop in one process"), "processes on one device": ("^", "processes")}


def draw(results: dict[str, Any], path: Path) -> bool:
    """Write the figure; false where there is no matplotlib.

    Args:
        results: As gpu_pack.py writes them.
        path: Of a PNG.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _stacks(axes, results["cells"])
    _baselines(axes, results["baselines"])
    for precision, floor in results["floor"].items():
        steps = floor["model_steps_per_s"]
        axes.axhline(steps, color="black", linestyle=STYLES[precision], linewidth=1)
        axes.annotate(f" floor, {precision}", (0.0, steps), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    lanes = sorted({cell["lanes"] for cell in [*results["cells"], *results["baselines"]]})
    axes.set_xticks(lanes, [str(lane) for lane in lanes])
    axes.set_xlabel("lanes (models trained at once)")
    axes.set_ylabel("model-steps / s, all lanes together")
    axes.set_title(f"{results['about']['card']}, batch {results['about']['batch_size']}", fontsize=10)
    axes.grid(which="major", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, handlelength=3.5)
    figure.savefig(path, dpi=150)
    return True


def _stacks(axes: Any, cells: list[dict[str, Any]]) -> None:
    """A line for each form and precision; hollow where torch.compile made the kernels."""
    combinations = sorted({(cell["form"], cell["precision"], cell["compiled"]) for cell in cells})
    for form, precision, compiled in combinations:
        line = sorted(
            (cell["lanes"], cell["model_steps_per_s"], cell["slowest"], cell["fastest"])
            for cell in cells
            if (cell["form"], cell["precision"], cell["compiled"]) == (form, precision, compiled)
        )
        lanes, middle, slowest, fastest = map(list, zip(*line, strict=True))
        axes.errorbar(
            lanes,
            middle,
            yerr=[
                [m - s for m, s in zip(middle, slowest, strict=True)],
                [f - m for f, m in zip(fastest, middle, strict=True)],
            ],
            color=COLOURS.get(form, "#009E73"),
            linestyle=STYLES[precision],
            marker="o",
            markersize=5,
            markerfacecolor="white" if compiled else None,
            label=f"stack, {form}, {precision}{', compiled' if compiled else ''}",
        )


def _baselines(axes: Any, baselines: list[dict[str, Any]]) -> None:
    for row in baselines:
        if row["lanes"] == 1 and row["baseline"] == "one eager trial":
            axes.axhline(
                row["model_steps_per_s"],
                color="0.5",
                linestyle=STYLES[row["precision"]],
                label=f"one eager trial, {row['precision']}",
            )
    for name, (marker, label) in BASELINES.items():
        for precision, face in (("fp32", "white"), ("bf16", "0.5")):
            points = sorted(
                (row["lanes"], row["model_steps_per_s"])
                for row in baselines
                if (row["baseline"], row["precision"]) == (name, precision)
            )
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color="0.5",
                    linestyle="",
                    marker=marker,
                    markerfacecolor=face,
                    label=f"{label}, {precision}",
                )
