import shutil
from pathlib import Path

import matplotlib.image
import pytest

from analysis import report
from study.store import Store


def test_the_report_prints_the_table_and_writes_the_figure(
    fake_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "study"
    shutil.copytree(fake_study, store)
    assert report.main([str(store)]) == 0
    output = capsys.readouterr().out
    assert "8 of 10 finished trials are off the plateau" in output  # 0.35 R0 = 194.7 lies below beta 16 and C 18
    assert "It does not show which family disentangles better" in output
    assert f"figure: {store}/report/tradeoff.png" in output
    assert "failed: see" in output
    assert matplotlib.image.imread(store / "report" / "tradeoff.png").shape[0] > 500
    assert b"commit abc123" in (store / "report" / "tradeoff.png").read_bytes()
    assert (store / "report" / "tradeoff.pdf").exists()


def test_a_figure_that_cannot_be_written_is_one_line(
    fake_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "study"
    shutil.copytree(fake_study, store, ignore=shutil.ignore_patterns("report"))
    (store / "report").write_text("")
    assert report.main([str(store)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_study_without_finished_trials_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "s", {"protocol": "laptop"}, {}):
        pass
    assert report.main([str(tmp_path / "s")]) == 0
    assert "no trial has finished yet" in capsys.readouterr().out


def test_a_folder_without_a_study_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
