import pytest
import ray

from study.config import Launch
from study.workers import resources, start_ray
from trainables.checks import InputError


@pytest.mark.parametrize(
    ("have", "flags", "expected"),
    [
        ({"CPU": 4}, {}, ({"cpu": 1}, 4)),
        ({"CPU": 4}, {"concurrency": 3}, ({"cpu": 1}, 3)),
        ({"CPU": 4, "GPU": 2}, {}, ({"cpu": 0, "gpu": 1}, 2)),
        ({"CPU": 4, "GPU": 2}, {"trials_per_gpu": 4}, ({"cpu": 0, "gpu": 0.25}, 8)),
        ({"CPU": 0}, {"trials_per_gpu": 8, "concurrency": 64}, ({"cpu": 0, "gpu": 0.125}, 64)),
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
