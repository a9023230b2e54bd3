"""Sealed stores and logs for tests: real AES-GCM through the real keyring."""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from pydfsnode._fast import encode_entry
from pydfsnode.raft.effects import HardState, Install, Persist
from pydfsnode.security.keyring import Keyring
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.kv import KeyValue
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import SealedStore

CLUSTER, NODE = "c0ffee0123456789", "m1"


@cache
def keyring(node_id: str = NODE) -> Keyring:
    """One keyring a test run; the seal binds node and key, so sharing it proves nothing false."""
    directory = Path(mkdtemp(prefix="pydfsnode-keyring-"))
    atexit.register(rmtree, directory, ignore_errors=True)
    return Keyring.open(directory, directory / "kek", CLUSTER, node_id)


def sealed(kv: KeyValue, node_id: str = NODE) -> SealedStore:
    return SealedStore(kv, keyring(), CLUSTER, node_id)


def open_log(directory: Path) -> RaftLog:
    """The log in *directory* as a master opens it."""
    directory.mkdir(exist_ok=True)
    kv = LevelDb(directory / "store")
    try:
        return RaftLog.open(sealed(kv), DurableMark(directory / "durable-mark"))
    except BaseException:
        kv.close()
        raise


def entry(index: int, term: int, payload: bytes = b"") -> bytes:
    return encode_entry(index, term, 1, payload or b"payload of %d in %d" % (index, term))


def group(
    first: int,
    terms: list[int],
    *,
    hard_state: HardState | None = None,
    truncate_from: int | None = None,
) -> Persist:
    """A group with an entry for each of *terms*, from index *first* on; the term is voted for."""
    if hard_state is None and terms:
        hard_state = HardState(terms[-1], "m2")
    entries = [entry(first + i, term) for i, term in enumerate(terms)]
    return Persist(1, hard_state, truncate_from, first if terms else 0, entries)


def install(index: int, term: int, *, keep_log: bool = False, base: bytes = b"members") -> Persist:
    """A group that installs what is staged."""
    return Persist(1, install=Install(index, term, base, keep_log))


def stage(log: RaftLog, index: int, term: int, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
    """Stage *rows* as the whole snapshot after entry (*index*, *term*)."""
    staged = log.stage(index, term)
    staged.add(rows, len(rows), 99)
    staged.finish(len(rows), 99)


def state_of(log: RaftLog) -> tuple[int, list[tuple[int, bytes, bytes]]]:
    """(index, rows) of the live state."""
    view = log.open_view()
    found = view.index, list(view.rows())
    view.close()
    return found


def entries_of(log: RaftLog) -> list[bytes]:
    """All entries of the log, as it was when opened."""
    start, found = log.start, []
    while start.first_index + len(found) <= start.last_index:
        found.extend(log.read(start.first_index + len(found), start.last_index, 1 << 20))
    return found
