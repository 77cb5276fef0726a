"""Every notebook runs on a stored study, defines nothing, and is kept without outputs."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from analysis.frames import load
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


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output["text"] for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output)


def test_the_notebooks_are_found() -> None:
    names = ["01_tradeoff", "02_the_paper", "03_one_trial", "04_choose_a_setting"]
    assert [path.stem for path in NOTEBOOKS] == names


def test_the_trade_off_notebook_shows_the_study(fake_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed(NOTEBOOKS[0], fake_study, monkeypatch)
    # Front, attainment, arms, both of the rates, shares, tracking; one score alone has no agreement to draw.
    assert len(outputs(notebook, "image/png")) == 7
    tables = " ".join(outputs(notebook, "text/html"))
    for column in (
        "capacity_max",
        "P(joint front)",
        "shared recon",
        "shared rate",
        "ceiling",
        "position R^2",
        "I(x;z)",
    ):
        assert column in tables
    said = printed(notebook)
    assert "8 of 10 finished trials are off the plateau" in said
    assert "From beta 1 to 16 fixed beta changes reconstruction by" in said
    assert "What mig_calibrated is due to in the family capacity cannot be said: under two seeds have" in said


@pytest.mark.slow
def test_the_notebook_of_one_trial_shows_the_one_asked_for(fake_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = load(fake_study).finished["key"].iloc[-1]
    monkeypatch.setenv("KEY", key[:8])
    notebook = executed(NOTEBOOKS[2], fake_study, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 4  # KL, traversals, reconstructions, tuning
    assert key in " ".join(outputs(notebook, "text/html"))


def test_a_setting_is_chosen_with_its_honest_value(fake_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = executed(NOTEBOOKS[3], fake_study, monkeypatch)
    said = printed(notebook)
    assert "For the greatest mig_calibrated: C = 12. On the 2 seeds that chose it" in said
    assert "UDR is missing" in said
    assert "honest score" in " ".join(outputs(notebook, "text/html"))


@pytest.mark.slow
def test_they_run_on_one_family_and_one_seed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    store = write_study(tmp_path / "s", lambda config: "finished", study)
    for path in (NOTEBOOKS[0], NOTEBOOKS[2], NOTEBOOKS[3]):
        executed(path, store, monkeypatch)


@pytest.mark.slow
def test_the_papers_notebook_shows_what_has_been_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for search in ("blobs", "headline"):
        write_study(tmp_path / f"{search}-laptop", lambda config: "finished", StudyConfig(search, seeds=2))
    monkeypatch.setenv("RESULTS", str(tmp_path))
    notebook = executed(NOTEBOOKS[1], tmp_path, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 3 + 3  # the ladder and two sheets; three comparisons
    said = printed(notebook)
    assert "Exactly two latents say the position" in said
    assert "Primary: capacity minus fixed beta" in said
    assert f"no study in {tmp_path}/generator-laptop yet: python study/run.py --search generator makes it" in said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_and_holds_no_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    tree = ast.parse("\n".join(cell.source for cell in cells))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for node in ast.walk(tree) if isinstance(node, defined)]
    assert [cell.outputs for cell in cells if cell.outputs] == []
