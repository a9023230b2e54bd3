"""Numbers of the ttrpc 1.2 frame format and our control records on stream 0 (see PROTOCOL.md)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydfsnode.errors import RemoteProtocolError

REQUEST, RESPONSE, DATA = 1, 2, 3
"""Frame types."""
REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 0x01, 0x02, 0x04
"""Frame flags."""
CONTROL_STREAM = 0
STREAM_ID_MAX = 0xFFFF_FFFF
FLOW_KEY, FLOW_VERSION = "pydfs-flow", "1"
"""Metadata of a connection's first Request: the sender knows control records."""
WIRE_PING = ("pydfs.wire.Connection", "Ping")
"""Answered by the transport itself: the first request on a connection, and the keep-alive."""
REQUEST_ID_KEY, TRACEPARENT_KEY = "pydfs-request-id", "traceparent"

HELLO, CREDIT, CANCEL, GOAWAY, CLOSE = 0, 1, 2, 3, 4
"""Control records: the server knows them too | bytes of window back | end a call | open no more
calls here | the connection ends, value is the error's code (errors.py)."""

_RECORD = struct.Struct(">BII")
RECORD_BYTES = _RECORD.size


def control_record(kind: int, stream_id: int, value: int) -> bytes:
    """One control record: kind u8, stream id u32, value u32, big-endian."""
    return _RECORD.pack(kind, stream_id, value)


def control_records(payload: bytes | memoryview) -> Iterator[tuple[int, int, int]]:
    """(kind, stream id, value) of each record in a control frame.

    Raises:
        RemoteProtocolError: the size is not that of whole records.
    """
    if not payload or len(payload) % RECORD_BYTES:
        raise RemoteProtocolError(
            f"control frame of {len(payload)} bytes, records have {RECORD_BYTES}"
        )
    return _RECORD.iter_unpack(payload)
