"""What a study is: a protocol, a named search, its replicates and pinned settings, as frozen and hashed data."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from study.plan import Budget
from study.protocols import PROTOCOLS, Protocol
from trainables.checks import ConfigError, InputError, check_choice, check_range
from trainables.config import UINT32, Evaluation, TrialConfig, field_names, from_dict, is_own

SAMPLERS = ("tpe", "nsga2")
TARGETS = (
    "mig_calibrated", "mig", "mig_active", "mig_sampled", "factor_vae_calibrated", "factor_vae", "modularity",
    "mig_within_shape_calibrated", "mig_within_shape", "mig_phase_calibrated", "mig_phase",
)  # fmt: skip
"""Scores that every finished trial of a dataset with factors has, the last four where it has dSprites' orientation."""
SCHEMA = 1
EXECUTORS = ("loop", "stacked")
"""How trials are trained: each by itself, wherever that is, or many as one model; the bits of a result depend on it."""

DEFAULT_LANES, MOST_LANES = 32, 64
"""Trials that a GPU trains as one model: where nobody says, and at most (each has a process of its own beside)."""

Axes = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Adaptive:
    """How Optuna chooses the settings of a study.

    Raises:
        ConfigError: A name is unknown, or a number out of range.
    """

    sampler: str = "tpe"
    target: str = "mig_calibrated"
    """The score that is maximised, beside `recon` that is minimised."""
    settings: int | None = None
    """How many to try; None for the protocol's."""
    search_seed: int = 0
    stop_futile: bool = False
    """Whether a setting all of whose replicates are futile inside the ramp is given up."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Low and high by field, instead of the protocol's."""

    def __post_init__(self) -> None:
        check_choice("sampler", self.sampler, SAMPLERS)
        check_choice("target", self.target, TARGETS)
        check_range("settings", self.settings, 1, 100_000)
        check_range("search_seed", self.search_seed, 0, UINT32 - 1)


@dataclass(frozen=True)
class StudyConfig:
    """One study: which search runs under which protocol, over which seeds, with which settings pinned.

    Raises:
        ConfigError: A name is unknown, a value is out of range, or seeds are given twice.
    """

    search: str = "capacity_grid"
    protocol: str = "laptop"
    seeds: int | None = None
    """Replicates a setting; None for the protocol's, as the search runs it."""
    pinned: Axes = field(default_factory=dict)
    """Trial settings fixed from outside; several values make an axis."""
    measured: dict[str, int] = field(default_factory=dict)
    """Evaluation settings that replace the protocol's."""
    adaptive: Adaptive | None = None
    """Of a search whose settings Optuna chooses; None for all others."""
    executor: str | None = None
    """`loop` or `stacked`; None for what suits where the study is created."""

    def __post_init__(self) -> None:
        check_choice("protocol", self.protocol, tuple(PROTOCOLS))
        check_range("seeds", self.seeds, 1, 10_000)
        check_choice("executor", self.executor or EXECUTORS[0], EXECUTORS)
        if self.seeds is not None and "seed" in self.pinned:
            raise ConfigError(
                f"seeds={self.seeds} and seed={_listed(self.pinned['seed'])} both choose the replicates; give one"
            )
        for name in ("precision", "dataset", "model"):
            if len(self.pinned.get(name, ())) > 1:
                raise ConfigError(f"{name}={_listed(self.pinned[name])} differs inside one study; run a study for each")

    @property
    def own(self) -> tuple[str, ...]:
        """The objectives and models of the user's own that it trains, by name."""
        pinned = (*self.pinned.get("objective", ()), *self.pinned.get("model", ()))
        return tuple(name for name in pinned if is_own(name))

    def seeds_of(self, protocol: Protocol) -> tuple[int, ...]:
        """The seeds that each setting is trained with."""
        return self.pinned.get("seed") or tuple(range(self.seeds or protocol.seeds))

    @property
    def evaluation(self) -> Evaluation:
        """How every trial of the study is measured."""
        return dataclasses.replace(PROTOCOLS[self.protocol].evaluation, **self.measured)

    @property
    def dataset(self) -> str:
        """Name or path of the study's dataset."""
        return self.pinned.get("dataset", (PROTOCOLS[self.protocol].trial.dataset,))[0]

    def of(self, protocol: Protocol) -> "StudyConfig":
        """The same study with the dataset and the model of its protocol, as the search runs it, pinned where not yet.

        Both belong to a study's identity; only what a search changes is pinned, so that others stay as they were.
        """
        changed = {name: getattr(protocol.trial, name) for name in ("dataset", "model")}
        ours = {name: (value,) for name, value in changed.items() if value != getattr(TrialConfig, name)}
        return dataclasses.replace(self, pinned={**ours, **self.pinned})

    @property
    def is_stackable(self) -> bool:
        """Whether all its trials have a stacked form: the network of A.1 under our own objectives."""
        return not self.own and self.pinned.get("model", (TrialConfig.model,)) == (TrialConfig.model,)

    def settled(self, precision: str, report_every: int) -> "StudyConfig":
        """The same study with what nobody has chosen yet."""
        return dataclasses.replace(
            self,
            pinned={"precision": (precision,), **self.pinned},
            measured={"report_every": report_every, **self.measured},
        )

    def identity(self, dataset_sha256: str) -> dict[str, Any]:
        """What two runs must share for their trials to be comparable, and to live in one store."""
        aggregate = {"aggregate_rows": self.evaluation.aggregate_rows} if self.evaluation.aggregate_rows else {}
        return aggregate | {
            "schema": SCHEMA,
            "search": self.search,
            "protocol": self.protocol,
            "dataset": dataset_sha256,
            "model": self.pinned.get("model", (TrialConfig.model,))[0],
            "executor": self.executor or EXECUTORS[0],
            "precision": self.pinned.get("precision", ("fp32",))[0],
            "eval_seed": self.evaluation.eval_seed,
            "probe_rows": self.evaluation.probe_rows,
            "report_rows": self.evaluation.report_rows,
            "report_every": self.evaluation.report_every,  # tracking, and so the verdict, averages over reports
        }

    def to_json(self) -> str:
        """Canonical JSON; `from_json` is the way back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "StudyConfig":
        """The study that `to_json` wrote.

        Raises:
            ConfigError: An unknown key, or a value that the constructor refuses.
        """
        try:
            values = json.loads(text)
            values["pinned"] = {name: tuple(axis) for name, axis in values.get("pinned", {}).items()}
            for name in values["pinned"]:
                check_choice("setting", name, field_names(TrialConfig))
            if adaptive := values.get("adaptive"):
                ranges = {name: tuple(bounds) for name, bounds in adaptive.get("ranges", {}).items()}
                values["adaptive"] = from_dict(Adaptive, {**adaptive, "ranges": ranges})
            return from_dict(cls, values)
        except InputError:
            raise
        except (ValueError, TypeError, AttributeError, RecursionError) as error:  # written by others
            raise ConfigError(f"a study cannot be read from its JSON ({error}); restore its study.json") from None

    def hash(self) -> str:
        """Twelve hex digits of the study's content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


def _listed(values: tuple[Any, ...]) -> str:
    return ",".join(map(str, values))


@dataclass(frozen=True)
class Launch:
    """Where and how wide a study runs; nothing here changes a result."""

    cores: int
    """Of this machine."""
    gpus: int = 0
    """Of this machine; 0 where the study is to use none of them."""
    address: str | None = None
    """Of a running Ray cluster; None starts one on this machine."""
    concurrency: int | None = None
    """Trials at a time; None for as many as there are cores, or shares of GPUs."""
    lanes: int | None = None
    """Trials that each GPU trains in one pack; None: every trial is a process of its own."""
    trials_per_gpu: int | None = None
    """Processes that share a GPU. Given, as with `lanes`, trials ask for GPUs even where none has joined yet."""
    hang_seconds: float | None = None
    """A trial that has not reported for so long is ended and tried again; None for what no trial takes."""
    on_cpu: bool = False
    """Whether the pack trains on the CPU of this machine: to try packs where there is no GPU."""
    budget: Budget = field(default_factory=Budget)
    """When to stop for today."""
    imagined: bool = False
    """Whether it is only asked what a cluster of GPUs would cost, on a machine that has none."""

    @property
    def elsewhere(self) -> bool:
        """Whether other machines than this one train."""
        return self.address is not None or self.imagined

    @property
    def per_gpu(self) -> int | None:
        """Trials that share a GPU, one way or the other."""
        return self.lanes or self.trials_per_gpu

    @property
    def slots(self) -> int:
        """Trials at a time, as far as this machine can tell."""
        shared = self.on_cpu or (self.elsewhere and self.per_gpu)  # of a cluster, one GPU is sure to join
        room = max(self.gpus, 1 if shared else 0) * (self.per_gpu or 1)
        wanted = self.concurrency or room or self.cores
        return min(wanted, room) if room and not self.elsewhere else wanted

    def placing(self, executor: str) -> "Launch":
        """The same, with lanes where an executor needs them, nobody said how many, and there is a GPU for them."""
        wants = executor == "stacked" and self.gpus and not self.per_gpu
        return dataclasses.replace(self, lanes=DEFAULT_LANES) if wants else self

    def check(self, executor: str) -> None:
        """Refuse to train a stacked study where nothing can be stacked.

        Raises:
            InputError: Naming the remedy.
        """
        if executor == "stacked" and not self.lanes:
            raise InputError(
                "a study of executor=stacked trains in packs; give --lanes N, on a machine with a GPU or with the "
                "--address of a cluster (or --pack-on-cpu, slowly), or use another --store for --executor loop"
            )
