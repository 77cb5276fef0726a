"""A store at a URL: pushed pass by pass, and brought back.

A pass freezes the store's files (`study.frozen`) and puts what has changed in an order in which whatever has arrived
is a valid store: a pass that is cut short loses itself and nothing that an earlier one has put. `mirror.json`, written
last, says what need not be put again.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from study.frozen import ORDER, Stamp, covered, frozen, kind_of, last_parts, names_of, stamp_of
from study.lock import take
from study.reader import StoreError, description
from study.received import check_files
from study.remote import ASIDE, Gone, Remote
from trainables.checks import InputError

MANIFEST, NOTHING = "mirror.json", b"{}"
FETCHES = 3
"""How often a store is fetched anew because a driver compacts it meanwhile."""


class MirrorError(InputError):
    """A mirror that does not belong to the store; the message names both and the remedy."""


def push(store: Path, url: str) -> int:
    """Put there what has changed since the last pass, and remove the parts that compaction has replaced.

    Returns:
        Number of files put.

    Raises:
        InputError: The URL cannot be used, or holds what this store does not continue, or there is no store.
    """
    remote = Remote(url)
    check_files(store)  # a link's target would be uploaded, or written into
    description(store)
    with _alone(store):
        there = remote.find()
        before = _manifest(remote)
        known = {name: stamp for name, stamp in before.items() if name in there}
        after, count = {}, 0
        with frozen(store, known) as kinds:
            _check(store, remote, there, set[str]().union(*kinds))
            for files in kinds:
                changed = {name: file.source for name, file in files.items() if file.stamp != known.get(name)}
                remote.put(changed)
                count += len(changed)
                after |= {name: file.stamp for name, file in files.items()}
        remote.remove(covered(there, after))
        if after != before:
            remote.write(MANIFEST, json.dumps(after).encode())
    return count


def bring_back(store: Path, url: str) -> int:
    """Fetch a store into a folder aside and rename it: whole or not at all.

    Returns:
        Number of files.

    Raises:
        InputError: There is a store here already or none there, or it holds a file that no store has.
    """
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        raise StoreError(f"{store} is there already; move it away, and the same command brings back what {url} holds")
    remote, aside = Remote(url), store.with_name(f"{store.name}{ASIDE}")
    if remote.read("study.json") is None:
        raise MirrorError(f"{url} holds no store: it has no study.json; check the URL")
    with take(aside / "lock", "is being fetched by another command", "free it"):  # it becomes the store's own lock
        try:
            count = _fetch(remote, aside)
            os.rename(aside, store)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return count


def ready(store: Path, url: str) -> None:
    """Before a run: bring the store back where only the mirror has it, and see that it may be pushed there.

    Raises:
        InputError: As `push` and `bring_back`.
    """
    remote = Remote(url)
    if not (store / "study.json").exists():
        if remote.read("study.json") is not None:
            print(f"bringing back {store} from {url}", flush=True)
            print(f"brought back {bring_back(store, url)} files", flush=True)
    else:
        ours = [name for kind in ORDER for name in names_of(store, kind)]
        _check(store, remote, remote.find(), ours)
    remote.write(MANIFEST, remote.read(MANIFEST) or NOTHING)  # a URL that cannot be written is told now


@contextlib.contextmanager
def _alone(store: Path) -> Iterator[None]:
    """One push of a store at a time: the last one of a killed driver's mirror is waited for."""
    try:
        lock = open(store / ".mirror.lock", "a")
    except OSError as error:
        raise StoreError(f"{store} cannot be written ({error.strerror}); free it") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check(store: Path, remote: Remote, there: Collection[str], ours: Collection[str]) -> None:
    """Refuse to replace what this store is no continuation of.

    Args:
        store: Its folder.
        remote: The mirror.
        there: The names of its files.
        ours: Those of the store.
    """
    if remote.local and remote.local.resolve().is_relative_to(store.resolve()):
        raise MirrorError(f"{remote.url} lies in the store {store} itself; give a URL elsewhere")
    content = remote.read("study.json")
    if content is None:
        if there and (set(there) != {MANIFEST} or remote.read(MANIFEST) != NOTHING):  # `ready` puts that one first
            raise MirrorError(f"{remote.url} holds files but no study.json: it is no store; give an empty folder")
        return
    here, mirrored = description(store), _described(content, remote.url)
    runs, known = _runs(here), _runs(mirrored)
    shared = min(len(runs), len(known))
    if here["identity"] != mirrored["identity"] or runs[:shared] != known[:shared]:
        raise MirrorError(
            f"{remote.url} holds another study than {store}, or the same one gone on elsewhere; give another URL"
        )
    last, reached = last_parts(ours), last_parts(there)
    if len(runs) < len(known) or any(last[folder] < reached[folder] for folder in last):
        raise MirrorError(
            f"{remote.url} is ahead of {store}, an older copy; move {store} away, and the same command brings the "
            "newer one back, or give another URL"
        )


def _described(content: bytes, url: str) -> dict[str, Any]:
    try:
        described = json.loads(content)
        if isinstance(described["identity"], dict) and all(isinstance(run, dict) for run in described["provenance"]):
            return described
    except (ValueError, TypeError, KeyError):
        pass
    raise MirrorError(f"{url}/study.json is no store's; give another URL")


def _runs(described: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a store by how each began; what it really took is added at its end."""
    return [{name: value for name, value in run.items() if name != "actual"} for run in described["provenance"]]


def _manifest(remote: Remote) -> dict[str, Stamp]:
    """The stamps of what was put; none where it cannot be read: everything is put again."""
    try:
        entries = json.loads(remote.read(MANIFEST) or NOTHING).items()
        stamps = {str(name): (int(size), int(changed)) for name, (size, changed) in entries}
        return {name: stamp for name, stamp in stamps.items() if 0 <= stamp[1] < 2**62}
    except (ValueError, TypeError, AttributeError, OverflowError):
        return {}


def _fetch(remote: Remote, folder: Path) -> int:
    """All files of a mirror, once more where a part is compacted away before its turn; their number."""
    for _ in range(FETCHES - 1):
        with contextlib.suppress(Gone):
            return _fetch_once(remote, folder)
    return _fetch_once(remote, folder)


def _fetch_once(remote: Remote, folder: Path) -> int:
    """In the opposite order of putting, each kind listed when its turn comes."""
    _clear(folder)
    stamps, fetched = _manifest(remote), 0
    for kind in reversed(ORDER):
        files = {name: folder / name for name in _of_a_store(remote) if kind_of(name) == kind}
        remote.get(files)
        for name, path in files.items():  # so that the next push sees them unchanged
            size, changed = stamps.get(name, (-1, 0))
            if stamp_of(path)[0] == size:
                os.utime(path, ns=(changed, changed))
        fetched += len(files)
    return fetched


def _of_a_store(remote: Remote) -> list[str]:
    """The names of its files, which are others' data: what is no file of a store is refused."""
    names = sorted(remote.find() - {MANIFEST})
    for name in names:
        if kind_of(name) is None:
            raise MirrorError(f"{remote.url} holds {name!r}, which is no file of a store; delete it there")
    return names


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
