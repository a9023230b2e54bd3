"""The requests of clients are, byte for byte, what protobuf would send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode._fast import client_requests as fast
from pydfsnode.client.wire_batch import head
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.reference import client_requests as reference

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
CONTENT = st.none() | st.binary(max_size=4000)
OPTIONS = st.none() | st.builds(
    pb.ReadOptions,
    mode=st.sampled_from(list(pb.ReadOptions.Mode.values())),
    max_staleness_ms=U64,
    from_follower=st.booleans(),
)


def encoded(options: pb.ReadOptions | None) -> bytes:
    return pb.StatRequest(read=options).SerializeToString()


@given(U64, U64, U64)
def test_an_op_id(client_id: int, seq: int, first_unacked: int) -> None:
    arguments = client_id, seq, first_unacked
    assert fast.operation(*arguments) == reference.operation(*arguments)


@given(TEXT, U32)
def test_mkdirs(path: str, mode: int) -> None:
    assert fast.mkdirs(path, mode) == reference.mkdirs(path, mode)


@given(TEXT, U32, U64, U32, st.booleans(), st.booleans(), CONTENT)
def test_create(
    path: str, replication: int, chunk_bytes: int, mode: int, overwrite: bool, parents: bool,
    content: bytes | None,
) -> None:  # fmt: skip
    arguments = path, replication, chunk_bytes, mode, overwrite, parents, content
    assert fast.create(*arguments) == reference.create(*arguments)


@given(TEXT, TEXT, st.booleans())
def test_rename_and_delete(path: str, other: str, flag: bool) -> None:
    assert fast.rename(path, other, flag) == reference.rename(path, other, flag)
    assert fast.delete(path, flag) == reference.delete(path, flag)


@given(TEXT, TEXT, U32, OPTIONS)
def test_reads(path: str, after: str, limit: int, options: pb.ReadOptions | None) -> None:
    read = encoded(options)
    assert fast.look(path, read) == reference.look(path, options)
    assert fast.list_page(path, after, limit, read) == reference.list_page(
        path, after, limit, options
    )


@pytest.mark.parametrize("size", [1900, 1984, 2048, 4096, 70_000])
def test_messages_that_leave_the_stack(size: int) -> None:
    path = "/" + "ü" * (size // 2)
    content = bytes(size)
    assert fast.mkdirs(path, 7) == reference.mkdirs(path, 7)
    assert fast.rename(path, path, True) == reference.rename(path, path, True)
    arguments = "/f", 3, 4, 5, True, True, content
    assert fast.create(*arguments) == reference.create(*arguments)


@given(st.lists(st.tuples(st.sampled_from(["Stat", "Create", "Rename"]), st.binary(max_size=300))))
def test_a_batch_and_its_parts(calls: list[tuple[str, bytes]]) -> None:
    methods, requests = [m for m, _ in calls], [r for _, r in calls]
    heads = [head(f"/pydfs.v1.Namespace/{method}") for method in methods]
    for first, last in ((0, len(calls)), (len(calls) // 3, len(calls) // 2)):
        assert fast.batch(heads, requests, first, last) == reference.batch(
            methods[first:last], requests[first:last]
        )


@pytest.mark.parametrize(("first", "last"), [(-1, 1), (1, 0), (0, 2)])
def test_a_part_that_is_none_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="1 heads"):
        fast.batch([head("/x/Stat")], [b""], first, last)
    with pytest.raises(ValueError, match="2 requests"):
        fast.batch([head("/x/Stat")], [b"", b""], 0, 1)


def test_numbers_and_texts_that_no_field_holds_are_refused() -> None:
    for number in (-1, 2**32):
        with pytest.raises(OverflowError):
            fast.mkdirs("/d", number)
    with pytest.raises(OverflowError):
        fast.operation(1, 2**64, 1)
    with pytest.raises(UnicodeEncodeError):
        fast.delete("/\udcff", False)
