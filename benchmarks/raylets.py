"""A Ray cluster of several nodes on one machine, some of which share no files with it, and which can be killed.

A node that is `apart` runs in a mount namespace of its own, where empty disks lie over the folders of the study: what
it is not sent, it does not have. That takes Linux and the right to mount.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""A dead node is noticed within seconds, not in half a minute."""
START_SECONDS = 120.0


class Node:
    """A node that was added to the head, in processes of its own."""

    def __init__(self, started: subprocess.Popen[Any]) -> None:
        self.started = started

    @property
    def trials(self) -> list[int]:
        """Its processes that train, or have: Ray names an actor's after its class, and after the method that runs."""
        lines = descendants(self.started.pid).items()
        return [pid for pid, line in lines if line.startswith(("ray::VAETrial", "ray::ResourceTrainable"))]

    def kill(self) -> None:
        """All its processes at once, as when a machine is taken away."""
        for pid in [self.started.pid, *descendants(self.started.pid)]:
            end(pid, signal.SIGKILL)
        self.started.wait()


class Raylets:
    """The head, without CPUs for trials, and the nodes that were added to it; a context.

    Args:
        empty: Folders that nodes which are apart have empty.
        log: Where the nodes' own output goes.
    """

    def __init__(self, empty: Sequence[Path], log: Path) -> None:
        self.empty, self.log = [folder.resolve() for folder in empty], log
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False, "dashboard_port": None}
        self.cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": HEALTH})
        self.address = str(self.cluster.address)
        self.nodes: list[Node] = []

    def add(self, cpus: int = 1, apart: bool = True) -> Node:
        """Start a node and wait until it has joined.

        Raises:
            RuntimeError: It has not, perhaps since nobody may mount here; with what it printed.
        """
        before = self.alive()
        words = [str(Path(sys.executable).with_name("ray")), "start", f"--address={self.address}", "--block"]
        words += [f"--num-cpus={cpus}", "--object-store-memory=150000000"]
        if apart:
            mounts = [f"mount -t tmpfs -o size=500m none {shlex.quote(str(folder))}" for folder in self.empty]
            script = " && ".join([*mounts, f"cd / && exec {shlex.join(words)}"])
            words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        with self.log.open("ab") as log:
            node = Node(subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True))
        self.nodes.append(node)
        limit = time.monotonic() + START_SECONDS
        while not self.alive() - before:
            if node.started.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"the node did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        return node

    def remove(self, node: Node) -> None:
        """Kill a node."""
        node.kill()
        self.nodes.remove(node)

    def stop(self) -> None:
        """Kill every node, the head last."""
        for node in self.nodes:
            if node.started.poll() is None:
                node.kill()
        self.cluster.shutdown()

    def __enter__(self) -> "Raylets":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def alive(self) -> set[str]:
        """Ids of the nodes that the head believes to be alive."""
        return {node["NodeID"] for node in self.cluster.global_state.node_table() if node["Alive"]}


def end(pid: int, number: int) -> None:
    """Send a signal to a process, if it still lives."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ")
            except (OSError, IndexError):
                continue  # it has ended since
    return found


def descendants(pid: int) -> dict[int, str]:
    """Command lines of a process's children, theirs, and so on."""
    everyone, below = processes(), {pid}
    while more := {child for child, (parent, _) in everyone.items() if parent in below} - below:
        below |= more
    return {child: everyone[child][1] for child in below - {pid} if child in everyone}
