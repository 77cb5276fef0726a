"""What an hour of the machines costs, by the prices that the user keeps in `cluster.yaml`."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from study.config import Launch
from trainables.checks import InputError

LAUNCHED = Path("~/ray_bootstrap_config.yaml").expanduser()
"""On the head of a cluster that `ray up` has launched; any other cluster has prices of its own."""
CLUSTER = Path(__file__).parents[1] / "cluster.yaml"
REMEDY = "mend it as in the project's own cluster.yaml, or give --price-per-hour"


@dataclass(frozen=True)
class Fleet:
    """The machines that a study takes at its height, and what they cost.

    Attributes:
        head: Name of the type of the head; there is one.
        kind: Of the GPU machines that Ray starts first.
        machines: So many of them, at most as many as the cluster may have.
        wanted: As many as would run all trials at a time that were asked for.
        per_hour: Of all together.
        at_most: The same with the dearest kind of GPU machine.
        dearest: That kind.
        currency: Of both prices.
        date: When somebody last looked them up.
    """

    head: str
    kind: str
    machines: int
    wanted: int
    per_hour: float
    at_most: float
    dearest: str
    currency: str
    date: str

    def __str__(self) -> str:
        more = f" ({self.at_most:.2f} with {self.dearest})" if self.at_most > self.per_hour else ""
        short = f" of {self.wanted} wanted (max_workers): so fewer trials at a time" * (self.wanted > self.machines)
        return (
            f"{self.machines + 1} machines: 1 {self.head}, {self.machines} {self.kind}{short} at {self.per_hour:.2f} "
            f"{self.currency} an hour{more}; prices of cluster.yaml as of {self.date}"
        )


def fleet(cluster: Mapping[str, Any], slots: int, per_gpu: int) -> Fleet | None:
    """The machines for so many trials at a time; None where the cluster has no prices.

    Args:
        cluster: Content of a `cluster.yaml`.
        slots: Trials at a time, at least 1.
        per_gpu: Trials that share a GPU.

    Raises:
        InputError: Its prices cannot be read, or one is missing.
    """
    try:
        if not (cluster.get("metadata") or {}).get("prices"):
            return None
        prices, types = cluster["metadata"]["prices"], cluster["available_node_types"]
        head, currency, date = cluster["head_node_type"], prices["currency"], prices["date"]
        gpus = {
            name: kind["resources"]["GPU"]
            for name, kind in types.items()
            if name != head and kind["resources"].get("GPU", 0) > 0 and kind["max_workers"] > 0
        }
        per_hour = {name: _price(name, prices["per_hour"][name]) for name in (head, *gpus)}
        kind, dearest = min(gpus, key=per_hour.__getitem__), max(gpus, key=per_hour.__getitem__)
        wanted = math.ceil(slots / (per_gpu * gpus[kind]))
        machines = min(wanted, types[kind]["max_workers"], cluster["max_workers"])
    except KeyError as error:
        raise InputError(f"the prices of cluster.yaml lack {error.args[0]!r}; {REMEDY}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"the prices of cluster.yaml cannot be read ({error}); {REMEDY}") from None
    expected, at_most = (per_hour[head] + machines * per_hour[name] for name in (kind, dearest))
    return Fleet(head, kind, machines, wanted, expected, at_most, dearest, currency, date)


def _price(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name}: {value!r} is no price")
    return float(value)


def priced(launch: Launch, trials: int, path: Path = CLUSTER) -> tuple[Launch, Fleet | None]:
    """The launch with the hourly price of its cluster, where nobody gave one.

    Args:
        launch: Where to run.
        trials: That are left to train.
        path: Of the cluster's file; no file, no price.

    Returns:
        It, and the machines that the price is of; None where it is none of `cluster.yaml`.

    Raises:
        InputError: The file cannot be read, or there is a --max-cost and no price for it, or no number of trials at
            a time.
    """
    found = None
    ours = launch.imagined or (launch.address is not None and LAUNCHED.exists())
    if ours and launch.budget.price_per_hour is None and trials and path.is_file():
        try:
            cluster = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}); {REMEDY}") from None
        if launch.budget.max_cost is not None and launch.concurrency is None:
            raise InputError(
                f"--max-cost={launch.budget.max_cost:g} on a cluster needs --concurrency: so many machines come"
            )
        found = fleet(cluster, min(launch.slots, trials), launch.per_gpu or 1)
    budget = launch.budget.priced(found.per_hour if found else None)
    return dataclasses.replace(launch, budget=budget), found
