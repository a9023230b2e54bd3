"""Every decoder of bytes that a peer or a disk may have spoiled: a sample, and its refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pydfsnode import errors, limits
from pydfsnode._fast import FrameReader, encode_entry, frame_head, scan_entries
from pydfsnode.config import Peer
from pydfsnode.meta import acl, rows
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.history_rows import TABLE_PAST_ENTRY, TABLE_PAST_INODE, TABLE_SNAPSHOT
from pydfsnode.meta.ops import ChunkDone, Create, CreateInline, SetAcl, Truncate
from pydfsnode.meta.ops.base import Op
from pydfsnode.obs.trace import parse_traceparent
from pydfsnode.raft import messages
from pydfsnode.rpc import chunk_packets, framing, status
from pydfsnode.security.identity import Identity
from pydfsnode.storage import chunk_format
from tests.fuzz.state_rows import load_with, row_of

FRAME_BYTES_MAX = 1 << 16


@dataclass(frozen=True)
class Decoder:
    """`decode` returns for *sample*, and for anything else returns or raises one of `refusals`."""

    name: str
    decode: Callable[[bytes], object]
    sample: bytes
    refusals: tuple[type[Exception], ...]


def feed(pieces: Sequence[bytes]) -> list[tuple[int, int, int, bytes]]:
    """What a FrameReader makes of a connection's bytes that arrive in these pieces."""
    reader = FrameReader(FRAME_BYTES_MAX)
    frames = []
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            room = reader.get_buffer(len(rest))
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            rest = rest[size:]
            frames += [
                (stream, kind, flags, bytes(payload))
                for stream, kind, flags, payload in reader.buffer_updated(size)
            ]
    return frames


def _frames() -> bytes:
    sizes = (0, 1, 100, 5000)
    return b"".join(
        frame_head(size, 2 * number + 1, 1 + number % 3, 0) + bytes([number]) * size
        for number, size in enumerate(sizes)
    )


def _entries() -> bytes:
    return b"".join(encode_entry(index, 3, index % 3, b"x" * index) for index in range(1, 9))


def _error_info() -> bytes:
    return status.status_of(errors.NotLeader("ask m2", leader_hint="m2=h:1")).error_info


CHUNK_BYTES = 2 * limits.BLOCK_BYTES + 5


def _chunk_tail() -> bytes:
    checksums = b"\x01\x02\x03\x04" * 3
    crc = chunk_format.fold_checksums(checksums, CHUNK_BYTES)
    return chunk_format.encode_tail(7, 1, CHUNK_BYTES, chunk_format.Tail(crc, checksums))


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda given: parse(given.decode("utf-8", "replace"))


_HEAD = (1, 2, 2, 1_000, "alice:eng,ops")
OPERATIONS: dict[str, Op] = {
    "create": Create(*_HEAD, "/a/b", 3, 1 << 20),
    "create inline": CreateInline(*_HEAD, "/a/b", 3, 1 << 20, content=bytes(range(99))),
    "set acl": SetAcl(*_HEAD, "/a", ("user:alice:rwx", "default:group:eng:r-x"), "modify"),
    "truncate": Truncate(*_HEAD, "/a", 5, ChunkDone(7, 1, 5, 9)),
}
STATE_TABLES = {
    "head": rows.TABLE_HEAD,
    "inodes": rows.TABLE_BLOCK,
    "chunk page": rows.TABLE_PAGE,
    "session": rows.TABLE_SESSION,
    "open file": rows.TABLE_OPEN,
    "extras": rows.TABLE_EXTRAS,
    "snapshot": TABLE_SNAPSHOT,
    "past entry": TABLE_PAST_ENTRY,
    "past inode": TABLE_PAST_INODE,
}

DECODERS = [
    Decoder("log entries", scan_entries, _entries(), (ValueError,)),
    Decoder("frames", lambda given: feed([given]), _frames(), (ValueError,)),
    Decoder(
        "control records",
        lambda given: list(framing.control_records(given)),
        framing.control_record(1, 5, 4096) + framing.control_record(2, 7, 0),
        (errors.RemoteProtocolError,),
    ),
    Decoder(
        "chunk packets",
        chunk_packets.parse_packet,
        b"".join(bytes(part) for part in chunk_packets.make_packet(4096, b"chunk" * 99)),
        (errors.MalformedMessage, errors.CorruptionError),
    ),
    Decoder(
        "error details",
        lambda given: status.error_from_status(14, "text", given),
        _error_info(),
        (),
    ),
    *(
        Decoder(f"operation {name}", decode_op, encode_op(op), (errors.CorruptionError,))
        for name, op in OPERATIONS.items()
    ),
    *(
        Decoder(
            f"state row {name}", partial(load_with, table), row_of(table), (errors.CorruptionError,)
        )
        for name, table in STATE_TABLES.items()
    ),
    Decoder("acl entries", _text(acl.parse), b"default:user:alice:rwx", (errors.InvalidArgument,)),
    Decoder("acl entries to remove", _text(acl.parse_key), b"group:eng", (errors.InvalidArgument,)),
    Decoder(
        "raft messages",
        messages.decode_message,
        messages.encode_message(messages.Append(3, "m1", 1, 7, 2, 6, 1, 8, _entries())),
        (errors.MalformedMessage,),
    ),
    Decoder(
        "chunk tails",
        lambda given: chunk_format.decode_tail(given, 7, 1, CHUNK_BYTES),
        _chunk_tail(),
        (errors.CorruptionError,),
    ),
    Decoder(
        "identities",
        _text(Identity.parse),
        b"spiffe://0123456789abcdef/master/m1",
        (errors.PeerUnauthenticated,),
    ),
    Decoder("masters in configurations", _text(Peer.parse), b"m1=h:7001", (errors.ConfigError,)),
    Decoder(
        "traceparents",
        _text(parse_traceparent),
        b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01",
        (),
    ),
]
