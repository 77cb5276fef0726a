"""Kill, interrupt, then the same command: nothing is lost, and the store equals that of an uninterrupted run."""

import os
import signal
import time
from pathlib import Path

import pytest

from study.store import compare, open_study
from tests.study.commandline import REPORTS, Command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(autouse=True)
def no_report(command: Command) -> None:
    """Nothing here looks at it, and it takes as long as the study."""
    command.reports = False


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                found[int(folder.name)] = parent, (folder / "cmdline").read_text().replace("\0", " ")
            except (OSError, IndexError):
                continue  # it has ended since
    return found


def descendants(pid: int) -> dict[int, str]:
    everyone, below = processes(), {pid}
    while more := {child for child, (parent, _) in everyone.items() if parent in below} - below:
        below |= more
    return {child: everyone[child][1] for child in below - {pid} if child in everyone}


def trial_workers(pid: int) -> list[int]:
    """Those that train: Ray renames an actor's process after its class, and after the method that it runs."""
    lines = descendants(pid).items()
    return [child for child, line in lines if line.startswith(("ray::VAETrial", "ray::ResourceTrainable"))]


def reported(store: Path) -> set[tuple[str, int]]:
    rows = open_study(store).rows()
    return set(zip(rows["key"], rows["step"], strict=True))


def finish_and_compare(command: Command, uninterrupted: tuple[Path, str]) -> None:
    before = reported(command.store)
    code, output = command.run()
    assert code == 0, output
    assert before <= reported(command.store)  # no row is lost
    assert not (command.store / "report").exists()  # as it was told
    assert compare(command.store, uninterrupted[0]) == []


@pytest.mark.parametrize("rows", [1, REPORTS // 3, REPORTS - 8])
def test_kill_9_of_the_driver(command: Command, uninterrupted: tuple[Path, str], rows: int) -> None:
    driver = command.start()
    command.wait_for(lambda: command.rows() >= rows)
    workers = set(trial_workers(driver.pid))
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 30
    while left := workers & processes().keys():  # the cluster dies with the driver that started it
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    finish_and_compare(command, uninterrupted)


@pytest.mark.parametrize("rows", [2, REPORTS // 2])
def test_kill_9_of_a_trials_worker(command: Command, uninterrupted: tuple[Path, str], rows: int) -> None:
    driver = command.start()
    command.wait_for(lambda: command.rows() >= rows and bool(trial_workers(driver.pid)))
    os.kill(trial_workers(driver.pid)[0], signal.SIGKILL)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 0, output
    assert "retried" in set(open_study(command.store).events()["kind"])
    assert compare(command.store, uninterrupted[0]) == []


@pytest.mark.parametrize("rows", [1, REPORTS // 2])
def test_ctrl_c_once(command: Command, uninterrupted: tuple[Path, str], rows: int) -> None:
    driver = command.start()
    command.wait_for(lambda: command.rows() >= rows)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130, output
    study = open_study(command.store)
    assert "running" not in study.status().values()
    assert "interrupted" in study.status().values()
    finish_and_compare(command, uninterrupted)


def test_ctrl_c_twice(command: Command, uninterrupted: tuple[Path, str]) -> None:
    driver = command.start()
    command.wait_for(lambda: command.rows() >= 3)
    os.killpg(driver.pid, signal.SIGINT)
    time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130, output
    finish_and_compare(command, uninterrupted)


def test_sigterm(command: Command, uninterrupted: tuple[Path, str]) -> None:
    driver = command.start()
    command.wait_for(lambda: command.rows() >= 3)
    os.kill(driver.pid, signal.SIGTERM)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 143, output
    finish_and_compare(command, uninterrupted)


def test_ctrl_c_before_the_first_report(command: Command, uninterrupted: tuple[Path, str]) -> None:
    driver = command.start()
    command.wait_for(lambda: (command.store / "lock").exists())
    time.sleep(2)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 130, output
    finish_and_compare(command, uninterrupted)
