"""The house in order: module sizes, pinned versions, the files that tools rely on."""

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
]


def modules() -> list[Path]:
    return sorted(
        path for package in ("analysis", "benchmarks", "study", "trainables") for path in (ROOT / package).rglob("*.py")
    )


def pins() -> dict[str, str]:
    """Constraint by name; every line pins one version."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return dict(line.split("==") for line in lines)


def test_no_module_is_over_300_lines() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > 300} == {}


def test_no_drawer_for_everything() -> None:
    assert [path for path in modules() if path.stem in ("utils", "util", "helpers", "common", "misc")] == []


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_constraints_pin_a_version_in_range(line: str) -> None:
    requirement = Requirement(line)
    pinned = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned), f"{pinned} is outside {line}"


def test_constraints_hold_for_every_build() -> None:
    # A local version (2.13.0+cpu) would refuse the build for another device.
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins().values())
    assert list(pins()) == sorted(canonicalize_name(name) for name in pins())
    assert "torch" in pins()


def test_ci_script_is_executable_and_reads() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_make_lists_its_targets() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    listed = {line.split()[1] for line in shown.splitlines() if line.startswith("make ")}
    assert listed == {"help", "setup", "study", "notebook", "browser", "test", "test-slow", "check", "clean"}


def test_citation_names_this_version_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"])
    assert citation["license"] == PROJECT["license"]
    assert citation["references"][0]["doi"].endswith("arXiv.1804.03599")


def test_commit_hooks_run_the_tools_of_the_environment() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [source["repo"] for source in config["repos"]] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/python -m ") for hook in config["repos"][0]["hooks"])


RUNS = {"eval", "exec", "compile", "__import__", "breakpoint"}
"""Builtins that run text."""
OPENS = {
    "pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml.load", "yaml.unsafe_load",
    "np.load", "numpy.load", "pd.read_pickle", "pd.eval", "pandas.read_pickle", "os.system", "os.popen", "pty.spawn",
    "runpy", "importlib.import_module",
}  # fmt: skip
"""Calls that run what a file says, or could; of a module all."""
UNPACKS = {"extract", "extractall", "unpack_archive", "read_pickle", "to_pickle"}
"""Methods that write where an archive says."""


def unsafe(source: str) -> list[str]:
    """Calls of a source that could run, or write to, what a file names."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name, how = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            bad = name in RUNS or name in OPENS or name.split(".")[0] in OPENS or name.split(".")[-1] in UNPACKS
            bad |= name.endswith(".query") and not isinstance(node.args[0], ast.Constant)
            bad |= name == "torch.load" and how.get("weights_only") != "True"
            bad |= how.get("allow_pickle") == "True" or how.get("shell") == "True"
            bad |= name.endswith("Image.open") and "formats" not in how
            found += [name] if bad else []
    return found


def test_unsafe_calls_are_found() -> None:
    source = """
eval(x); pickle.load(f); torch.load(f); torch.load(f, weights_only=False); numpy.load(f); archive.extractall()
subprocess.run(x, shell=True); read_array(f, allow_pickle=True); frame.query(f"a == {x}"); PIL.Image.open(f)
torch.load(f, weights_only=True); re.compile(x); frame.query("a == @x"); subprocess.run([x]); model.eval()
Image.open(f, formats=["PNG"])
"""
    assert len(unsafe(source)) == 10


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_others_is_run(path: Path) -> None:
    ours = {
        "trainables/own.py": ["importlib.import_module"],  # what the user names
        "analysis/report/page.py": ["Image.open"],  # the figure that it has just drawn
    }
    assert unsafe(path.read_text()) == ours.get(str(path.relative_to(ROOT)), [])
