"""What one trial is: a frozen `TrialConfig`, and how every trial of a study is measured: `Evaluation`.

Both are plain data without torch, so that a driver plans thousands of trials in milliseconds. Bad values are refused
here, in one sentence that names the value, the limit and the remedy.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.checks import ConfigError, check_choice, check_range, check_types

OBJECTIVES = ("vae", "beta_vae", "capacity")
MODELS = ("burgess2018-a1", "burgess2018-generator")
"""The VAE of A.1, and the generator of Fig. 3: its decoder behind the true factors."""
FACTOR_CODES = ("scalar", "grouped")
INITS = ("he", "pytorch")
PRECISIONS = ("fp32", "bf16")
UINT32 = 2**32
READ_BY = {
    "beta": ("beta", "beta_start"),
    "capacity": ("gamma", "capacity_max", "capacity_start", "ramp_steps"),
}
"""Fields that only one of our families reads; under a `beta_start` the beta family reads `ramp_steps` too."""
READ_BY_GENERATOR = ("factor_code", "factor_lr")
IMAGE_SIDE = 64
"""Pixels on each side of the images that the network takes (Burgess et al. 2018, A.1)."""


@dataclass(frozen=True)
class TrialConfig:
    """One trial: the result of training is a function of these fields alone.

    The defaults are the paper's for dSprites (Burgess et al. 2018, A.1 and A.2); where the paper is silent (`init`,
    `steps` after the ramp) the choice is ours. Fields that an objective does not read are reset to their defaults by
    `canonical`, so that they cannot split one trial into two.

    Raises:
        ConfigError: A field is of the wrong type or out of its range.
    """

    objective: str = "capacity"
    """`vae`, `beta_vae` (Eq. 5), `capacity` (Eq. 8), or one's own as `package.module:function`."""
    beta: float = 1.0
    """Weight of the KL in `beta_vae`."""
    beta_start: float | None = None
    """Where beta begins; it goes to `beta` linearly over `ramp_steps`. None: beta is fixed."""
    gamma: float = 1000.0
    """Weight of |KL - C| in `capacity`."""
    capacity_max: float = 25.0
    """C at the ramp's end, nats."""
    capacity_start: float = 0.0
    """C at step 0, nats."""
    ramp_steps: int = 100_000
    """Updates over which C rises linearly; 1 means no ramp."""
    steps: int = 200_000
    """Updates in all: the ramp and the hold (the paper names no hold; ours is as long as its ramp)."""
    batch_size: int = 64
    """Images an update, drawn with replacement."""
    learning_rate: float = 5e-4
    """Adam's rate."""
    latents: int = 10
    """Number of Gaussian latents (32 for CelebA)."""
    init: str = "he"
    """`he` (fan-in, ReLU; it learns under short ramps) or `pytorch` (the library's defaults)."""
    precision: str = "fp32"
    """Of convolutions and dense layers: `fp32`, or `bf16` autocast; everything else stays fp32."""
    dataset: str = "dsprites"
    """A name that we render, or the path of an HDF5 or NPZ file."""
    seed: int = 0
    """Spawns initialisation, batch order and noise."""
    init_seed: int | None = None
    """Overrides `seed` for the initialisation."""
    order_seed: int | None = None
    """Overrides `seed` for the batch order."""
    noise_seed: int | None = None
    """Overrides `seed` for the reparametrisation noise."""
    model: str = MODELS[0]
    """The network of A.1, the generator of Fig. 3, or one's own as `package.module:Class`."""
    factor_code: str = "scalar"
    """How the generator sees a factor: as one number (`scalar`), or shape one-hot and orientation as cos and sin
    (`grouped`)."""
    factor_lr: float = 0.05
    """Adam's rate of the generator's own scales and noises, which move at most so far an update."""

    def __post_init__(self) -> None:
        check_types(self)
        for name, value, ours in (("objective", self.objective, OBJECTIVES), ("model", self.model, MODELS)):
            if not is_own(value):
                check_choice(name, value, ours)
        check_choice("init", self.init, INITS)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("factor_code", self.factor_code, FACTOR_CODES)
        for name, low, high in (
            ("beta", 0.0, 1e6),
            ("beta_start", 0.0, 1e6),
            ("gamma", 0.0, 1e9),
            ("capacity_max", 0.0, 1e4),
            ("capacity_start", 0.0, 1e4),
            ("ramp_steps", 1, 10**9),
            ("steps", 1, 10**9),
            ("batch_size", 1, 65_536),
            ("learning_rate", 1e-9, 1.0),
            ("factor_lr", 1e-9, 10.0),
            ("latents", 1, 1024),
            ("seed", 0, UINT32 - 1),
            ("init_seed", 0, UINT32 - 1),
            ("order_seed", 0, UINT32 - 1),
            ("noise_seed", 0, UINT32 - 1),
        ):
            check_range(name, getattr(self, name), low, high)
        if (self.objective == "capacity" or self.is_annealed) and self.ramp_steps > self.steps:
            raise ConfigError(f"ramp_steps={self.ramp_steps} exceeds steps={self.steps}; lower it or raise steps")
        if self.objective == "capacity" and self.capacity_start > self.capacity_max:
            raise ConfigError(
                f"capacity_start={self.capacity_start} exceeds capacity_max={self.capacity_max}; "
                "lower it or raise capacity_max"
            )

    @property
    def family(self) -> str:
        """All settings of one objective: `beta` (a VAE has beta 1), `capacity`, or one's own by its name."""
        if is_own(self.objective):
            return self.objective
        return "capacity" if self.objective == "capacity" else "beta"

    @property
    def is_generator(self) -> bool:
        """Whether the model sees the true factors in place of the image."""
        return self.model == MODELS[1]

    @property
    def is_annealed(self) -> bool:
        """Whether beta changes over `ramp_steps`."""
        return self.objective == "beta_vae" and self.beta_start not in (None, self.beta)

    def canonical(self) -> "TrialConfig":
        """The same trial with every field that its objective and model do not read at the default.

        One's own objective may read any; one's own model initialises itself.
        """
        unread: tuple[str, ...] = () if self.is_generator else READ_BY_GENERATOR
        if is_own(self.model):
            unread += ("init",)
        changed: dict[str, Any] = {}
        if self.objective == "capacity":
            unread += READ_BY["beta"]
        elif not is_own(self.objective):
            kept = ("ramp_steps",) if self.is_annealed else ()
            unread += tuple(name for name in READ_BY["capacity"] if name not in kept)
            unread += () if self.is_annealed else ("beta_start",)
            changed = {"objective": "beta_vae", "beta": 1.0 if self.objective == "vae" else self.beta}
        return dataclasses.replace(self, **{name: getattr(TrialConfig, name) for name in unread}, **changed)

    def key(self) -> str:
        """Sixteen hex digits that name this trial in a store.

        A sha256 of the canonical fields that differ from their defaults, so that fields added later do not change
        old keys. A dataset counts by its file name: moving the file does not make another trial.
        """
        return _digest(self.canonical())

    def setting(self) -> str:
        """Twelve hex digits shared by the replicates of one setting: a key without the seeds."""
        seeds = {name: getattr(TrialConfig, name) for name in SEED_FIELDS}
        return _digest(dataclasses.replace(self.canonical(), **seeds))[:12]

    def spawned_seed(self, stream: str) -> int:
        """The seed of `stream`, one of `init`, `order`, `noise`: its override, or `seed`."""
        override = getattr(self, f"{stream}_seed")
        return self.seed if override is None else override


SEED_FIELDS = ("seed", "init_seed", "order_seed", "noise_seed")


@dataclass(frozen=True)
class Evaluation:
    """How trials are measured: the same for every trial of a study, and without influence on training.

    Raises:
        ConfigError: A field is of the wrong type or out of its range.
    """

    report_every: int = 1000
    """Updates between reports; the ramp's end and the last step are always reported."""
    report_rows: int = 1000
    """Probe rows of a cheap report."""
    probe_rows: int = 10_000
    """Held-out rows of the full evaluation (all held-out rows where there are fewer)."""
    eval_seed: int = 0
    """Fixes the probe, the evaluation noise and the nulls of the scores."""
    aggregate_rows: int = 0
    """Training images whose posteriors make the aggregate of joint information; 0 for the probe's own."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range("report_every", self.report_every, 1, 10**9)
        check_range("report_rows", self.report_rows, 2, 10**6)
        check_range("probe_rows", self.probe_rows, 2, 10**6)
        check_range("eval_seed", self.eval_seed, 0, UINT32 - 1)
        check_range("aggregate_rows", self.aggregate_rows, 0, 10**9)
        if self.aggregate_rows == 1:
            raise ConfigError("aggregate_rows=1 is one image, which tells nothing of an aggregate; give 0 or many")


def is_own(name: str) -> bool:
    """Whether an objective or a model is one's own: `package.module:name`."""
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name) is not None


def _digest(config: TrialConfig) -> str:
    fields = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != field.default
    }
    if "dataset" in fields:
        fields["dataset"] = Path(fields["dataset"]).stem
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def check_image_shape(shape: tuple[int, ...]) -> None:
    """Refuse images that the network does not take.

    Args:
        shape: (channels, height, width).

    Raises:
        ConfigError: Naming the size and the remedy.
    """
    if shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise ConfigError(
            f"images of {shape[1]} x {shape[2]} pixels do not fit the network; "
            f"convert the dataset to {IMAGE_SIDE} x {IMAGE_SIDE}"
        )


def family_reads(family: str, name: str, annealed: bool = False) -> bool:
    """Whether the objective of a family reads a config field; one's own may read any, an annealed beta the ramp."""
    if annealed and name == "ramp_steps":
        return True
    return not any(name in fields for fields in READ_BY.values()) or name in READ_BY.get(family, (name,))


def written(value: object) -> str:
    """A config value as it is printed: `100` for 100.0, nothing for None."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def field_names(kind: type[TrialConfig] | type[Evaluation]) -> list[str]:
    """The names of the fields of a config class, in order."""
    return [field.name for field in dataclasses.fields(kind)]


def from_dict(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """A config of class `kind` from a mapping; the way back is `dataclasses.asdict`.

    Raises:
        ConfigError: A key that the class does not have, with the near ones.
    """
    for name in values:
        check_choice("key", name, field_names(kind))
    return kind(**values)
