"""The follower's side of replication: check, append, acknowledge once durable (Raft §5.3).

Followed is whoever leads a current term, also by a node that does not know it as a member: a new
server learns the configuration from the log (trap A10).
"""

from __future__ import annotations

from pydfsnode._fast import entry_payload, scan_entries
from pydfsnode.errors import CorruptionError, MalformedMessage, invariant
from pydfsnode.raft import freshness
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import Install
from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    AppendReject,
    Free,
    HeartbeatAck,
    SnapshotHeader,
)
from pydfsnode.raft.state import LEADER, State
from pydfsnode.raft.types import KIND_CONFIGURATION


def follow(state: State, message: Free) -> None:
    """Take the sender as the leader of its term, which is not below ours."""
    invariant(
        not (state.role == LEADER and message.term == state.term),
        "two leaders in one term",
        term=message.term,
        other=message.sender,
    )
    state.become_follower(message.term, message.sender)
    state.leader_heard_ms = state.now_ms
    state.reset_election_deadline()


def on_append(state: State, message: Append) -> None:
    """Follow the leader of this or a newer term: check, append, acknowledge once durable."""
    if message.term < state.term:
        state.send(message.sender, _reject(state, message, 0, 0))
        return
    follow(state, message)
    prev_index = message.prev_index
    if prev_index > state.log.last_index or not _matches(state, prev_index, message.prev_term):
        hint = state.log.find_conflict_by_term(prev_index, message.prev_term)
        state.send(message.sender, _reject(state, message, *hint))
        return
    clock_ms = freshness.clock_of(state)
    if message.count == 0:
        state.advance_commit(min(message.commit_index, prev_index))
        freshness.note(state, message)
        answer = HeartbeatAck(
            state.term, state.node_id, message.stream, message.read_round,
            message.sent_ms, clock_ms,
        )  # fmt: skip
        state.send(message.sender, answer)
        return
    verified = _append_entries(state, message)
    # Only what this message verified may commit, never what happens to lie behind it (trap B2).
    state.advance_commit(min(message.commit_index, verified))
    freshness.note(state, message)
    # As a promise: also an append that brought nothing new waits for the fsync of its first copy
    # (C1).
    ack = AppendAck(
        state.term, state.node_id, message.stream, verified, message.read_round,
        message.sent_ms, clock_ms,
    )  # fmt: skip
    state.promise(message.sender, ack)


def _reject(state: State, message: Append, hint_index: int, hint_term: int) -> AppendReject:
    return AppendReject(
        state.term, state.node_id, message.stream, message.prev_index,
        hint_index, hint_term, message.read_round, message.sent_ms, freshness.clock_of(state),
    )  # fmt: skip


def _matches(state: State, index: int, term: int) -> bool:
    if index <= state.commit_index and index < state.log.first_index:
        return True  # committed and compacted here: equal by leader completeness
    return state.log.term_at(index) == term


def _append_entries(state: State, message: Append) -> int:
    """Append what is new, truncating only at a real conflict (trap B4).

    Return the last index verified.
    """
    try:
        entries = scan_entries(message.entries)
    except ValueError as error:
        raise MalformedMessage(f"an append of {message.sender} is damaged: {error}") from None
    for expected, (index, term, kind, entry) in enumerate(entries, message.prev_index + 1):
        if index != expected or term > message.term:
            raise MalformedMessage(
                f"an append of {message.sender} holds entry {index} where {expected} belongs"
            )
        if kind == KIND_CONFIGURATION:
            _decode_configuration(entry, message.sender)
    if len(entries) != message.count:
        raise MalformedMessage(f"an append of {message.sender} does not hold what it counts")
    for index, term, kind, entry in entries:
        if index < state.log.first_index:
            continue
        if index <= state.log.last_index:
            if state.log.term_at(index) == term:
                continue
            invariant(
                index > state.commit_index,
                "a leader contradicts a committed entry; stop and compare the masters' logs",
                index=index,
                leader=message.sender,
            )
            state.truncate_from(index)
        state.append(entry, term)
        if kind == KIND_CONFIGURATION:
            state.append_configuration(index, _decode_configuration(entry, message.sender))
    return message.prev_index + message.count


def _decode_configuration(entry: bytes, sender: str) -> Configuration:
    try:
        return Configuration.decode(entry_payload(entry))
    except CorruptionError as error:
        raise MalformedMessage(f"an append of {sender} is damaged: {error}") from None


def on_snapshot_header(state: State, message: SnapshotHeader) -> bool:
    """Whether the offered snapshot is of the current leader and holds more than is committed."""
    if message.term < state.term:
        return False
    follow(state, message)
    return message.index > state.commit_index


def install(state: State, message: SnapshotHeader) -> bool:
    """Replace the log by the snapshot that was staged; False when it is old by now (trap F2).

    The acknowledgement leaves when the installation is durable. Call it in a turn that has no
    group to persist yet: an installation is a group of its own.
    """
    if not on_snapshot_header(state, message):
        return False
    index, index_term = message.index, message.index_term
    configuration = Configuration.decode(message.configuration)
    keep_log = state.log.term_at(index) == index_term
    if keep_log:
        state.log.compact(index)
        state.members.compact(index)
    else:
        state.log.reset(index, index_term)
        state.members.reset(index, configuration)
        state.forget_writes_above(index)
    state.effects.configuration_changed = True
    state.commit_index = max(state.commit_index, index)
    persist = state.pending_persist()
    invariant(not persist.entries, "a snapshot is installed beside other entries", index=index)
    persist.install = Install(index, index_term, message.configuration, keep_log)
    ack = AppendAck(state.term, state.node_id, message.stream, index, 0)
    state.promise(message.sender, ack)
    return True
