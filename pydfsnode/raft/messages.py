"""What masters say to each other, and which of it is a promise.

A `Promise` asserts something about the sender's disk: it may leave only when the state it speaks
of is durable. A `Free` message asserts nothing. `Effects` accepts each in its own place only, so
that an acknowledgement cannot overtake its fsync (INV-DUR; traps A2, A3, C1).

Fields are only ever added, at the end and with a default: an older version ignores what it does
not know, and a newer one takes the default for what it is not told.
"""

from __future__ import annotations

import msgspec

from pydfsnode.errors import MalformedMessage


class _Message(msgspec.Struct, frozen=True, array_like=True):
    term: int
    sender: str


class Free(_Message, frozen=True):
    """Promises nothing; may leave at once."""


class Promise(_Message, frozen=True):
    """May leave only when everything persisted before it is durable."""


class VoteRequest(Promise, frozen=True, tag=1):
    """Of a candidate that has made its own vote durable (Raft §5.2).

    `transfer`: the leader itself asked for this election; a live leader is no reason to refuse.
    """

    last_index: int
    last_term: int
    transfer: bool = False


class VoteGrant(Promise, frozen=True, tag=2):
    pass


class VoteRefusal(Free, frozen=True, tag=3):
    pass


class PreVoteRequest(Free, frozen=True, tag=4):
    """`term` is the term that the sender would campaign in (thesis §9.6)."""

    last_index: int
    last_term: int


class PreVoteResponse(Free, frozen=True, tag=5):
    """`asked_term` echoes the request; a refusal's `term` is the refuser's (traps A4, A5)."""

    asked_term: int
    granted: bool


class Append(Free, frozen=True, tag=6):
    """AppendEntries. `entries` are `count` encoded entries from prev_index + 1 on, as on disk.

    `stream` numbers the sender's view of this peer; it is echoed, so that an answer to an older
    view cannot move the newer one (trap B8). `read_round` confirms reads (trap D2).
    `commit_index` is the leader's own: the receiver caps it at what this message verified.
    `sent_ms` is the leader's clock, echoed, for its lease (trap D4). `echo_ms` is the receiver's
    own clock in the last answer that the leader had from it (-1: none), and `confirmed_ms_ago` how
    long before sending a majority had last confirmed the leader (-1: not yet): with both the
    receiver knows how old its state is at most.
    """

    stream: int
    prev_index: int
    prev_term: int
    commit_index: int
    read_round: int
    count: int
    entries: bytes
    sent_ms: int = -1
    echo_ms: int = -1
    confirmed_ms_ago: int = -1


class AppendAck(Promise, frozen=True, tag=7):
    """Everything up to `match_index` equals the leader's log and is durable here."""

    stream: int
    match_index: int
    read_round: int
    sent_ms: int = -1
    clock_ms: int = -1


class AppendReject(Free, frozen=True, tag=8):
    """The log here does not hold (prev_index, prev_term).

    `hint_index`, `hint_term`: the largest entry here that may match (trap B9).
    """

    stream: int
    prev_index: int
    hint_index: int
    hint_term: int
    read_round: int
    sent_ms: int = -1
    clock_ms: int = -1


class HeartbeatAck(Free, frozen=True, tag=9):
    """Answer to an empty append that found a match.

    Leadership is confirmed, nothing is promised.
    """

    stream: int
    read_round: int
    sent_ms: int = -1
    clock_ms: int = -1


class TimeoutNow(Free, frozen=True, tag=10):
    """The leader asks a voter that holds its whole log to be elected at once (thesis §3.10).

    `echo_ms`: the receiver's own clock in its last answer; it shows how old the order may be.
    """

    last_index: int
    last_term: int
    echo_ms: int


class ReadIndexRequest(Free, frozen=True, tag=11):
    """A follower asks for the index that its read must wait for (thesis §6.4).

    `nonce` is of the follower's process, so that an answer cannot reach a later one.
    """

    read_id: int
    nonce: int


class ReadIndexAnswer(Free, frozen=True, tag=12):
    """`index` is confirmed as committed after the request; -1: the sender cannot tell."""

    read_id: int
    nonce: int
    index: int


class SnapshotHeader(Free, frozen=True, tag=13):
    """What begins the stream of a snapshot: the state after `index`, and who the members were."""

    stream: int
    index: int
    index_term: int
    configuration: bytes


class StateDigest(Free, frozen=True, tag=14):
    """What the sender's state machine looked like after `index` (INV-SAME). Not for the core."""

    index: int
    digest: bytes


Message = (
    VoteRequest | VoteGrant | VoteRefusal | PreVoteRequest | PreVoteResponse
    | Append | AppendAck | AppendReject | HeartbeatAck | TimeoutNow
    | ReadIndexRequest | ReadIndexAnswer | SnapshotHeader | StateDigest
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode_message(message: Message) -> bytes:
    """One message as bytes (msgpack array, first element the tag)."""
    return _encoder.encode(message)


def decode_message(data: bytes | bytearray | memoryview) -> Message:
    """The message in *data*.

    Raises:
        MalformedMessage: it is not one.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"{len(data)} bytes are no message of a master: {error}") from None
