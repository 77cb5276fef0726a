"""Faults on a Ray of several nodes that share no files with the driver: nothing is lost, and nothing differs.

Each node runs in a mount namespace of its own, with empty disks over the store, the dataset and its cache: the test
fails where that cannot be. After every fault the store must equal that of a run without one.
"""

import gc
import os
import re
import shutil
import signal
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.raylets import Node, Raylets, processes
from study.patience import is_lost
from study.store import compare, open_study
from tests.study.commandline import REPORTS, TRIALS, Command
from trainables.data.cache import cache_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
Uninterrupted = tuple[Path, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Raylets]:
    """Makes a cluster whose nodes have none of our files."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    base = tmp_path_factory.getbasetemp()

    def make() -> Raylets:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves a socket open where it has sought a port
            raylets = Raylets([base, cache_folder()], base / "raylets.txt")
            gc.collect()
        return raylets

    return make


@pytest.fixture(scope="module")
def raylets(made: Callable[[], Raylets]) -> Iterator[Raylets]:
    """The head, which trains nothing, and two nodes apart."""
    with made() as cluster:
        cluster.add()
        cluster.add()
        yield cluster


@pytest.fixture
def command(command: Command, raylets: Raylets) -> Command:
    """The command on the cluster; nothing here looks at its report."""
    command.where, command.reports = ("--address", raylets.address), False
    return command


def reported(store: Path) -> set[tuple[str, int]]:
    rows = open_study(store).rows()
    return set(zip(rows["key"], rows["step"], strict=True))


def ends_well(command: Command, uninterrupted: Uninterrupted) -> str:
    """The driver that runs now ends, and nothing differs; what it printed."""
    output, _ = command.processes[-1].communicate(timeout=180)
    assert command.processes[-1].returncode == 0, output
    assert compare(command.store, uninterrupted[0]) == []
    return output


def goes_on(command: Command, uninterrupted: Uninterrupted) -> str:
    """The same command again ends well, and no row is lost; what it printed."""
    before = reported(command.store)
    command.start()
    output = ends_well(command, uninterrupted)
    assert before <= reported(command.store)
    return output


def test_nodes_share_no_files_and_fetch_what_they_need_and_a_second_driver_is_refused(
    command: Command, raylets: Raylets, uninterrupted: Uninterrupted
) -> None:
    for node in raylets.nodes:
        assert not Path(f"/proc/{node.started.pid}/root{command.dataset}").exists()
        assert not Path(f"/proc/{node.started.pid}/root{uninterrupted[0]}").exists()
    first = command.start()
    command.wait_for(lambda: all(node.trials for node in raylets.nodes))
    code, output = command.run()
    assert (code, output.count("\n")) == (2, 3), output
    assert f"{command.store} is open in another driver (process {first.pid} on" in output
    command.processes.reverse()
    ends_well(command, uninterrupted)
    for node in raylets.nodes:
        inside = Path(f"/proc/{node.started.pid}/root{cache_folder().resolve()}")
        assert [path.name[:10] for path in inside.glob("*.h5")] == ["delivered-"]


def test_kill_9_of_a_trials_worker(command: Command, raylets: Raylets, uninterrupted: Uninterrupted) -> None:
    command.start()
    command.wait_for(lambda: command.rows() >= 2 and bool(raylets.nodes[0].trials))
    os.kill(raylets.nodes[0].trials[0], signal.SIGKILL)
    ends_well(command, uninterrupted)
    assert "retried" in set(open_study(command.store).events()["kind"])


def test_nodes_are_killed_and_others_join_later(
    command: Command, raylets: Raylets, uninterrupted: Uninterrupted
) -> None:
    command.start()
    command.wait_for(lambda: command.rows() >= 2 and all(node.trials for node in raylets.nodes))
    for node in list(raylets.nodes):
        raylets.remove(node)
    joined = [raylets.add(), raylets.add()]
    command.wait_for(lambda: any(node.trials for node in joined))  # nobody else could go on
    ends_well(command, uninterrupted)
    study = open_study(command.store)
    retried = study.events().query("kind == 'retried'")["key"]
    assert len(retried) >= 2
    assert all(is_lost(study.log_path(key).read_text()) for key in retried)  # so it has cost them no attempt


def test_head_and_all_nodes_are_lost(
    command: Command, made: Callable[[], Raylets], uninterrupted: Uninterrupted
) -> None:
    with made() as lost:
        lost.add(cpus=2)
        command.where = ("--address", lost.address)
        driver = command.start()
        command.wait_for(lambda: command.rows() >= REPORTS // 3)
        os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    with made() as another:
        another.add(cpus=2)
        command.where = ("--address", another.address)
        goes_on(command, uninterrupted)


def test_kill_9_of_the_driver_in_the_middle_of_writes(
    command: Command, raylets: Raylets, uninterrupted: Uninterrupted
) -> None:
    seen: set[tuple[str, int]] = set()
    for folder, nth in [("events", 3), ("rows", 4), ("checkpoints", 5), ("arrays", 2)]:
        command.program = ("tests/study/killed.py", folder, str(nth))
        code, output = command.run()
        assert code == -signal.SIGKILL, output
        assert list((command.store / folder).glob("*.aside"))  # it died where it was meant to
        assert seen <= reported(command.store)
        seen = reported(command.store)
    command.program = ("study/run.py",)
    goes_on(command, uninterrupted)


def test_kill_9_while_the_report_is_written(command: Command, uninterrupted: Uninterrupted) -> None:
    command.reports = True
    driver = command.start()
    command.wait_for(lambda: (command.store / "report").exists())
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    page = command.store / "report" / "index.html"
    assert not page.exists()
    goes_on(command, uninterrupted)
    assert page.read_text().endswith("</html>\n")


def test_the_disk_of_the_store_is_full(command: Command, uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(disk)], check=True)
    try:
        command.store = disk / "store"
        driver = command.start()
        command.wait_for(lambda: command.rows() >= 6)
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
        output, _ = driver.communicate(timeout=180)
        assert driver.returncode == 2, output
        assert output.splitlines()[-1].startswith(f"error: store {command.store} cannot be written: its disk is full")
        assert "Traceback" not in output
        (disk / "filler").unlink()
        goes_on(command, uninterrupted)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_hung_trial_is_ended_and_tried_again(
    command: Command, raylets: Raylets, uninterrupted: Uninterrupted
) -> None:
    command.start("--hang-minutes", "0.6")
    command.wait_for(lambda: command.rows() >= 2 and bool(raylets.nodes[0].trials))
    os.kill(raylets.nodes[0].trials[0], signal.SIGSTOP)  # not even its own watch runs on
    output = ends_well(command, uninterrupted)
    assert re.search(r"trial \w+ has not reported for \d+ s: ended, and tried again", output)


def test_a_trial_that_raises_every_time_fails_alone(command: Command) -> None:
    code, output = command.run(objective="tests.study.raises:on_seed_1", beta="", gamma="", capacity_max="")
    study = open_study(command.store)
    assert code == 1, output
    assert sorted(study.status().values()) == ["failed", "finished"]
    (victim,) = [key for key, status in study.status().items() if status == "failed"]
    log = study.log_path(victim)
    assert f"trial {victim} failed: ArithmeticError: this trial fails every time; see {log}" in output
    assert log.read_text().count("ArithmeticError: this trial fails every time") == 3
    assert study.attempts()[victim] == 3


def test_sigterm_then_ctrl_c_twice_then_once(command: Command, uninterrupted: Uninterrupted) -> None:
    driver = command.start()
    command.wait_for(lambda: command.rows() >= 3)
    os.kill(driver.pid, signal.SIGTERM)  # a spot notice
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 143, output
    assert "running" not in open_study(command.store).status().values()
    before = reported(command.store)

    driver = command.start()
    command.wait_for(lambda: command.rows() >= len(before) + 3)
    os.killpg(driver.pid, signal.SIGINT)
    time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130, output
    assert before < reported(command.store)
    before = reported(command.store)

    driver = command.start()
    command.wait_for(lambda: command.rows() >= max(len(before) + 2, REPORTS // 2))
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130, output
    assert before < reported(command.store)
    status = open_study(command.store).status()
    assert "running" not in status.values()
    assert "interrupted" in status.values()
    goes_on(command, uninterrupted)


class TestOnThisMachine:
    """Where the command has started Ray itself, Ray ends with it."""

    @pytest.fixture
    def command(self, command: Command) -> Command:
        command.where = ()
        return command

    def test_kill_9_of_the_driver_ends_its_workers_too(self, command: Command, uninterrupted: Uninterrupted) -> None:
        driver = command.start()
        command.wait_for(lambda: command.rows() >= REPORTS - 8)
        workers = set(Node(driver).trials)
        assert workers
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        deadline = time.monotonic() + 30
        while left := workers & processes().keys():
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
        goes_on(command, uninterrupted)

    def test_ctrl_c_before_the_first_report(self, command: Command, uninterrupted: Uninterrupted) -> None:
        driver = command.start()
        command.wait_for(lambda: (command.store / "lock").exists())
        time.sleep(2)
        os.killpg(driver.pid, signal.SIGINT)
        output, _ = driver.communicate(timeout=180)
        assert driver.returncode == 130, output
        goes_on(command, uninterrupted)
        assert Counter(open_study(command.store).status().values()) == {"finished": TRIALS}
