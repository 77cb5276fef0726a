import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from moto.server import ThreadedMotoServer

from study import mirror
from study.mirror import beside, keep, main
from study.store import compare, open_study
from tests.study.commandline import ROOT, TRIALS, Command
from tests.study.stores import BETA, CAPACITY, build, open_store, start


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/mirror"


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


def test_the_command_pushes_and_brings_back(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = build(tmp_path / "store")
    assert main([str(store), url]) == 0
    assert main([str(store), url]) == 0
    assert main([str(tmp_path / "back"), url, "--bring-back"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["put", "put", "brought"]
    assert told[1] == "put 0 files"
    assert compare(store, tmp_path / "back") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "memory://m"], "nowhere is no store"),
        (["nowhere", "memory://m", "--bring-back"], "memory://m holds no store"),
        (["nowhere", "foo://m"], "Protocol not known: foo"),
        (["nowhere", ""], "the URL is empty"),
        (["", "memory://m"], "the path is empty"),
        (["nowhere"], "the following arguments are required: URL; --help lists the flags"),
        (["nowhere", "memory://m", "--every", "0"], "--every=0.0 is outside [0.1, 86400.0]"),
        (["nowhere", "memory://m", "--every", "9", "--bring-back"], "not allowed with argument"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert said in errors[0]


def scripted(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """Between the passes happens one step each; after the last step comes the last pass."""
    waiting = list(steps)

    def is_over(reader: int, seconds: float) -> bool:
        waiting.pop(0)()
        return not waiting

    monkeypatch.setattr(mirror, "_is_over", is_over)


@pytest.mark.usefixtures("signals")
def test_a_failure_is_told_once_and_again_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, target = build(tmp_path / "store"), tmp_path / "mirror"
    target.write_text("in the way")
    scripted(monkeypatch, lambda: None, lambda: None, target.unlink, lambda: None)
    assert keep(store, str(target), 1) == 0
    told, log = capsys.readouterr().err.splitlines(), (store / "logs" / "mirror.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in told] == ["the mirror has failed", f"the mirror at {target} is whole again"]
    assert len(log) == 3 + 1
    assert compare(store, target) == []


@pytest.mark.usefixtures("signals")
def test_logs_are_pushed_first_and_last_and_every_tenth_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = list[bool]()
    monkeypatch.setattr(mirror, "push", lambda store, url, logs: pushed.append(logs))
    scripted(monkeypatch, *[lambda: None] * 13)
    assert keep(tmp_path, "memory://m", 1) == 0
    assert [number for number, logs in enumerate(pushed) if logs] == [0, 10, 13]


@pytest.mark.usefixtures("signals")
def test_a_last_push_that_fails_is_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, target = build(tmp_path / "store"), tmp_path / "mirror"

    def break_it() -> None:
        shutil.rmtree(target)
        target.write_text("in the way")

    scripted(monkeypatch, break_it)
    assert keep(store, str(target), 1) == 1


@pytest.mark.usefixtures("signals")
def test_a_signal_ends_the_wait(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()  # a standard input that stays open
    standard = os.dup(0)
    os.dup2(reader, 0)
    try:
        inner = mirror.push

        def push(store: Path, url: str, logs: bool) -> int:
            signal.raise_signal(signal.SIGTERM)  # while it is being pushed
            return inner(store, url, logs)

        monkeypatch.setattr(mirror, "push", push)
        assert keep(build(tmp_path / "store"), url, 10_000) == 0
    finally:
        os.dup2(standard, 0)
        for descriptor in (reader, writer, standard):
            os.close(descriptor)


def test_typing_is_no_end_and_closing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    standard, (typed, keyboard), (reader, writer) = os.dup(0), os.pipe(), os.pipe()
    os.dup2(typed, 0)
    try:
        os.write(keyboard, b"hello\n")
        assert not mirror._is_over(reader, 0.05)
        os.close(keyboard)
        assert mirror._is_over(reader, 10_000)
    finally:
        os.dup2(standard, 0)
        for descriptor in (standard, typed, reader, writer):
            os.close(descriptor)


def test_without_a_url_nothing_runs_beside() -> None:
    assert beside(Path("nowhere"), None, lambda: 3) == 3


def grow(store: Path) -> int:
    with open_store(store) as writer:
        start(writer, BETA)
        start(writer, CAPACITY, 2)
    return 3


@pytest.mark.slow
def test_the_last_push_is_waited_for(tmp_path: Path, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    store = build(tmp_path / "store")
    assert beside(store, url, lambda: grow(store)) == 3
    assert capfd.readouterr() == (f"last push to {url} ...\nmirrored to {url}\n", "")
    assert compare(store, tmp_path / "mirror") == []


@pytest.mark.slow
def test_a_mirror_that_was_killed_is_made_up_for(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    store = build(tmp_path / "store")

    def killing() -> int:
        [child] = psutil.Process().children()
        child.kill()
        return grow(store)

    assert beside(store, url, killing) == 3
    assert compare(store, tmp_path / "mirror") == []


@pytest.mark.slow
@pytest.mark.parametrize(("code", "then"), [(0, 1), (3, 1), (1, 1), (130, 130)])
def test_a_mirror_that_fails_stops_nothing_and_names_the_remedy(
    tmp_path: Path, code: int, then: int, capfd: pytest.CaptureFixture[str]
) -> None:
    store, target = build(tmp_path / "store"), tmp_path / "mirror"
    target.write_text("in the way")
    assert beside(store, str(target), lambda: code) == then
    failed, remedy = capfd.readouterr().err.splitlines()
    assert failed.startswith(f"the mirror has failed: {target} ")
    assert remedy == f"{target} lacks the end of the study; once more: python -m study.mirror {store} {target}"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_driver_that_is_killed_is_survived_for_one_push(command: Command, tmp_path: Path, url: str) -> None:
    driver = command.start("--results", url)
    command.wait_for(lambda: command.rows() >= TRIALS and (tmp_path / "mirror" / "study.json").exists())
    [beside_it] = [
        child for child in psutil.Process(driver.pid).children() if "study.mirror" in " ".join(child.cmdline())
    ]
    driver.send_signal(signal.SIGKILL)
    assert beside_it.pid
    wait_for(lambda: not beside_it.is_running() or beside_it.status() == psutil.STATUS_ZOMBIE)
    assert compare(command.store, tmp_path / "mirror") == []
    assert command.rows() >= TRIALS
    shutil.rmtree(command.store)
    code, output = command.run("--results", url)
    assert code == 0, output
    assert set(open_study(tmp_path / "mirror").status().values()) == {"finished"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server of this machine with one bucket, in the environment of the processes that a test starts."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket/studies/tiny"
    server.stop()


def keys() -> list[str]:
    return [entry["Key"] for entry in boto3.client("s3").list_objects_v2(Bucket="bucket").get("Contents", [])]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_that_has_lost_its_disk_goes_on_from_s3(
    command: Command, bucket: str, uninterrupted: tuple[Path, str], tmp_path: Path
) -> None:
    code, output = command.run("--max-trials", "2", "--results", bucket)
    assert code == 3, output
    assert f"mirrored to {bucket}" in output
    assert "studies/tiny/study.json" in keys()
    shutil.rmtree(command.store)
    code, output = command.run("--results", bucket)
    assert code == 0, output
    assert f"bringing back {command.store} from {bucket}" in output
    assert f"{TRIALS} trials, 2 not to be run" in output
    assert compare(uninterrupted[0], command.store) == []
    words = [sys.executable, "-m", "study.mirror", str(tmp_path / "back"), bucket, "--bring-back"]
    subprocess.run(words, check=True, cwd=ROOT)
    assert compare(uninterrupted[0], tmp_path / "back") == []
    assert (tmp_path / "back" / "report" / "index.html").exists()
    assert not [key for key in keys() if key.endswith((".aside", "lock"))]


@pytest.mark.slow
def test_without_bucket_or_credentials_nothing_starts(
    command: Command, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = command.run("--results", "s3://bukcet/tiny")
    assert (code, output.count("\n")) == (2, 1), output
    assert "error: s3://bukcet/tiny cannot be used (The specified bucket does not exist)" in output
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    code, output = command.run("--results", bucket)
    assert (code, output.count("\n")) == (2, 1), output
    assert "credentials" in output
    assert not command.store.exists()
