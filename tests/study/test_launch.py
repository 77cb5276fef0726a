import os
import re
import signal
from pathlib import Path

import pytest
import ray
import yaml

from study import launch
from study.adapters import SourceStopper
from study.config import Launch
from study.flags import parser
from study.source import Grid
from trainables.checks import InputError


@pytest.mark.parametrize(
    ("have", "flags", "expected"),
    [
        ({"CPU": 4}, {}, ({"cpu": 1}, 4)),
        ({"CPU": 4}, {"concurrency": 3}, ({"cpu": 1}, 3)),
        ({"CPU": 4, "GPU": 2}, {}, ({"cpu": 0, "gpu": 1}, 2)),
        ({"CPU": 4, "GPU": 2}, {"trials_per_gpu": 4}, ({"cpu": 0, "gpu": 0.25}, 8)),
        ({"CPU": 0}, {"trials_per_gpu": 8, "concurrency": 64}, ({"cpu": 0, "gpu": 0.125}, 64)),
    ],
)
def test_resources_follow_the_cluster_and_the_flags(
    have: dict, flags: dict, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: have)
    assert launch._resources(Launch(cores=2, **flags)) == expected


def test_a_cluster_with_nothing_to_run_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"memory": 1.0})
    with pytest.raises(InputError, match=r"neither CPUs nor GPUs .* --trials-per-gpu N --concurrency M"):
        launch._resources(Launch(cores=2))


def test_an_address_without_a_cluster_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore lines.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"no Ray cluster at address auto \(Could not find .* instance\.\); start one"):
        launch._start_ray(Launch(cores=2, address="auto"))


def test_a_ray_that_does_not_start_here_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise Exception("The current node timed out during startup.\nMore lines.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=r"Ray did not start on this machine \(The current .* startup\.\); the same"):
        launch._start_ray(Launch(cores=2))


def test_the_flags_of_cluster_yaml_use_every_machine_that_may_join() -> None:
    root = Path(__file__).parents[2]
    text = (root / "cluster.yaml").read_text()
    command = re.search(r"python study/run.py (--search .*)", text)
    assert command
    flags = parser().parse_args(command[1].split())
    workers = yaml.safe_load(text)["max_workers"]
    assert flags.concurrency >= flags.trials_per_gpu * workers


def test_the_first_signal_asks_and_the_second_stops() -> None:
    stop, shown = SourceStopper(Grid({}, {})), []
    before = signal.getsignal(signal.SIGTERM)
    with launch._signals(stop, shown.append) as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.asked, received) == (True, [signal.SIGTERM])
        with pytest.raises(launch.Interrupted):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before
    assert len(shown) == 1


def test_others_chatter_goes_to_a_file_and_our_lines_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with launch._quiet(tmp_path / "logs") as show:
        os.write(1, b"chatter of a library\n")
        os.write(2, b"and its warnings\n")
        show("our line")
    print("after")
    captured = capfd.readouterr()
    assert captured.out == "our line\nafter\n"
    assert captured.err == ""
    assert (tmp_path / "logs" / "ray.txt").read_text() == "chatter of a library\nand its warnings\n"
    assert (tmp_path / "logs" / "progress.txt").read_text().endswith(" our line\n")
