"""Whatever of a pass has arrived, the mirror is a store that has lost no more than that pass."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from study.copies import MANIFEST, MirrorError, bring_back, push, ready
from study.frozen import names_of
from study.remote import Remote, RemoteError
from study.store import Store, StoreError, compare, open_study
from tests.study.stores import BETA, CAPACITY, arrays, build, open_store, row, start
from trainables.checks import InputError
from trainables.config import TrialConfig

URL = "memory://mirror"
WANTED = {"search": "grid"}
CONFIGS = [CAPACITY, BETA, dataclasses.replace(BETA, beta=2.0)]


@pytest.fixture(autouse=True)
def empty_memory() -> None:
    fsspec.filesystem("memory").store.clear()


def prepare(store: Path, url: str) -> None:
    ready(store, url, WANTED)


def names() -> set[str]:
    return Remote(URL).find() - {MANIFEST}


class Cut(OSError):
    pass


@contextlib.contextmanager
def cut_after(operations: int) -> Iterator[None]:
    """The remote end takes so many files (or removals), and then nothing."""
    left = [operations]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("put_file", "pipe_file", "rm_file"):
            inner = getattr(MemoryFileSystem, name)

            def counted(self: MemoryFileSystem, *args: object, inner=inner, **more: object) -> None:
                if left[0] == 0:
                    raise Cut("the line is cut")
                left[0] -= 1
                inner(self, *args, **more)

            patch.setattr(MemoryFileSystem, name, counted)
        yield


class Writer:
    """Trains each of three trials in four steps: started, half a checkpoint, finished; and compacts."""

    def __init__(self, store: Store) -> None:
        self.store, self.at = store, [0, 0, 0]

    def act(self, which: int) -> None:
        if which == len(CONFIGS):
            self.store._rows.compact()
            self.store._events.compact()
            return
        config, stage = CONFIGS[which], self.at[which]
        self.at[which] += 1
        if stage == 0:
            start(self.store, config)
        elif stage == 1:
            self.store.add_row(config.key(), 1, row(10))
            self.store.save_checkpoint(config.key(), b"10")
        elif stage == 2:
            self.store.finish(config.key(), 1, row(20, full=True), arrays(), b"20")


def records(path: Path) -> tuple[set[tuple[str, int]], set[tuple[str, str]]]:
    study = open_study(path)
    rows, events = study.rows(), study.events()
    return (
        {(str(key), int(step)) for key, step in zip(rows["key"], rows["step"], strict=True)},
        {(str(key), str(kind)) for key, kind in zip(events["key"], events["kind"], strict=True)},
    )


def check_consistent(path: Path) -> None:
    """A checkpoint is never ahead of its rows, and what is said to have finished has all that it needs."""
    study = open_study(path)
    assert study.problems == study.unreadable_arrays == []
    steps, status = study.steps(), study.status()
    for config in CONFIGS:
        content = study.checkpoint(config.key())
        assert content is None or int(content) <= steps.get(config.key(), 0)
    assert {key for key, kind in records(path)[1] if kind == "finished"} == {
        key for key, state in status.items() if state == "finished"
    }
    assert len(study.trials()) == len(status)


Pass = tuple[list[int], list[int], int]
"""What the writer does before it, and while it freezes the store; how many files it puts or removes until it is cut."""
ACTIONS = st.lists(st.integers(0, len(CONFIGS)), max_size=5)
PASSES = st.lists(st.tuples(ACTIONS, ACTIONS, st.integers(0, 12)), min_size=1, max_size=4)


@pytest.mark.parametrize("operations", range(0, 15, 3))
def test_a_second_pass_that_is_cut_short_loses_itself_alone(operations: int) -> None:
    check_passes([([0, 0, 1], [1], 99), ([0, 1, 3, 2, 2], [2, 3], operations)])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(PASSES)
def test_a_mirror_that_is_cut_short_has_all_that_the_last_whole_pass_had(passes: list[Pass]) -> None:
    check_passes(passes)


def check_passes(passes: list[Pass]) -> None:
    """Bring back what there is after every pass, whole or cut, and once more after a last whole one."""
    fsspec.filesystem("memory").store.clear()
    with TemporaryDirectory() as folder, open_store(Path(folder) / "store") as store:
        path, back, writer = store.path, Path(folder) / "back", Writer(store)
        kept: tuple[set[tuple[str, int]], set[tuple[str, str]]] = (set(), set())
        for before, meanwhile, operations in passes:
            for which in before:
                writer.act(which)
            had = records(path)
            with contextlib.suppress(RemoteError), cut_after(operations), acting(writer, meanwhile):
                push(path, URL)
                kept = had
            if "study.json" in names():
                bring_back(back, URL)
                check_consistent(back)
                assert all(ours <= theirs for ours, theirs in zip(kept, records(back), strict=True))
                shutil.rmtree(back)
            else:
                assert names() == set()
        push(path, URL)
        bring_back(back, URL)
        assert compare(path, back) == []
        parts = [name for name in names() if name.startswith(("rows", "events"))]
        assert sorted(parts) == sorted([*names_of(path, "rows/*"), *names_of(path, "events/*")])


@contextlib.contextmanager
def acting(writer: Writer, actions: list[int]) -> Iterator[None]:
    """While a pass freezes the store, its writer goes on: one action before each listing."""
    waiting = iter(actions)

    def listed(store: Path, kind: str) -> list[str]:
        with contextlib.suppress(StopIteration):
            writer.act(next(waiting))
        return names_of(store, kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("study.frozen.names_of", listed)
        yield


def test_what_is_unchanged_is_not_put_again_also_by_the_next_process_or_from_what_was_brought_back(
    tmp_path: Path,
) -> None:
    store = build(tmp_path / "store")
    assert push(store, URL) == len(names())
    with cut_after(0):
        assert push(store, URL) == 0
    bring_back(tmp_path / "back", URL)
    with cut_after(0):
        assert push(tmp_path / "back", URL) == 0
    assert compare(store, tmp_path / "back") == []
    with open_store(store):
        pass
    assert push(store, URL) == 2 + 1 + 1  # parts of rows and of events that were compacted, study.json, trials.parquet
    Remote(URL).remove(["trials.parquet"])
    assert push(store, URL) == 1  # somebody has deleted it there


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"study.json": 3}', b'{"study.json": [1e999, 1]}', b"\xff"])
def test_with_a_manifest_that_cannot_be_read_everything_is_put_again(tmp_path: Path, content: bytes) -> None:
    store = build(tmp_path / "store")
    count = push(store, URL)
    Remote(URL).write(MANIFEST, content)
    assert push(store, URL) == count
    Remote(URL).write(MANIFEST, content)
    assert bring_back(tmp_path / "back", URL) == count


def grown(store: Path, config: TrialConfig) -> None:
    with open_store(store) as writer:
        start(writer, config)


def test_an_older_copy_is_refused_and_the_remedy_works(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    shutil.copytree(store, tmp_path / "older")
    grown(store, CONFIGS[2])
    push(store, URL)
    before = {name: Remote(URL).read(name) for name in names()}
    for refused in (push, prepare):
        with pytest.raises(MirrorError, match=r"is ahead of .*older, an older copy; move .*older away"):
            refused(tmp_path / "older", URL)
    assert {name: Remote(URL).read(name) for name in names()} == before
    shutil.move(tmp_path / "older", tmp_path / "away")
    ready(tmp_path / "older", URL, WANTED)
    assert compare(store, tmp_path / "older") == []
    ready(tmp_path / "older", URL, WANTED)


def test_a_copy_from_the_middle_of_the_same_run_is_refused(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        start(store, BETA)
        shutil.copytree(store.path, tmp_path / "older")
        start(store, CAPACITY)
        push(store.path, URL)
    with pytest.raises(MirrorError, match="is ahead of"):
        push(tmp_path / "older", URL)


def test_what_went_on_elsewhere_and_other_studies_are_refused(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    shutil.copytree(store, tmp_path / "twin")
    grown(store, CONFIGS[2])
    push(store, URL)
    with open_store(tmp_path / "twin", commit="def") as twin:
        start(twin, CONFIGS[2])
    open_store(tmp_path / "other", identity={"search": "another"}).close()
    for path in (tmp_path / "twin", tmp_path / "other"):
        for refused in (push, prepare):
            with pytest.raises(MirrorError, match=r"holds another study than .*, or the same one gone on elsewhere"):
                refused(path, URL)


def test_what_a_run_really_took_makes_no_other_run_of_it(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    push(store, URL)
    with open_store(store) as writer:
        push(store, URL)
        writer.record_actual("3 min")
    ready(store, URL, WANTED)
    push(store, URL)
    assert b"3 min" in (Remote(URL).read("study.json") or b"")


@pytest.mark.parametrize(
    "name", ["rows/../../../stolen", "lock", "study.py", ".bashrc", "report/../x.png", "checkpoints/.ssh"]
)
def test_a_name_that_is_no_store_s_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    push(build(tmp_path / "store"), URL)
    MemoryFileSystem.store[f"/mirror/{name}"] = MemoryFileSystem.store["/mirror/study.json"]
    with pytest.raises(MirrorError) as refused:
        bring_back(tmp_path / "deep" / "back", URL)
    assert f"holds {name!r}, which is no file of a store; delete it there" in str(refused.value)
    assert not (tmp_path / "deep").exists()
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"identity": {}}', b'{"identity": {}, "provenance": [1]}'])
def test_a_mirror_whose_description_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    store = build(tmp_path / "store")
    Remote(URL).write("study.json", content)
    with pytest.raises(MirrorError, match=r"study.json is no store's; give another URL"):
        push(store, URL)


@pytest.mark.parametrize("name", [MANIFEST, "notes.txt", "rows/00000001-00000001.parquet"])
def test_a_folder_of_other_files_is_not_made_a_mirror(tmp_path: Path, name: str) -> None:
    store = build(tmp_path / "store")
    Remote(URL).write(name, b"somebody's")
    for refused in (push, prepare):
        with pytest.raises(MirrorError, match=r"holds files but no study\.json: it is no store; give an empty folder"):
            refused(store, URL)
    assert Remote(URL).find() == {name}
    assert Remote(URL).read(name) == b"somebody's"


def test_the_first_push_goes_on_wherever_it_was_cut(tmp_path: Path) -> None:
    ready(tmp_path / "store", URL, WANTED)  # before the run that makes the store
    store = build(tmp_path / "store")
    for operations in range(4):
        with cut_after(operations), pytest.raises(RemoteError):
            push(store, URL)
    push(store, URL)
    bring_back(tmp_path / "back", URL)
    assert compare(store, tmp_path / "back") == []


@pytest.mark.parametrize("name", ["logs/a.txt", ".mirror", ".mirror.lock"])
def test_nothing_is_pushed_or_written_through_a_link(tmp_path: Path, name: str) -> None:
    store, secret = build(tmp_path / "store"), tmp_path / "secret"
    (store / "logs").mkdir()
    secret.mkdir() if name == ".mirror" else secret.write_text("the user's own")
    (store / name).symlink_to(secret)
    with pytest.raises(StoreError, match=r"is a link to .*secret"):
        push(store, URL)
    assert Remote(URL).find() == set()
    assert not list(secret.iterdir()) if secret.is_dir() else secret.read_text() == "the user's own"


def test_a_store_is_brought_back_only_where_there_is_none(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    with pytest.raises(StoreError, match="is there already; move it away"):
        bring_back(store, URL)
    with pytest.raises(MirrorError, match=r"holds no store: it has no study\.json"):
        bring_back(tmp_path / "back", URL)
    with pytest.raises(StoreError, match="is no store"):
        push(tmp_path / "nothing", URL)
    push(store, URL)
    (tmp_path / "back.aside").mkdir()
    (tmp_path / "back.aside" / "rows").mkdir()
    (tmp_path / "back.aside" / "rows" / "00000009-00000009.parquet").write_text("left over by a fetch that was killed")
    (tmp_path / "back").mkdir()
    bring_back(tmp_path / "back", URL)
    assert compare(store, tmp_path / "back") == []
    assert not (tmp_path / "back.aside").exists()


def test_a_part_that_is_compacted_away_while_it_is_fetched_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "store") as store:
        writer = Writer(store)
        for which in (0, 1, 2, 0, 1):
            writer.act(which)
        push(store.path, URL)
        inner, compactions = Remote.get, iter([1])

        def get(self: Remote, files: dict[str, Path]) -> None:
            if any(name.startswith("rows") for name in files) and next(compactions, 0):
                writer.act(len(CONFIGS))
                push(store.path, URL)
            inner(self, files)

        monkeypatch.setattr(Remote, "get", get)
        bring_back(tmp_path / "back", URL)
        assert compare(store.path, tmp_path / "back") == []


def test_before_a_run_the_url_is_tried(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ready(store, URL, WANTED)
    assert not store.exists()
    assert json.loads(Remote(URL).read(MANIFEST) or b"") == {}
    build(store)
    before = Remote(URL).find()
    with cut_after(0):
        ready(store, URL, WANTED, dry_run=True)
    assert Remote(URL).find() == before
    with cut_after(0), pytest.raises(RemoteError, match="the line is cut"):
        ready(store, URL, WANTED)
    for url in (f"file://{store}", f"file://{store}/deeper"):
        with pytest.raises(MirrorError, match="lies in the store"):
            ready(store, url, WANTED)


def test_a_dry_run_reads_only_and_another_study_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    push(build(tmp_path / "store"), URL)
    monkeypatch.setattr(Remote, "get", None)  # nothing is fetched
    with cut_after(0):
        ready(tmp_path / "back", URL, WANTED, dry_run=True)
        for dry_run in (False, True):
            with pytest.raises(MirrorError, match=r"holds a study of search 'grid', not 'pilot'; give another URL"):
                ready(tmp_path / "back", URL, {"search": "pilot"}, dry_run)
    assert capsys.readouterr().out.startswith(f"a run would first bring {tmp_path / 'back'} back from {URL}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def many(store: Path) -> Path:
    """Nine checkpoints more."""
    build(store)
    for key in range(9):
        (store / "checkpoints" / f"{key:016x}").write_bytes(b"weights")
    return store


def test_a_first_push_that_is_cut_short_does_not_begin_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.copies.BATCH", 3)
    store = many(tmp_path / "store")
    for _ in range(10):
        with contextlib.suppress(RemoteError), cut_after(5):  # a batch, its manifest, and a file that is put again
            push(store, URL)
    with cut_after(0):
        assert push(store, URL) == 0
    bring_back(tmp_path / "back", URL)
    assert compare(store, tmp_path / "back") == []


def test_a_fetch_that_is_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.copies.BATCH", 3)
    store = many(tmp_path / "store")
    count, back, fetched = push(store, URL), tmp_path / "back", list[str]()
    inner, left = MemoryFileSystem.get_file, [8]

    def counted(self: MemoryFileSystem, source: str, target: str, **more: Any) -> None:
        if left[0] == 0:
            Path(target).write_bytes(b"half")
            raise Cut("the line is cut")
        left[0] -= 1
        fetched.append(source)
        inner(self, source, target, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    with pytest.raises(RemoteError, match="the line is cut"):
        bring_back(back, URL)
    assert not back.exists()
    name = "checkpoints/0000000000000000"
    assert any(source.endswith(name) for source in fetched)
    (store / name).write_bytes(b"WEIGHTS")  # as long as it was
    push(store, URL)
    left[0] = 99
    assert bring_back(back, URL) == count
    assert compare(store, back) == []
    assert (back / name).read_bytes() == b"WEIGHTS"
    assert len(fetched) <= count + 3 + 1  # at most a batch, and what has changed, twice
    assert not (tmp_path / "back.aside").exists()


def test_logs_are_left_out_where_they_are_not_asked_for(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    (store / "logs").mkdir()
    log = store / "logs" / "ray.txt"
    log.write_text("one\n")
    push(store, URL)
    log.write_text("one\ntwo\n")
    with cut_after(0):
        assert push(store, URL, logs=False) == 0
    assert Remote(URL).read("logs/ray.txt") == b"one\n"
    assert push(store, URL) == 1
    with cut_after(0):
        assert push(store, URL, logs=False) == push(store, URL) == 0


def test_the_folder_in_which_one_stands_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = build(tmp_path / "store")
    push(store, URL)
    (tmp_path / "back").mkdir()
    monkeypatch.chdir(tmp_path / "back")
    bring_back(Path("."), URL)
    assert compare(store, Path(".")) == []


def test_a_store_that_cannot_be_locked_is_not_pushed(tmp_path: Path) -> None:
    store = build(tmp_path / "store")
    (store / ".mirror.lock").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        push(store, URL)
    assert MANIFEST not in Remote(URL).find()
