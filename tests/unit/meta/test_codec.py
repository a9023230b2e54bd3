"""Operations as bytes: what the log holds for years."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.errors import CorruptionError, InvalidPath
from pydfsnode.meta import ops
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.trust import Signer

HEAD = (0x1122334455667788, 7, 3, 1_700_000_000_000, "alice")
DONE = ops.ChunkDone(1, 2, 3, 4)
FIELDS: dict[str, tuple[int, list[tuple[Any, ...]]]] = {
    "Mkdirs": (1, [("/a", 0o755)]),
    "Create": (2, [("/a/f", 3, 1 << 26, 0o600, True, True)]),
    "AllocateChunk": (3, [(9, DONE, 5, ("c1", "c2")), (9, None, 0, ("c1",), True)]),
    "Complete": (4, [(9, DONE, 5)]),
    "Abandon": (5, [(9,)]),
    "Delete": (6, [("/a", True)]),
    "Rename": (7, [("/a", "/ü", True)]),
    "CreateInline": (8, [("/a/f", 3, 1 << 26, 0o600, True, True, b"\0\xff")]),
    "Append": (9, [("/a/f",)]),
    "Truncate": (10, [("/a/f", 7, DONE), ("/a/f", 7, None)]),
    "Concat": (11, [("/a/f", ("/a/g", "/ü"))]),
    "SetReplication": (12, [("/a/f", 2)]),
    "SetOwner": (13, [("/a", "bob", "eng")]),
    "SetMode": (14, [("/a", 0o1777)]),
    "SetTimes": (15, [("/a", 5, -1)]),
    "SetXattr": (16, [("/a", "user.x", b"\xff", True, False)]),
    "RemoveXattr": (17, [("/a", "user.x")]),
    "SetAcl": (18, [("/a", ("user:bob:r-x", "default:mask::rwx"), "modify")]),
    "SetQuota": (19, [("/a", 10, 1 << 40)]),
    "RenewLease": (20, [()]),
    "RecoverLease": (21, [("/a/f",)]),
    "ExpireLeases": (22, [((9, 10),), ((9,), True)]),
    "Reclaim": (23, [(1000,)]),
    "MoveToTrash": (24, [("/a",)]),
    "CompleteInline": (26, [(9, b"\0\xff")]),
    "RollTrash": (28, [(3_600_000, 86_400_000, ("alice", "bob"))]),
    "EmptyTrash": (29, [()]),
    "RestoreTrash": (30, [("/user/alice/.Trash/Current/a",)]),
    "CreateSnapshot": (31, [("/a", "s1")]),
    "DeleteSnapshot": (32, [("/a", "s1")]),
    "RenameSnapshot": (33, [("/a", "s1", "s2")]),
    "SetDuty": (34, [(("c1", "c2"), "maintenance", 9)]),
    "SetSafeMode": (35, [(True,)]),
    "SetBalance": (36, [(100_000, 1 << 20)]),
    "RecordChunk": (37, [(9, DONE)]),
    "ResumeChunk": (38, [(9, 5, ("c1", "c4"))]),
    "FinishRecovery": (39, [(9, DONE), (9, None)]),
    "RevokeCertificates": (40, [(("1f", "2a"), "lost")]),
    "AddJoinToken": (41, [("0" * 16, "1" * 64, "chunkserver", "c4", ("h",), 9)]),
    "UseJoinToken": (42, [("0" * 16, "1" * 64, "2" * 64)]),
    "AddChunkKey": (44, [(1, bytes(range(32)))]),
    "CreateChunked": (47, [("/a/f", 3, 1 << 26, 0o600, True, True, ("c1", "c2"))]),
    "DropChunkKeys": (46, [(3,)]),
    "ForgetKeys": (49, [(3,)]),
    "CreateKeyed": (
        48,
        [
            ("/a/f", 3, 1 << 26, 0o600, True, True, b"k" * 32),
            ("/a/f", 3, 1 << 26, 0o600, True, True, b"k" * 32, ("c1", "c2"), b"in"),
        ],
    ),
    "MarkAudit": (45, [("n", "1" * 16, 9, "2" * 64, 7, "3" * 16, "pem")]),
    "SetAuthority": (43, [("drop",), ("trust", Signer("r", "c", "k")), ("renew", None, ("u",))]),
}
"""Tag and fields of each operation; neither ever changes, but for fields at the end."""
EVERY_OP: list[ops.AnyOp] = [
    ops.OPS[tag](*HEAD, *fields)
    for tag, all_fields in FIELDS.values()
    if tag in ops.OPS
    for fields in all_fields
]
GOLDEN = {
    "Mkdirs": "9801cf11223344556677880703cf0000018bcfe56800a5616c696365a22f61cd01ed",
    "Rename": "9907cf11223344556677880703cf0000018bcfe56800a5616c696365a22f61a32fc3bcc3",
}


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: type(op).__name__)
def test_every_operation_comes_back(op: ops.AnyOp) -> None:
    assert decode_op(encode_op(op)) == op


def test_every_operation_has_its_tag_and_rule() -> None:
    assert set(ops.RULES) == set(ops.OPS.values())
    for tag, kind in ops.OPS.items():
        assert kind.__struct_config__.tag == tag == FIELDS[kind.__name__][0]


def test_the_bytes_stay_what_they_were() -> None:
    found = {type(op).__name__: encode_op(op).hex() for op in EVERY_OP}
    assert {name: found[name] for name in GOLDEN} == GOLDEN


def test_an_operation_of_an_earlier_version_lacks_the_later_fields() -> None:
    payload = bytes.fromhex(
        "9807cf11223344556677880703cf0000018bcfe56800a5616c696365a22f61a32fc3bc"
    )
    assert decode_op(payload) == ops.Rename(*HEAD, "/a", "/ü", False)


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
