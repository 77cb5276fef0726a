"""Fig. 2 in numbers: how many latents say a blob's position, along which axes, and how broken their code is.

Source: Burgess et al. 2018, section 4.3 and Fig. 2; the numbers are ours (docs/metrics.md, "Position").
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

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
"""How many times farther positions range along x than along y, by search; else once."""
POSITION_LATENTS = 2


def ladder(frames: Frames) -> pd.DataFrame:
    """The finished trials with a position map, by beta and seed, with the columns of `COLUMNS`."""
    trials = frames.finished
    if "alignment" not in trials:
        return pd.DataFrame(columns=["beta", "seed", *COLUMNS])
    trials = trials.assign(above_floor=trials["recon"] - trials["recon_floor"])
    return trials[["key", "beta", "seed", *COLUMNS]].sort_values(by=["beta", "seed"])


def rotation_null(aspect: float) -> tuple[float, float]:
    """What codes rotated at random against the axes show: A, and the share within 10 degrees of an axis.

    Two latents of equal variance are a rotation of standardised x and y: for a square range 2 / pi and 20 / 90.

    Args:
        aspect: Range of x over range of y.
    """
    turn = (np.arange(90_000) + 0.5) / 90_000 * np.pi / 2
    along_x, along_y = np.cos(turn) / aspect, np.sin(turn)  # the gradient of z, per pixel
    aligned = np.abs(along_x**2 - along_y**2) / (along_x**2 + along_y**2)
    angle = np.degrees(np.arctan2(along_y, along_x))
    return float(aligned.mean()), float((np.minimum(angle, 90 - angle) < NEAR_AXIS).mean())


def table(trials: pd.DataFrame) -> pd.DataFrame:
    """The ladder as text, a row a beta: means over seeds with intervals or both values."""
    rows = []
    for beta, group in trials.groupby("beta"):
        estimates = {name: format(over_seeds(group[name].tolist()), spec) for name, spec in COLUMNS.items()}
        near = f"{int((group['axis_angle'] < NEAR_AXIS).sum())} of {len(group)}"
        rows.append({"beta": f"{beta:g}"} | estimates | {"near an axis": near})
    return pd.DataFrame(rows)


def sentences(frames: Frames) -> list[str]:
    """What the ladder says of the claims of Fig. 2: two latents, aligned, unbroken."""
    trials = ladder(frames)
    if trials.empty:
        return []
    betas = sorted(set(trials["beta"].tolist()))
    ends = [betas[-1], betas[0]] if len(betas) > 1 else betas
    groups = {beta: trials[trials["beta"] == beta] for beta in ends}
    null, near = rotation_null(ASPECTS.get(frames.study.identity.get("search", ""), 1.0))
    two = " and ".join(
        f"in {int((group['position_latents'] == POSITION_LATENTS).sum())} of {len(group)} seeds at beta {beta:g} "
        f"({over_seeds(group['position_latents'].tolist()):.1f} latents on average)"
        for beta, group in groups.items()
    )
    aligned = " and ".join(
        f"{over_seeds(group['alignment'].tolist()):.2f} at beta {beta:g} "
        f"({int((group['axis_angle'] < NEAR_AXIS).sum())} of {len(group)} within {NEAR_AXIS:g} degrees of an axis)"
        for beta, group in groups.items()
    )
    broken = " and ".join(
        f"{over_seeds(group['torn_share'].tolist()):.3f} of neighbouring positions, "
        f"{over_seeds(group['jumps'].tolist()):.2f} jumps a traversal and "
        f"{over_seeds(group['ghosts'].tolist()):.3f} of frames with a ghost at beta {beta:g}"
        for beta, group in groups.items()
    )
    return [
        f"Exactly two latents say the position {two}.",
        f"Alignment of the position code with the axes is {aligned}; a code rotated at random would have {null:.2f}, "
        f"and {near:.0%} of seeds within {NEAR_AXIS:g} degrees.",
        f"Torn apart are {broken}.",
    ]


def ladder_figure(trials: pd.DataFrame, null: float) -> Figure:
    """Latents, alignment and fragmentation against beta: a point a seed, a line through the means.

    Args:
        trials: As `ladder` gives them.
        null: Alignment of a code that is rotated at random.
    """
    shown = {
        "position_latents": "latents that say the position",
        "alignment": "alignment A with the axes",
        "jumps": "jumps (per traversal)",
        "ghosts": "frames with a ghost (share)",
    }
    figure = Figure(figsize=(10.2, 2.7))
    for place, (name, label) in enumerate(shown.items()):
        axes = figure.add_subplot(1, len(shown), place + 1)
        means = trials.groupby("beta")[name].mean()
        axes.plot(means.index, means.to_numpy(), color="#0072B2", linewidth=1)
        for trial in records(trials):
            axes.scatter(trial["beta"], trial[name], s=18, alpha=0.5, color="#0072B2")
        if name == "alignment":
            axes.axhline(null, color="grey", linestyle=":", linewidth=1)
            axes.annotate("rotated at random", (1, null), xytext=(0, 3), textcoords="offset points", fontsize=7)
            axes.set_ylim(0, 1.05)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xscale("log")
        axes.set_xticks(means.index, [f"{beta:g}" for beta in means.index])
        axes.minorticks_off()
        axes.set_xlabel("beta")
        axes.set_ylabel(label)
    sns.despine(fig=figure)
    return figure
