import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.parts import Parts


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.parquet"))


def read(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    table, problems = Parts(folder).read()
    return table.to_pandas(), problems


def numbers(folder: Path) -> list[int]:
    return read(folder)[0]["n"].tolist()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_text(path: Path) -> None:
    path.write_text("not parquet at all")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index((3).to_bytes(8, "little"))] ^= 64  # the record itself
    path.write_bytes(content)


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Parts 1 to 5, each with the record of its number."""
    parts = Parts(tmp_path / "rows")
    for number in range(1, 6):
        parts.append([{"n": number}])
    return parts.folder


def test_records_may_differ_in_columns_and_types(tmp_path: Path):
    parts = Parts(tmp_path / "rows")
    parts.append([{"n": 1, "a": None}, {"n": np.int64(2), "flag": True}])
    parts.append([{"n": 3, "a": np.float32(0.5), "word": "x"}, {"n": 4, "a": 2}])
    parts.append([{"n": 5, "a": float("nan")}])
    frame, problems = read(parts.folder)
    assert problems == []
    assert frame["n"].tolist() == [1, 2, 3, 4, 5]
    assert frame["a"].isna().tolist() == [True, True, False, False, True]
    assert frame["a"].dropna().tolist() == [0.5, 2.0]
    assert frame["flag"].tolist() == [None, True, None, None, None]
    assert frame["word"].dropna().tolist() == ["x"]


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path):
    parts = Parts(tmp_path / "beta=4" / "rows")
    parts.append([{"n": 1}])
    assert read(parts.folder)[0].columns.tolist() == ["n"]


def test_a_part_that_is_large_enough_is_not_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the work of compaction grows with the square of a study: 4 GB of rows every few minutes.
    parts = Parts(tmp_path / "rows")
    parts.append([{"n": number} for number in range(10_000)])
    size = next(parts.folder.iterdir()).stat().st_size
    monkeypatch.setattr("study.parts.WHOLE_BYTES", size)
    for number in range(10_000, 10_003):
        parts.append([{"n": number}])
    parts.compact()
    assert names(parts.folder) == ["00000001-00000001.parquet", "00000002-00000004.parquet"]
    assert numbers(parts.folder) == list(range(10_003))
    parts.append([{"n": 10_003}])
    parts.compact()
    assert names(parts.folder) == ["00000001-00000001.parquet", "00000002-00000005.parquet"]
    monkeypatch.setattr("study.parts.WHOLE_BYTES", size + 1)
    parts.compact()
    assert names(parts.folder) == ["00000001-00000005.parquet"]
    assert numbers(parts.folder) == list(range(10_004))


def test_a_missing_folder_reads_as_empty(tmp_path: Path):
    frame, problems = read(tmp_path / "none")
    assert len(frame) == 0
    assert problems == []


@pytest.mark.parametrize("damage", [truncate, empty, replace_by_text, flip_a_bit])
def test_a_corrupt_part_is_named_and_kept_and_the_rest_is_read(five: Path, damage):
    bad = five / "00000003-00000003.parquet"
    damage(bad)
    for _ in range(2):  # before and after compaction
        frame, problems = read(five)
        assert frame["n"].tolist() == [1, 2, 4, 5]
        assert len(problems) == 1
        assert str(bad) in problems[0]
        Parts(five).compact()
    assert names(five) == ["00000001-00000002.parquet", bad.name, "00000004-00000005.parquet"]


def test_a_part_whose_column_changes_its_type_is_named_and_kept(five: Path):
    Parts(five).append([{"n": "six"}])
    for _ in range(2):
        frame, problems = read(five)
        assert frame["n"].tolist() == [1, 2, 3, 4, 5]
        assert "part 6 has a column of another type" in problems[0]
        Parts(five).compact()


def test_writing_goes_on_behind_a_corrupt_last_part(five: Path):
    truncate(five / "00000005-00000005.parquet")
    Parts(five).append([{"n": 6}])
    assert numbers(five) == [1, 2, 3, 4, 6]


def test_compaction_killed_amid_its_deletions_repeats_and_loses_nothing(five: Path, tmp_path: Path):
    shutil.copytree(five, tmp_path / "kept")
    Parts(five).compact()
    assert names(five) == ["00000001-00000005.parquet"]
    for number in (2, 3, 4):  # the others were deleted before the kill
        shutil.copy(tmp_path / "kept" / f"0000000{number}-0000000{number}.parquet", five)
    assert numbers(five) == [1, 2, 3, 4, 5]
    parts = Parts(five)
    parts.append([{"n": 6}])
    assert numbers(five) == [1, 2, 3, 4, 5, 6]
    parts.compact()
    assert names(five) == ["00000001-00000006.parquet"]
    assert numbers(five) == [1, 2, 3, 4, 5, 6]


def test_writing_killed_before_the_rename_changes_nothing(five: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            Parts(five).append([{"n": 6}])
        with pytest.raises(KeyboardInterrupt):
            Parts(five).compact()
    assert read(five)[1] == []
    assert numbers(five) == [1, 2, 3, 4, 5]
    Parts(five).append([{"n": 6}])
    assert numbers(five) == [1, 2, 3, 4, 5, 6]


def test_reading_while_a_writer_compacts_never_misses_what_was_there(tmp_path: Path):
    parts = Parts(tmp_path / "rows")
    written, stop = 0, threading.Event()

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            parts.append([{"n": written}])
            written += 1
            if len(parts) >= 5:
                parts.compact()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(60):
            before = written
            frame, problems = read(parts.folder)
            got = frame["n"].tolist() if len(frame) else []
            assert problems == []
            assert got == list(range(len(got)))
            assert len(got) >= before
    finally:
        stop.set()
        thread.join()


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
    parts, records = Parts(folder), []
    for action in actions:
        if action == "compact":
            parts.compact()
        elif action == "reopen":
            parts = Parts(folder)
        else:
            parts.append([{"i": len(records) + i, **record} for i, record in enumerate(action)])
            records += action
    frame, problems = read(folder)
    assert problems == []
    assert len(frame) == len(records)
    if records:
        assert frame["i"].tolist() == list(range(len(records)))
        expected = pd.DataFrame(records, columns=list("abc"), dtype=float)
        got = frame.reindex(columns=list("abc")).astype(float)
        np.testing.assert_array_equal(got.to_numpy(), expected.to_numpy())
