import shutil
from pathlib import Path

import pytest

from study.frozen import ORDER, covered, frozen, kind_of, last_parts, names_of, stamp_of
from study.received import FOLDER, check_key
from study.store import StoreError
from tests.study.stores import build

PART = "rows/00000001-00000002.parquet"


def test_every_file_that_a_study_writes_has_a_kind_and_nothing_else_has(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    for name in ("optuna.journal", "logs/ray.txt", "scores/infom.parquet", "report/index.html", "report/a_b.png"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_text("as it is\n")
    ours = {name for kind in ORDER for name in names_of(store, kind)}
    for name in ("study.json.aside", "arrays/x.aside", "report/index.aside", ".mirror/rows/x", "scores/lock"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text("never mirrored")
    files = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    never = {name for name in files if name.endswith((".aside", "lock")) or name.startswith(".mirror")}
    assert {name for kind in ORDER for name in names_of(store, kind)} == ours == files - never
    assert len(never) == 6


@pytest.mark.parametrize(
    "name",
    [
        "../study.json", "rows/../../x", "/etc/passwd", "checkpoints/../lock", "report/../study.py", "report/.ssh/a",
        "report/a/../../b.png", "lock", "logs/a.sh", "checkpoints/0123456789abcdé", "arrays/0123456789abcdef.h5.aside",
        "study.json\n", "rows\\x", "C:/x", "report//x", "report/index.aside", "mirror.json", "", "logs/ä.txt",
    ],
)  # fmt: skip
def test_what_leaves_the_store_or_is_no_file_of_it_has_no_kind(name: str) -> None:
    assert kind_of(name) is None


def test_a_part_is_covered_by_one_of_its_own_folder_around_it() -> None:
    inside = ["rows/00000001-00000001.parquet", "rows/00000002-00000002.parquet"]
    others = ["events/00000001-00000001.parquet", "rows/00000002-00000003.parquet", "study.json"]
    assert covered([*inside, *others, PART], [PART]) == inside
    assert covered([PART], [PART]) == []
    assert last_parts([*inside, *others]) == {"rows": 3, "events": 1}
    assert last_parts([]) == {"rows": 0, "events": 0}


def test_what_was_frozen_stays_as_it_was(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    (store / "optuna.journal").write_text('{"whole": 1}\n{"half')
    name = names_of(store, "checkpoints/*")[0]
    known = {"study.json": stamp_of(store / "study.json")}
    with frozen(store, known) as kinds:
        files = {name: file for kind in kinds for name, file in kind.items()}
        (store / f"{name}.aside").write_bytes(b"later")
        (store / f"{name}.aside").replace(store / name)
        assert files[name].source.read_bytes() == b"weights"
        assert files["optuna.journal"].source.read_text() == '{"whole": 1}\n'
        assert files["study.json"].source == store / "study.json"  # unchanged: no content is needed
    assert not (store / FOLDER).exists()


def test_a_listing_that_compaction_has_made_lacking_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = build(tmp_path / "store")
    whole = names_of(store, "rows/*")
    listings = iter([whole[1:], ["rows/00000009-00000009.parquet"]])  # one lacks a part, one has a part that is gone

    def listed(store: Path, kind: str) -> list[str]:
        return next(listings, whole) if kind == "rows/*" else names_of(store, kind)

    monkeypatch.setattr("study.frozen.names_of", listed)
    with frozen(store, {}) as kinds:
        assert [list(files) for files in kinds][list(ORDER).index("rows/*")] == whole


@pytest.mark.parametrize("key", ["a", "-_Z9", "x" * 64])
def test_whatever_is_a_key_names_files_of_a_trial(key: str, tmp_path: Path) -> None:
    assert check_key(key)
    for name in (f"arrays/{key}.h5", f"checkpoints/{key}", f"logs/{key}.txt"):
        assert kind_of(name)
        assert not kind_of(name.replace(key, "x" * 65))
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
        assert [name] in [names_of(tmp_path, kind) for kind in ORDER]


def test_what_cannot_be_removed_is_not_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = build(tmp_path / "store")
    (store / FOLDER).mkdir()
    (store / FOLDER / "rows").symlink_to(tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
    with pytest.raises(StoreError, match="cannot be made"), frozen(store, {}):
        pass
    assert list(tmp_path.iterdir()) == [store]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    (store / FOLDER).write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"), frozen(store, {}):
        pass
