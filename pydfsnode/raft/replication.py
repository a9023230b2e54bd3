"""Replication: the leader's appends and the follower's answers (Raft §5.3; thesis §10.2).

Appends leave in `flush`, once per turn of the driver: whatever was proposed meanwhile goes in one
batch.
"""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import encode_entry, scan_entries
from pydfsnode.errors import MalformedMessage, invariant
from pydfsnode.raft import quorum, reads
from pydfsnode.raft.messages import Append, AppendAck, AppendReject, HeartbeatAck
from pydfsnode.raft.progress import Progress
from pydfsnode.raft.state import LEADER, State

KIND_NOOP, KIND_OPERATION, KIND_CONFIGURATION = 0, 1, 2


# ---------------------------------------------------------------- leader


def become_leader(state: State) -> None:
    """Lead the current term: every follower is probed, and a no-op opens the term (trap B1)."""
    state.role = LEADER
    state.leader = state.node_id
    state.effects.role_changed = True
    state.stream += 1
    state.read_round = state.round_confirmed = 0
    state.round_wanted = False
    state.progress = {
        peer: Progress(
            state.log.last_index + 1,
            state.stream,
            active_at_ms=state.now_ms,
            advanced_at_ms=state.now_ms,
        )
        for peer in state.others
    }
    state.heartbeat_due_ms = state.now_ms
    state.quorum_check_due_ms = state.now_ms + state.timing.election_timeout_ms
    state.noop_index = propose(state, [b""], KIND_NOOP)


def propose(state: State, payloads: list[bytes], kind: int) -> int:
    """Append *payloads* as entries of this term; return the first one's index."""
    first = state.log.last_index + 1
    term = state.term
    size = 0
    for offset, payload in enumerate(payloads):
        entry = encode_entry(first + offset, term, kind, payload)
        state.append(entry, term)
        size += len(entry)
    state.uncommitted.append((state.log.last_index, size))
    state.uncommitted_bytes += size
    return first


def tick(state: State) -> None:
    """Send heartbeats when due, and probe again where nothing moves (traps G1, G3)."""
    if state.now_ms < state.heartbeat_due_ms:
        return
    state.heartbeat_due_ms = state.now_ms + state.timing.heartbeat_ms
    stall_ms = state.timing.election_timeout_ms // 2
    for peer, progress in state.progress.items():
        progress.probe_sent = False
        if progress.inflight and state.now_ms - progress.advanced_at_ms > stall_ms:
            progress.probe_from(progress.match_index + 1)
            progress.advanced_at_ms = state.now_ms
        _send_heartbeat(state, peer, progress)


def flush(state: State) -> None:
    """Send what followers lack and, when reads wait, the next round of confirmation.

    A round asks only as many followers as make a majority; the next heartbeat asks all, so one
    that does not answer costs its reads at most a heartbeat's interval, once.
    """
    for peer, progress in state.progress.items():
        while progress.next_index <= state.log.last_index and progress.can_send():
            _send_append(state, peer, progress)
    if reads.start_round(state):
        for peer in _quickest(state, quorum.majority(len(state.voters)) - 1):
            _send_heartbeat(state, peer, state.progress[peer])


def _quickest(state: State, count: int) -> list[str]:
    """*count* followers that confirmed the latest rounds, or were heard most lately."""
    progress = state.progress
    ranked = sorted(
        progress, key=lambda peer: (-progress[peer].read_round, -progress[peer].active_at_ms)
    )
    return ranked[:count]


def _send_append(state: State, peer: str, progress: Progress) -> None:
    first = progress.next_index
    last = min(state.log.last_index, first + limits.APPEND_ENTRIES_MAX - 1)
    entries = state.log.entries(first, last, limits.APPEND_BYTES_MAX)
    invariant(entries, "the log cannot give entries it should hold", first=first)
    body = b"".join(entries)
    prev_index = first - 1
    state.send(
        peer,
        Append(
            state.term, state.node_id, progress.stream, prev_index,
            state.log.term_at(prev_index), state.commit_index, state.read_round,
            len(entries), body,
        ),
    )  # fmt: skip
    if not progress.inflight:
        progress.advanced_at_ms = state.now_ms
    progress.sent(first + len(entries) - 1, len(body))
    state.appends_sent += 1
    state.entries_sent += len(entries)


def _send_heartbeat(state: State, peer: str, progress: Progress) -> None:
    """An append of nothing at the known match.

    It may pass bulk, and cannot commit beyond it (B3).
    """
    prev_index = progress.match_index
    state.send(
        peer,
        Append(
            state.term, state.node_id, progress.stream, prev_index,
            state.log.term_at(prev_index), min(state.commit_index, prev_index),
            state.read_round, 0, b"",
        ),
    )  # fmt: skip


def _progress_of(state: State, message: AppendAck | AppendReject | HeartbeatAck) -> Progress | None:
    """The sender's progress when the answer is of this leadership; higher terms end it."""
    if message.term > state.term:
        state.become_follower(message.term, "")
        return None
    if state.role != LEADER or message.term < state.term:
        return None
    progress = state.progress.get(message.sender)
    if progress is None or progress.stream != message.stream:
        return None
    progress.active_at_ms = state.now_ms
    if message.read_round > progress.read_round:
        progress.read_round = message.read_round
        reads.confirm(state)
    return progress


def on_append_ack(state: State, message: AppendAck) -> None:
    """Move the follower's match and, with a majority, the commit index."""
    progress = _progress_of(state, message)
    if progress is None or message.match_index > state.log.last_index:
        return
    if progress.acked(message.match_index, state.now_ms):
        maybe_commit(state)


def on_append_reject(state: State, message: AppendReject) -> None:
    """Search the matching point further back, a term at a time."""
    progress = _progress_of(state, message)
    if progress is None:
        return
    retry_index, _ = state.log.find_conflict_by_term(message.hint_index, message.hint_term)
    progress.rejected(message.prev_index, retry_index)


def on_heartbeat_ack(state: State, message: HeartbeatAck) -> None:
    """Leadership is confirmed; a probe whose answer was lost may go again."""
    progress = _progress_of(state, message)
    if progress is not None:
        progress.probe_sent = False


def maybe_commit(state: State) -> None:
    """Commit what a majority holds durably, once it reaches an entry of this term (trap B1)."""
    matches = [p.match_index for p in state.progress.values()]
    index = quorum.committed([*matches, state.durable_index])
    if index > state.commit_index and state.log.term_at(index) == state.term:
        state.advance_commit(index)
        reads.release(state)


# ---------------------------------------------------------------- follower


def on_append(state: State, message: Append) -> None:
    """Follow the leader of this or a newer term: check, append, acknowledge once durable."""
    if message.term < state.term:
        state.send(message.sender, _reject(state, message, 0, 0))
        return
    invariant(
        not (state.role == LEADER and message.term == state.term),
        "two leaders in one term",
        term=message.term,
        other=message.sender,
    )
    state.become_follower(message.term, message.sender)
    state.leader_heard_ms = state.now_ms
    state.reset_election_deadline()
    prev_index = message.prev_index
    if prev_index > state.log.last_index or not _matches(state, prev_index, message.prev_term):
        hint = state.log.find_conflict_by_term(prev_index, message.prev_term)
        state.send(message.sender, _reject(state, message, *hint))
        return
    if message.count == 0:
        state.advance_commit(min(message.commit_index, prev_index))
        answer = HeartbeatAck(state.term, state.node_id, message.stream, message.read_round)
        state.send(message.sender, answer)
        return
    verified = _append_entries(state, message)
    # Only what this message verified may commit, never what happens to lie behind it (trap B2).
    state.advance_commit(min(message.commit_index, verified))
    # As a promise: also an append that brought nothing new waits for the fsync of its first copy
    # (C1).
    ack = AppendAck(state.term, state.node_id, message.stream, verified, message.read_round)
    state.promise(message.sender, ack)


def _reject(state: State, message: Append, hint_index: int, hint_term: int) -> AppendReject:
    return AppendReject(
        state.term, state.node_id, message.stream, message.prev_index,
        hint_index, hint_term, message.read_round,
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
    for expected, (index, term, _, _) in enumerate(entries, message.prev_index + 1):
        if index != expected or term > message.term:
            raise MalformedMessage(
                f"an append of {message.sender} holds entry {index} where {expected} belongs"
            )
    if len(entries) != message.count:
        raise MalformedMessage(f"an append of {message.sender} does not hold what it counts")
    for index, term, _, entry in entries:
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
    return message.prev_index + message.count
