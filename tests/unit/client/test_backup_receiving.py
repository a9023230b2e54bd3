"""Whom a client asks for a backup, and that a backup which did not come whole is none."""

from __future__ import annotations

import hashlib
from typing import Any, cast

import pytest

from pydfsnode.client.backup import choose_master, receive_backup
from pydfsnode.client.members import Member
from pydfsnode.errors import CorruptionError, InvalidArgument, PydfsError, Unavailable
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.storage.backup_format import BackupHead, encode_head

HEAD = BackupHead(1, "c1", "m2", 1200, 7, 3, "k", "", "00")


def member(name: str, role: str = "follower", match: int = 10, active: bool = True) -> Member:
    return Member(name, role, "voter", f"{name}:1", active, match, 0, 1, "")


MEMBERS = [
    member("m1", "leader", 90),
    member("m2"),
    member("m3", match=20),
    member("m4", "learner"),
]


def test_a_follower_is_asked_the_one_that_lags_least() -> None:
    assert choose_master(MEMBERS).id == "m3"


def test_a_follower_that_is_not_there_is_not_asked() -> None:
    silent = [member("m1", "leader"), member("m2", active=False), member("m3", active=False)]
    assert choose_master(silent).id == "m1"


def test_the_leader_is_asked_before_a_learner() -> None:
    assert choose_master([MEMBERS[0], MEMBERS[3]]).id == "m1"


def test_a_name_counts_and_must_be_a_masters() -> None:
    assert choose_master(MEMBERS, "m1").id == "m1"
    with pytest.raises(InvalidArgument, match="there are m1, m2, m3, m4"):
        choose_master(MEMBERS, "m9")


class Stream:
    """Gives *pieces*, then *error* or the end."""

    def __init__(self, pieces: list[bytes], error: PydfsError | None) -> None:
        self._pieces = list(pieces)
        self._error = error

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def receive(self) -> memoryview | None:
        if self._pieces:
            return memoryview(self._pieces.pop(0))
        if self._error is not None:
            raise self._error
        return None


class Channel:
    peer = "m2"

    def __init__(self, pieces: list[bytes], error: PydfsError | None = None) -> None:
        self._stream = Stream(pieces, error)

    def stream(self, path: str, first_message: Any) -> Stream:
        return self._stream


async def received(pieces: list[bytes], error: PydfsError | None = None) -> tuple[bytes, int]:
    kept = bytearray()
    channel = cast(FramedChannel, Channel(pieces, error))
    head, size = await receive_backup(channel, kept.extend)
    assert head == HEAD
    return bytes(kept), size


def sent() -> list[bytes]:
    head = encode_head(HEAD)
    rest = b"records" * 100 + b"pydfsBKE"
    rest += hashlib.sha256(head + rest).digest()
    return [head, *(rest[start : start + 30] for start in range(0, len(rest), 30))]


async def test_all_pieces_are_kept_in_order() -> None:
    assert await received(sent()) == (b"".join(sent()), len(b"".join(sent())))


@pytest.mark.parametrize("count", range(len(sent())))
async def test_a_stream_that_ends_early_is_an_error(count: int) -> None:
    with pytest.raises(Unavailable, match="before its end"):
        await received(sent()[:count])


async def test_what_was_changed_on_the_way_is_an_error() -> None:
    pieces = sent()
    pieces[3] = bytes(len(pieces[3]))
    with pytest.raises(CorruptionError, match="not the one that was sent"):
        await received(pieces)


async def test_the_masters_error_is_the_callers() -> None:
    with pytest.raises(Unavailable, match="went away"):
        await received(sent()[:3], Unavailable("m2 went away"))
