from pathlib import Path
from unittest.mock import MagicMock

import pytest
import ray

from study import workers as study_workers
from study.config import Launch
from study.store import Store
from study.workers import check_nodes, resources, start_ray, workers
from trainables.checks import InputError
from trainables.config import Evaluation
from trainables.packed import Serving
from trainables.software import software


@pytest.mark.parametrize(
    ("have", "flags", "expected"),
    [
        ({"CPU": 4}, {}, ({"cpu": 1}, 4)),
        ({"CPU": 4}, {"concurrency": 3}, ({"cpu": 1}, 3)),
        ({"CPU": 4, "GPU": 2}, {}, ({"cpu": 0, "gpu": 1}, 2)),
        ({"CPU": 4, "GPU": 2}, {"trials_per_gpu": 4}, ({"cpu": 0, "gpu": 0.25}, 8)),
        ({"CPU": 0}, {"trials_per_gpu": 8, "concurrency": 64, "address": "auto"}, ({"cpu": 0, "gpu": 0.125}, 64)),
        ({"CPU": 2, "GPU": 1}, {"lanes": 2, "concurrency": 9, "on_cpu": True}, ({"cpu": 0, "gpu": 0.5}, 2)),
        ({"CPU": 2, "GPU": 1}, {"lanes": 4, "concurrency": 3}, ({"cpu": 0, "gpu": 0.25}, 3)),
        ({"CPU": 4, "GPU": 2}, {"lanes": 32}, ({"cpu": 0, "gpu": 1 / 32}, 64)),
        ({"CPU": 0}, {"lanes": 8}, ({"cpu": 0, "gpu": 0.125}, 8)),
    ],
)
def test_resources_follow_the_cluster_and_the_flags(
    have: dict, flags: dict, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: have)
    assert resources(Launch(cores=2, **flags)) == expected


def test_a_cluster_with_nothing_to_run_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"memory": 1.0})
    with pytest.raises(InputError, match=r"neither CPUs nor GPUs .* --lanes N .* --concurrency M"):
        resources(Launch(cores=2))


def test_an_address_without_a_cluster_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore lines.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"no Ray cluster at address auto \(Could not find .* instance\.\); start one"):
        start_ray(Launch(cores=2, address="auto"))


def test_a_ray_that_does_not_start_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise Exception("The current node timed out during startup.\nMore lines.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"Ray did not start on this machine \(The current .* startup\.\); the same"):
        start_ray(Launch(cores=2))


@pytest.mark.parametrize(("on_cpu", "server"), [(False, 1000.0), (True, 8000.0)])
def test_a_hang_is_noticed_by_the_server_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cpu: bool, server: float
) -> None:
    actors = MagicMock()
    monkeypatch.setattr(study_workers, "beside_the_driver", lambda kind: actors)
    monkeypatch.setattr(study_workers, "resources", lambda launch: ({"cpu": 0, "gpu": 0.125}, 8))
    monkeypatch.setattr(study_workers.tune, "with_parameters", lambda kind, **told: told)
    monkeypatch.setattr(study_workers.tune, "with_resources", lambda told, reserved: told)
    identity = {"dataset": "sha", "executor": "stacked"}
    with Store.open(tmp_path / "store", {"schema": 1} | identity, {}) as store:
        launch, evaluation = Launch(cores=2, lanes=8, on_cpu=on_cpu), Evaluation(report_every=100)
        told = workers(store.path, "blobs", evaluation, launch).trainable
    (serving,) = actors.remote.call_args.args
    assert serving == Serving(evaluation, "stacked", "blobs", "sha", on_cpu, server, actors.remote())
    assert told["hang_seconds"] == 3 * server


def test_a_cluster_whose_nodes_run_other_software_is_refused_before_the_first_trial(
    local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_nodes()
    monkeypatch.setattr(study_workers, "software", lambda: {**software(), "torch": "0.1"})
    monkeypatch.setattr(study_workers, "commit", lambda: "another")
    said = r"not every node can train: .* other software than the driver \(torch .*, not 0\.1, commit .*, not another\)"
    with pytest.raises(InputError, match=said):
        check_nodes()


def test_a_node_that_has_died_meanwhile_is_no_reason_to_refuse(
    local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = iter([{"gone"}, set[str]()])
    monkeypatch.setattr(study_workers, "_alive", lambda: next(alive))
    monkeypatch.setattr(study_workers, "_on", lambda node: "DEFAULT")
    monkeypatch.setattr(study_workers, "software", lambda: {"code": "another"})
    check_nodes()
