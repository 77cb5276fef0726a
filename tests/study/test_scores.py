import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.store import Scores, StoreError, read_scores

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from study.store import Scores
with Scores(Path(sys.argv[1])) as scores:
    for number in range(100_000):
        scores.add("mig", [{"key": f"{number:06}", "mig": number / 2}])
        print(number, flush=True)
"""


def test_what_was_added_is_read_and_kept_beside_what_comes_later(tmp_path: Path) -> None:
    assert read_scores(tmp_path) == {}
    with Scores(tmp_path) as scores:
        scores.add("mig", [{"key": "a", "mig": 0.5, "missing": ""}])
        scores.add("sap", [{"key": "a", "sap": float("nan"), "missing": "one latent"}])
        scores.add("mig", [{"key": "b", "mig": 0.25, "mig_null": 0.1, "missing": ""}])
    found = read_scores(tmp_path)
    assert list(found) == ["mig", "sap"]
    assert found["mig"]["key"].tolist() == ["a", "b"]
    assert found["mig"]["mig"].tolist() == [0.5, 0.25]
    assert found["sap"]["missing"].tolist() == ["one latent"]


def test_a_row_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    with Scores(tmp_path) as scores:
        scores.add("mig", [{"key": "a", "mig": 0.5}])
        with pytest.raises(StoreError, match=r"holds trial a already; delete the file"):
            scores.add("mig", [{"key": "b", "mig": 1.0}, {"key": "a", "mig": 1.0}])
    assert read_scores(tmp_path)["mig"]["mig"].tolist() == [0.5]


def test_a_second_writer_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    with Scores(tmp_path), pytest.raises(StoreError, match=f"another rescoring .process {os.getpid()} on"):
        Scores(tmp_path)
    Scores(tmp_path).close()


def test_a_file_that_cannot_be_read_is_named_and_not_written_over(tmp_path: Path) -> None:
    with Scores(tmp_path) as scores:
        scores.add("mig", [{"key": "a", "mig": 0.5}])
        path = tmp_path / "scores" / "mig.parquet"
        path.write_bytes(path.read_bytes()[:50])
        for attempt in (lambda: read_scores(tmp_path), lambda: scores.add("mig", [{"key": "b", "mig": 1.0}])):
            with pytest.raises(StoreError, match=r"mig.parquet cannot be read .*; delete it"):
                attempt()
    assert path.stat().st_size == 50


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        Scores(tmp_path)


def test_a_killed_writer_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(5)]
    time.sleep(0.1)
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.wait()
    writer.stdout.close()
    kept = read_scores(tmp_path)["mig"]
    last = int(said[-1]) if said[-1].strip().isdigit() else int(said[-2])
    assert kept["mig"].tolist()[: last + 1] == [number / 2 for number in range(last + 1)]
    assert len(kept) in (last + 1, last + 2)
    with Scores(tmp_path) as scores:  # its lock died with it
        scores.add("sap", [{"key": "a", "sap": 0.0}])
