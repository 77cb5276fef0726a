import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study import parts
from study.parts import PartWriter, compact, list_parts, read_parts, write_aside


def spans(folder: Path) -> list[tuple[int, int]]:
    return [(part.first, part.last) for part in list_parts(folder)]


def corrupt(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Parts 1 to 5, each with the row of its number."""
    writer = PartWriter(tmp_path / "rows")
    for number in range(1, 6):
        writer.append([{"n": number}])
    return tmp_path / "rows"


def test_write_aside_leaves_the_old_file_when_writing_fails(tmp_path: Path):
    path = tmp_path / "file"
    write_aside(path, lambda aside: aside.write_text("old"))

    def half(aside: Path) -> None:
        aside.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_aside(path, half)
    assert path.read_text() == "old"


def test_rows_may_differ_in_columns_and_types(tmp_path: Path):
    writer = PartWriter(tmp_path / "rows")
    writer.append([{"n": 1, "a": None}, {"n": np.int64(2), "flag": True}])
    writer.append([{"n": 3, "a": np.float32(0.5), "word": "x"}, {"n": 4, "a": 2}])
    writer.append([{"n": 5, "a": float("nan")}])
    frame, problems = read_parts(tmp_path / "rows")
    assert problems == []
    assert frame["n"].tolist() == [1, 2, 3, 4, 5]
    assert frame["a"].isna().tolist() == [True, True, False, False, True]
    assert frame["a"].dropna().tolist() == [0.5, 2.0]
    assert frame["flag"].tolist() == [None, True, None, None, None]
    assert frame["word"].dropna().tolist() == ["x"]


def test_a_missing_folder_reads_as_empty(tmp_path: Path):
    frame, problems = read_parts(tmp_path / "none")
    assert len(frame) == 0
    assert problems == []


@pytest.mark.parametrize("damage", [corrupt, lambda path: path.write_bytes(b""), lambda path: path.write_text("PAR1")])
def test_a_corrupt_part_is_named_and_kept_and_the_rest_is_read(five: Path, damage):
    bad = five / "part-00000003-00000003.parquet"
    damage(bad)
    for _ in range(2):  # before and after compaction
        frame, problems = read_parts(five)
        assert frame["n"].tolist() == [1, 2, 4, 5]
        assert len(problems) == 1
        assert str(bad) in problems[0]
        compact(five)
    assert spans(five) == [(1, 2), (3, 3), (4, 5)]


def test_one_flipped_bit_is_noticed(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=200)
    PartWriter(tmp_path / "rows").append([{"n": value} for value in values])
    (part,) = list_parts(tmp_path / "rows")
    content = bytearray(part.path.read_bytes())
    content[900] ^= 1  # amid the 1,600 bytes of values
    part.path.write_bytes(content)
    frame, problems = read_parts(tmp_path / "rows")
    assert len(frame) == 0
    assert len(problems) == 1


def test_a_part_whose_column_changes_type_is_named(five: Path):
    PartWriter(five).append([{"n": "six"}])
    frame, problems = read_parts(five)
    assert frame["n"].tolist() == [1, 2, 3, 4, 5]
    assert len(problems) == 1


def test_compaction_interrupted_before_deletion_repeats_and_loses_nothing(five: Path, tmp_path: Path):
    shutil.copytree(five, tmp_path / "kept")
    compact(five)
    assert spans(five) == [(1, 5)]
    for part in list_parts(tmp_path / "kept")[1:4]:  # as if killed after the first deletion and before the last
        shutil.copy(part.path, five)
    assert read_parts(five)[0]["n"].tolist() == [1, 2, 3, 4, 5]
    writer = PartWriter(five)
    assert spans(five) == [(1, 5)]
    writer.append([{"n": 6}])
    assert read_parts(five)[0]["n"].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_corrupt_compacted_part_does_not_hide_what_it_was_made_of(five: Path, tmp_path: Path):
    shutil.copytree(five, tmp_path / "kept")
    compact(five)
    corrupt(list_parts(five)[0].path)
    shutil.copytree(tmp_path / "kept", five, dirs_exist_ok=True)
    frame, problems = read_parts(five)
    assert frame["n"].tolist() == [1, 2, 3, 4, 5]
    assert len(problems) == 1


def test_the_writer_compacts_what_it_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parts, "COMPACT_EVERY", 4)
    writer = PartWriter(tmp_path / "rows")
    for number in range(10):
        writer.append([{"n": number}])
    assert spans(tmp_path / "rows") == [(1, 4), (5, 8), (9, 9), (10, 10)]
    assert read_parts(tmp_path / "rows")[0]["n"].tolist() == list(range(10))


def test_reading_while_a_writer_compacts_never_misses_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parts, "COMPACT_EVERY", 5)
    writer = PartWriter(tmp_path / "rows")
    written = 0
    stop = threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            writer.append([{"n": written}])
            written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(60):
            before = written
            frame, problems = read_parts(tmp_path / "rows")
            read = frame["n"].tolist() if len(frame) else []
            assert problems == []
            assert read == list(range(len(read)))
            assert len(read) >= before
    finally:
        stop.set()
        thread.join()


def test_reading_gives_up_on_parts_that_always_vanish(five: Path, monkeypatch: pytest.MonkeyPatch):
    names = os.listdir(five)
    monkeypatch.setattr(parts, "_stable_listing", lambda folder: names)
    (five / names[0]).unlink()
    with pytest.raises(FileNotFoundError, match="vanish"):
        read_parts(five)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.dictionaries(st.sampled_from("abc"), st.floats()), min_size=1, max_size=3),
            st.sampled_from(["compact", "reopen"]),
        ),
        max_size=8,
    )
)
def test_compaction_changes_nothing_that_is_read(tmp_path_factory: pytest.TempPathFactory, actions):
    folder = tmp_path_factory.mktemp("law") / "rows"
    writer, rows = PartWriter(folder), []
    for action in actions:
        if action == "compact":
            compact(folder)
        elif action == "reopen":
            writer = PartWriter(folder)
        else:
            writer.append([{"i": len(rows) + i, **row} for i, row in enumerate(action)])
            rows += action
    frame, problems = read_parts(folder)
    assert problems == []
    assert len(frame) == len(rows)
    if rows:
        assert frame["i"].tolist() == list(range(len(rows)))
        expected = pd.DataFrame(rows, columns=list("abc"), dtype=float)
        read = frame.reindex(columns=list("abc")).astype(float)
        np.testing.assert_array_equal(read.to_numpy(), expected.to_numpy())
