"""The arrows of the house: who may import whom, and which modules may load Ray and torch.

Modules are found by listing the folders, so that a new one is held to the rules from its first day.
"""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("analysis", "study", "trainables")

MAY_IMPORT = {
    "trainables": ("trainables",),
    "study": ("study", "trainables"),
    "analysis": (
        "analysis",
        "study.store",
        "study.progress",
        "study.futility",
        "trainables.checks",
        "trainables.config",
        "trainables.metrics",
    ),
}
LOADS_RAY = {
    "study.adapters",
    "study.launch",
    "study.lost",
    "study.shelf",
    "study.spot",
    "study.workers",
    "trainables.packed",
    "trainables.trial",
}
LOADS_TORCH = {
    "trainables.alone",
    "trainables.checkpoint",
    "trainables.data.resident",
    "trainables.evaluation",
    "trainables.generator",
    "trainables.model",
    "trainables.objectives",
    "trainables.packing.network",
    "trainables.packing.pack",
    "trainables.packing.stack",
    "trainables.passes",
    "trainables.pictures",
    "trainables.randomness",
    "trainables.speed",
    "trainables.trainer",
}
# Inside functions only, so that the driver, which imports it too, does without torch's memory and start-up.
LOADS_TORCH_WHEN_USED = {"trainables.packed", "trainables.trial"}


def modules() -> dict[str, Path]:
    """Dotted name -> file, for every module of the three packages."""
    found = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str) -> Iterator[str]:
    """Every dotted name that a source imports, at any depth; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def test_imports_are_found_at_any_depth() -> None:
    source = "import a.b, c\nfrom d.e import f as g\ndef h():\n    from ray import tune\n"
    assert sorted(imported(source)) == ["a.b", "c", "d.e.f", "ray.tune"]
    assert within("study.store.Store", ("study.store",))
    assert not within("study.storeroom", ("study.store",))


@pytest.mark.parametrize(("name", "path"), modules().items(), ids=list(modules()))
def test_arrows_point_one_way(name: str, path: Path) -> None:
    allowed = MAY_IMPORT[name.split(".")[0]]
    names = list(imported(path.read_text()))
    assert [other for other in names if within(other, PACKAGES) and not within(other, allowed)] == []
    if name not in LOADS_RAY:
        assert [other for other in names if within(other, ("ray",))] == []
    if name not in LOADS_TORCH | LOADS_TORCH_WHEN_USED:
        assert [other for other in names if within(other, ("torch",))] == []


def by_ban() -> dict[tuple[str, ...], list[str]]:
    """The libraries that must stay unloaded -> the modules whose import must leave them so."""
    groups = defaultdict(list)
    for name in modules():
        banned = ("ray",) * (name not in LOADS_RAY) + ("torch",) * (name not in LOADS_TORCH)
        groups[banned].append(name)
    return groups


IMPORT_EACH = """
import importlib, sys
banned, names = (words.split(",") for words in sys.argv[1:])
for name in names:
    importlib.import_module(name)
    for library in banned:
        if library in sys.modules:
            sys.exit(f"importing {name} loads {library}")
"""


@pytest.mark.parametrize(("banned", "names"), by_ban().items(), ids=["no-" + "-no-".join(ban) for ban in by_ban()])
def test_a_fresh_process_loads_no_more_than_allowed(banned: tuple[str, ...], names: list[str]) -> None:
    command = [sys.executable, "-c", IMPORT_EACH, ",".join(banned), ",".join(names)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_analysis_is_held_to_both_bans() -> None:
    held = by_ban()["ray", "torch"]
    assert {name for name in modules() if within(name, ("analysis",))} <= set(held)


def test_the_linter_bans_the_same() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert set(lint["flake8-tidy-imports"]["banned-api"]) == {"ray", "torch"}
    freed = {name for name, codes in lint["per-file-ignores"].items() if "TID251" in codes and "*" not in name}
    ours = LOADS_RAY | LOADS_TORCH | LOADS_TORCH_WHEN_USED
    assert freed == {name.replace(".", "/") + ".py" for name in ours}


def test_files_of_study_shadow_no_library() -> None:
    # `python study/run.py` puts study/ first on the path: a study/queue.py would hide the standard queue.
    names = {name.split(".")[1] for name in modules() if name.startswith("study.")}
    others = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions())
    assert names & others == set()
