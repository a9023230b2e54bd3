"""Decoders of what peers send: frames, envelopes, messages, packets, snapshots."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import zstandard

from pydfsnode import errors
from pydfsnode._fast import (
    FrameReader,
    OpCoder,
    batch_response,
    client_requests,
    crc32c,
    encode_entry,
    frame_head,
    only_text,
    request_frame,
    response_frame,
    split_request,
    split_response,
)
from pydfsnode.client import wire_batch, wire_values
from pydfsnode.raft import messages
from pydfsnode.raft.configuration import Configuration, member_incarnation
from pydfsnode.rpc import chunk_packets, framing, status
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.raft_transport import Greeting, parse_messages
from pydfsnode.rpc.schema import RPCS, rpc_of
from pydfsnode.runtime import snapshot_frames
from tests.fuzz.decoder import Decoder, of_text

FRAME_BYTES_MAX = 1 << 16
_MALFORMED = (errors.MalformedMessage,)


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


def raft_entries() -> bytes:
    """Encoded entries of a log, one behind the other."""
    return b"".join(encode_entry(index, 3, index % 3, b"x" * index) for index in range(1, 9))


# ---------------------------------------------------------------- messages of clients and servers

_STATUS = pb.FileStatus(
    path="/a/b", type=pb.FILE, size=300, replication=3, owner="alice", group="eng", mode=0o644,
    mtime_ms=1_700_000_000_000, inode_id=77, chunk_bytes=1 << 26, checksum="crc32c:01020304",
    has_acl=True, inline=True,
)  # fmt: skip
_LABEL = pb.Freshness(linearizable=False, staleness_ms=250, served_by="m2")
_CHUNK = pb.ChunkLocation(
    chunk_id=5, version=2, offset=0, length=300, crc32c=9,
    replicas=[pb.Address(node_id="c1", listen="h:1", rack="/r1")], inline_content=b"abc",
)  # fmt: skip
_CREATE_FIELDS = [
    (2, "text", 0), (3, "u32", 3), (4, "u64", 1 << 26), (5, "u32", 0), (6, "flag", 0),
    (7, "flag", 0), (8, "bytes", 0),
]  # fmt: skip
_CREATE = pb.CreateRequest(
    op=pb.OpId(client_id=9, seq=2, first_unacked=1), path="/a/b", replication=3, overwrite=True,
    content=b"content",
)  # fmt: skip


def _split(envelope: bytes) -> object:
    return split_request(envelope), split_response(envelope)


def _error_info() -> bytes:
    found = status.status_of(errors.NotLeader("ask m2", leader_hint="m2=h:1", retry_after_ms=20))
    return found.error_info


def _request_envelope() -> bytes:
    head = rpc_of("/pydfs.v1.Namespace/Stat").head
    frame = request_frame(1, 0, head, _CREATE.SerializeToString(), 10**9, b"0123456789abcdef", b"")
    return frame[10:]


_MESSAGES = [
    Decoder("frames", lambda given: feed([given]), _frames(), (ValueError,)),
    Decoder("request envelopes", _split, _request_envelope()),
    Decoder("response envelopes", _split, response_frame(1, b"answer")[10:]),
    Decoder(
        "control records",
        lambda given: list(framing.control_records(given)),
        framing.control_record(1, 5, 4096) + framing.control_record(2, 7, 0),
        (errors.RemoteProtocolError,),
    ),
    Decoder(
        "error details",
        lambda given: status.error_from_status(14, "text", given),
        _error_info(),
    ),
    Decoder(
        "operations from requests",
        lambda given: OpCoder(8, _CREATE_FIELDS).encode(given, 1, "alice:eng") or "left to others",
        _CREATE.SerializeToString(),
    ),
    Decoder(
        "paths from requests",
        lambda given: only_text(given) or "left to others",
        pb.StatRequest(path="/a/b").SerializeToString(),
    ),
    Decoder(
        "answers to stat",
        wire_values.status_reader("/pydfs.v1.Namespace/Stat"),
        pb.StatResponse(status=_STATUS, freshness=_LABEL).SerializeToString(),
        _MALFORMED,
    ),
    Decoder(
        "answers to list",
        wire_values.read_listing,
        pb.ListResponse(entries=[_STATUS] * 3, more=True, freshness=_LABEL).SerializeToString(),
        _MALFORMED,
    ),
    Decoder(
        "answers to locate",
        wire_values.read_locations,
        pb.LocateResponse(status=_STATUS, chunks=[_CHUNK] * 2).SerializeToString(),
        _MALFORMED,
    ),
    Decoder(
        "answers to batches",
        lambda given: wire_batch.answers(given, 3),
        batch_response([b"one", None, b"three"], {1: _error_info()}),
        _MALFORMED,
    ),
    Decoder(
        "batches",
        rpc_of(wire_batch.BATCH).parse_request,
        client_requests.batch([wire_batch.head("/pydfs.v1.Namespace/Stat")] * 2,
                              [b"\x0a\x02/a", b"\x0a\x02/b"], 0, 2),
        _MALFORMED,
    ),
    Decoder(
        "chunk packets",
        chunk_packets.parse_packet,
        b"".join(bytes(part) for part in chunk_packets.make_packet(4096, b"chunk" * 99)),
        (errors.MalformedMessage, errors.CorruptionError),
        lambda given: given[:12] + struct.pack("<I", crc32c(given[16:])) + given[16:],
    ),
]  # fmt: skip


# ---------------------------------------------------------------- every message of the schema


def _filled(kind: Any, depth: int = 0) -> Any:
    """A message of *kind* with something in every field."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.message_type is not None:
            is_map = field.message_type.GetOptions().map_entry
            if is_map or depth > 2:
                continue
            child = getattr(message, field.name)
            part = _filled(type(child.add()) if field.is_repeated else type(child), depth + 1)
            target = child[0] if field.is_repeated else child
            target.CopyFrom(part)
            continue
        value: object = {
            field.TYPE_STRING: "/a", field.TYPE_BYTES: b"bytes", field.TYPE_BOOL: True,
            field.TYPE_DOUBLE: 0.5, field.TYPE_FLOAT: 0.5,
        }.get(field.type, 1)  # fmt: skip
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


_PATHS = sorted(RPCS)


def _any_message(given: bytes) -> object:
    """The first byte says of which method, requests and responses in turn; the rest is parsed."""
    number = given[0] if given else 0
    rpc = RPCS[_PATHS[number // 2 % len(_PATHS)]]
    return str((rpc.parse_response if number % 2 else rpc.parse_request)(given[1:]))


def _any_message_samples() -> tuple[bytes, ...]:
    kinds = [kind for path in _PATHS for kind in (RPCS[path].request, RPCS[path].response)]
    return tuple(
        bytes([number]) + _filled(kind).SerializeToString()
        for number, kind in enumerate(kinds[:256])
    )


_SCHEMA = [
    Decoder(
        "messages of the schema", _any_message, _any_message_samples()[0], _MALFORMED,
        seeds=_any_message_samples(),
    ),
]  # fmt: skip


# ---------------------------------------------------------------- between masters


def _snapshot_frame(packed: bytes, rows: bytes, row_count: int) -> bytes:
    head = struct.pack("<IIB", crc32c(packed), row_count, 1)
    return head + rows


_PACKED = b"".join(
    struct.pack("<BHI", 16 + number, 8, 20) + bytes([number]) * 28 for number in range(5)
)


def _snapshot_rows(given: bytes) -> object:
    """The rows of a frame: CRC32C u32, row count u32, last u8, compressed rows."""
    crc, count, last = struct.unpack("<IIB", given[:9].ljust(9, b"\0"))
    frame = snapshot_frames.RowFrame(given[9:], crc, count, bool(last & 1))
    return [rows for rows, _ in snapshot_frames.frame_slices(frame, snapshot_frames.RowsSoFar())]


def _snapshot_packed(given: bytes) -> object:
    """As `_snapshot_rows`, but given what is compressed, so that the rows are looked at."""
    rows = zstandard.ZstdCompressor(level=1).compress(given)
    frame = snapshot_frames.RowFrame(rows, crc32c(given), 5, True)
    return [rows for rows, _ in snapshot_frames.frame_slices(frame, snapshot_frames.RowsSoFar())]


_SNAPSHOT_REFUSALS = (errors.MalformedMessage, errors.CorruptionError)
_VALUES: dict[str, object] = {
    "int": 3, "str": "m1#5f3a9c01", "bytes": b"\x93\x91\xa2m1\x90\x90", "bool": True,
}  # fmt: skip


def _message_sample(kind: Any) -> bytes:
    made = kind(*(_VALUES[str(kind.__annotations__.get(name, "int" if name == "term" else "str"))]
                  for name in kind.__struct_fields__))  # fmt: skip
    return messages.encode_message(made)


_RAFT = [
    Decoder(
        "raft messages",
        messages.decode_message,
        messages.encode_message(messages.Append(3, "m1", 1, 7, 2, 6, 1, 8, raft_entries())),
        _MALFORMED,
        seeds=tuple(_message_sample(kind) for kind in messages.Message.__args__),
    ),
    Decoder(
        "raft frames",
        lambda given: list(parse_messages(given)),
        b"".join(
            struct.pack("<I", len(one)) + one
            for one in [messages.encode_message(messages.VoteGrant(3, "m1"))] * 3
        ),
        _MALFORMED,
    ),
    Decoder(
        "raft greetings",
        lambda given: Greeting.decode(given) or "none",
        Greeting("m1#5f3a9c01", "h:7001", "m2").encode(),
        _MALFORMED,
    ),
    Decoder(
        "configurations of members",
        Configuration.decode,
        Configuration(("m1", "m2"), (), ("m3",), {"m1": "h:1"}).encode(),
        (errors.CorruptionError,),
    ),
    Decoder("member ids", of_text(lambda text: str(member_incarnation(text))), b"m1#5f3a9c01"),
    Decoder(
        "snapshot frames",
        _snapshot_rows,
        _snapshot_frame(_PACKED, zstandard.ZstdCompressor(level=1).compress(_PACKED), 5),
        _SNAPSHOT_REFUSALS,
    ),
    Decoder("snapshot rows", _snapshot_packed, _PACKED, _SNAPSHOT_REFUSALS),
]

NETWORK = [*_MESSAGES, *_SCHEMA, *_RAFT]
