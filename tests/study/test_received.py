"""A store from a stranger: nothing of it leads out of its folder, and whatever is wrong with it is one sentence."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.config import StudyConfig
from study.parts import MOST, read_table
from study.progress import progress
from study.received import EVENTS, ROWS, check_files, check_key, frame
from study.scores import Scores, read_scores
from study.store import Store, StoreError, open_study
from tests.study.stores import CAPACITY, IDENTITY, PROVENANCE, build, open_store, row
from trainables.checks import ConfigError

HOSTILE_KEYS = ("../../x", "/etc/passwd", "", ".", "..", "a/b", "a\0b", "a.b", "a\nb", "x" * 10_000_000, "é", "\x1b[2J")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path / "store")


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda key: repr(key[:10]))
def test_a_key_is_no_path(key: str, path: Path) -> None:
    study = open_study(path)
    for asked in (study.arrays, study.checkpoint, study.log_path, check_key):
        with pytest.raises(StoreError, match="is no key of a trial; keys are 1 to 64 letters") as caught:
            asked(key)
        assert len(str(caught.value)) < 300
    with Store.open(path, IDENTITY, PROVENANCE) as store:
        for write in (lambda: store.save_checkpoint(key, b""), lambda: store.append_log(key, "x")):
            with pytest.raises(StoreError, match="is no key of a trial"):
                write()


@pytest.mark.parametrize("key", [key for key in HOSTILE_KEYS if len(key) < 100], ids=repr)
@pytest.mark.parametrize("where", ["rows", "events"])
def test_a_store_of_such_keys_is_refused_before_anything_is_read_by_them(where: str, key: str, path: Path) -> None:
    harmless = read_table(path / where / "00000001-00000001.parquet").to_pydict()
    harmless["key"] = [key] * len(harmless["key"])
    pq.write_table(pa.table(harmless), path / where / "00000009-00000009.parquet")
    with pytest.raises(StoreError, match=f"{where} cannot be used: .* is no key of a trial"):
        open_study(path).trials()
    with pytest.raises(StoreError, match="is no key"):
        progress(path)


@pytest.mark.parametrize("value", [None, b"a", 7, ["a"], {"a": 1}], ids=repr)
def test_keys_are_text(value: Any) -> None:
    table = pa.table({"key": [value], "attempt": [1], "time": [0.0], "kind": ["started"], "detail": ["{}"]})
    with pytest.raises(StoreError, match=r"events has a column key that is (other|number|flag), not text"):
        frame(table, Path("events"), EVENTS)


def test_columns_are_there_once_and_plain() -> None:
    good = {"key": ["a"], "attempt": [1], "step": [1], "full": [True], "seconds": [1.0]}
    assert frame(pa.table(good), Path("rows"), ROWS).shape == (1, 5)
    assert frame(pa.table({}), Path("rows"), ROWS).empty
    for name in good:
        with pytest.raises(StoreError, match=f"rows has a column {name} that is missing"):
            frame(pa.table({other: values for other, values in good.items() if other != name}), Path("rows"), ROWS)
    twice = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["key", "key"])
    with pytest.raises(StoreError, match=r"not text, number or flag, once|missing"):
        frame(twice, Path("rows"), {})
    for odd in ([[1]], [{"a": 1}], [b"x"], [pd.Timestamp("2020")]):
        with pytest.raises(StoreError, match="a column odd that is other"):
            frame(pa.table(good | {"odd": odd}), Path("rows"), ROWS)


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_parquet_runs_nothing_and_cannot_tell_pandas_what_to_do(tmp_path: Path) -> None:
    word = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    word[b"ARROW:extension:metadata"] = pickle.dumps(Bomb(tmp_path / "harmed"))
    schema = pa.schema([pa.field("key", pa.string(), metadata=word)], metadata={b"pandas": b"no json"})
    pq.write_table(pa.table({"key": ["a"]}, schema=schema), tmp_path / "x.parquet")
    assert frame(read_table(tmp_path / "x.parquet"), tmp_path, {"key": "text"})["key"].tolist() == ["a"]
    assert not (tmp_path / "harmed").exists()
    with pytest.raises(ValueError, match="Expecting value"):
        pd.read_parquet(tmp_path / "x.parquet")


def test_a_few_bytes_cannot_stand_for_any_number_of_rows(path: Path) -> None:
    bomb = pa.table({"key": pa.nulls(MOST + 1, pa.string()).dictionary_encode()})
    pq.write_table(bomb, path / "rows" / "00000009-00000009.parquet")
    assert "it has 10,000,001 records, over 10,000,000" in open_study(path).problems[0]


def linked(path: Path, name: str, target: Path) -> None:
    (path / name).parent.mkdir(exist_ok=True)
    if (path / name).is_dir():
        shutil.rmtree(path / name)
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to(target)


LINKS = (
    "lock", "study.json.aside", "trials.aside", "optuna.journal", "optuna.journal.lock", "rows/00000003-00000003.aside",
    f"logs/{CAPACITY.key()}.txt", f"checkpoints/{CAPACITY.key()}", f"checkpoints/{CAPACITY.key()}.aside",
    f"arrays/{CAPACITY.key()}.h5", f"arrays/{CAPACITY.key()}.aside", "scores/lock", "scores/mig.aside",
    "report/tradeoff.png", "report/index.aside", ".mirror", ".mirror.lock",
)  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_read_or_written_through_a_link(name: str, path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("the reader's own")
    linked(path, name, precious)
    for use in (open_study, Scores, lambda path: Store.open(path, IDENTITY, PROVENANCE)):
        with pytest.raises(StoreError, match=f"{name} is a link to .*precious; a store is .* inside its folder alone"):
            use(path)
    assert precious.read_text() == "the reader's own"
    precious.unlink()  # a link that dangles would make the file
    with pytest.raises(StoreError, match="is a link to"):
        Store.open(path, IDENTITY, PROVENANCE)
    assert not precious.exists()


@pytest.mark.parametrize("name", ["rows", "events", "arrays", "checkpoints", "logs", "scores", "report"])
def test_no_folder_lies_elsewhere(name: str, path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    linked(path, name, tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=f"{name} is a link to"):
        open_study(path)


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    (path / "logs").mkdir()
    os.mkfifo(path / "logs" / "ray.txt")
    with pytest.raises(StoreError, match=r"ray\.txt is no plain file"):
        open_study(path)


def test_the_store_itself_may_be_a_link_and_optuna_may_lock_its_journal(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    (path / "optuna.journal").touch()
    (path / "optuna.journal.lock").symlink_to((path / "optuna.journal").absolute())
    check_files(tmp_path / "link")
    check_files(tmp_path / "nowhere")
    assert len(open_study(tmp_path / "link").trials()) == 2


def test_what_is_gone_since_it_was_listed_is_no_obstacle(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path / "report").mkdir()
    (path / "lock.rename").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(path / "pipe")
    listing = os.scandir

    def listed(folder: Path) -> list[os.DirEntry[str]]:
        entries = [*listing(folder)]
        for entry in entries:
            if entry.name == "report":
                os.rmdir(entry.path)
            elif entry.name in ("lock.rename", "pipe"):
                os.unlink(entry.path)
        return entries

    monkeypatch.setattr(os, "scandir", listed)
    check_files(path)


def test_the_mirror_s_own_folder_is_passed_over_at_the_top_alone(path: Path) -> None:
    for folder in (path / ".mirror", path / "report" / ".mirror"):
        folder.mkdir(parents=True)
        os.mkfifo(folder / "pipe")
    with pytest.raises(StoreError, match=r"report/\.mirror/pipe is no plain file"):
        check_files(path)
    shutil.rmtree(path / "report")
    check_files(path)


def test_a_folder_that_parquet_cannot_open_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    with pytest.raises(StoreError, match="has bytes in its name that are no UTF-8") as caught:
        open_study(tmp_path / os.fsdecode(b"\xff"))
    str(caught.value).encode()


DESCRIBED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda known: [],
    "identity": lambda known: known | {"identity": []},
    "plan": lambda known: known | {"plan": {}},
    "an entry of the plan": lambda known: known | {"plan": [3]},
    "study of the plan": lambda known: known | {"plan": [{"study": {"search": "x"}}]},
    "provenance": lambda known: known | {"provenance": "x"},
    "an entry of the provenance": lambda known: known | {"provenance": [[]]},
    "own": lambda known: known | {"provenance": [{"own": "x"}]},
    "dataset": lambda known: known | {"provenance": [{"dataset": "x"}]},
    "factors": lambda known: known | {"provenance": [{"dataset": {"factors": "xy"}}]},
    "a factor": lambda known: known | {"provenance": [{"dataset": {"factors": [1]}}]},
    "entropy": lambda known: known | {"provenance": [{"dataset": {"entropy": "8"}}]},
}


@pytest.mark.parametrize("case", DESCRIBED)
def test_a_description_of_another_form_is_one_sentence(case: str, path: Path) -> None:
    known = json.loads((path / "study.json").read_text())
    (path / "study.json").write_text(json.dumps(DESCRIBED[case](known)))
    with pytest.raises(StoreError, match=r"study\.json cannot be read \(.*\); restore it"):
        open_study(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"identity": NaN', "\x00", "\ud800"], ids=range(5))
def test_json_that_python_cannot_read_is_one_sentence(text: str, path: Path) -> None:
    (path / "study.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(StoreError, match=r"study\.json cannot be read"):
        open_study(path)


@pytest.mark.parametrize(
    "study",
    [
        "", "[]", "3", '{"pinned": 3}', '{"pinned": {"beta": 3}}', '{"adaptive": 3}', '{"search": 3}',
        '{"protocol": []}',
        '{"seeds": "x"}', "[" * 100_000, '{"pinned": {"objective": ["os.path:join", 3]}}', '{"pinned": {"x": [1]}}',
        json.dumps({"pinned": {name: list(range(1, 200)) for name in ("beta", "steps", "batch_size", "latents")}}),
    ],
    ids=lambda study: study[:20],
)  # fmt: skip
def test_a_plan_of_another_form_is_one_sentence(study: str, path: Path) -> None:
    known = json.loads((path / "study.json").read_text())
    (path / "study.json").write_text(json.dumps(known | {"plan": [{"study": study}]}))
    with pytest.raises((ConfigError, StoreError)):
        progress(path)


def test_the_plan_is_read_back() -> None:
    study = StudyConfig(pinned={"beta": (1.0, 4.0)})
    assert StudyConfig.from_json(study.to_json()) == study


@pytest.mark.parametrize("detail", ["", "3", "[]", '{"beta": []}', '{"1": 2}', "[" * 100_000])
def test_a_config_of_another_form_is_one_sentence(detail: str, tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store:
        store.add_event("abc", 1, "started", detail)
        with pytest.raises((ConfigError, StoreError)):
            open_study(tmp_path / "s").configs()
        store.add_event("abc", 1, "started", "{}")


@pytest.mark.parametrize("many", [1, 3])
def test_arrays_are_refused_before_they_are_made(many: int, path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret" * 1000)
    key = CAPACITY.key()
    with h5py.File(path / "arrays" / f"{key}.h5", "w") as file:
        if many == 1:
            file.create_dataset("mean", (6000,), np.uint8, external=[(str(tmp_path / "secret"), 0, 6000)])
        for place in range(many - 1):  # each within the limit, together over it: the file has holes
            file.create_dataset(f"mean{place}", (2**30 + 1,), np.uint8)[-1] = 1
    with pytest.raises(StoreError, match=r"lies in other files|bytes of arrays, over 2,147,483,648"):
        open_study(path).arrays(key)


def test_a_score_of_another_form_is_one_sentence(path: Path) -> None:
    with Scores(path) as scores:
        scores.add("mig", [{"key": "a", "mig": 0.5, "missing": None}])
    assert read_scores(path)["mig"]["mig"].tolist() == [0.5]
    for columns in ({"mig": [1.0]}, {"key": ["../x"]}, {"key": [1]}, {"key": ["a"], "mig": [[1]]}):
        pq.write_table(pa.table(columns), path / "scores" / "mig.parquet")
        with pytest.raises(StoreError, match=r"mig\.parquet"):
            read_scores(path)


def test_what_is_said_of_a_store_obeys_no_terminal(path: Path) -> None:
    for entry in ("plan", "provenance", "identity"):
        known = json.loads((path / "study.json").read_text())
        known["identity"]["search"] = known["provenance"][0]["commit"] = "\x1b[2J\r\u202e"
        (path / "study.json").write_text(json.dumps(known))
        study = open_study(path)
        with pytest.raises(StoreError) as caught:
            study.check_identity({"search": "grid"})
        (said,) = study.changed({**PROVENANCE, "commit": "x"})
        assert all(text.isprintable() for text in (str(caught.value), said)), entry
    (path / "rows" / "00000009-00000009.parquet").write_text("\x1b[2J")
    assert all(said.isprintable() for said in study.problems)
    assert row(1)["step"] == 1
