"""Fig. 2 in numbers: how many latents say a blob's position, along which axes, and how broken their code is.

Source: Burgess et al. 2018, section 4.3 and Fig. 2; the numbers are ours (docs/metrics.md, "Position").
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import FAMILY_COLOURS
from analysis.frames import Frames, records
from analysis.statistics import over_seeds
from trainables.metrics.alignment import NEAR_AXIS

COLUMNS = {
    "position_latents": ".1f",
    "alignment": ".2f",
    "axis_angle": ".0f",
    "torn_share": ".3f",
    "jumps": ".2f",
    "ghosts": ".3f",
    "kl": ".2f",
    "above_floor": ".1f",
}
"""What is averaged over seeds, and how it is printed; `above_floor` is recon - recon_floor, nats per image."""
ASPECTS = {"blobs_wide": 2.0}
"""How many times farther positions range along x than along y, by the dataset's name; else once."""
POSITION_LATENTS = 2
COLOUR = FAMILY_COLOURS["beta"]


def ladder(frames: Frames) -> dict[float, list[dict[str, Any]]]:
    """The finished trials that have a position map, by rising beta, with the columns of `COLUMNS`, by rising seed."""
    rungs: dict[float, list[dict[str, Any]]] = {}
    for trial in sorted(records(frames.finished), key=lambda trial: (trial["beta"], trial["seed"])):
        if "alignment" in trial:
            above = trial["recon"] - trial["recon_floor"]
            rungs.setdefault(trial["beta"], []).append(trial | {"above_floor": above})
    return rungs


def rotation_null(aspect: float) -> tuple[float, float]:
    """What codes rotated at random against the axes show: A, and the share within 10 degrees of an axis.

    Two latents of equal variance are a rotation of standardised x and y: for a square range 2 / pi and 20 / 90.

    Args:
        aspect: Range of x over range of y.
    """
    turn = (np.arange(90_000) + 0.5) / 90_000 * np.pi / 2
    along_x = np.array([np.cos(turn), np.sin(turn)]) / aspect  # of the gradients of both latents, per pixel
    along_y = np.array([np.sin(turn), np.cos(turn)])
    aligned = np.abs(along_x**2 - along_y**2) / (along_x**2 + along_y**2)
    angle = np.degrees(np.arctan2(along_y, along_x))
    near = np.minimum(angle, 90 - angle).mean(axis=0) < NEAR_AXIS
    return float(aligned.mean()), float(near.mean())


def table(rungs: Mapping[float, Sequence[Mapping[str, Any]]]) -> pd.DataFrame:
    """The ladder as text, a row a beta: means over seeds with intervals or both values."""
    return pd.DataFrame(
        {"beta": f"{beta:g}"}
        | {name: _mean(trials, name) for name in COLUMNS}
        | {"near an axis": _near_axis(trials), "seeds": _seeds(trials)}
        for beta, trials in rungs.items()
    )


def sentences(frames: Frames) -> list[str]:
    """What the ends of the ladder, the VAE and the greatest beta, say of Fig. 2: two latents, aligned, unbroken."""
    rungs = ladder(frames)
    ends = {beta: rungs[beta] for beta in sorted({max(rungs), min(rungs)}, reverse=True)} if rungs else {}
    if not ends:
        return []
    null, near = rotation_null(ASPECTS.get(frames.dataset.get("name", ""), 1.0))
    two = _joined(
        f"in {sum(trial['position_latents'] == POSITION_LATENTS for trial in trials)} of {len(trials)} seeds at beta "
        f"{beta:g} ({_mean(trials, 'position_latents')} latents)"
        for beta, trials in ends.items()
    )
    aligned = _joined(
        f"{_mean(trials, 'alignment')} at beta {beta:g} ({_near_axis(trials)} seeds within {NEAR_AXIS:g} degrees)"
        for beta, trials in ends.items()
    )
    broken = _joined(
        f"{_mean(trials, 'torn_share')} of neighbouring positions are torn apart at beta {beta:g}, with "
        f"{_mean(trials, 'jumps')} jumps a traversal and ghosts in {_mean(trials, 'ghosts')} of frames"
        for beta, trials in ends.items()
    )
    return [
        f"Exactly two latents say the position {two}.",
        f"Alignment of the position code with the axes is {aligned}; a code rotated at random has {null:.2f}, and "
        f"{near:.0%} of seeds so near an axis.{_difference(*ends.values())}",
        f"Fragmentation: {broken}.",
    ]


def _difference(*ends: Sequence[Mapping[str, Any]]) -> str:
    """The greatest beta's alignment less the VAE's, paired by seed; empty where there is no pair."""
    if len(ends) < 2:
        return ""
    most, least = ({trial["seed"]: trial["alignment"] for trial in trials} for trials in ends)
    gaps = over_seeds([most[seed] - least[seed] for seed in most if seed in least])
    return f" The difference is {gaps:+.2f}, paired by {len(gaps.values)} seeds." if gaps.values else ""


def _mean(trials: Sequence[Mapping[str, Any]], name: str) -> str:
    return format(over_seeds([trial[name] for trial in trials]), COLUMNS[name])


def _near_axis(trials: Sequence[Mapping[str, Any]]) -> str:
    """Of the seeds that have an angle."""
    angles = [trial["axis_angle"] for trial in trials if not np.isnan(trial["axis_angle"])]
    return f"{sum(angle < NEAR_AXIS for angle in angles)} of {len(angles)}"


def _seeds(trials: Sequence[Mapping[str, Any]]) -> str:
    """`3`, or `3, 1 says no position`: such a seed has neither alignment nor jumps and enters no mean of them."""
    silent = sum(trial["position_latents"] == 0 for trial in trials)
    return f"{len(trials)}, {silent} says no position" if silent else str(len(trials))


def _joined(words: Iterable[str]) -> str:
    return ", and ".join(words)


def ladder_figure(rungs: Mapping[float, Sequence[Mapping[str, Any]]], null: float) -> Figure:
    """Latents, alignment and fragmentation against beta: a point a seed, a line through the means.

    Args:
        rungs: As `ladder` gives them.
        null: Alignment of a code that is rotated at random.
    """
    shown = {
        "position_latents": "latents that say the position",
        "alignment": "alignment A with the axes",
        "jumps": "jumps (per traversal)",
        "ghosts": "frames with a ghost (share)",
    }
    betas = list(rungs)
    figure = Figure(figsize=(10.2, 2.7), layout="constrained")
    for place, (name, label) in enumerate(shown.items()):
        axes = figure.add_subplot(1, len(shown), place + 1)
        values = {beta: [trial[name] for trial in trials] for beta, trials in rungs.items()}
        axes.plot(betas, [over_seeds(values[beta]).mean for beta in betas], color=COLOUR, linewidth=1)
        for beta in betas:
            axes.scatter([beta] * len(values[beta]), values[beta], s=18, alpha=0.5, color=COLOUR)
        if name == "alignment":
            axes.axhline(null, color="grey", linestyle=":", linewidth=1)
            axes.annotate("rotated at random", (1, null), (0, 3), textcoords="offset points", fontsize=7)
        axes.set_ylim(0, 1.05 if name == "alignment" else None)
        axes.set_xscale("log")
        axes.set_xticks(betas, [f"{beta:g}" for beta in betas])
        axes.minorticks_off()
        axes.set_xlabel("beta")
        axes.set_ylabel(label)
    return figure
