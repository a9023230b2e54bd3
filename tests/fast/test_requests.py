"""The compiled coder of requests equals protobuf and msgspec; what it does not know it leaves."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.reference import requests as reference

Fields = list[tuple[int, str, int]]
CREATE: Fields = [
    (2, "text", 0), (3, "u32", 3), (4, "u64", 1 << 26), (5, "u32", 0), (6, "flag", 0),
    (7, "flag", 0),
]  # fmt: skip
KINDS: dict[str, tuple[Any, int, Fields]] = {
    "mkdirs": (pb.MkdirsRequest, 1, [(2, "text", 0), (3, "u32", 0)]),
    "create": (pb.CreateRequest, 2, CREATE),
    "delete": (pb.DeleteRequest, 6, [(2, "text", 0), (3, "flag", 0)]),
    "rename": (pb.RenameRequest, 7, [(2, "text", 0), (3, "text", 0), (4, "flag", 0)]),
    "create inline": (pb.CreateRequest, 8, [*CREATE, (8, "bytes", 0)]),
}
U32, U63, U64 = 2**32 - 1, 2**63 - 1, 2**64 - 1
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(["x" * 31, "x" * 32, "ü" * 127, "x" * 255, "x" * 256, "x" * 70_000]),
)
NUMBERS = {"u32": st.integers(0, U32), "u64": st.integers(0, U63), "flag": st.booleans()}
EDGES = st.sampled_from([1, 127, 128, 255, 256, 65_535, 65_536, U32, U32 + 1, U63])


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind == "text":
        return TEXT
    if kind == "bytes":
        sizes = st.sampled_from([255, 256, 4096, 65_536]).map(bytes)
        return st.one_of(st.binary(max_size=40), sizes)
    return NUMBERS[kind]


@st.composite
def requests(draw: st.DrawFn, kind: str) -> Any:
    message, _, fields = KINDS[kind]
    op = pb.OpId(
        client_id=draw(st.integers(1, U64)),
        seq=draw(st.one_of(EDGES, st.integers(1, U63))),
        first_unacked=draw(st.one_of(st.just(0), EDGES)),
    )
    names = message.DESCRIPTOR.fields_by_number
    values = {names[number].name: draw(values_of(of)) for number, of, _ in fields}
    return message(op=op, **values)


def coders(kind: str) -> tuple[fast.OpCoder, reference.OpCoder]:
    message, tag, fields = KINDS[kind]
    return fast.OpCoder(tag, fields), reference.OpCoder(message, tag, fields)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), at_ms=st.one_of(st.just(0), EDGES), user=TEXT)
def test_an_operation_is_what_structures_make_of_the_request(
    kind: str, data: st.DataObject, at_ms: int, user: str
) -> None:
    coder, simple = coders(kind)
    request = data.draw(requests(kind)).SerializeToString()
    assert coder.encode(request, at_ms, user) == simple.encode(request, at_ms, user)


def sample(kind: str) -> Any:
    message, _, fields = KINDS[kind]
    names = message.DESCRIPTOR.fields_by_number
    values = {"text": "/dä", "u32": 300, "u64": 1 << 40, "flag": True, "bytes": b"\x00content"}
    op = pb.OpId(client_id=0xFEDCBA9876543210, seq=70_000, first_unacked=69_000)
    return message(op=op, **{names[number].name: values[of] for number, of, _ in fields})


def damaged(whole: bytes) -> list[bytes]:
    found = [whole[:size] for size in range(len(whole))]
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        found.append(bytes(flipped))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_and_every_flipped_bit_agrees_or_is_left_to_protobuf(kind: str) -> None:
    coder, simple = coders(kind)
    whole = sample(kind).SerializeToString()
    assert coder.encode(whole, 5, "ann") is not None
    known = 0
    for request in damaged(whole):
        found = coder.encode(request, 5, "ann")
        if found is not None:
            known += 1
            assert found == simple.encode(request, 5, "ann")
    assert known > 20, "most flipped bits of texts and numbers make another request"


@pytest.mark.parametrize("kind", KINDS)
@given(request=st.binary(max_size=60))
def test_what_protobuf_refuses_is_never_an_operation(kind: str, request: bytes) -> None:
    coder, simple = coders(kind)
    found = coder.encode(request, 5, "ann")
    if found is not None:
        assert found == simple.encode(request, 5, "ann")


def unusual() -> dict[str, Any]:
    """Requests for Mkdirs that protobuf or the handler must see."""
    op, path = pb.OpId(client_id=1, seq=1), b"\x12\x02/d"
    head = pb.MkdirsRequest(op=op).SerializeToString()
    of = pb.MkdirsRequest
    return {
        "no op id": of(path="/d").SerializeToString(),
        "no client": of(op=pb.OpId(seq=1), path="/d").SerializeToString(),
        "no seq": of(op=pb.OpId(client_id=1), path="/d").SerializeToString(),
        "an op id twice": head + head + path,
        "a path twice": head + path + path,
        "an unknown field": head + path + b"\x48\x01",
        "a field whose tag has two bytes": head + path + b"\x80\x01\x01",
        "a path that is a number": head + b"\x10\x01",
        "a mode that is a text": head + path + b"\x1a\x01x",
        "a mode of 33 bits": head + path + b"\x18\x80\x80\x80\x80\x10",
        "a number of ten bytes": head + path + b"\x18" + b"\xff" * 9 + b"\x01",
        "no Unicode": head + b"\x12\x02/\xff",
        "a surrogate": head + b"\x12\x04/\xed\xa0\x80",
        "a size beyond the end": head + b"\x12\x7f/d",
    }


@pytest.mark.parametrize("case", unusual())
def test_what_is_unusual_is_left_to_protobuf(case: str) -> None:
    assert coders("mkdirs")[0].encode(unusual()[case], 5, "ann") is None


def test_an_inline_creation_needs_a_content_and_a_plain_one_has_none() -> None:
    op = pb.OpId(client_id=1, seq=1)
    opened = pb.CreateRequest(op=op, path="/f").SerializeToString()
    stored = pb.CreateRequest(op=op, path="/f", content=b"").SerializeToString()
    assert coders("create inline")[0].encode(opened, 5, "ann") is None
    assert coders("create inline")[0].encode(stored, 5, "ann") is not None
    assert coders("create")[0].encode(stored, 5, "ann") is None


def test_a_time_before_1970_is_left_to_structures() -> None:
    coder, _ = coders("mkdirs")
    assert coder.encode(sample("mkdirs").SerializeToString(), -1, "ann") is None


def test_bad_arguments_are_refused() -> None:
    for tag, fields in ((-1, []), (128, []), (1, [(2, "flag", 0)] * 10), (1, [(1, "text", 0)]),
                        (1, [(16, "text", 0)])):  # fmt: skip
        with pytest.raises(ValueError, match="not known"):
            fast.OpCoder(tag, fields)
    with pytest.raises(KeyError):
        fast.OpCoder(1, [(2, "float", 0)])
    coder, _ = coders("mkdirs")
    with pytest.raises(TypeError):
        coder.encode(None, 5, "ann")  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        coder.encode(b"", 5, "\ud800")


@given(path=TEXT)
def test_the_only_text_is_protobufs(path: str) -> None:
    assert fast.only_text(pb.StatRequest(path=path).SerializeToString()) == path


@given(request=st.binary(max_size=20))
def test_any_bytes_are_the_same_text_or_left_to_protobuf(request: bytes) -> None:
    for asked in (request, b"\x0a" + bytes([len(request)]) + request):
        found = fast.only_text(asked)
        if found is not None:
            assert found == reference.only_text(asked)


def test_a_text_with_anything_beside_it_is_left_to_protobuf() -> None:
    read = pb.ReadOptions(mode=pb.ReadOptions.STALE)
    assert fast.only_text(pb.StatRequest(path="/f", read=read).SerializeToString()) is None
    assert fast.only_text(pb.StatRequest(read=read).SerializeToString()) is None
    twice = 2 * pb.StatRequest(path="/f").SerializeToString()
    assert fast.only_text(twice) is None
    with pytest.raises(DecodeError):
        reference.only_text(b"\x0a\x05/f")
    assert fast.only_text(b"\x0a\x05/f") is None


SIZES = st.sampled_from([0, 1, 123, 124, 125, 126, 127, 128, 16_380, 16_384])


@given(st.lists(st.one_of(st.none(), st.binary(max_size=9), SIZES.map(bytes)), max_size=6))
def test_answers_are_joined_as_protobuf_does(responses: list[bytes | None]) -> None:
    errors = {at: bytes([8, at + 1]) for at, found in enumerate(responses) if found is None}
    expected = reference.batch_response(responses, errors)
    assert fast.batch_response(responses, errors) == expected


def test_an_answer_that_is_missing_is_a_bug() -> None:
    with pytest.raises(KeyError):
        fast.batch_response([b"x", None], {})
    with pytest.raises(TypeError):
        fast.batch_response(["x"], {})  # type: ignore[list-item]
