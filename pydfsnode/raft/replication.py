"""The leader's side of replication: appends, answers, commitment (Raft §5.3; thesis §10.2).

Appends leave in `flush`, once per turn of the driver: whatever was proposed meanwhile goes in one
batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode import limits
from pydfsnode._fast import encode_entry
from pydfsnode.errors import invariant
from pydfsnode.raft import lease, membership, quorum, reads, transfer
from pydfsnode.raft.effects import SnapshotWanted
from pydfsnode.raft.messages import Append, AppendAck, AppendReject, HeartbeatAck
from pydfsnode.raft.progress import REPLICATE, SNAPSHOT, Progress
from pydfsnode.raft.state import LEADER, State
from pydfsnode.raft.types import KIND_NOOP

PROBE_BYTES_MAX = 64 * limits.KIB
HEARTBEATS_PER_TIMEOUT_MIN = 4
MEMBERS_AT_FULL_RATE = 3


def become_leader(state: State) -> None:
    """Lead the current term: every follower is probed, and a no-op opens the term (trap B1)."""
    state.role = LEADER
    state.leader = state.node_id
    state.effects.role_changed = True
    state.read_round = state.round_confirmed = 0
    state.round_wanted = False
    state.transfer_to = ""
    state.fail_asked_reads()
    state.progress = {}
    membership.track(state, state.log.last_index + 1)
    state.heartbeat_due_ms = state.now_ms
    state.quorum_check_due_ms = state.now_ms + state.timing.election_timeout_ms
    state.noop_index = propose(state, [b""], KIND_NOOP)


def propose(
    state: State, payloads: Sequence[bytes], kind: int, kinds: Sequence[int] | None = None
) -> int:
    """Append *payloads* as entries of this term; return the first one's index.

    Args:
        kinds: of each payload, when they are not all of *kind*.
    """
    first = state.log.last_index + 1
    term = state.term
    size = 0
    for offset, payload in enumerate(payloads):
        of_kind = kind if kinds is None else kinds[offset]
        entry = encode_entry(first + offset, term, of_kind, payload)
        state.append(entry, term)
        size += len(entry)
    state.uncommitted.append((state.log.last_index, size))
    state.uncommitted_bytes += size
    return first


def heartbeat_ms(state: State) -> int:
    """The interval: longer in larger clusters, always several in an election timeout."""
    timing = state.timing
    members = max(MEMBERS_AT_FULL_RATE, len(state.progress) + 1)
    wanted = timing.heartbeat_ms * members // MEMBERS_AT_FULL_RATE
    return max(1, min(wanted, timing.election_timeout_ms // HEARTBEATS_PER_TIMEOUT_MIN))


def tick(state: State) -> None:
    """Send heartbeats when due, and probe again where nothing moves (traps G1, G3)."""
    if state.now_ms < state.heartbeat_due_ms:
        return
    interval_ms = heartbeat_ms(state)
    state.heartbeat_due_ms = state.now_ms + interval_ms
    stall_ms = state.timing.election_timeout_ms // 2
    membership.tick(state)
    transfer.tick(state)
    for peer, progress in state.progress.items():
        progress.probe_sent = False
        if progress.inflight and state.now_ms - progress.advanced_at_ms > stall_ms:
            progress.probe_from(progress.match_index + 1)
            progress.advanced_at_ms = state.now_ms
        flowing = progress.state == REPLICATE and progress.inflight
        if not flowing or state.now_ms - progress.sent_ms >= interval_ms:
            _send_heartbeat(state, peer, progress)


def flush(state: State) -> None:
    """Send what members lack and, when reads wait, the next round of confirmation.

    A round asks only as many followers as make a majority; the next heartbeat asks all, so one
    that does not answer costs its reads at most a heartbeat's interval, once.
    """
    membership.settle(state)
    if state.role != LEADER:
        return
    for peer, progress in state.progress.items():
        while progress.next_index <= state.log.last_index and progress.can_send():
            if not _send_append(state, peer, progress):
                break
    if reads.start_round(state):
        count = quorum.majority(len(state.configuration.voters)) - state.is_voter
        for peer in _quickest(state, count):
            _send_heartbeat(state, peer, state.progress[peer])


def _quickest(state: State, count: int) -> list[str]:
    """*count* followers that confirmed the latest rounds, or were heard most lately.

    All of them while the members change: a majority of each set must answer.
    """
    progress = state.progress
    if state.configuration.is_joint:
        return list(progress)
    voters = [peer for peer in state.configuration.voters if peer in progress]
    ranked = sorted(
        voters, key=lambda peer: (-progress[peer].read_round, -progress[peer].active_at_ms)
    )
    return ranked[:count]


def _send_append(state: State, peer: str, progress: Progress) -> bool:
    """Send the next entries; False when they were compacted and a snapshot must go first."""
    first = progress.next_index
    if first < state.log.first_index:
        _want_snapshot(state, peer, progress)
        return False
    last = min(state.log.last_index, first + limits.APPEND_ENTRIES_MAX - 1)
    # A probe goes again with each heartbeat while nobody answers: it must not be large.
    bytes_max = limits.APPEND_BYTES_MAX if progress.state == REPLICATE else PROBE_BYTES_MAX
    body, count = state.log.assemble(first, last, bytes_max)
    invariant(count, "the log cannot give entries it should hold", first=first)
    prev_index = first - 1
    state.send(
        peer,
        Append(
            state.term, state.node_id, progress.stream, prev_index,
            state.log.term_at(prev_index), state.commit_index, state.read_round,
            count, body, state.now_ms, progress.clock_ms, lease.confirmed_ms_ago(state),
        ),
    )  # fmt: skip
    if not progress.inflight:
        progress.advanced_at_ms = state.now_ms
    progress.sent_ms = state.now_ms
    progress.sent(first + count - 1, len(body))
    state.appends_sent += 1
    state.entries_sent += count
    return True


def _want_snapshot(state: State, peer: str, progress: Progress) -> None:
    if state.now_ms < progress.snapshot_retry_ms:
        return
    progress.snapshot_retry_ms = state.now_ms + state.timing.election_timeout_ms
    progress.await_snapshot()
    state.effects.snapshot_to.append(SnapshotWanted(peer, progress.stream))


def snapshot_finished(state: State, peer: str, stream: int) -> None:
    """The transfer to *peer* ended, well or not: search for its match again (trap F5)."""
    progress = state.progress.get(peer)
    if progress is not None and progress.stream == stream and progress.state == SNAPSHOT:
        # Where the log begins: the peer may have what it needs, and only its word was lost.
        first, match_index = state.log.first_index, progress.match_index
        begins = first if first <= state.log.last_index else 0
        progress.probe_from(max(match_index + 1, begins))


def _send_heartbeat(state: State, peer: str, progress: Progress) -> None:
    """An append of nothing at the known match.

    It may pass bulk, and the receiver commits no further than that match (B3).
    """
    prev_index = progress.match_index
    prev_term = state.log.term_at(prev_index)
    if prev_term < 0:
        prev_index = prev_term = 0  # compacted: the beginning of all logs matches too
    progress.sent_ms = state.now_ms
    state.send(
        peer,
        Append(
            state.term, state.node_id, progress.stream, prev_index, prev_term,
            state.commit_index, state.read_round, 0, b"",
            state.now_ms, progress.clock_ms, lease.confirmed_ms_ago(state),
        ),
    )  # fmt: skip


def broadcast_commit(state: State) -> None:
    """Tell everybody the commit index at once, also those that are leaving."""
    for peer, progress in state.progress.items():
        _send_heartbeat(state, peer, progress)


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
    progress.answered(message.sent_ms, message.clock_ms, state.now_ms)
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
        if message.sender == state.transfer_to:
            transfer.order_election(state)


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
    index = state.majority_reached(state.durable_index, lambda p: p.match_index)
    if index > state.commit_index and state.log.term_at(index) == state.term:
        state.advance_commit(index)
        reads.release(state)
