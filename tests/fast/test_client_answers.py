"""Answers are read as by protobuf, or left to it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode._fast import ClientAnswers, split_batch
from pydfsnode.client.model import (
    DIRECTORY,
    FILE,
    ChunkLocation,
    FileLocations,
    FileStatus,
    Freshness,
    Listing,
)
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.reference import client_answers as reference

FAST = ClientAnswers(FileStatus, ChunkLocation, Freshness, FILE, DIRECTORY)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
STATUS = st.builds(
    pb.FileStatus, path=TEXT, type=st.sampled_from([0, 1, 2, 3]), size=U64, replication=U32,
    owner=TEXT, group=TEXT, mode=U32, mtime_ms=I64, inode_id=U64, chunk_bytes=U64,
    under_construction=st.booleans(), child_count=U32, checksum=TEXT, ctime_ms=I64, atime_ms=I64,
    has_acl=st.booleans(), inline=st.booleans(),
)  # fmt: skip
LABEL = st.none() | st.builds(
    pb.Freshness, linearizable=st.booleans(), staleness_ms=I64, served_by=TEXT, leader_hint=TEXT
)
CHUNK = st.builds(
    pb.ChunkLocation, chunk_id=U64, version=U64, offset=U64, length=U64, crc32c=U32,
    inline_content=st.binary(max_size=40),
)  # fmt: skip
STATS = st.builds(pb.StatResponse, status=STATUS, freshness=LABEL)
LISTS = st.builds(
    pb.ListResponse, entries=st.lists(STATUS, max_size=5), more=st.booleans(), freshness=LABEL
)
LOCATES = st.builds(
    pb.LocateResponse, status=STATUS, chunks=st.lists(CHUNK, max_size=3), freshness=LABEL
)
BATCHES = st.builds(
    pb.BatchResponse,
    answers=st.lists(
        st.builds(pb.BatchAnswer, response=st.binary(max_size=9), error=st.binary(max_size=9))
    ),
)
UNKNOWN_FIELDS = b"\x98\x06\x05\xa2\x06\x02hi\xad\x06abcd\xb1\x06abcdefgh"
"""Of numbers 99 to 102, of each kind."""


def page(encoded: bytes) -> Listing | None:
    found = FAST.page(encoded)
    return None if found is None else Listing(*found)


def located(encoded: bytes) -> FileLocations | None:
    found = FAST.located(encoded)
    return None if found is None else FileLocations(*found)


@given(STATS, LISTS, LOCATES, BATCHES)
def test_what_our_masters_send_is_read_as_by_protobuf(
    stat: Message, listing: Message, locate: Message, batch: Message
) -> None:
    for message, read, by_protobuf in (
        (stat, FAST.status, reference.status),
        (listing, page, reference.page),
        (locate, located, reference.located),
        (batch, split_batch, reference.split_batch),
    ):
        sent = message.SerializeToString()
        if message is stat and not stat.HasField("status"):
            continue
        assert read(sent) == by_protobuf(sent)
        assert read(UNKNOWN_FIELDS + sent) == by_protobuf(sent), "a later version has more fields"
        assert read(sent + UNKNOWN_FIELDS) == by_protobuf(sent)


def test_unknown_fields_inside_a_status_are_passed_over() -> None:
    status = pb.FileStatus(path="/f", size=5).SerializeToString() + UNKNOWN_FIELDS
    sent = b"\x0a" + bytes([len(status)]) + status
    found = FAST.status(sent)
    assert found == reference.status(sent)
    assert (found.path, found.size) == ("/f", 5)


CUTS = st.integers(0, 10**6)


@given(STATS, LISTS, LOCATES, BATCHES, CUTS, st.binary(max_size=6))
def test_broken_answers_are_left_to_protobuf_or_read_like_it(
    stat: Message, listing: Message, locate: Message, batch: Message, cut: int, more: bytes
) -> None:
    cases: list[tuple[Message, Any, Any]] = [
        (stat, FAST.status, reference.status),
        (listing, page, reference.page),
        (locate, located, reference.located),
        (batch, split_batch, reference.split_batch),
    ]
    for message, read, by_protobuf in cases:
        whole = message.SerializeToString()
        at = cut % (len(whole) + 1)
        for sent in (whole[:at], whole[:at] + more + whole[at + len(more) :]):
            found = read(sent)
            if found is not None:
                assert found == by_protobuf(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x0a\x02\x0a\x01",  # the path is cut
        b"\x0a\x03\x0a\x01\xff",  # and not UTF-8
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",  # a size of more than 64 bits
        b"\x00\x00",  # there is no field 0
    ],
    ids=["cut", "text", "size", "number"],
)
def test_malformed_answers_are_protobufs_to_refuse(sent: bytes) -> None:
    assert FAST.status(sent) is None
    with pytest.raises((DecodeError, UnicodeDecodeError)):
        reference.status(sent)


def test_merged_messages_and_replicas_are_left_to_protobuf() -> None:
    first = pb.StatResponse(status=pb.FileStatus(path="/f")).SerializeToString()
    second = pb.StatResponse(status=pb.FileStatus(size=5)).SerializeToString()
    assert FAST.status(first + second) is None
    assert reference.status(first + second).size == 5
    chunk = pb.ChunkLocation(chunk_id=4, replicas=[pb.Address(node_id="c1")])
    sent = pb.LocateResponse(status=pb.FileStatus(path="/f"), chunks=[chunk]).SerializeToString()
    assert FAST.located(sent) is None
    assert FAST.status(b"") is None, "an answer without a status"
