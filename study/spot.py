"""Which kind of machine Ray's autoscaler starts: spot before on demand, and on demand while AWS refuses spot.

`cluster.yaml` gives `spot_first` to the autoscaler on the head, by the environment variable
RAY_AUTOSCALER_UTILIZATION_SCORER. Ray's own scorer is told which types were refused of late, and does not look at it;
its version 2, the default of `ray up`, is not even told (tests/study/test_spot.py).
"""

from typing import Any

from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer

SPOT = "spot"
"""A type of machine with this in its name is one that AWS may take away."""


def spot_first(
    machine: dict[str, Any],
    demands: list[dict[str, Any]],
    name: str,
    *,
    node_availability_summary: NodeAvailabilitySummary,
) -> tuple[Any, ...] | None:
    """How well a type of machine suits what waits for one; Ray starts the greatest.

    Args:
        machine: Resources of one machine of the type.
        demands: Resources that trials wait for.
        name: Of the type.
        node_availability_summary: Which types could be had, and which not, within the last half hour.

    Returns:
        Whether it can be had, whether it is spot, and then Ray's own score; None where no demand fits it.
    """
    score = _default_utilization_scorer(machine, demands, name, node_availability_summary=node_availability_summary)
    if score is None:
        return None
    record = node_availability_summary.node_availabilities.get(name)
    return (record is None or record.is_available, SPOT in name, *score)
