from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.study.commandline import Command


@pytest.fixture
def command(tiny_path: Path, tmp_path: Path) -> Iterator[Command]:
    """The command with a store of its own."""
    command = Command(tiny_path, tmp_path / "store")
    yield command
    command.end()


@pytest.fixture(scope="session")
def uninterrupted(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The store of one fault-free run of the command, and what it printed."""
    command = Command(tiny_path, tmp_path_factory.mktemp("study") / "uninterrupted")
    code, output = command.run()
    command.end()
    assert code == 0, output
    return command.store, output
