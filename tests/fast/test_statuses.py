"""Statuses built by hand are byte for byte what protobuf makes of the same values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode._fast import InodeTable, Statuses, messages_in_field_1
from pydfsnode.meta.inodes import HAS_ACL, IS_INLINE, IS_OPEN
from pydfsnode.meta.results import FileView
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.reference import statuses as reference
from tests.reference.statuses import message_of

STATUSES = Statuses(IS_OPEN, HAS_ACL, IS_INLINE)
U32, U64 = 2**32 - 1, 2**64 - 1
TIMES = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def views(draw: st.DrawFn) -> FileView:
    common: dict[str, Any] = {
        "path": draw(TEXTS), "owner": draw(TEXTS), "group": draw(TEXTS),
        "mode": draw(st.integers(0, 0o7777)), "inode_id": draw(st.integers(0, U64)),
        "mtime_ms": draw(TIMES), "ctime_ms": draw(TIMES), "atime_ms": draw(TIMES),
        "has_acl": draw(st.booleans()),
    }  # fmt: skip
    if draw(st.booleans()):
        return FileView(type="directory", size=0, replication=0, chunk_bytes=0, checksum="",
                        under_construction=False, child_count=draw(st.integers(0, U32)),
                        **common)  # fmt: skip
    is_open = draw(st.booleans())
    checksum = "" if is_open else f"crc32c:{draw(st.integers(0, U32)):08x}"
    return FileView(type="file", size=draw(st.integers(0, U64)), checksum=checksum,
                    replication=draw(st.integers(0, 16)), child_count=0,
                    chunk_bytes=draw(st.integers(0, 2**40)), under_construction=is_open,
                    inline=draw(st.booleans()), **common)  # fmt: skip


@given(views())
def test_a_view_is_encoded_as_protobuf_does(view: FileView) -> None:
    assert STATUSES.of_view(view) == message_of(view).SerializeToString(deterministic=True)


@pytest.mark.parametrize("flags", range(8))
@pytest.mark.parametrize("name", ["f", "ü" * 100, "x" * 255])
def test_an_inode_is_encoded_as_its_view(flags: int, name: str) -> None:
    table = InodeTable()
    root = table.add_root(1, 0o755, "root", "supergroup")
    file = table.add_file(root, name, 7, 0o640, "alice", "eng", 1_700_000_000_000, 0, 3, 1 << 26)
    table.append_chunk(file, 5, 1, 12_345, 0xDEADBEEF)
    file.crc32c, file.flags, file.atime_ms, file.ctime_ms = 0xDEADBEEF, flags, 17, 18
    path = f"/{'d' * 4000}/{name}"
    is_open = bool(flags & IS_OPEN)
    view = FileView(
        path, "file", 12_345, 3, "alice", "eng", 0o640, 1_700_000_000_000, 18, 7, 1 << 26, is_open,
        0, "" if is_open else "crc32c:deadbeef", 17, bool(flags & HAS_ACL),
        bool(flags & IS_INLINE),
    )  # fmt: skip
    assert STATUSES.of_inode(file, path) == STATUSES.of_view(view)
    assert STATUSES.of_inode(file, path) == message_of(view).SerializeToString()


def test_a_directory_is_encoded_as_its_view() -> None:
    table = InodeTable()
    root = table.add_root(1, 0o1777, "root", "supergroup")
    table.add_directory(root, "below", 2, 0o755, "root", "supergroup", 5, 0)
    root.mtime_ms, root.flags = -1, HAS_ACL
    view = FileView("/", "directory", 0, 0, "root", "supergroup", 0o1777, -1, 0, 1, 0, False, 1,
                    "", 0, True, False)  # fmt: skip
    assert STATUSES.of_inode(root, "/") == message_of(view).SerializeToString()


@given(st.lists(views(), max_size=5), st.booleans())
def test_a_list_of_them_is_a_list_response(found: list[FileView], more: bool) -> None:
    encoded = messages_in_field_1([STATUSES.of_view(view) for view in found], more)
    assert encoded == reference.messages_in_field_1([message_of(view) for view in found], more)


def test_the_answer_to_stat_is_one_status() -> None:
    view = FileView("/a", "directory", 0, 0, "o", "g", 0o755, 1, 2, 3, 0, False, 4, "")
    encoded = messages_in_field_1([STATUSES.of_view(view)])
    assert encoded == pb.StatResponse(status=message_of(view)).SerializeToString()


def test_text_that_is_no_unicode_is_refused() -> None:
    view = FileView("/\ud800", "directory", 0, 0, "o", "g", 0o755, 1, 2, 3, 0, False, 4, "")
    with pytest.raises(UnicodeEncodeError):
        STATUSES.of_view(view)
