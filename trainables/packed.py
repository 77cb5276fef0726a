"""Trials that share a pack, on stock Ray Tune: thin trials without torch, and a server for each GPU that trains them.

A trial asks Tune for a share of a GPU like any other; which GPU it was given says which server trains it. The driver
owns the registry and the registry the servers, so that none of them outlives a driver that was killed.
"""

import contextlib
import os
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables import hardware
from trainables.checks import ConfigError, InputError
from trainables.config import Evaluation, TrialConfig
from trainables.packing.desk import Desk, Outcome, PackFailed, Trains
from trainables.trial import NOTICE, VAETrial, open_checked

if TYPE_CHECKING:
    from trainables.measurement import Report
    from trainables.scoring import Scorer

THREADS = 160
"""Calls that a server answers at a time: each lane waits in one, and may leave in another."""
SERVERS_SHARE = 0.9
"""Of a trial's patience: then the server is at fault, and the trial lives to say so."""
TELLING_SECONDS = 1.0
"""For which a server that has failed lives on: its trials' calls are still on their way back."""


@dataclass(frozen=True)
class Serving:
    """What every server of a study is told.

    Attributes:
        evaluation: How trials are measured.
        executor: `loop` or `stacked`.
        dataset: Name or path.
        dataset_sha256: Of the study's; None for any.
        on_cpu: Whether the pack trains on the CPU, beside a GPU that Ray was only told of.
        hang_seconds: A report that takes longer dumps the stacks and ends the process.
        shelf: The driver's, which has the dataset for nodes without it; None where this is its machine.
    """

    evaluation: Evaluation
    executor: str
    dataset: str
    dataset_sha256: str | None = None
    on_cpu: bool = False
    hang_seconds: float = 3600.0
    shelf: Any = None

    def pack(self) -> Trains:
        """The pack of this process, without lanes.

        Raises:
            ConfigError: There is no GPU to train on.
            DatasetError: The node has another dataset under the name.
        """
        import torch

        from trainables.packing.pack import Pack

        if self.on_cpu:
            torch.set_num_threads(1)  # as a trial alone has: other sums, other bits
            hardware.keep_freed_memory()
        elif not torch.cuda.is_available():
            raise ConfigError(
                f"torch {torch.__version__} finds no GPU on {os.uname().nodename}, though Ray has given one; install a "
                "CUDA build there, or use --pack-on-cpu"
            )
        device = "cpu" if self.on_cpu else "cuda"
        return Pack(self.evaluation, open_checked(self.dataset, self.dataset_sha256, self.shelf), self.executor, device)


@ray.remote(num_cpus=0)
class PackServer:
    """Trains all lanes that were placed on one GPU.

    Args:
        serving: What to train, and how.
        gpu: Its number on the node, as Ray knows it.
    """

    def __init__(self, serving: Serving, gpu: str) -> None:
        if not serving.on_cpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before torch is loaded; Ray hides GPUs from who reserves none
        self.problem: InputError | None = None
        try:
            self.desk = Desk(serving.pack(), hang_seconds=serving.hang_seconds)
        except InputError as error:  # said to each trial in its own words; a dead actor says more, and less
            self.problem = error
            return
        threading.Thread(target=self._serve, daemon=True).start()

    def join(self, config: TrialConfig, state: bytes | None, checkpoint_seconds: float) -> int:
        """See `Desk.join`; a trial is named by its key."""
        if self.problem:
            raise self.problem
        return self.desk.join(config.key(), config, state, checkpoint_seconds)

    def report(self, ticket: int) -> Outcome:
        """See `Desk.report`."""
        return self.desk.report(ticket)

    def leave(self, ticket: int) -> None:
        """See `Desk.leave`."""
        self.desk.leave(ticket)

    def lanes(self) -> int:
        """How many trials hold a lane."""
        return len(self.desk.tenants)

    def _serve(self) -> None:
        try:
            self.desk.serve()
        except BaseException:  # a GPU that has failed stays failed in this process: trials come back to another
            traceback.print_exc()
            time.sleep(TELLING_SECONDS)
            os._exit(1)


@ray.remote(num_cpus=0)
class PackRegistry:
    """Knows, and makes, the server of each GPU.

    Args:
        serving: What every server is told.
    """

    def __init__(self, serving: Serving) -> None:
        self.serving, self.servers = serving, dict[tuple[str, str], tuple[str, Any]]()

    def server(self, node: str, gpu: str) -> tuple[str, Any]:
        """The server of a GPU, made if there is none, and a name that no other one ever has."""
        if (node, gpu) not in self.servers:
            here = NodeAffinitySchedulingStrategy(node, soft=False)  # else it inherits the trial's placement group
            options = PackServer.options(scheduling_strategy=here, max_concurrency=THREADS)
            self.servers[node, gpu] = uuid.uuid4().hex, options.remote(self.serving, gpu)
        return self.servers[node, gpu]

    def died(self, name: str) -> None:
        """Forget a server that a trial has found dead; another trial may have said so before."""
        self.servers = {place: server for place, server in self.servers.items() if server[0] != name}

    def all(self) -> list[Any]:
        """Every server."""
        return [server for _, server in self.servers.values()]


class PackedTrial(VAETrial):
    """A trial in a lane of the pack on the GPU that it was given: asks for its reports, scores them, loads no torch."""

    serving: ClassVar[type[Serving]] = Serving
    """What its servers are told."""

    def setup(self, *told: Any, **more: Any) -> None:
        """Called by Tune once per process; takes what `VAETrial.setup` does."""
        super().setup(*told, **more)
        self.server: Any = None
        self.named, self.ticket = "", 0
        context = ray.get_runtime_context()
        self.node, self.gpu = context.get_node_id(), (context.get_accelerator_ids().get("GPU") or ["none"])[0]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial's config in this process, and give the lane of the one before up."""
        self.cleanup()
        return super().reset_config(new_config)

    def cleanup(self) -> None:
        """Give the lane up."""
        if self.server is not None:
            self.server.leave.remote(self.ticket)  # whether it still lives or not
            self.server = None

    def step(self) -> dict[str, Any]:
        """Run to the next report."""
        self.notice = ""
        return super().step() | {NOTICE: self.notice}

    def _report(self) -> tuple["Report", bytes | None]:
        with self._watched():
            server = self.server = self.server or self._join()
            heard: Outcome = ray.get(server.report.remote(self.ticket), timeout=SERVERS_SHARE * self.hang_seconds)
        self.notice = heard.notice
        return self.scorer.report(heard.measured), heard.state

    def _join(self) -> Any:
        config = self._config()
        self.scorer = self._scorer(config)
        try:
            return self._placed(config)
        except (ActorDiedError, PackFailed):  # before: who has lost no lane need not spend an attempt
            ray.get(self.registry.died.remote(self.named))
            return self._placed(config)

    def _placed(self, config: TrialConfig) -> Any:
        self.named, server = ray.get(self.registry.server.remote(self.node, self.gpu))
        self.ticket = ray.get(server.join.remote(config, self._shelved(config), self.checkpoint_seconds))
        return server

    def _scorer(self, config: TrialConfig) -> "Scorer":
        from trainables.scoring import Scorer

        return Scorer(open_checked(config.dataset, self.dataset_sha256, self.shelf), self.evaluation, config)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """The next attempt, of this trial or another, gets another server where this one has failed or died."""
        try:
            yield
        except GetTimeoutError:  # its own watch has not ended it: it is stopped, or its node is
            ray.kill(self.server)
            self._forget()
            raise PackFailed(f"the pack has not answered for {SERVERS_SHARE * self.hang_seconds:.0f} s") from None
        except (ActorDiedError, PackFailed):
            self._forget()
            raise

    def _forget(self) -> None:
        self.server = None
        ray.get(self.registry.died.remote(self.named))
