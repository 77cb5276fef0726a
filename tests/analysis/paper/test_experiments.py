"""Each of the paper's experiments has its section in the report, with its figures, numbers and what cannot be said."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.frames import load
from analysis.paper import experiments
from analysis.parts import Picture
from analysis.report import command
from study.config import StudyConfig
from study.searches import SEARCHES
from tests.analysis.conftest import write_study
from trainables.config import TrialConfig

FIGURES = {
    "blobs": "blobs_ladder",
    "blobs_wide": "blobs_ladder",
    "generator": "generator_scalar",
    "traversals": "sheet-",
    "headline": "matched_0",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The finished study of a search, two seeds; nobody changes more of it than its report."""

    @functools.cache
    def path_of(search: str) -> Path:
        path = tmp_path_factory.mktemp("experiments") / f"{search}-laptop"
        return write_study(path, lambda config: "finished", StudyConfig(search, seeds=2))

    return path_of


def test_every_experiment_is_a_search() -> None:
    assert set(experiments.EXPERIMENTS) <= set(SEARCHES)
    assert set(FIGURES) == set(experiments.EXPERIMENTS)


SLOW = ("blobs", "blobs_wide", "generator", "traversals")


@pytest.mark.parametrize(
    "search", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in experiments.EXPERIMENTS]
)
def test_its_section_is_in_the_report(
    search: str, written: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(search)
    one = load(path).finished["key"].iloc[0]
    assert command.main([str(path), "--trials", one]) == 0  # pictures of single trials are slow, and not asked about
    page = (path / "report" / "index.html").read_text()
    experiment = experiments.EXPERIMENTS[search]
    assert f"<h2>{experiment.title.replace('&', '&amp;')}</h2>" in page
    assert page.index(experiment.title) < page.index("Rate and distortion: what the nats buy")
    assert any(file.name.startswith(FIGURES[search]) for file in (path / "report").glob("*.png"))
    said = experiment.sentences(load(path))
    printed = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(sentence.split()) in printed for sentence in said)
    assert (search == "traversals") == (not said)
    has_front = (path / "report" / "tradeoff.png").exists()
    assert has_front == (search != "headline")  # a front of a family would mix the headline's arms


def test_an_unfinished_experiment_writes_what_there_is(tmp_path: Path) -> None:
    def one(config: TrialConfig) -> str:
        return "finished" if config.beta == 4 and config.seed == 0 else "failed"

    path = write_study(tmp_path / "blobs-laptop", one, StudyConfig("blobs", seeds=2))
    assert command.main([str(path)]) == 0
    assert len(list((path / "report").glob("sheet-*.png"))) == 1


def test_the_headline_on_a_laptop_is_not_tested(written: Callable[[str], Path]) -> None:
    primary, *others = experiments.EXPERIMENTS["headline"].sentences(load(written("headline")))
    assert primary.startswith("Primary: capacity minus fixed beta")
    assert "Not tested" in primary
    assert len(others) == 2


def test_the_headline_is_repeated_under_every_score(written: Callable[[str], Path]) -> None:
    frames = load(written("headline"))
    trials = frames.trials.assign(modularity=-frames.trials["mig_calibrated"], modularity_null=0.0)
    said = [part for part in experiments.compared(dataclasses.replace(frames, trials=trials)) if isinstance(part, str)]
    assert "under modularity" in next(
        part for part in said if part.startswith("Under other scores than mig_calibrated")
    )


def test_other_searches_are_no_experiments(fake_study: Path) -> None:
    assert experiments.experiment_of(load(fake_study)) is None


def test_nobody_picks_the_prettiest_seed(written: Callable[[str], Path]) -> None:
    frames = load(written("blobs"))
    parts = list(experiments.EXPERIMENTS["blobs"].parts(frames))
    shown = [part.name.removeprefix("sheet-") for part in parts if isinstance(part, Picture)][1:]
    trials = [frames.trial(key) for key in shown]
    assert [(trial["beta"], trial["seed"]) for trial in trials] == [(1, 0), (150, 0)]


def test_settings_that_differ_in_more_are_not_averaged(tmp_path: Path) -> None:
    study = StudyConfig("blobs", seeds=2, pinned={"learning_rate": (1e-3, 5e-4)})
    frames = load(write_study(tmp_path / "blobs-laptop", lambda config: "finished", study))
    (said,) = experiments.sentences(frames)
    assert said.startswith("learning_rate varies too, and trials of different settings are not averaged")
    assert list(experiments.parts(frames)) == [said]


@pytest.mark.parametrize("search", ["blobs", "generator", "traversals"])
def test_a_file_that_cannot_be_read_costs_no_page(search: str, tmp_path: Path) -> None:
    path = write_study(tmp_path / f"{search}-laptop", lambda config: "finished", StudyConfig(search, seeds=1))
    for file in (path / "arrays").glob("*.h5"):
        file.write_bytes(b"broken")
    assert command.main([str(path)]) == 0
    page = (path / "report" / "index.html").read_text()
    assert "The rest of this section is not shown" in page
