from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from study.remote import Gone, Remote, RemoteError
from trainables.checks import InputError


@pytest.fixture(params=["memory", "file"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    fsspec.filesystem("memory").store.clear()
    return Remote("memory://mirror" if request.param == "memory" else f"file://{tmp_path}/mirror")


def test_files_come_and_go(remote: Remote, tmp_path: Path) -> None:
    assert remote.find() == set()
    assert remote.read("a") is None
    (tmp_path / "source").write_bytes(b"1")
    remote.put({"rows/a": tmp_path / "source", "b": tmp_path / "source"})
    remote.put({})
    remote.write("b", b"2")
    assert remote.find() == {"b", "rows/a"}
    assert remote.read("b") == b"2"
    remote.get({"rows/a": tmp_path / "deep" / "a", "b": tmp_path / "b"})
    assert (tmp_path / "deep" / "a").read_bytes() == b"1"
    assert (tmp_path / "b").read_bytes() == b"2"
    remote.remove(["b"])
    assert remote.find() == {"rows/a"}
    with pytest.raises(Gone):
        remote.get({"b": tmp_path / "b"})


def test_on_a_disk_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: LocalFileSystem, source: str, target: str, **more: object) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:3])
        raise OSError("the disk is full")

    (tmp_path / "source").write_bytes(b"content")
    remote = Remote(f"file://{tmp_path}/mirror")
    monkeypatch.setattr(LocalFileSystem, "put_file", broken)
    with pytest.raises(RemoteError, match="the disk is full"):
        remote.put({"a": tmp_path / "source"})
    assert list((tmp_path / "mirror").iterdir())  # what is left of it
    assert remote.find() == set()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (" ", "the URL is empty"),
        ("foo://bucket/x", "foo://bucket/x cannot be used (Protocol not known: foo); check the URL"),
        ("s4://bucket/x", "Protocol not known"),
    ],
)
def test_a_url_that_fsspec_does_not_know_is_refused(url: str, said: str) -> None:
    with pytest.raises(RemoteError) as refused:
        Remote(url)
    assert said in str(refused.value)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.remote.url_to_fs", _without_s3fs)
    with pytest.raises(RemoteError, match=r"Install s3fs.*pip install 'capacity-study\[aws\]'"):
        Remote("s3://bucket/x")


def _without_s3fs(url: str) -> None:
    raise ImportError("Install s3fs to access S3")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with pytest.raises(RemoteError, match="is no folder"):
        Remote(f"file://{tmp_path}/file").find()
    with pytest.raises(RemoteError, match="cannot be used"):
        Remote(f"file://{tmp_path}/file").write("a", b"")


def test_errors_are_one_line(tmp_path: Path) -> None:
    remote = Remote("memory://mirror")
    with pytest.raises(RemoteError, match=r"cannot be used \(two\); check") as told, remote._told():
        raise RuntimeError("two\nlines")
    assert "\n" not in str(told.value)
    with pytest.raises(RemoteError, match="KeyError"), remote._told():
        raise KeyError


@pytest.mark.parametrize("url", ["s3:/bucket/x", "s3//bucket/x", "file://tmp/x", "results/mirror"])
def test_a_mistyped_url_is_no_folder_here(url: str) -> None:
    with pytest.raises(RemoteError, match="is no URL; give s3://bucket/folder, or /a/folder"):
        Remote(url)


def test_a_mirror_on_this_machine_is_read_and_written_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "mirror" / "logs").mkdir(parents=True)
    remote = Remote(f"file://{tmp_path}/mirror")
    (tmp_path / "mirror" / "logs" / "a.txt").symlink_to(tmp_path / "secret")
    for refused in (remote.find, lambda: Remote(remote.url)):
        with pytest.raises(InputError, match=r"a\.txt is a link to .*secret"):
            refused()
    (tmp_path / "mirror" / "logs" / "a.txt").unlink()
    (tmp_path / "mirror" / "arrays").symlink_to(tmp_path)
    with pytest.raises(InputError, match="arrays is a link to"):
        Remote(remote.url)
