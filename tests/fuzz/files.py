"""Decoders of text that people, peers and files bring: configurations, JSON, paths, entries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from pydfsnode import config, errors
from pydfsnode.cli.dev_layout import ClusterSpec, Layout, NodeSpec
from pydfsnode.cli.processes import Process
from pydfsnode.client.consistency import Consistency
from pydfsnode.ids import rack_parts
from pydfsnode.meta import acl, paths
from pydfsnode.obs.trace import parse_traceparent
from pydfsnode.roles.certificates import FILE_NAME as REVOKED_NAME
from pydfsnode.roles.certificates import CertificateKeeper
from pydfsnode.roles.chunkserver.known_masters import FILE_NAME as MASTERS_NAME
from pydfsnode.roles.chunkserver.known_masters import KnownMasters
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security.keyring import KEYRING_FILE, Keyring
from pydfsnode.security.plan import load_plan
from pydfsnode.storage.directory import STAMP_NAME, claim_directory
from pydfsnode.storage.scrub_cursor import FILE_NAME as SCRUB_NAME
from pydfsnode.storage.scrub_cursor import ScrubCursor, load_cursor
from tests.fuzz.certificates import CLUSTER, node_tls
from tests.fuzz.decoder import Decode, Decoder, of_file, of_text, scratch

_CONFIG = (errors.ConfigError,)
_ARGUMENT = (errors.InvalidArgument,)
_ADDRESS = b"10.0.0.1:7001"
_CLIENT = b"""
masters = ["m1=10.0.0.1:7001", "m2=[::1]:7001"]
consistency = "bounded:500"
umask = "022"
rack = "/dc1/r7"
inline_bytes_max = 4096
[tls]
ca = "ca.crt"
cert = "alice.crt"
key = "~/alice.key"
"""
_NODE = b"""
role = "chunkserver"
node_id = "c1"
data_dirs = ["a", "b"]
listen = "h:1"
grpc_listen = "h:2"
http_listen = "h:3"
masters = ["m1=10.0.0.1:7001"]
rack = "/dc1/r7"
reserved_bytes = 1_000
[tls]
ca = "ca.crt"
cert = "c1.crt"
key = "c1.key"
[raft]
tick_ms = 20
clock_drift = 0.05
[groups]
eng = ["alice"]
"""
_PLAN = b"""
cluster_id = "development"
hosts = ["127.0.0.1"]
days = 90
[[certificates]]
role = "master"
names = ["m1", "m2"]
"""


def _known_masters(path: Path) -> object:
    return str(KnownMasters([], path.parent).addresses())


def _revoked(path: Path) -> object:
    async def ask(*_: object, **__: object) -> object:
        raise AssertionError

    return CertificateKeeper(node_tls(), path.parent, ask, ManualClock())


def _claimed(path: Path) -> object:
    with claim_directory(path.parent, CLUSTER, "master", "m1") as claimed:
        return claimed


def _in_directory(name: str, file: str, load: Callable[[Path], object]) -> Decode:
    """A decoder of *file* in a directory of its own."""

    def decode(given: bytes) -> object:
        directory = scratch() / name
        directory.mkdir(exist_ok=True)
        (directory / file).write_bytes(given)
        return load(directory / file)

    return decode


def _keyring_sample() -> bytes:
    directory = scratch() / "keyring-sample"
    Keyring.open(directory, scratch() / "kek", CLUSTER, "m1")
    return (directory / KEYRING_FILE).read_bytes()


def _opened_keyring(path: Path) -> object:
    keyring = Keyring.open(path.parent, scratch() / "kek", CLUSTER, "m1")
    return keyring.unseal(b"aad", keyring.seal(b"aad", b"content")) or "nothing"


def _with_kek(path: Path) -> object:
    return Keyring.open(scratch() / "keyring-sample", path, CLUSTER, "m1")


_SEALED = Keyring.open(scratch() / "keyring-records", scratch() / "kek", CLUSTER, "m1")


def _cluster_file() -> bytes:
    node = NodeSpec("m1", "master", "h:1", "h:2", "h:3")
    layout = Layout(scratch() / "dev-sample")
    layout.directory.mkdir()
    layout.save(ClusterSpec(CLUSTER, "alice", [node]))
    return layout.cluster_file.read_bytes()


_JSON = [
    Decoder(
        "keyrings",
        _in_directory("keyring", KEYRING_FILE, _opened_keyring),
        _keyring_sample(),
        (errors.SealBroken, errors.KeyUnavailable, errors.StorageError, errors.WrongCluster),
    ),
    Decoder(
        "key-encryption keys",
        of_file("kek-fuzzed", _with_kek),
        (scratch() / "kek").read_bytes(),
        (errors.KeyUnavailable, errors.SealBroken),
    ),
    Decoder(
        "sealed records",
        lambda given: _SEALED.unseal(b"aad", given),
        _SEALED.seal(b"aad", b"content"),
        (errors.SealBroken,),
    ),
    Decoder(
        "stamps of directories",
        _in_directory("claimed", STAMP_NAME, _claimed),
        b'{"format": 1, "cluster_id": "0123456789abcdef", "role": "master", "node_id": "m1"}',
        (errors.CorruptionError, errors.ConfigError, errors.WrongCluster),
    ),
    Decoder(
        "masters remembered",
        _in_directory("masters", MASTERS_NAME, _known_masters),
        b'{"masters": ["m1=h:1", "m2=10.0.0.1:7001"]}',
    ),
    Decoder(
        "certificates revoked",
        _in_directory("revoked", REVOKED_NAME, _revoked),
        b'{"revoked": ["1f", "20"]}',
    ),
    Decoder(
        "places of the scrubber",
        _in_directory("scrub", SCRUB_NAME, lambda path: load_cursor(path.parent, 10)),
        msgspec.json.encode(ScrubCursor(5, 6, 7, 8, 9)),
    ),
    Decoder(
        "clusters of dev",
        _in_directory("dev", "cluster.json", lambda path: Layout(path.parent).load()),
        _cluster_file(),
        _CONFIG,
    ),
    Decoder(
        "processes of dev",
        of_file("node.pid", lambda path: str(Process.load(path))),
        b'{"pid": 17, "started_ticks": 99}',
    ),
]

_TEXT = [
    Decoder(
        "configurations of nodes", of_file("node.toml", config.load_node_config), _NODE, _CONFIG
    ),
    Decoder(
        "configurations of clients",
        of_file("client.toml", config.load_client_config), _CLIENT, _CONFIG,
    ),
    Decoder(
        "plans of certificates",
        of_file("plan.toml", load_plan), _PLAN, (*_CONFIG, errors.UsageError),
    ),
    Decoder("masters in configurations", of_text(config.Peer.parse), b"m1=h:7001", _CONFIG),
    Decoder("addresses", of_text(config.split_address), _ADDRESS, _CONFIG),
    Decoder("racks", of_text(rack_parts), b"/dc1/room2/r7", (ValueError,)),
    Decoder("consistencies", of_text(Consistency.parse), b"bounded:500", _CONFIG),
    Decoder("paths", of_text(paths.parse), b"/a/b.c/d", (errors.InvalidPath,)),
    Decoder("acl entries", of_text(acl.parse), b"default:user:alice:rwx", _ARGUMENT),
    Decoder("acl entries to remove", of_text(acl.parse_key), b"group:eng", _ARGUMENT),
    Decoder(
        "traceparents",
        of_text(lambda text: str(parse_traceparent(text))),
        b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01",
    ),
]  # fmt: skip

FILES = [*_JSON, *_TEXT]
