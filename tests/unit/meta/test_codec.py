"""Operations as bytes: what the log holds for years."""

from __future__ import annotations

import pytest

from pydfsnode.errors import CorruptionError, InvalidPath
from pydfsnode.meta import ops
from pydfsnode.meta.codec import decode_op, encode_op

HEAD = (0x1122334455667788, 7, 3, 1_700_000_000_000, "alice")
EVERY_OP: list[ops.AnyOp] = [
    ops.Mkdirs(*HEAD, "/a", 0o755),
    ops.Create(*HEAD, "/a/f", 3, 1 << 26, 0o600, True, True),
    ops.AllocateChunk(*HEAD, 9, ops.ChunkDone(1, 2, 3, 4), 5, ("c1", "c2")),
    ops.AllocateChunk(*HEAD, 9, None, 0, ("c1",)),
    ops.Complete(*HEAD, 9, ops.ChunkDone(1, 2, 3, 4), 5),
    ops.Abandon(*HEAD, 9),
    ops.Delete(*HEAD, "/a", True),
    ops.Rename(*HEAD, "/a", "/ü"),
]
GOLDEN = {
    "Mkdirs": "9801cf11223344556677880703cf0000018bcfe56800a5616c696365a22f61cd01ed",
    "Rename": "9807cf11223344556677880703cf0000018bcfe56800a5616c696365a22f61a32fc3bc",
}


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: type(op).__name__)
def test_every_operation_comes_back(op: ops.AnyOp) -> None:
    assert decode_op(encode_op(op)) == op


def test_every_operation_has_its_tag_and_rule() -> None:
    assert {type(op) for op in EVERY_OP} == set(ops.OPS.values()) == set(ops.RULES)
    for tag, kind in ops.OPS.items():
        assert kind.__struct_config__.tag == tag


def test_the_bytes_stay_what_they_were() -> None:
    assert {type(op).__name__: encode_op(op).hex() for op in (EVERY_OP[0], EVERY_OP[-1])} == GOLDEN


@pytest.mark.parametrize(
    "payload", [b"", b"\x90", b"\x91\x01", b"\x92\x63\x01", encode_op(EVERY_OP[0])[:-1], b"\xc1"]
)
def test_other_bytes_are_corruption(payload: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_op(payload)


def test_a_field_added_by_a_later_version_is_passed_over() -> None:
    op = EVERY_OP[0]
    payload = bytearray(encode_op(op))
    payload[0] += 1
    assert decode_op(bytes(payload) + b"\x05") == op


def test_a_path_that_is_no_unicode_is_refused_before_it_reaches_the_log() -> None:
    with pytest.raises(InvalidPath):
        encode_op(ops.Mkdirs(*HEAD, "/\ud800"))
