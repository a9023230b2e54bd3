"""A file sealed with a key of its own, deleted: nobody opens what is left of it once forgotten.

Chunkservers' directories are kept aside while the file is there. "Everything on the masters'
disks" is every record that a key in a keyring opens: log, state, and what they held before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pydfsnode.errors import CorruptionError, FileKeyMissing, PydfsError, SealBroken
from pydfsnode.limits import MIB
from pydfsnode.meta.administration import TABLE_CHUNK_KEY
from pydfsnode.meta.codec import decode_op
from pydfsnode.meta.file_keys import TABLE_FILE_KEY
from pydfsnode.meta.ops import CreateInline, CreateKeyed
from pydfsnode.runtime.entry_compression import unpack
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.security.keyring import Keyring
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.directory import STORE_NAME
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.sealed import TABLE_ENTRY, SealedStore
from pydfsnode.storage.state_tables import GENERATION_STEP
from tests.support.cluster import wait_until
from tests.support.data_cluster import DataCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MASTERS, SERVERS = ("m1", "m2", "m3"), ("c1", "c2", "c3")
FORGET_AFTER_MS = 20_000
LARGE = bytes(range(251)) * (3 * MIB // 251 + 700)
SMALL, INLINE = b"packed " * 9_000, b"planted inline content"
FILES = {"/f/large": LARGE, "/f/small": SMALL, "/f/inline": INLINE}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DataCluster]:
    master = {"forget_keys_after_ms": FORGET_AFTER_MS}
    server = {"scrub_period_days": 0.00001}
    settings = {**dict.fromkeys(MASTERS, master), **dict.fromkeys(SERVERS, server)}
    with DataCluster(tmp_path / "dev", 3, 3, settings) as cluster:
        yield cluster


def down(cluster: DataCluster) -> None:
    cluster.run("dev", "down", "--dir", cluster.directory)


def kept(cluster: DataCluster, nodes: tuple[str, ...], name: str) -> Path:
    """A copy of the data directories of *nodes*, by their names."""
    aside = cluster.directory.parent / name
    for node in nodes:
        shutil.copytree(cluster.data_dir(node), aside / node)
    return aside


class Secrets:
    """What the keys of *keyring* open of the records in *store*: data directories of a master."""

    def __init__(self, store: Path, keyring: Path) -> None:
        self.epoch_keys: dict[int, bytes] = {}
        self.file_keys: list[bytes] = []
        self.contents: list[bytes] = []
        self.opened = self.closed = 0
        head = msgspec.json.decode((keyring / "keys" / "keyring.json").read_bytes())
        owner = head["cluster_id"], head["node_id"]
        keys = Keyring.open(keyring / "keys", keyring / "kek.hex", *owner)
        sealed = SealedStore(LevelDb(store / STORE_NAME), keys, *owner)
        try:
            for disk_key, _ in sealed.kv.scan(b"", b"\xff"):
                self._look(sealed, disk_key)
        finally:
            sealed.close()

    def _look(self, sealed: SealedStore, disk_key: bytes) -> None:
        try:
            plain = sealed.get(disk_key[0], disk_key[1:])
        except SealBroken:
            self.closed += 1
            return
        assert plain is not None
        self.opened += 1
        table = disk_key[0] if disk_key[0] < GENERATION_STEP else disk_key[0] - GENERATION_STEP
        if table == TABLE_ENTRY:
            self._look_at_entry(plain)
        elif table == TABLE_CHUNK_KEY:
            number = int.from_bytes(disk_key[1:], "big")
            self.epoch_keys[number] = msgspec.msgpack.decode(plain)[0]
        elif table == TABLE_FILE_KEY:
            self.file_keys.append(msgspec.msgpack.decode(plain)[0])
        if INLINE in plain:
            self.contents.append(plain)

    def _look_at_entry(self, entry: bytes) -> None:
        payload = unpack(entry)
        op = None if payload is None else decode_op(payload)
        if isinstance(op, CreateKeyed):
            self.file_keys.append(op.file_key)
            self.contents += [op.content] if op.content else []
        assert not isinstance(op, CreateInline), "a file below /f has no key"


def secrets_of(store: Path, keyring: Path) -> list[Secrets]:
    """Of each master."""
    return [Secrets(store / node, keyring / node) for node in MASTERS]


def opened_chunks(aside: Path, secrets: list[Secrets]) -> set[bytes]:
    """The contents of all chunks of the kept directories that open with *secrets*."""
    found = set()
    epoch_keys = {number: key for each in secrets for number, key in each.epoch_keys.items()}
    tried = [None, *{key for each in secrets for key in each.file_keys}]
    for node in SERVERS:
        for file_key in tried:
            # A start marks what is damaged, and sweeps: each looks at a copy of its own.
            place = aside.parent / "looked" / node
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(aside / node, place)
            keys = ChunkKeys()
            keys.learn(epoch_keys)
            held = ChunkReplicas([ChunkDisk(place)], lambda: None, pack_bytes_max=MIB, keys=keys)
            held.open()
            for replica in held.index.listing()[1]:
                keys.files.put({} if file_key is None else {replica.chunk_id: file_key})
                try:
                    with held.reader(replica) as reader:
                        found.add(bytes(held.read(reader, replica, 0, replica.length)))
                except (FileKeyMissing, CorruptionError):
                    continue
            held.close()
    return found


def test_what_is_kept_of_a_deleted_file_opens_until_it_is_forgotten(cluster: DataCluster) -> None:
    fs = cluster.client
    fs.makedirs("/f")
    fs.makedirs("/g")
    cluster.run("fs", "seal", "/f", "file")
    for path, content in FILES.items():
        fs.pipe_file(path, content)
    fs.pipe_file("/g/plain", SMALL[::-1])
    cluster.run("fs", "setrep", "-w", "1", "/f/large")
    cluster.run("fs", "setrep", "-w", "3", "/f/large")  # two are copies that repair made
    assert cluster.json("keys", "status")["files"]["held"] == len(FILES)

    down(cluster)
    chunks = kept(cluster, SERVERS, "chunks")
    cluster.up()
    cluster.wait_until_perfect()
    for path, content in FILES.items():
        assert fs.cat_file(path) == content
    wait_until("every chunk was verified", lambda: scrubbed(cluster))
    assert cluster.fsck().is_healthy

    for path in FILES:
        cluster.run("fs", "rm", "-skipTrash", path)
    down(cluster)
    before = kept(cluster, MASTERS, "before")
    found = secrets_of(before, before)
    assert all(each.contents for each in found)
    assert opened_chunks(chunks, found) >= {SMALL, SMALL[::-1], LARGE[:MIB], LARGE[MIB : 2 * MIB]}

    cluster.up()
    wait_until("the masters have forgotten", lambda: forgotten(cluster), 120)
    assert fs.cat_file("/g/plain") == SMALL[::-1]
    down(cluster)
    after = kept(cluster, MASTERS, "after")
    nothing = secrets_of(after, after)
    assert all(not each.file_keys and not each.contents and not each.closed for each in nothing)
    # Old bytes of their disks: whatever they held before is closed to the keys that there are now.
    old = secrets_of(before, after)
    assert all(not each.opened and each.closed for each in old)
    assert opened_chunks(chunks, nothing) == {SMALL[::-1]}


def scrubbed(cluster: DataCluster) -> bool:
    """Whether each server has been through all that it has since the last start."""
    logs = [cluster.log(node).rpartition('"opened"')[2] for node in SERVERS]
    return all("everything stored was verified" in log for log in logs)


def forgotten(cluster: DataCluster) -> bool:
    try:
        found = cluster.json("keys", "status")
    except (AssertionError, PydfsError):
        return False  # an election
    files = found["files"]
    is_told = files["removed"] == len(FILES) and not files["waiting"] and not files["held"]
    return is_told and all(m["forgot"] == files["orders"] > 0 for m in found["masters"])
