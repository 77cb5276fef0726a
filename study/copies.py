"""A store at a URL: pushed pass by pass, and brought back.

A pass freezes the store's files (`study.frozen`) and puts what has changed in an order in which whatever has arrived
is a valid store: a pass that is cut short loses itself and nothing that an earlier one has put. `mirror.json` says what
need not be put, or fetched, again.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.frozen import ORDER, Stamp, covered, frozen, kind_of, last_parts, names_of, stamp_of
from study.lock import take
from study.reader import StoreError, description
from study.received import SHOWN, check_files
from study.remote import ASIDE, Gone, Remote
from trainables.checks import InputError

MANIFEST, NOTHING = "mirror.json", b"{}"
LOGS = "logs/*"
"""The kind of file that grows without end, and is put whole each time."""
BATCH = 200
"""Files at most that a cut makes to be put, or fetched, again."""
FETCHES = 3
"""How often a store is fetched anew because a driver compacts it meanwhile."""


class MirrorError(InputError):
    """A mirror that does not belong to the store; the message names both and the remedy."""


def push(store: Path, url: str, logs: bool = True) -> int:
    """Put there what has changed since the last pass, and remove the parts that compaction has replaced.

    Args:
        store: Its folder.
        url: Of the mirror.
        logs: Whether to put those too.

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
        told = {name: stamp for name, stamp in before.items() if name in there}
        after, count = {name: stamp for name, stamp in told.items() if kind_of(name) == LOGS and not logs}, 0
        with frozen(store, told, [kind for kind in ORDER if logs or kind != LOGS]) as kinds:
            _check(store, remote, there, set[str]().union(*kinds))
            for files in kinds:
                changed = [name for name, file in files.items() if file.stamp != told.get(name)]
                for batch in _batches(changed):
                    remote.put({name: files[name].source for name in batch})
                    told |= {name: files[name].stamp for name in batch}
                    _tell(remote, told)
                count += len(changed)
                after |= {name: file.stamp for name, file in files.items()}
        remote.remove(covered(there, after))
        if after != (told if count else before):
            _tell(remote, after)
    return count


def bring_back(store: Path, url: str) -> int:
    """Fetch a store into a folder aside and rename it: whole or not at all. What a cut has left there is used.

    Returns:
        Number of files.

    Raises:
        InputError: There is a store here already or none there, or it holds a file that no store has.
    """
    _check_free(store, url)
    store = store.resolve()
    remote, aside = Remote(url), store.with_name(f"{store.name}{ASIDE}")
    if remote.read("study.json") is None:
        raise MirrorError(f"{url} holds no store: it has no study.json; check the URL")
    _of_a_store(remote)
    check_files(aside)
    with take(aside / "lock", "is being fetched by another command", "free it"):  # it becomes the store's own lock
        count = _fetch(remote, aside)
        stands_there = store == Path.cwd()
        os.rename(aside, store)
        if stands_there:
            os.chdir(store)  # the folder of that name is another one now
    return count


def ready(store: Path, url: str, wanted: Mapping[str, str], dry_run: bool = False) -> None:
    """Before a run: bring the store back where only the mirror has it, and see that it may be pushed there.

    Args:
        store: Its folder.
        url: Of the mirror.
        wanted: What the identity of a store that is brought back has to say.
        dry_run: Only read, and say what would be brought back.

    Raises:
        InputError: As `push` and `bring_back`, or the study there is another one than wanted.
    """
    remote = Remote(url)
    content = remote.read("study.json")
    if content is None or (store / "study.json").exists():
        _check(store, remote, remote.find(), [name for kind in ORDER for name in names_of(store, kind)])
    else:
        _check_free(store, url)
        _check_wanted(_described(content, url)["identity"], wanted, url)
        if dry_run:
            print(f"a run would first bring {store} back from {url}; what follows is without its trials", flush=True)
        else:
            print(f"bringing back {store} from {url}", flush=True)
            print(f"brought back {bring_back(store, url)} files", flush=True)
    if not dry_run:
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


def _check_free(store: Path, url: str) -> None:
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        raise StoreError(f"{store} is there already; move it away, and the same command brings back what {url} holds")


def _check_wanted(identity: Mapping[str, Any], wanted: Mapping[str, str], url: str) -> None:
    for name, value in wanted.items():
        if identity.get(name) != value:
            other = repr(identity.get(name))[:SHOWN]
            raise MirrorError(f"{url} holds a study of {name} {other}, not {value!r}; give another URL, or its {name}")


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


def _tell(remote: Remote, stamps: Mapping[str, Stamp]) -> None:
    remote.write(MANIFEST, json.dumps(stamps).encode())


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
    """In the opposite order of putting, each kind listed when its turn comes; what is whole by its stamp is kept."""
    stamps, count = _manifest(remote), 0
    for kind in reversed(ORDER):
        files = {name: folder / name for name in _of_a_store(remote) if kind_of(name) == kind}
        here = set(names_of(folder, kind))
        whole = {name for name in here & files.keys() if stamp_of(folder / name) == stamps.get(name)}
        for name in here - whole:
            (folder / name).unlink()
        for batch in _batches([name for name in files if name not in whole]):
            remote.get({name: files[name] for name in batch})
            for name in batch:  # so that the next push, or fetch, sees it unchanged
                size, changed = stamps.get(name, (-1, 0))
                if stamp_of(files[name])[0] == size:
                    os.utime(files[name], ns=(changed, changed))
        count += len(files)
    return count


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[begin : begin + BATCH] for begin in range(0, len(names), BATCH))


def _of_a_store(remote: Remote) -> list[str]:
    """The names of its files, which are others' data: what is no file of a store is refused."""
    names = sorted(remote.find() - {MANIFEST})
    for name in names:
        if kind_of(name) is None:
            raise MirrorError(f"{remote.url} holds {name!r}, which is no file of a store; delete it there")
    return names
