"""Tune's manager of actors, taught that a result can be lost with its node.

A trial's report waits on the trial's node until the driver has fetched it. Where the node dies in between, Ray 2.60's
manager ends the whole experiment; here it is one more failed attempt of that trial.
"""

from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import ObjectLostError
from ray.tune.execution import tune_controller


class Manager(RayActorManager):
    """Ray's own, but for lost results."""

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, ObjectLostError):
            tracked_actor_task._on_error(tracked_actor_task._tracked_actor, exception)
            return
        super()._actor_task_failed(tracked_actor_task, exception)


def survive_lost_results() -> None:
    """Let the experiments of this process use our manager."""
    tune_controller.RayActorManager = Manager  # pyright: ignore[reportPrivateImportUsage]
