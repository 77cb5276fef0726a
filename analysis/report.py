"""One command after a study: the trade-off table and figure.

python -m analysis.report results/capacity_grid-laptop
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from analysis import figures, tradeoff
from analysis.frames import Frames, load
from trainables.config import InputError

LAPTOP_CLAIM = (
    "A laptop study shows whether trials leave the plateau, whether KL follows C, which factors open first, and the\n"
    "audit. It does not show which family disentangles better, matched gaps, variance shares, best settings, or\n"
    "anything at convergence."
)


def main(words: list[str]) -> int:
    """Print the table and write the figure; 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("store", type=Path, help="the folder of a study")
    path = parser.parse_args(words).store
    try:
        frames = load(path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in frames.study.problems:
        print(f"warning: {problem}", file=sys.stderr)
    for key in frames.trials.loc[frames.trials["status"] == "failed", "key"] if len(frames.trials) else []:
        print(f"trial {key} failed: see {frames.study.log_path(key)}")
    if frames.finished.empty:
        print(f"{path}: no trial has finished yet; run the study again to continue it")
        return 0
    rows = tradeoff.settings(frames.trials)
    print()
    print(tradeoff.table(rows).to_string(index=False))
    off = frames.finished["off_plateau"].tolist().count(True)
    print(f"\n{off} of {len(frames.finished)} finished trials are off the plateau (recon < 0.35 R0)", end="")
    print(f", R0 = {frames.finished['constant_loss'].iloc[0]:.1f} nats.")
    print("Reconstruction (nats per image), KL (nats) and scores are means over seeds of held-out values; in brackets")
    print("both values of two seeds, or the 95 % interval of three and more.")
    if frames.study.identity["protocol"] == "laptop":
        print(LAPTOP_CLAIM)
    try:
        print(f"figure: {write_figure(frames, rows)}")
    except OSError as error:
        print(f"error: the figure cannot be written ({error}); free {path / 'report'}", file=sys.stderr)
        return 2
    return 0


def write_figure(frames: Frames, rows: list[tradeoff.Setting]) -> Path:
    """The trade-off figure as PNG and PDF, with its provenance in the files' metadata; the PNG's path."""
    study, finished = frames.study, frames.finished
    figure, axes = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    figures.tradeoff(axes, finished, rows)
    commit = study.provenance[-1]["commit"] if study.provenance else "unknown"
    identity = hashlib.sha256(json.dumps(study.identity, sort_keys=True).encode()).hexdigest()[:12]
    seeds = finished["seed"].nunique()
    figure.supxlabel(
        f"{study.path.name}: {len(finished)} trials, {finished['setting'].nunique()} settings, {seeds} seeds, "
        f"n = {max(finished['probe_rows']):,.0f} held-out images",
        fontsize=8,
        color="grey",
    )
    source = f"study {study.path.name}, identity {identity}, commit {commit}"
    folder = study.path / "report"
    folder.mkdir(exist_ok=True)
    path = folder / "tradeoff.png"
    figure.savefig(path, dpi=160, metadata={"Description": source})
    figure.savefig(path.with_suffix(".pdf"), metadata={"Subject": source})
    plt.close(figure)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
