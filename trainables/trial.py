"""One trial as a Ray Tune Trainable over the trainer.

Rows, checkpoints and arrays ride in the results: the driver alone writes them, so workers need no shared file system.
torch is imported in the trial's process when training starts, and nowhere before.
"""

import contextlib
import faulthandler
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from trainables import hardware
from trainables.config import Evaluation, TrialConfig, from_dict
from trainables.software import check_software

if TYPE_CHECKING:
    from trainables.data.dataset import Dataset
    from trainables.measurement import Report
    from trainables.trainer import Trainer

ROW, STATE, ARRAYS, LOG, DIVERGED, NOTICE = "_row", "_state", "_arrays", "_log", "_diverged", "_notice"
"""Keys of a result that the driver takes out before Tune keeps it."""
_STDERR = 2  # the descriptor itself: Ray replaces sys.stderr


class VAETrial(tune.Trainable):
    """Trains the `TrialConfig` that its Tune config holds; each Tune step runs to the trainer's next report."""

    def setup(
        self,
        config: dict[str, Any],
        evaluation: dict[str, Any] | None = None,
        shelf: Any = None,
        dataset_sha256: str | None = None,
        checkpoint_seconds: float = 0.0,
        hang_seconds: float = 3600.0,
        registry: Any = None,
        software: dict[str, str] | None = None,
    ) -> None:
        """Called by Tune once per process; a reused process gets `reset_config` instead.

        Args:
            config: The fields of a `TrialConfig`.
            evaluation: The fields of an `Evaluation`.
            shelf: The driver's: an actor whose `get(key)` gives the trial's last checkpoint or None, and which has the
                dataset for nodes without it.
            dataset_sha256: Of the study's dataset.
            checkpoint_seconds: Least time between two checkpoints; 0 for one at each report.
            hang_seconds: A step that takes longer dumps its stack and ends the process, and the trial is retried.
            registry: Of pack servers; a trial in its own process has none.
            software: Of the driver; None where this is its own machine.

        Raises:
            InputError: This machine runs another.
        """
        if software is not None:
            check_software(software)
        self.evaluation = from_dict(Evaluation, evaluation or {})
        self.shelf, self.dataset_sha256 = shelf, dataset_sha256
        self.checkpoint_seconds, self.hang_seconds, self.registry = checkpoint_seconds, hang_seconds, registry
        self.trainer: Trainer | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial's config in this process."""
        self.config, self.trainer = new_config, None
        return True

    def step(self) -> dict[str, Any]:
        """Run to the next report."""
        output = io.StringIO()
        faulthandler.dump_traceback_later(self.hang_seconds, exit=True, file=_STDERR)
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                report, state = self._report()
        except Exception as error:
            if output.getvalue():
                error.add_note(f"The trial had printed:\n{output.getvalue()}")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        result: dict[str, Any] = {"done": report.done, ROW: report.row, LOG: output.getvalue()}
        if report.diverged:
            return result | {DIVERGED: report.step}
        if state is not None:
            result[STATE] = state
        return result | {ARRAYS: report.arrays}

    def _report(self) -> tuple["Report", bytes | None]:
        """The next report, and the checkpoint that belongs to it if one is due or it is the last report."""
        trainer = self.trainer = self.trainer or self._begin()
        report = trainer.run_to_report()
        due = report.done or time.monotonic() - self.saved >= self.checkpoint_seconds
        if report.diverged or not due:
            return report, None
        self.saved = time.monotonic()
        return report, trainer.state()

    def _begin(self) -> "Trainer":
        import torch

        from trainables.trainer import Trainer

        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # one thread a trial: as many trials as cores beat one trial on all of them
            hardware.keep_freed_memory()
        config = self._config()
        trainer = Trainer(config, self.evaluation, open_checked(config.dataset, self.dataset_sha256, self.shelf))
        if (state := self._shelved(config)) is not None:
            trainer.load(state)
        self.saved = time.monotonic()
        return trainer

    def _config(self) -> TrialConfig:
        return from_dict(TrialConfig, self.config["trial"])

    def _shelved(self, config: TrialConfig) -> bytes | None:
        """The trial's last checkpoint."""
        state: Any = ray.get(self.shelf.get.remote(config.key())) if self.shelf else None
        return state


def open_checked(name: str, sha256: str | None, shelf: Any = None) -> "Dataset":
    """The study's dataset on this node: found here, made here, or else fetched from the driver.

    Args:
        name: Name or path.
        sha256: Of the study's; None for any.
        shelf: Of the driver, or None.

    Raises:
        DatasetError: The node has none, or another one, and there is nobody to fetch it from.
    """
    from trainables.data.cache import delivered, locate
    from trainables.data.dataset import DatasetError, open_dataset

    def checked(path: Path) -> "Dataset":
        dataset = open_dataset(path)
        if sha256 not in (None, dataset.sha256):
            raise DatasetError(
                f"{path} is not the study's dataset (sha256 {dataset.sha256[:12]}, not {sha256[:12]}); delete it on "
                "this node"
            )
        return dataset

    try:
        return checked(locate(name))
    except DatasetError:
        if shelf is None or sha256 is None:
            raise
    size: int = ray.get(shelf.dataset_size.remote())
    return checked(delivered(sha256, size, lambda begin: ray.get(shelf.dataset_from.remote(begin))))
