from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal import RayActorManager
from ray.exceptions import ObjectLostError
from ray.tune.execution import tune_controller

from study.lost import Manager, survive_lost_results


def task(heard: list[Any]) -> Any:
    """As the manager tracks it."""
    return SimpleNamespace(_tracked_actor="actor", _on_error=lambda *told: heard.append(told))


def test_a_result_that_is_lost_with_its_node_is_one_trials_failure() -> None:
    heard: list[Any] = []
    manager, lost = Manager.__new__(Manager), ObjectLostError("id", None, "site")
    manager._actor_task_failed(task(heard), lost)
    assert heard == [("actor", lost)]
    with pytest.raises(RuntimeError, match="unexpected exception"):
        manager._actor_task_failed(task(heard), KeyError("another"))
    with pytest.raises(RuntimeError, match="unexpected exception"):  # what Ray's own makes of it: else ours can go
        RayActorManager._actor_task_failed(manager, task(heard), lost)


def test_tune_uses_our_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_controller, "RayActorManager", RayActorManager)
    survive_lost_results()
    assert tune_controller.RayActorManager is Manager  # type: ignore[attr-defined]
