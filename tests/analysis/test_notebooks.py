"""Every notebook runs on a stored study, defines nothing, and is kept without outputs."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from study.config import StudyConfig
from tests.analysis.conftest import write_study

FOLDER = Path(__file__).parents[2] / "analysis" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    monkeypatch.setenv("STORE", str(store))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return notebook


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    found = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    return [data[kind] for data in found if kind in data]


def test_the_notebooks_are_found() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_tradeoff.ipynb", "02_the_paper.ipynb"]


def test_the_trade_off_notebook_shows_the_study(fake_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed(NOTEBOOKS[0], fake_study, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 4
    tables = outputs(notebook, "text/html")
    assert "capacity_max" in tables[0]
    assert "position R^2" in tables[1]
    assert "I(x;z)" in tables[2]
    assert "ceiling" in tables[3]
    assert "udr_lasso" in tables[4]
    printed = "".join(
        output["text"] for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert "8 of 10 finished trials are off the plateau" in printed
    assert "UDR is missing" in printed


def test_it_runs_on_one_family_and_one_seed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    executed(NOTEBOOKS[0], write_study(tmp_path / "s", lambda config: "finished", study), monkeypatch)


def test_the_papers_notebook_shows_what_has_been_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for search in ("blobs", "headline"):
        write_study(tmp_path / f"{search}-laptop", lambda config: "finished", StudyConfig(search, seeds=2))
    monkeypatch.setenv("RESULTS", str(tmp_path))
    notebook = executed(NOTEBOOKS[1], tmp_path, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 3 + 3  # the ladder and two sheets; three comparisons
    printed = "".join(
        output["text"] for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output
    )
    assert "Exactly two latents say the position" in printed
    assert "Primary: capacity minus fixed beta" in printed
    assert f"no study in {tmp_path}/generator-laptop yet: python study/run.py --search generator makes it" in printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_and_holds_no_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    tree = ast.parse("\n".join(cell.source for cell in cells))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for node in ast.walk(tree) if isinstance(node, defined)]
    assert [cell.outputs for cell in cells if cell.outputs] == []
