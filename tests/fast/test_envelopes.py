"""The compiled envelopes equal protobuf's; what they do not know they leave to protobuf."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from pydfsnode.rpc.framing import REQUEST_ID_KEY, TRACEPARENT_KEY
from pydfsnode.rpc.pb import ttrpc_pb2
from tests.reference import envelopes as reference

TAG = "0123456789abcdef"
TEXT = st.text(max_size=40)
ASCII = st.text(st.characters(max_codepoint=127), min_size=1, max_size=40)
STREAM_ID = st.integers(0, 2**32 - 1)
PAYLOAD = st.one_of(st.binary(max_size=300), st.binary(min_size=16_380, max_size=16_390))
NANO = st.one_of(st.just(0), st.integers(0, 2**63 - 1))


@given(
    stream_id=STREAM_ID, flags=st.integers(0, 3), service=ASCII, method=ASCII, payload=PAYLOAD,
    timeout_nano=NANO, more=st.dictionaries(ASCII, ASCII, max_size=2),
)  # fmt: skip
def test_a_request_is_protobufs_and_splits_again(
    stream_id: int, flags: int, service: str, method: str, payload: bytes, timeout_nano: int,
    more: dict[str, str],
) -> None:  # fmt: skip
    head = reference.head(service, method)
    tail = ttrpc_pb2.Request(metadata=reference.metadata(more)).SerializeToString()
    frame = fast.request_frame(stream_id, flags, head, payload, timeout_nano, TAG.encode(), tail)
    if {REQUEST_ID_KEY, TRACEPARENT_KEY}.isdisjoint(more):
        envelope = reference.request(stream_id, service, method, payload, timeout_nano, TAG, more)
        assert frame == reference.frame(stream_id, reference.REQUEST, flags, envelope)
    assert fast.split_request(frame[10:]) == (head, payload, timeout_nano)


@given(service=TEXT, method=TEXT, payload=PAYLOAD, timeout_nano=st.integers(-(2**63), 2**63 - 1),
       pairs=st.dictionaries(TEXT, TEXT, max_size=12))  # fmt: skip
def test_splitting_any_request_agrees_or_leaves_it(
    service: str, method: str, payload: bytes, timeout_nano: int, pairs: dict[str, str]
) -> None:
    envelope = ttrpc_pb2.Request(
        service=service, method=method, payload=payload, timeout_nano=timeout_nano,
        metadata=reference.metadata(pairs),
    ).SerializeToString()  # fmt: skip
    found = fast.split_request(envelope)
    assert found in (None, (reference.head(service, method), payload, timeout_nano))
    texts = [service, method, *pairs, *pairs.values()]
    plain = all(text and text.isascii() for text in texts)
    if plain and timeout_nano >= 0 and len(pairs) <= 8:
        assert found is not None


@given(data=st.binary(max_size=60))
def test_what_protobuf_refuses_is_never_split(data: bytes) -> None:
    found = fast.split_request(data)
    if found is not None:
        request = ttrpc_pb2.Request.FromString(data)
        assert found[1:] == (request.payload, request.timeout_nano)
    answer = fast.split_response(data)
    if answer is not None:
        response = ttrpc_pb2.Response.FromString(data)
        assert answer == response.payload
        assert not response.HasField("status")


def test_every_cut_and_every_flipped_bit_agrees_with_protobuf_or_is_left_to_it() -> None:
    whole = reference.request(77, "a.B", "C", b"payload", 5, TAG, {"k": "v"})
    damaged = [whole[:size] for size in range(len(whole))]
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for data in damaged:
        found = fast.split_request(data)
        if found is None:
            continue
        try:
            request = ttrpc_pb2.Request.FromString(data)
        except DecodeError:  # pragma: no cover - the failure that this test looks for
            pytest.fail(f"protobuf refuses {data.hex()}")
        head = ttrpc_pb2.Request.FromString(found[0])
        assert (head.service, head.method) == (request.service, request.method)
        assert found[1:] == (request.payload, request.timeout_nano)


@given(stream_id=STREAM_ID, payload=PAYLOAD)
def test_a_response_is_protobufs_and_splits_again(stream_id: int, payload: bytes) -> None:
    frame = fast.response_frame(stream_id, payload)
    envelope = reference.response(payload)
    assert frame == reference.frame(stream_id, reference.RESPONSE, 0, envelope)
    assert fast.split_response(envelope) == payload


def test_a_response_with_a_status_is_left_to_protobuf() -> None:
    status = ttrpc_pb2.Status(code=5, message="no")
    for response in (
        ttrpc_pb2.Response(status=status),
        ttrpc_pb2.Response(status=ttrpc_pb2.Status(), payload=b"x"),
    ):
        assert fast.split_response(response.SerializeToString()) is None
    assert fast.split_response(reference.response(b"a") * 2) is None


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="tag"):
        fast.request_frame(1, 0, b"", b"", 0, b"short", b"")
    with pytest.raises(ValueError, match="timeout"):
        fast.request_frame(1, 0, b"", b"", -1, TAG.encode(), b"")
    with pytest.raises(OverflowError):
        fast.request_frame(2**32, 0, b"", b"", 0, TAG.encode(), b"")
    with pytest.raises(OverflowError):
        fast.response_frame(-1, b"")
    with pytest.raises(TypeError):
        fast.split_request(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        fast.split_response(bytearray(b"x"))  # type: ignore[arg-type]
