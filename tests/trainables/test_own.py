import re
from pathlib import Path

import pytest

from trainables.checks import ConfigError
from trainables.config import TrialConfig, is_own
from trainables.own import load, source_sha256

SOURCE = """
import math

def loss(recon, kl, step, config):
    return recon.mean()

LEVEL = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module and a broken one, under names that nothing else has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"own_{tmp_path.name}.py").write_text(SOURCE)
    (tmp_path / f"broken_{tmp_path.name}.py").write_text("raise RuntimeError('no luck')")
    return tmp_path


def test_a_function_in_the_current_folder_is_found(here: Path) -> None:
    assert load(f"own_{here.name}:loss").__name__ == "loss"


def test_an_installed_package_is_found_too() -> None:
    assert load("os.path:join")("a", "b") == "a/b"


def test_what_cannot_be_loaded_is_one_sentence(here: Path) -> None:
    for name, said in (
        ("nowhere_at_all:f", "ModuleNotFoundError"),
        (f"broken_{here.name}:f", "RuntimeError: no luck"),
        (f"own_{here.name}:los", "has no 'los'; did you mean loss?"),
        (f"own_{here.name}:LEVEL", "is of type int; give a function"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)) as caught:
            load(name)
        assert name in str(caught.value)


def test_a_source_is_known_by_its_bytes(here: Path) -> None:
    name = f"own_{here.name}:loss"
    before = source_sha256(name)
    assert source_sha256(name) == before
    path = here / f"own_{here.name}.py"
    path.write_text(SOURCE + "# changed")
    assert source_sha256(name) != before


def test_a_name_is_no_path_and_no_expression() -> None:
    for name in (
        "../x:f",
        "/tmp/x:f",
        "x:f()",
        "x:f.g",
        "x y:f",
        ":f",
        "x:",
        "os:system:x",
        "a..b:f",
        ".a:f",
    ):
        assert not is_own(name)
        with pytest.raises(ConfigError):
            TrialConfig(model=name)
        with pytest.raises(ConfigError):
            TrialConfig(objective=name)
