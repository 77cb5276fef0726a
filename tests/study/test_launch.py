import os
import signal
from pathlib import Path

import pytest
import ray

from study import launch
from study.adapters import GracefulStop
from study.plan import price
from trainables.config import Evaluation


@pytest.mark.parametrize(
    ("have", "asked", "expected"),
    [
        ({"CPU": 4}, launch.Launch(), ({"cpu": 1}, 4)),
        ({"CPU": 4}, launch.Launch(concurrency=3), ({"cpu": 1}, 3)),
        ({"CPU": 4, "GPU": 2}, launch.Launch(), ({"cpu": 0, "gpu": 1}, 2)),
        ({"CPU": 4, "GPU": 2}, launch.Launch(trials_per_gpu=4), ({"cpu": 0, "gpu": 0.25}, 8)),
        ({"CPU": 0}, launch.Launch(trials_per_gpu=4, concurrency=16), ({"cpu": 0, "gpu": 0.25}, 16)),
    ],
)
def test_resources_follow_the_cluster_and_the_flags(
    have: dict, asked: launch.Launch, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: have)
    assert launch._resources(asked) == expected


def test_the_first_signal_asks_and_the_second_stops() -> None:
    stop, shown = GracefulStop(), []
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


def test_provenance_names_code_versions_hardware_and_price() -> None:
    found = launch.provenance(["study/run.py"], price([], Evaluation(), 1, None))
    assert set(found) == {"commit", "versions", "hardware", "command", "predicted"}
    assert found["versions"]["ray"] == ray.__version__
