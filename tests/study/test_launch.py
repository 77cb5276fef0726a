import os
import re
import signal
from pathlib import Path

import pytest
import yaml

from study import launch
from study.adapters import SourceStopper
from study.flags import parser
from study.source import Grid


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
