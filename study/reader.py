"""Reads a study's store, also while its driver is writing; others import it from `study.store`."""

import dataclasses
import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from study import received
from study.parts import Parts
from study.received import StoreError, check_key
from trainables.checks import InputError, near, printable
from trainables.config import TrialConfig, from_dict
from trainables.hdf5 import declared_bytes, numbers

STATUS = {"started": "running", "retried": "running"}
"""Status after an event; every other event is its own status."""
LARGEST = 2**31
"""Bytes of a trial's arrays at most; 1,024 latents in colour have a quarter."""


class Study:
    """A study as it stands on disk, also while a driver is writing it. Every call reads anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        received.check_files(path)
        described = description(path)
        self.identity: dict[str, Any] = described["identity"]
        self.plan: list[dict[str, Any]] = described["plan"]
        self.provenance: list[dict[str, Any]] = described["provenance"]

    @property
    def name(self) -> str:
        """Of its folder, as it may be printed."""
        return printable(self.path.resolve().name)

    def check_identity(self, identity: dict[str, Any]) -> None:
        """Refuse to mix trials that are not comparable.

        Raises:
            StoreError: Naming what differs.
        """
        names = [name for name in {**self.identity, **identity} if self.identity.get(name) != identity.get(name)]
        if names:
            diff = ", ".join(f"{name} was {self.identity.get(name)}, now {identity.get(name)}" for name in names)
            raise StoreError(f"store {self.path} holds another study: {diff}; use another --store or the same settings")

    def check_own(self, sources: dict[str, str]) -> None:
        """Refuse one's own objective or model whose source has changed since its trials were trained.

        Args:
            sources: By name, the sha256 of the file that defines it now.

        Raises:
            StoreError: Naming which.
        """
        for name, known in [pair for entry in self.provenance for pair in entry.get("own", {}).items()]:
            if sources.get(name, known) != known:
                raise StoreError(
                    f"store {self.path} holds trials of {name} as it was before its file changed; "
                    "restore the file, or use another --store"
                )

    def changed(self, provenance: dict[str, Any]) -> list[str]:
        """A sentence about each of commit, versions and hardware that is not as the last run had it."""
        before = self.provenance[-1] if self.provenance else provenance
        names = [name for name in ("commit", "versions", "hardware") if before.get(name) != provenance.get(name)]
        return [printable(f"{name} was {before.get(name)}, now {provenance.get(name)}") for name in names]

    @property
    def problems(self) -> list[str]:
        """One sentence about each file that cannot be read."""
        return [printable(said) for name in ("events", "rows") for said in Parts(self.path / name).read()[1]]

    @property
    def unreadable_arrays(self) -> list[str]:
        """One sentence about each arrays file that cannot be opened: its trial has no pictures and no later scores."""
        sentences = []
        for path in sorted((self.path / "arrays").glob("*.h5")):
            try:
                h5py.File(path).close()
            except OSError as error:
                sentences.append(printable(_unreadable(path, error)))
        return sentences

    def rows(self) -> pd.DataFrame:
        """The metrics rows, the last attempt's for each trial and step, sorted by both."""
        frame = _frame(self.path / "rows", received.ROWS)
        if frame.empty:
            return pd.DataFrame({"key": pd.Series(dtype=str), "step": pd.Series(dtype=int)})
        frame = frame.sort_values(["key", "step", "attempt"], kind="stable")
        return frame.drop_duplicates(subset=["key", "step"], keep="last").reset_index(drop=True)

    def events(self) -> pd.DataFrame:
        """What happened to the trials, in order: key, attempt, time, kind, detail."""
        frame = _frame(self.path / "events", received.EVENTS)
        return frame if len(frame) else pd.DataFrame(columns=pd.Index(["key", "attempt", "time", "kind", "detail"]))

    def configs(self) -> dict[str, TrialConfig]:
        """The config of every trial that was ever started, or dropped before that."""
        events = self.events()
        told = zip(events["key"], events["kind"], events["detail"], strict=True)
        details = {key: detail for key, kind, detail in told if kind in ("started", "dropped")}
        return {key: self._config(key, detail) for key, detail in details.items()}

    def _config(self, key: str, detail: str) -> TrialConfig:
        try:
            return from_dict(TrialConfig, json.loads(detail))
        except InputError:
            raise
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise StoreError(f"store {self.path} has no config of trial {key} ({error}); restore its events") from None

    def status(self) -> dict[str, str]:
        """Of every trial known: finished, diverged, failed, stopped, dropped, interrupted or running.

        A finished trial that has lost its last row, its arrays or its weights counts as interrupted.
        """
        events, configs, steps = self.events(), self.configs(), self.steps()
        kinds = zip(events["key"], events["kind"], strict=True)
        status = {key: STATUS.get(str(kind), str(kind)) for key, kind in kinds}
        for key in [key for key, state in status.items() if state == "finished"]:
            kept = (self.path / "arrays" / f"{key}.h5").exists() and (self.path / "checkpoints" / key).exists()
            if not kept or key not in configs or steps.get(key) != configs[key].steps:
                status[key] = "interrupted"
        return status

    def attempts(self) -> dict[str, int]:
        """How often each trial was started."""
        events = self.events()
        return {key: int(attempt) for key, attempt in zip(events["key"], events["attempt"], strict=True)}

    def steps(self) -> dict[str, int]:
        """Updates that each trial had completed at its last report."""
        rows = self.rows()
        return {key: int(step) for key, step in zip(rows["key"], rows["step"], strict=True)}

    def trials(self) -> pd.DataFrame:
        """One row a trial: key, setting, family, config, status, attempts, seconds, and its last full evaluation."""
        configs, status, attempts = self.configs(), self.status(), self.attempts()
        described = [
            {"key": key, "setting": config.setting(), "family": config.family, **dataclasses.asdict(config)}
            | {"status": status[key], "attempts": attempts[key]}
            for key, config in configs.items()
        ]
        trials, rows = pd.DataFrame(described), self.rows()
        if trials.empty or rows.empty:
            return trials
        seconds = rows.groupby("key", as_index=False).agg({"seconds": "sum"})
        last = rows.loc[rows["full"].astype(bool)].drop_duplicates(subset="key", keep="last")
        last = last.drop(columns=["attempt", "time", "seconds"])
        return trials.merge(seconds, on="key", how="left").merge(last, on="key", how="left")

    def trial(self, key: str) -> "Trial":
        """One trial, by its key or a beginning of it that no other shares.

        Raises:
            StoreError: No trial has that key, naming the near ones, or several begin with it.
        """
        known = list(self.configs())
        same = [name for name in known if key and name.startswith(key)]
        if len(same) != 1:
            remedy = f"give one of {', '.join(same)}" if same else _near(key, known) if known else "train some first"
            raise StoreError(f"store {self.path} has no trial {key!r}; {remedy}")
        return Trial(self, same[0])

    def last_rows(self) -> dict[str, dict[str, Any]]:
        """The last full row of every finished trial, with its config, by key."""
        trials = self.trials()
        if trials.empty:
            return {}
        finished = trials.query("status == 'finished'")
        return {row["key"]: {str(name): value for name, value in row.items()} for row in finished.to_dict("records")}

    def arrays(self, key: str) -> dict[str, np.ndarray]:
        """The arrays of a finished trial.

        Raises:
            StoreError: The trial has none, or they cannot be read.
        """
        path = self.path / "arrays" / f"{check_key(key)}.h5"
        if not path.exists():
            raise StoreError(f"store {self.path} has no arrays of trial {key}; run the study again to make them")
        try:
            with h5py.File(path) as file:
                stored = {str(name): numbers(file, str(name)) for name in [*file]}
                if (size := sum(map(declared_bytes, stored.values()))) > LARGEST:
                    raise ValueError(f"has {size:,} bytes of arrays, over {LARGEST:,}")
                return {name: np.asarray(array) for name, array in stored.items()}
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
            raise StoreError(_unreadable(path, error)) from None

    def checkpoint(self, key: str) -> bytes | None:
        """A trial's last checkpoint, or its weights once it has finished; None before the first."""
        path = self.path / "checkpoints" / check_key(key)
        return path.read_bytes() if path.exists() else None

    def log_path(self, key: str) -> Path:
        """Where a trial's output and tracebacks are, if there are any."""
        return self.path / "logs" / f"{check_key(key)}.txt"


@dataclass(frozen=True)
class Trial:
    """One trial of a study; what it holds is read from disk when asked for."""

    study: Study
    key: str

    @property
    def config(self) -> TrialConfig:
        """What was trained."""
        return self.study.configs()[self.key]

    @property
    def status(self) -> str:
        """As `Study.status`."""
        return self.study.status()[self.key]

    def rows(self) -> pd.DataFrame:
        """Its metrics rows, by step."""
        rows = self.study.rows()
        return rows.loc[rows["key"] == self.key].reset_index(drop=True)

    def arrays(self) -> dict[str, np.ndarray]:
        """As `Study.arrays`."""
        return self.study.arrays(self.key)

    def model(self) -> Any:
        """The trained model, a `torch.nn.Module` on the CPU in evaluation mode; half-trained where training goes on.

        It encodes images (n, channels, 64, 64) in [0, 1] into mean and log std, each (n, latents), and decodes codes
        (n, latents) into Bernoulli logits.

        Raises:
            StoreError: The trial has no checkpoint yet.
            ConfigError: Its checkpoint cannot be read.
        """
        state = self.study.checkpoint(self.key)
        if state is None:
            raise StoreError(f"store {self.study.path} has no weights of trial {self.key}; run the study to make them")
        from trainables.checkpoint import model_of  # torch: readers of tables do without

        return model_of(state, f"trial {self.key}")


def open_study(path: Path | str) -> Study:
    """A study for reading.

    Raises:
        StoreError: The folder holds none, or its `study.json` cannot be read.
    """
    return Study(Path(path))


def _near(key: str, known: list[str]) -> str:
    """Keys are compared by as many digits as were given: a mistyped beginning is near too."""
    begun = {name[: len(key)]: name for name in reversed(known)}
    close = difflib.get_close_matches(key, begun, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(begun[word] for word in close)}?" if close else near(key, known)


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} cannot be read ({error}); delete it, and the study run again makes it"


def _frame(folder: Path, needed: dict[str, str]) -> pd.DataFrame:
    return received.frame(Parts(folder).read()[0], folder, needed)


def description(path: Path) -> dict[str, Any]:
    """What `study.json` says: identity, plan and provenance."""
    try:
        described = json.loads((path / "study.json").read_text())
        received.check_described(described)
        return described
    except FileNotFoundError:
        raise StoreError(f"{path} is no store: it has no study.json; give the folder of a study") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path / 'study.json'} cannot be read ({error}); restore it or use another --store") from None
