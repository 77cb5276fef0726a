"""`cluster.yaml`, held against Ray's own schema and config preparation; no cloud is asked."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cluster() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


@pytest.fixture
def workers(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The node types that Ray starts and ends with the work: all but the head."""
    types = cluster["available_node_types"]
    return {name: kind for name, kind in types.items() if name != cluster["head_node_type"]}


def test_follows_rays_schema(cluster: dict[str, Any]) -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)


def test_ray_prepares_it(cluster: dict[str, Any]) -> None:
    prepared = prepare_config(cluster)
    validate_config(prepared)
    for start in ("head_start_ray_commands", "worker_start_ray_commands", "setup_commands", "file_mounts"):
        assert prepared[start] == cluster[start]
    assert prepared["head_setup_commands"][: len(cluster["setup_commands"])] == cluster["setup_commands"]


@pytest.mark.parametrize(("key", "value"), [("max_wokers", 2), ("max_workers", "many"), ("head_node_type", "absent")])
def test_a_mistake_is_seen(cluster: dict[str, Any], key: str, value: object) -> None:
    cluster[key] = value
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        validate_config(prepare_config(cluster))


def test_head_runs_no_trials(cluster: dict[str, Any]) -> None:
    assert set(cluster["available_node_types"][cluster["head_node_type"]]["resources"].values()) == {0}


def test_idle_cluster_has_no_workers(cluster: dict[str, Any], workers: dict[str, dict[str, Any]]) -> None:
    assert cluster["idle_timeout_minutes"] > 0
    assert cluster["provider"]["cache_stopped_nodes"] is False
    assert all(kind["min_workers"] == 0 and kind["resources"]["GPU"] >= 1 for kind in workers.values())
    assert any(0 < kind["max_workers"] <= cluster["max_workers"] for kind in workers.values())


def test_workers_are_spot_unless_asked(workers: dict[str, dict[str, Any]]) -> None:
    usable = [kind for kind in workers.values() if kind["max_workers"] > 0]
    assert all(kind["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot" for kind in usable)


def test_every_ray_process_authenticates(cluster: dict[str, Any]) -> None:
    starts = [
        line
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for line in cluster[key]
        if "ray start" in line
    ]
    assert len(starts) == 2
    for line in starts:
        assert "RAY_AUTH_MODE=token" in line
        assert "RAY_USAGE_STATS_ENABLED=0" in line
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "~/.ray/auth_token" in cluster["file_mounts"]


def test_mounted_files_are_those_of_the_project(cluster: dict[str, Any]) -> None:
    sources = {source for source in cluster["file_mounts"].values() if not source.startswith("~")}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert sources >= {"pyproject.toml", "constraints.txt", "trainables", "study", "analysis"}
    assert any("-c constraints.txt -e" in line for line in cluster["setup_commands"])
