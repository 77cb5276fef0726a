"""Fig. 3 in numbers: at which capacity each true factor opens in the generator, and in which order over seeds.

Beside the KL that the paper draws, the information I(z_i; f_i): KL can rise without it, where less noise is the
cheapest way to come to C.

Source: Burgess et al. 2018, section 4.3 and Fig. 3; thresholds, ties and censoring as in `analysis.openings`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.sheets import GAP, mosaic
from analysis.frames import Frames, records
from analysis.openings import Opening, before, openings
from analysis.statistics import over_seeds

MEASURES = {"kl": "KL", "info": "information"}
PAPER_ORDER = (("x", "y"), ("scale",), ("shape",), ("orientation",))
"""As Fig. 3 tells it: position first, shared equally, up to about 5 nats; then one after another."""
SHARED = 5.0
"""Nats up to which the paper sees only x and y."""


def by_factor(frames: Frames, key: str) -> pd.DataFrame:
    """One trial's reports with KL and information of each factor, `kl_<k>` and `info_<k>` (nats): of its latents' sums.

    Where a factor has several latents, as in the grouped code, they repeat each other: the sum of information is then
    an upper bound.
    """
    reports, latents = frames.reports(key), frames.study.arrays(key)["latent_factors"]
    table = {name: reports[name].to_numpy(float) for name in ("step", "capacity", "recon", "kl")}
    for k in range(len(frames.factors)):
        for measure in MEASURES:
            columns = [f"{measure}_{j}" for j in np.flatnonzero(latents == k)]
            table[f"{measure}_{k}"] = reports[columns].sum(axis=1).to_numpy(float)
    return pd.DataFrame(table)


def orders(frames: Frames, code: str, measure: str) -> list[dict[str, Opening | None]]:
    """Of each finished seed of a factor code, when each factor opens; None: not before C_max."""
    found = []
    for trial in _trials(frames, code):
        opened = {o.latent: o for o in openings(by_factor(frames, trial["key"]), trial, measure)}
        found.append({name: opened.get(k) for k, name in enumerate(frames.factors)})
    return found


def codes(frames: Frames) -> list[str]:
    """The factor codes of the finished trials, the plain one first."""
    return sorted(set(frames.finished["factor_code"]), key=lambda code: code != "scalar")


def opening_table(frames: Frames) -> pd.DataFrame:
    """C at which each factor opens, nats, over seeds: a row a code and a measure."""
    rows = []
    for code in codes(frames):
        for measure, word in MEASURES.items():
            order = orders(frames, code, measure)
            cells = {name: _capacities([seed[name] for seed in order]) for name in frames.factors}
            rows.append({"factor code": code, "opens by": word, "seeds": str(len(order))} | cells)
    return pd.DataFrame(rows)


def matrix_table(frames: Frames, code: str, measure: str) -> pd.DataFrame:
    """P(row opens before column) over seeds, `2 of 3`; ties and pairs that never opened are told apart."""
    found = before(orders(frames, code, measure))
    names = frames.factors
    cells = {
        j: [_first(*found[i, j]) if (i, j) in found else "-" for i in names]
        for j in names
    }  # fmt: skip
    return pd.DataFrame({"opens first": list(names)} | cells)


def sentences(frames: Frames) -> list[str]:
    """What the openings say of the paper's order, of the plain code."""
    if frames.finished.empty or "factor_code" not in frames.finished:
        return []
    code = codes(frames)[0]
    said = []
    for measure, word in MEASURES.items():
        order = orders(frames, code, measure)
        said.append(f"Generator, by {word}: {_alone(order)} {_agreement(order)}")
    if set(PAPER_ORDER[0]) <= set(frames.factors):
        uneven = over_seeds([_unevenness(frames, trial) for trial in _trials(frames, code)])
        said.append(f"Up to C = {SHARED:g} nats the KLs of x and y differ by {uneven:.2f} nats on average.")
    return said


def _trials(frames: Frames, code: str) -> list[dict[str, Any]]:
    """The finished trials of a code, by seed."""
    return [trial for trial in records(frames.finished.sort_values(by="seed")) if trial["factor_code"] == code]


def _unevenness(frames: Frames, trial: Mapping[str, Any]) -> float:
    """Mean |KL_x - KL_y| over the reports at which C is at most `SHARED`, nats; NaN without any."""
    reports = by_factor(frames, trial["key"])
    x, y = (reports[f"kl_{frames.factors.index(name)}"].to_numpy(float) for name in PAPER_ORDER[0])
    early = reports["capacity"].to_numpy(float) <= SHARED
    return float(np.abs(x - y)[early].mean()) if early.any() else float("nan")


def _alone(order: Sequence[Mapping[str, Opening | None]]) -> str:
    """Up to which C nothing but x and y is open, over the seeds in which both open before anything else."""
    limits, never, other = [], 0, 0
    for seed in order:
        others = [o.capacity for name, o in seed.items() if o is not None and name not in PAPER_ORDER[0]]
        first = [seed.get(name) for name in PAPER_ORDER[0]]
        if not all(o is not None and o.capacity < min(others, default=float("inf")) for o in first):
            other += 1
        elif others:
            limits.append(min(others))
        else:
            never += 1
    words = [f"x and y have the capacity to themselves up to C = {over_seeds(limits):.1f} nats in {len(limits)}"]
    words = words if limits else ["x and y have the capacity to themselves in 0"]
    words += [f"up to C_max in {never}"] if never else []
    words += [f"something else opens before both in {other}"] if other else []
    return f"{', '.join(words)} of {len(order)} seeds."


def _agreement(order: Sequence[Mapping[str, Opening | None]]) -> str:
    """Each step of the paper's order: in how many seeds it holds."""
    words = []
    for earlier, later in itertools.pairwise(PAPER_ORDER):
        for late in later:
            if not all(name in seed for seed in order for name in (*earlier, late)):
                continue
            firsts = [[before([seed])[name, late] for name in earlier] for seed in order]
            holds = sum(all(first for first, _, _ in pairs) for pairs in firsts)
            unknown = sum(
                any(tied for _, tied, _ in pairs) and all(first or tied for first, tied, _ in pairs) for pairs in firsts
            )
            words.append(f"{' and '.join(earlier)} before {late} in {_first(holds, unknown, len(order))}")
    return f"The paper's order: {'; '.join(words)}." if words else "The dataset has not the paper's factors."


def _capacities(found: list[Opening | None]) -> str:
    """Mean C with its interval over the seeds that opened, and how many never did."""
    opened = [o.capacity for o in found if o is not None]
    shut = len(found) - len(opened)
    words = [format(over_seeds(opened), ".1f")] if opened else []
    return ", ".join(words + ([f"> C_max in {shut}"] if shut else []))


def _first(first: int, tied: int, seeds: int) -> str:
    return f"{first} of {seeds}" + (f" ({tied} cannot be told)" if tied else "")


def figure(frames: Frames, code: str = "scalar") -> Figure:
    """Fig. 3: KL (and information) of each factor against C and against reconstruction accuracy; images below.

    Args:
        frames: Of a generator study.
        code: Whose trials; all seeds are drawn, the images are those of the least one.
    """
    keys = [trial["key"] for trial in _trials(frames, code)]
    drawn = Figure(figsize=(9.6, 6.2), layout="constrained")
    grid = drawn.add_gridspec(2, 2, height_ratios=[1.25, 1])
    by_capacity, by_accuracy = (drawn.add_subplot(grid[0, column]) for column in (0, 1))
    palette = sns.color_palette("colorblind", len(frames.factors))
    for key in keys:
        reports = by_factor(frames, key)
        for k, name in enumerate(frames.factors):
            look = {"color": palette[k], "linewidth": 1.1, "alpha": 0.8}
            label = name if key == keys[0] else None
            by_capacity.plot(reports["capacity"], reports[f"kl_{k}"], label=label, **look)
            by_accuracy.plot(-reports["recon"], reports[f"kl_{k}"], **look)
            if code == "scalar":
                by_capacity.plot(reports["capacity"], reports[f"info_{k}"], linestyle="--", **look)
    by_capacity.set_xlabel("capacity C along training (nats)")
    by_capacity.set_ylabel("KL of each factor, held-out (nats)")
    by_accuracy.set_xlabel("reconstruction accuracy: -recon, held-out (nats per image)")
    by_accuracy.set_ylabel("KL of each factor (nats)")
    if code == "scalar":
        by_capacity.plot([], [], color="grey", linewidth=1.1, linestyle="--", label="I(z; f)")
    by_capacity.legend(fontsize=8, title=f"{len(keys)} seeds", title_fontsize=8)
    _images(drawn.add_subplot(grid[1, :]), frames.study.arrays(keys[0]))
    return drawn


def _images(axes: Axes, arrays: dict[str, np.ndarray]) -> None:
    """The same images decoded as C rose, the latest first, as in the paper's lower panel."""
    if "snapshots" not in arrays:
        axes.set_axis_off()
        return
    capacities, pictures = arrays["snapshot_capacities"][::-1], arrays["snapshots"][::-1]
    picture = mosaic(np.concatenate([arrays["originals"][None], pictures]))
    axes.imshow(picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture, interpolation="nearest")
    height = pictures.shape[2]
    axes.set_yticks([(height + GAP) * place + height / 2 for place in range(len(pictures) + 1)])
    axes.set_yticklabels(["held-out", *(f"C = {capacity:.1f} nats" for capacity in capacities)], fontsize=8)
    axes.set_xticks([])
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
