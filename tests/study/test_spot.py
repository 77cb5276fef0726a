"""Spot first, on demand as its fallback: our node types through Ray's own scheduler; no cloud is asked."""

# pyright: reportAttributeAccessIssue=false
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ray.autoscaler._private.event_summarizer import EventSummarizer
from ray.autoscaler._private.node_launcher import BaseNodeLauncher
from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
from ray.autoscaler._private.resource_demand_scheduler import ResourceDemandScheduler, _default_utilization_scorer
from ray.autoscaler._private.util import ConcurrentCounter, prepare_config
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.core.generated.common_pb2 import Bundle, PlacementStrategy
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

LANES = 32
TRIALS = [{"GPU": 1 / LANES}] * 256
SPOT, ON_DEMAND = "gpu_spot", "gpu_on_demand"
REFUSED = NodeLaunchException("InsufficientInstanceCapacity", "no spot today", None)


@pytest.fixture
def config() -> dict[str, Any]:
    """As Ray prepares `cluster.yaml`, with the resources that it looks up at AWS."""
    prepared = prepare_config(yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text()))
    for name in (SPOT, ON_DEMAND):
        prepared["available_node_types"][name]["resources"] |= {"memory": 11 * 2**30, "accelerator_type:L4": 1}
    return prepared


@pytest.fixture
def scheduler(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> ResourceDemandScheduler:
    start = next(line for line in config["head_start_ray_commands"] if "ray start" in line)
    named = dict(word.split("=", 1) for word in start.split() if word.startswith("RAY_"))
    monkeypatch.setenv("RAY_AUTOSCALER_UTILIZATION_SCORER", named["RAY_AUTOSCALER_UTILIZATION_SCORER"])
    head = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: "head"}
    machines = SimpleNamespace(node_tags=lambda _: head, internal_ip=lambda _: "10.0.0.1")
    return ResourceDemandScheduler(
        machines,  # type: ignore[arg-type]
        config["available_node_types"],
        config["max_workers"],
        "head",
        config["upscaling_speed"],
    )


def launched(
    scheduler: ResourceDemandScheduler,
    demands: list[dict[str, float]],
    seen: NodeProviderAvailabilityTracker | None = None,
    launching: dict[str, int] | None = None,
) -> dict[str, int]:
    """Machines that Ray would start now, by type, beside a head that is up; each demand is a placement group."""
    summary = (seen or NodeProviderAvailabilityTracker()).summary()
    none: Any = {"CPU": 0.0, "GPU": 0.0}
    groups = [
        PlacementGroupTableData(strategy=PlacementStrategy.PACK, bundles=[Bundle(unit_resources=demand)])
        for demand in demands
    ]
    wanted, _ = scheduler.get_nodes_to_launch(
        ["i-head"], launching or {}, [], {"10.0.0.1": none}, groups, {"10.0.0.1": none}, [], summary
    )
    return dict(wanted)


def test_trials_start_spot_machines_and_never_a_head(scheduler: ResourceDemandScheduler) -> None:
    assert launched(scheduler, TRIALS) == {SPOT: 8}
    assert launched(scheduler, TRIALS, launching={SPOT: 5}) == {SPOT: 3}
    assert launched(scheduler, TRIALS[:1]) == {SPOT: 1}
    assert launched(scheduler, [{"CPU": 1.0}]) == {SPOT: 1}  # nothing but a GPU machine has cores


def test_spot_is_told_by_the_word_and_not_by_the_alphabet(scheduler: ResourceDemandScheduler) -> None:
    # Between equals Ray takes the last name.
    scheduler.node_types["zz_on_demand"] = scheduler.node_types.pop(ON_DEMAND)
    assert launched(scheduler, TRIALS) == {SPOT: 8}


def test_refused_spot_falls_back_to_demand_and_back(scheduler: ResourceDemandScheduler) -> None:
    now = time.time()
    seen = NodeProviderAvailabilityTracker()
    seen.update_node_availability(SPOT, int(now), REFUSED)
    assert launched(scheduler, TRIALS, seen) == {ON_DEMAND: 8}
    seen.update_node_availability(ON_DEMAND, int(now), REFUSED)
    assert launched(scheduler, TRIALS, seen) == {SPOT: 8}  # neither is to be had: spot again
    later = NodeProviderAvailabilityTracker(timer=lambda: now + 31 * 60)
    later.store = seen.store
    assert later.summary().node_availabilities == {}  # forgotten after half an hour


def test_both_kinds_together_are_at_most_max_workers(scheduler: ResourceDemandScheduler) -> None:
    many = TRIALS * 4
    seen = NodeProviderAvailabilityTracker()
    assert launched(scheduler, many, seen, {SPOT: 3}) == {SPOT: 5}
    seen.update_node_availability(SPOT, int(time.time()), REFUSED)
    assert launched(scheduler, many, seen, {SPOT: 5}) == {ON_DEMAND: 8 - 5}
    assert launched(scheduler, many, seen, {SPOT: 4, ON_DEMAND: 4}) == {}


def test_without_our_scorer_there_is_no_fallback(scheduler: ResourceDemandScheduler) -> None:
    # Why study/spot.py is there: Ray's own scorer is told that spot was refused, and asks for it again.
    scheduler.utilization_scorer = _default_utilization_scorer  # type: ignore[assignment]
    seen = NodeProviderAvailabilityTracker()
    seen.update_node_availability(SPOT, int(time.time()), REFUSED)
    assert launched(scheduler, TRIALS, seen) == {SPOT: 8}


@pytest.mark.parametrize("refused", [False, True])
def test_a_refused_launch_is_what_the_scorer_hears_of(config: dict[str, Any], refused: bool) -> None:
    seen = NodeProviderAvailabilityTracker()
    cloud = MagicMock()
    cloud.create_node_with_resources_and_labels.side_effect = [REFUSED if refused else {}]
    pending = ConcurrentCounter()
    pending.inc(SPOT, 5)
    launcher = BaseNodeLauncher(
        provider=cloud,
        pending=pending,
        event_summarizer=EventSummarizer(),
        node_provider_availability_tracker=seen,
        prom_metrics=MagicMock(),
        node_types=config["available_node_types"],
    )
    launcher.launch_node(config, 5, SPOT)
    assert seen.summary().node_availabilities[SPOT].is_available is not refused
    asked = cloud.create_node_with_resources_and_labels.call_args.args
    assert asked[0]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert asked[2] == 5


def test_version_2_of_the_autoscaler_forgets_refusals() -> None:
    # The day this fails, cluster.yaml can do without RAY_enable_autoscaler_v2=0 and give its types a `priority`.
    monitor = CloudResourceMonitor()

    def hears(status: "Instance.InstanceStatus") -> dict[str, float]:
        monitor.notify([InstanceUpdateEvent(instance_id="i", instance_type=SPOT, new_instance_status=status)])
        return monitor.get_recoverable_resource_availabilities()

    assert hears(Instance.ALLOCATION_FAILED) == {}  # what a refusal of AWS becomes there
    assert hears(Instance.ALLOCATION_TIMEOUT) == {SPOT: 0.0}


def test_a_demand_that_fits_no_machine_has_no_score(scheduler: ResourceDemandScheduler) -> None:
    assert launched(scheduler, [{"GPU": 2.0}]) == {}
