"""A mirror of a store at a URL, beside the run that writes it: `python -m study.mirror STORE URL`.

It is a process of its own: the driver never waits for an upload before its end, and a mirror that fails harms no study.
"""

import argparse
import contextlib
import itertools
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from study.copies import bring_back, push
from study.flags import Flags, a_path
from trainables.checks import InputError, check_range

EVERY_SECONDS, LEAST_SECONDS, MOST_SECONDS = 30.0, 0.1, 86_400.0
LOGS_EVERY = 10
"""Pushes; logs are put whole whenever they have grown."""


def beside(store: Path, url: str | None, run: Callable[[], int], every: float = EVERY_SECONDS) -> int:
    """Run something with a mirror as a process of its own beside it, and wait for its last push.

    It ends when this process does, whatever ends that; a mirror that fails is told, and stops nothing.

    Args:
        store: Open for writing by now.
        url: None for no mirror.
        run: What to run; returns an exit code.
        every: Seconds between pushes.

    Returns:
        The exit code, but 1 where the last push has failed and no signal has ended the run.
    """
    if url is None:
        return run()
    words = [sys.executable, "-m", "study.mirror", str(store), url]
    # In a session of its own: Ctrl-C is the driver's, and the last push comes after it.
    mirror = subprocess.Popen([*words, "--every", str(every)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        code = run()
    finally:
        ended = mirror.poll() is not None  # it was killed, or told to end before the driver was
        assert mirror.stdin
        mirror.stdin.close()
        print(f"last push to {url} ...", flush=True)
        failed = subprocess.run(words, check=False).returncode if ended else mirror.wait()
    if failed:
        print(f"{url} lacks the end of the study; once more: python -m study.mirror {store} {url}", file=sys.stderr)
        return 1 if code < 128 else code
    print(f"mirrored to {url}")
    return code


def keep(store: Path, url: str, every: float) -> int:
    """Push again and again, until standard input closes or a signal asks for the end, and then a last time.

    Returns:
        0, or 1 where the last push has failed.
    """
    reader, writer = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.write(writer, b"."))
    problem, last = "", False
    for number in itertools.count():
        before, problem = problem, ""
        try:
            push(store, url, logs=last or number % LOGS_EVERY == 0)
        except (InputError, OSError) as error:
            problem = f"the mirror has failed: {error}"
        if problem:
            _tell(store, problem, aloud=not before)
        elif before:
            _tell(store, f"the mirror at {url} is whole again", aloud=True)
        if last:
            break
        last = _is_over(reader, every)
    return int(bool(problem))


def main(words: list[str]) -> int:
    """Push once, keep pushing, or bring back; bad input is one line on standard error and exit code 2."""
    flags = Flags(prog="python -m study.mirror", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    flags.add_argument("store", type=a_path, metavar="STORE", help="the folder of a study")
    flags.add_argument("url", metavar="URL", help="of a folder, as fsspec takes it: s3://bucket/folder, file:///disk")
    how = flags.add_mutually_exclusive_group()
    how.add_argument("--bring-back", action="store_true", help="fetch the store; there must be none here")
    how.add_argument("--every", type=float, metavar="S", help="push every S seconds until standard input closes")
    try:
        arguments = flags.parse_args(words)
        check_range("--every", arguments.every, LEAST_SECONDS, MOST_SECONDS)
        return _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    if arguments.every is not None:
        return keep(arguments.store, arguments.url, arguments.every)
    if arguments.bring_back:
        print(f"brought back {bring_back(arguments.store, arguments.url)} files")
    else:
        print(f"put {push(arguments.store, arguments.url)} files")
    return 0


def _is_over(reader: int, seconds: float) -> bool:
    """Wait; whether the end was asked for. What is typed is no end."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        readable = select.select([0, reader], [], [], left)[0]
        if reader in readable or (readable and not os.read(0, 4096)):
            return True
    return False


def _tell(store: Path, line: str, aloud: bool) -> None:
    """A line for `logs/mirror.txt`, and one for the terminal; neither has to be there."""
    with contextlib.suppress(OSError):
        (store / "logs").mkdir(exist_ok=True)
        with (store / "logs" / "mirror.txt").open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
    if aloud:
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
