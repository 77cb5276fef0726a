"""`cluster.yaml`, held against Ray's own schema and config preparation; no cloud is asked."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import hash_runtime_conf, prepare_config, validate_config, with_envs

ROOT = Path(__file__).parents[1]
FOLDER, TOKEN = "~/capacity-study/", "~/.ray/auth_token"


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
    for start in ("head_start_ray_commands", "worker_start_ray_commands", "setup_commands", "file_mounts", "metadata"):
        assert prepared[start] == cluster[start]
    assert prepared["head_setup_commands"][: len(cluster["setup_commands"])] == cluster["setup_commands"]
    assert prepared["worker_setup_commands"] == cluster["setup_commands"] + cluster["worker_setup_commands"]
    json.dumps(prepared)  # as it travels to the head


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


def test_workers_differ_in_their_market_alone(cluster: dict[str, Any], workers: dict[str, dict[str, Any]]) -> None:
    spot, on_demand = workers["gpu_spot"], workers["gpu_on_demand"]
    market = spot["node_config"].pop("InstanceMarketOptions")
    assert market == {"MarketType": "spot"}
    assert spot == on_demand
    assert spot["max_workers"] == cluster["max_workers"]  # the fallback is always on


def test_disks_and_credentials_are_guarded(cluster: dict[str, Any]) -> None:
    for kind in cluster["available_node_types"].values():
        node = kind["node_config"]
        assert [disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"]] == [True]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
    assert "security_group" not in cluster["provider"]  # no port is opened beyond Ray's own rules


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


def test_the_head_runs_the_autoscaler_that_knows_a_refusal(cluster: dict[str, Any], tmp_path: Path) -> None:
    # `ray up` puts its own choice before the command, as here; a `ray` that prints its environment stands in.
    start = next(line for line in cluster["head_start_ray_commands"] if "ray start" in line)
    (tmp_path / "ray").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "ray").chmod(0o755)
    (tmp_path / "capacity-study").mkdir()
    (line,) = with_envs([start.replace("ulimit -n 65536;", "")], {"RAY_enable_autoscaler_v2": "1"})
    path = f"{tmp_path}:{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-c", line], env={"HOME": str(tmp_path), "PATH": path}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "RAY_enable_autoscaler_v2=0" in told
    assert "RAY_AUTOSCALER_UTILIZATION_SCORER=study.spot.spot_first" in told
    assert "RAY_AUTH_MODE=token" in told
    assert "RAY_JOB_STOP_WAIT_TIME_S=300" in told


def git(*words: str, at: Path = ROOT) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True).stdout


needs_git = pytest.mark.skipif(not (ROOT / ".git").is_dir(), reason="not a clone")


@needs_git
def test_mounts_are_what_git_tracks(cluster: dict[str, Any]) -> None:
    tracked = {name.split("/")[0] for name in git("ls-files").splitlines()}
    assert cluster["file_mounts"] == {f"{FOLDER}{name}": name for name in {".git", *tracked}} | {TOKEN: TOKEN}
    assert any("-c constraints.txt -e" in line for line in cluster["setup_commands"])


def by_rsync(source: Path, target: Path, excluded: Sequence[str]) -> None:
    """As Ray's updater calls it."""
    filters = [word for pattern in excluded for word in ("--exclude", pattern)]
    slash = "/" if source.is_dir() else ""
    subprocess.run(["rsync", "-az", *filters, f"{source}{slash}", f"{target}{slash}"], check=True)


def by_hand(source: Path, target: Path, excluded: Sequence[str]) -> None:
    """What the patterns that we use mean, in plain Python."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        top = Path(folder) == source
        return {
            name
            for name in names
            for pattern in excluded
            if fnmatch(name, pattern.strip("/"))
            and (top or not pattern.startswith("/"))
            and (not pattern.endswith("/") or (Path(folder) / name).is_dir())
        }

    if source.is_dir():
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy2(source, target)


@needs_git
@pytest.mark.parametrize("copy", [by_rsync, by_hand])
def test_a_copy_tells_its_commit_and_no_secret(
    cluster: dict[str, Any], tmp_path: Path, copy: Callable[[Path, Path, Sequence[str]], None]
) -> None:
    if copy is by_rsync and not shutil.which("rsync"):
        pytest.skip("no rsync here")
    here, there = tmp_path / "here", tmp_path / "there"
    git("clone", "-q", str(ROOT), str(here))
    there.mkdir()
    login = ":".join(("me", "secret"))  # not as one word: this file is copied too
    git("remote", "set-url", "origin", f"https://{login}@example.org/study", at=here)
    for name in (".git/FETCH_HEAD", ".git/logs/HEAD", ".git/hooks/pre-commit", ".git/config.worktree",
                 "results/row", ".venv/bin/python", "study/__pycache__/plan.pyc", "examples/results/row"):  # fmt: skip
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("secret")
    for remote, local in cluster["file_mounts"].items():
        if local != TOKEN and (here / local).exists():  # one that is new may not be committed yet
            copy(here / local, there / remote.removeprefix(FOLDER), cluster["rsync_exclude"])
    said = git("describe", "--always", "--dirty", "--abbrev=40", at=there)
    assert said == git("rev-parse", "HEAD")
    kept = [file for file in there.rglob("*") if file.is_file()]
    assert not [file for file in kept if file.stat().st_size == len("secret") and file.read_text() == "secret"]
    assert not [file for file in kept if login.encode() in file.read_bytes()]


@needs_git
def test_what_ray_hashes_is_small_and_without_results(
    cluster: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = {remote: local for remote, local in cluster["file_mounts"].items() if local != TOKEN}
    read = [file for local in mounts.values() for file in [ROOT / local, *(ROOT / local).rglob("*")] if file.is_file()]
    assert sum(file.stat().st_size for file in read) < 50e6
    here = tmp_path / "here"
    git("clone", "-q", str(ROOT), str(here))
    monkeypatch.chdir(here)
    mounts = {remote: local for remote, local in mounts.items() if Path(local).exists()}

    def hashed() -> str:
        return hash_runtime_conf(mounts, None, [], generate_file_mounts_contents_hash=True)[1] or ""

    before = hashed()
    for name in ("results/row", ".venv/bin/python"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("much")
    assert hashed() == before
    Path("study/run.py").write_text("changed")
    assert hashed() != before
