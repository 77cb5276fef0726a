"""The hourly price of a cluster, from the prices that the user keeps."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from study import prices, run
from study.config import Launch
from study.plan import Budget
from study.prices import CLUSTER, fleet, priced
from trainables.checks import InputError

OURS: dict[str, Any] = yaml.safe_load(CLUSTER.read_text())
PER_HOUR = OURS["metadata"]["prices"]["per_hour"]
ON_A_CLUSTER = Launch(cores=2, address="auto", lanes=32, concurrency=256)


def broken(*path: str, value: Any = None) -> dict[str, Any]:
    """Our cluster with one entry replaced, or taken out for None."""
    cluster = copy.deepcopy(OURS)
    place = cluster
    for name in path[:-1]:
        place = place[name]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return cluster


def test_the_prices_of_our_cluster_say_what_they_are() -> None:
    found = fleet(OURS, 256, 32)
    assert found
    assert (found.machines, found.kind, found.dearest) == (8, "gpu_spot", "gpu_on_demand")
    assert found.per_hour == pytest.approx(PER_HOUR["head"] + 8 * PER_HOUR["gpu_spot"])
    assert str(found) == (
        "9 machines: 1 head, 8 gpu_spot at 2.60 USD an hour (6.60 with gpu_on_demand); prices of cluster.yaml as of "
        "2025-06"
    )
    assert set(PER_HOUR) == set(OURS["available_node_types"])
    assert OURS["metadata"]["prices"]["region"] == OURS["provider"]["region"]


@given(slots=st.integers(1, 3000), per_gpu=st.integers(1, 64), most=st.integers(1, 70), gpus=st.integers(1, 4))
def test_machines_are_the_fewest_that_hold_all_slots_or_all_there_may_be(
    slots: int, per_gpu: int, most: int, gpus: int
) -> None:
    cluster = copy.deepcopy(OURS)
    cluster["max_workers"] = most
    for kind in ("gpu_spot", "gpu_on_demand"):
        cluster["available_node_types"][kind] |= {"max_workers": most, "resources": {"CPU": 4, "GPU": gpus}}
    found = fleet(cluster, slots, per_gpu)
    assert found
    room = 0
    while room * per_gpu * gpus < slots and room < most:  # the slow plain twin
        room += 1
    assert found.machines == room
    assert found.per_hour == pytest.approx(PER_HOUR["head"] + room * PER_HOUR["gpu_spot"])
    assert found.at_most == pytest.approx(PER_HOUR["head"] + room * PER_HOUR["gpu_on_demand"])


def test_a_kind_that_is_off_costs_nothing() -> None:
    found = fleet(broken("available_node_types", "gpu_spot", "max_workers", value=0), 64, 32)
    assert found
    assert str(found).startswith("3 machines: 1 head, 2 gpu_on_demand at 1.80 USD an hour; prices")


@pytest.mark.parametrize("path", [("metadata",), ("metadata", "prices")])
def test_no_prices_no_price(path: tuple[str, ...]) -> None:
    assert fleet(broken(*path), 256, 32) is None


PRICES = ("metadata", "prices")


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (broken(*PRICES, "per_hour", "gpu_spot"), "lack 'gpu_spot'"),
        (broken(*PRICES, "per_hour"), "lack 'per_hour'"),
        (broken(*PRICES, "currency"), "lack 'currency'"),
        (broken(*PRICES, "per_hour", "head", value="cheap"), "head: 'cheap' is no price"),
        (broken(*PRICES, "per_hour", "head", value=-1), "head: -1 is no price"),
        (broken(*PRICES, "per_hour", "head", value=float("inf")), "head: inf is no price"),
        (broken(*PRICES, "per_hour", "head", value=True), "head: True is no price"),
        (broken(*PRICES, value="much"), "cannot be read"),
        (broken("available_node_types", value=["gpu"]), "cannot be read"),
        (broken("metadata", value=["prices"]), "cannot be read"),
    ],
)
def test_broken_prices_are_one_clear_error(cluster: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"the prices of cluster.yaml .*{said}.*give --price-per-hour"):
        fleet(cluster, 256, 32)


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Ray leaves on the head of a cluster that it has launched."""
    path = tmp_path / "bootstrap.yaml"
    path.touch()
    monkeypatch.setattr(prices, "LAUNCHED", path)
    return path


def test_a_cluster_that_ray_has_not_launched_has_another_price(launched: Path) -> None:
    launched.unlink()
    assert priced(ON_A_CLUSTER, 1000) == (ON_A_CLUSTER, None)
    assert priced(dataclasses.replace(ON_A_CLUSTER, address=None, imagined=True), 1000)[1]


def test_a_cluster_has_its_own_price_unless_one_is_given(launched: Path, tmp_path: Path) -> None:
    where, found = priced(ON_A_CLUSTER, 1000)
    assert found
    assert where.budget == Budget(price_per_hour=found.per_hour)
    _, found = priced(ON_A_CLUSTER, 33)
    assert found
    assert found.machines == 2
    given_one = Launch(cores=2, address="auto", budget=Budget(price_per_hour=7.0))
    for launch, trials, path in [
        (given_one, 1000, CLUSTER),
        (Launch(cores=2), 1000, CLUSTER),
        (ON_A_CLUSTER, 0, CLUSTER),
        (ON_A_CLUSTER, 1000, tmp_path / "nowhere.yaml"),
    ]:
        assert priced(launch, trials, path) == (launch, None)


def test_a_cost_limit_needs_a_price_from_somewhere(launched: Path, tmp_path: Path) -> None:
    limited = Launch(cores=2, address="auto", lanes=32, concurrency=32, budget=Budget(max_cost=5.0))
    where, _ = priced(limited, 1000)
    assert where.budget.seconds == pytest.approx(5 / 0.5 * 3600)
    with pytest.raises(InputError, match="--max-cost=5 needs the --price-per-hour"):
        priced(limited, 1000, tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="--max-cost=5 on a cluster needs --concurrency"):
        priced(dataclasses.replace(limited, concurrency=None), 1000)


@pytest.mark.parametrize("text", ["metadata: {prices: ", "- a list", "\x00", "5"])
def test_a_file_that_is_no_cluster_is_named(launched: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(InputError, match="cannot be read"):
        priced(ON_A_CLUSTER, 1000, tmp_path / "cluster.yaml")


def test_a_laptop_can_ask_what_a_cluster_would_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--dry-run", "--lanes", "32", "--concurrency", "64", "--protocol", "paper", "--max-cost", "100"]
    assert run.main([*words, "--store", str(tmp_path / "store")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert "64 at a time" in told[1]
    assert "a time unknown until trials have run" in told[1]
    assert told[1].endswith(", 0.8 an hour")
    assert told[2].startswith("3 machines: 1 head, 2 gpu_spot at 0.80 USD an hour")
    assert len(told) == 3
