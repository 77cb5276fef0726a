"""Would stopping futile settings early have cost anything? Asked of a study that stopped none.

python -m analysis.replay results/capacity_grid-laptop
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.frames import Frames, load, records
from analysis.tradeoff.settings import by_setting
from study.futility import Futility
from study.progress import pareto
from trainables.checks import InputError, check_choice
from trainables.config import TrialConfig

DRAWS = 1000
ALLOWED = 0.95
"""Share of the replays that may kill no setting of a front, for the rule to be a default."""


@dataclass(frozen=True)
class Replicate:
    """One finished trial: its targets, its updates, and the step at which it was futile, if it ever was."""

    recon: float
    score: float
    steps: int
    futile_at: int | None


@dataclass(frozen=True)
class Replay:
    """What the rule would have done.

    Attributes:
        settings: With every replicate finished.
        given_up: Their names, of those that the rule gives up.
        on_front: Names of those given up that are on the front of their family.
        harmless: Share of the bootstrap replays in which no setting of a front is given up.
        draws: Replays.
        seeds: Replicates of a setting, at least.
        steps: Updates of the whole study.
        saved: Updates that the rule saves.
        bound: Updates that nobody can save without touching a front: those of all settings off the fronts.
    """

    settings: int
    given_up: list[str]
    on_front: list[str]
    harmless: float
    draws: int
    seeds: int
    steps: int
    saved: int
    bound: int

    def __str__(self) -> str:
        if not self.given_up and self.harmless == 1:
            return (
                f"No setting of {self.settings} was ever futile (only capacity trials have a ramp to be so in): this "
                "study says nothing for or against the rule."
            )
        share = self.saved / self.steps
        names = f" ({'; '.join(self.given_up)})" if self.given_up else ""
        front = (
            f"on a front: {'; '.join(self.on_front)}" if self.on_front else "none of them on the front of its family"
        )
        verdict = "may" if self.harmless >= ALLOWED else "may not"
        return (
            f"{len(self.given_up)} of {self.settings} settings would be given up{names}, {front}.\n"
            f"{self.saved:,} of {self.steps:,} updates would be saved ({share:.0%}); settings off "
            f"the fronts took {self.bound:,}.\n"
            f"In {self.harmless:.1%} of {self.draws:,} bootstrap replays over {self.seeds} and more seeds no setting "
            f"of a front is given up: by this study the rule {verdict} be a default (it takes {ALLOWED:.0%})."
        )


def replay(frames: Frames, score: str = "mig_calibrated", draws: int = DRAWS, seed: int = 0) -> Replay:
    """Judge the rule of `study.futility` on recorded curves.

    A setting is given up once all its replicates have been futile. The replays draw each setting's replicates anew,
    with replacement, and take fronts of the means of those drawn, inside each family.

    Args:
        frames: Of a study that has stopped nothing early.
        score: The target beside `recon`.
        draws: Bootstrap replays.
        seed: Of the bootstrap.

    Raises:
        InputError: No setting has finished with the score, or trials were stopped.
    """
    settings = _settings(frames, score)
    names = list(settings)
    rng = np.random.default_rng(seed)
    given_up, front = _judged(settings, [list(range(len(settings[name][1]))) for name in names])
    harmless = 0
    for _ in range(draws):
        drawn = [rng.integers(len(settings[name][1]), size=len(settings[name][1])).tolist() for name in names]
        stopped, best = _judged(settings, drawn)
        harmless += not stopped & best
    labels = {row.id: row.label for row in by_setting(frames.trials)}
    steps = {name: sum(replicate.steps for replicate in replicates) for name, (_, replicates) in settings.items()}
    return Replay(
        settings=len(settings),
        given_up=[labels[name] for name in names if name in given_up],
        on_front=[labels[name] for name in names if name in given_up & front],
        harmless=harmless / draws,
        draws=draws,
        seeds=min(len(replicates) for _, replicates in settings.values()),
        steps=sum(steps.values()),
        saved=sum(_saved(settings[name][1]) for name in given_up),
        bound=sum(count for name, count in steps.items() if name not in front),
    )


Settings = dict[str, tuple[TrialConfig, list[Replicate]]]


def _settings(frames: Frames, score: str) -> Settings:
    """By hash: a config and the replicates of each setting all of whose replicates have finished with the score."""
    trials = frames.trials
    if len(trials) and {"stopped", "dropped"} & set(trials["status"]):
        raise InputError("trials of this study were stopped early: the curves are cut; replay one that stopped nothing")
    if len(frames.finished) and score not in trials:
        check_choice("score", score, [str(name) for name in trials if str(name).endswith("_calibrated")])
    found: Settings = {}
    lost, configs = set(), frames.study.configs()
    for trial in records(trials):
        config = configs[trial["key"]]
        setting = config.setting()
        if trial["status"] != "finished" or not np.isfinite(trial.get(score, np.nan)):
            lost.add(setting)
            continue
        at = _futile_at(frames, config)
        found.setdefault(setting, (config, []))[1].append(Replicate(trial["recon"], trial[score], config.steps, at))
    found = {name: entry for name, entry in found.items() if name not in lost}
    if not found:
        raise InputError(f"no setting has finished with {score} in all its replicates; run the study to its end")
    return found


def _futile_at(frames: Frames, config: TrialConfig) -> int | None:
    futility = Futility()
    for row in records(frames.reports(config.key())):
        if futility.see(config, row):
            return int(row["step"])
    return None


def _judged(settings: Settings, drawn: Sequence[Sequence[int]]) -> tuple[set[str], set[str]]:
    """Which settings are given up, and which are on the front of their family, by the replicates drawn of each."""
    given_up, points = set(), {}
    for (name, (config, replicates)), places in zip(settings.items(), drawn, strict=True):
        some = [replicates[place] for place in places]
        if all(replicate.futile_at is not None for replicate in some):
            given_up.add(name)
        mean = (float(np.mean([r.recon for r in some])), float(np.mean([r.score for r in some])))
        points.setdefault(config.family, {})[name] = mean
    front = {list(family)[place] for family in points.values() for place in pareto(list(family.values()))}
    return given_up, front


def _saved(replicates: Sequence[Replicate]) -> int:
    """Updates saved of a setting: its replicates train side by side, and end when the last of them is futile."""
    last = max(replicate.futile_at or 0 for replicate in replicates)
    return sum(replicate.steps - last for replicate in replicates)


def main(words: list[str]) -> int:
    """Print the replay of one store; 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m analysis.replay", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("store", type=Path)
    parser.add_argument("--score", default="mig_calibrated")
    arguments = parser.parse_args(words)
    try:
        print(replay(load(arguments.store), arguments.score))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
