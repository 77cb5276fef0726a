"""One trial as a Ray Tune Trainable over the trainer.

Rows, checkpoints and arrays ride in the results: the driver alone writes them, so workers need no shared file system.
torch is imported in the trial's process when training starts, and nowhere before.
"""

import contextlib
import faulthandler
import io
import time
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from trainables import hardware
from trainables.config import Evaluation, TrialConfig, from_dict

if TYPE_CHECKING:
    from trainables.trainer import Trainer

ROW, STATE, ARRAYS, LOG, DIVERGED = "_row", "_state", "_arrays", "_log", "_diverged"
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
    ) -> None:
        """Called by Tune once per process; a reused process gets `reset_config` instead.

        Args:
            config: The fields of a `TrialConfig`.
            evaluation: The fields of an `Evaluation`.
            shelf: An actor whose `get(key)` gives the trial's last checkpoint or None.
            dataset_sha256: Of the study's dataset; a node that has another under the same name refuses the trial.
            checkpoint_seconds: Least time between two checkpoints; 0 for one at each report.
            hang_seconds: A step that takes longer dumps its stack and ends the process, and the trial is retried.
        """
        self.evaluation = from_dict(Evaluation, evaluation or {})
        self.shelf, self.dataset_sha256 = shelf, dataset_sha256
        self.checkpoint_seconds, self.hang_seconds = checkpoint_seconds, hang_seconds
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
                trainer = self.trainer = self.trainer or self._begin()
                report = trainer.run_to_report()
        except Exception as error:
            if output.getvalue():
                error.add_note(f"The trial had printed:\n{output.getvalue()}")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        result: dict[str, Any] = {"done": report.done, ROW: report.row, LOG: output.getvalue()}
        if report.diverged:
            return result | {DIVERGED: trainer.step}
        if report.done or time.monotonic() - self.saved >= self.checkpoint_seconds:
            self.saved = time.monotonic()
            result[STATE] = trainer.state()
        return result | {ARRAYS: report.arrays}

    def _begin(self) -> "Trainer":
        import torch

        from trainables.data.cache import locate
        from trainables.data.dataset import DatasetError, open_dataset
        from trainables.trainer import Trainer

        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # one thread a trial: as many trials as cores beat one trial on all of them
            hardware.keep_freed_memory()
        config = from_dict(TrialConfig, self.config["trial"])
        dataset = open_dataset(locate(config.dataset))
        if self.dataset_sha256 not in (None, dataset.sha256):
            raise DatasetError(
                f"{dataset.path} is not the study's dataset (sha256 {dataset.sha256[:12]}, not "
                f"{self.dataset_sha256[:12]}); delete it on this node"
            )
        trainer = Trainer(config, self.evaluation, dataset)
        state: Any = ray.get(self.shelf.get.remote(config.key())) if self.shelf else None
        if state is not None:
            trainer.load(state)
        self.saved = time.monotonic()
        return trainer
