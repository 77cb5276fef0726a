import shutil
from pathlib import Path

import matplotlib.image
import pytest

from analysis.frames import load
from analysis.report import command
from study.config import StudyConfig
from study.store import Store
from tests.analysis.conftest import write_study


@pytest.fixture
def store(fake_study: Path, tmp_path: Path) -> Path:
    """A copy to write a report into."""
    path = tmp_path / "study"
    shutil.copytree(fake_study, path, ignore=shutil.ignore_patterns("report"))
    return path


def test_the_report_prints_the_table_and_writes_the_page(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(store)]) == 0
    output = capsys.readouterr().out
    assert "8 of 10 finished trials are off the plateau" in output  # 0.35 R0 = 194.7 lies below beta 16 and C 18
    assert "It does not show which family" in output
    assert f"report: {store}/report/index.html" in output
    assert "failed: see" in output
    names = ("tradeoff", "attainment", "matched_0", "rate_distortion", "rates", "tracking")
    for name in names:
        assert matplotlib.image.imread(store / "report" / f"{name}.png").shape[0] > 400
        assert (store / "report" / f"{name}.pdf").exists()
    assert b"commit abc123" in (store / "report" / "tradeoff.png").read_bytes()
    page = (store / "report" / "index.html").read_text()
    assert page.count("<img") == len(names)
    assert "The audit&#x27;s verdicts: fine 8, not informative 2 (C = 6)." in page
    assert "commit abc123" in page
    assert "Settings of one or two seeds have no interval" in page
    assert "Bars are 95 % intervals of the means.<" not in page


@pytest.mark.slow
def test_many_settings_and_three_seeds_are_shown_with_bars(tmp_path: Path) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",), "beta": tuple(map(float, range(1, 15)))}, seeds=3)
    path = write_study(tmp_path / "s", lambda config: "finished", study)
    assert command.main([str(path)]) == 0
    page = (path / "report" / "index.html").read_text()
    assert "Bars are 95 % intervals of the means." in page
    assert "no interval; a front of so few describes this run alone.</" not in page


@pytest.mark.slow
def test_trials_asked_for_are_the_ones_shown(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = load(store).finished["key"].tolist()
    assert command.main([str(store), "--trials", keys[1], keys[7][:8]]) == 0
    page = (store / "report" / "index.html").read_text()
    assert page.count('alt="KL along training, reconstructions and traversals of trial') == 2
    assert f"Trial {keys[7]}." in page
    assert "<h2>Trials asked for</h2>" in page
    assert command.main([str(store), "--trials", "zzzz"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_one_family_without_factors_shows_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = StudyConfig(pinned={"objective": ("beta_vae",)}, seeds=1)
    path = write_study(tmp_path / "s", lambda config: "finished", study, factors=False)
    assert command.main([str(path)]) == 0
    page = (path / "report" / "index.html").read_text()
    assert "No finished trial has a disentanglement score: there is no front to draw." in page
    assert "cannot be compared with another" in page
    assert not (path / "report" / "tradeoff.png").exists()
    assert "Over the ramp" not in capsys.readouterr().out


def test_a_figure_that_cannot_be_written_is_one_line(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (store / "report").write_text("")
    assert command.main([str(store)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("ended", ["", "diverged"])
def test_a_study_without_finished_trials_says_so(
    ended: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if ended:
        write_study(tmp_path / "s", lambda config: ended)
    else:
        with Store.open(tmp_path / "s", {"protocol": "laptop"}, {}):
            pass
    assert command.main([str(tmp_path / "s")]) == 0
    assert "no trial has finished yet" in capsys.readouterr().out


def test_a_folder_without_a_study_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_two_studies_are_one_page_side_by_side(
    fake_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = [tmp_path / name for name in ("one", "other")]
    for store in stores:
        shutil.copytree(fake_study, store, ignore=shutil.ignore_patterns("report"))
    empty = write_study(tmp_path / "empty", lambda config: "failed", StudyConfig(seeds=1))
    assert command.main([*map(str, stores), str(empty), str(stores[0])]) == 0
    page = (stores[0] / "report" / "beside-other.html").read_text()
    assert "<h2>one</h2>" in page
    assert "<h2>other</h2>" in page
    assert page.count("10 finished trials, 6 settings, 2 seeds") == 2
    assert not (stores[1] / "report").exists()
    output = capsys.readouterr().out
    assert f"{empty}: no trial has finished yet" in output
    assert f"report: {stores[0]}/report/beside-other.html" in output


def test_trials_are_asked_of_one_study(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["a", "b", "--trials", "3f2a"])
    assert refused.value.code == 2
    assert "--trials takes one study, not 2" in capsys.readouterr().err
