"""What the wire carries comes out as it went in, however it is cut or mixed."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.errors import BY_CODE, InvariantViolation, PydfsError
from pydfsnode.raft.messages import Append, HeartbeatAck, Message, encode_message
from pydfsnode.rpc.chunk_packets import make_packet, parse_packet
from pydfsnode.rpc.framing import control_record, control_records
from pydfsnode.rpc.raft_transport import parse_messages
from pydfsnode.rpc.status import error_from_status, status_of

U32 = st.integers(0, 2**32 - 1)
U63 = st.integers(0, 2**63 - 1)
CLASSES = [c for c in BY_CODE.values() if not issubclass(c, InvariantViolation)]
FIELD_NAMES = st.sampled_from(["path", "chunk_id", "node_id", "found", "leader_hint"])


@given(
    st.sampled_from(CLASSES), st.text(max_size=200),
    st.dictionaries(FIELD_NAMES, st.text(max_size=50)), U32,
)  # fmt: skip
def test_an_error_comes_out_as_it_went_in(
    cls: type[PydfsError], message: str, fields: dict[str, str], wait_ms: int
) -> None:
    sent = status_of(cls(message, **fields, retry_after_ms=wait_ms))
    error = error_from_status(sent.code, sent.message, sent.error_info)
    assert type(error) is cls
    assert error.message == message
    expected = {k: v for k, v in fields.items() if k != "leader_hint" or v}
    got = {k: v for k, v in error.fields.items() if v != "" or k != "leader_hint"}
    assert got == {**expected, "retry_after_ms": wait_ms}


@given(st.lists(st.tuples(st.integers(0, 255), U32, U32), min_size=1, max_size=50))
def test_control_records_come_out_as_they_went_in(records: list[tuple[int, int, int]]) -> None:
    payload = b"".join(control_record(*record) for record in records)
    assert list(control_records(payload)) == records


@given(U63, st.binary(max_size=5000))
def test_a_chunk_packet_comes_out_as_it_went_in(offset: int, data: bytes) -> None:
    head, body = make_packet(offset, data)
    got_offset, got = parse_packet(head + bytes(body))
    assert (got_offset, bytes(got)) == (offset, data)


MESSAGES = st.one_of(
    st.builds(HeartbeatAck, U63, st.text(max_size=20), U63, U63),
    st.builds(
        Append, U63, st.text(max_size=20), U63, U63, U63, U63, U63, U32, st.binary(max_size=500)
    ),
)


@given(st.lists(MESSAGES, max_size=30))
def test_raft_messages_share_a_frame_and_come_out_in_order(messages: list[Message]) -> None:
    frame = b""
    for message in messages:
        encoded = encode_message(message)
        frame += struct.pack("<I", len(encoded)) + encoded
    assert list(parse_messages(memoryview(frame))) == messages
