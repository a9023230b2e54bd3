"""Planted bugs: appends, snapshots, commitment, reads, leases, transfers."""

from __future__ import annotations

from tests.mutants.mutant import planted_in

REPLICATION = [
    *planted_in(
        "raft/following.py",
        (
            "commit what lies behind the verified", "B2",
            "state.advance_commit(min(message.commit_index, verified))",
            "state.advance_commit(min(message.commit_index, state.log.last_index))",
        ),
        (
            "a heartbeat's commit is not capped", "B3",
            "state.advance_commit(min(message.commit_index, prev_index))",
            "state.advance_commit(min(message.commit_index, state.log.last_index))",
        ),
        (
            "acknowledge all that the log holds", "B2",
            "    return message.prev_index + message.count\n",
            "    return state.log.last_index\n",
        ),
        (
            "every append cuts the log", "B4",
            "if state.log.term_at(index) == term:",
            "if index <= state.commit_index:",
        ),
        (
            "a conflict is kept", "§5.3",
            "            state.truncate_from(index)\n",
            "            continue\n",
        ),
        (
            "the entry before is not compared", "§5.3",
            "if prev_index > state.log.last_index or not "
            "_matches(state, prev_index, message.prev_term):",
            "if prev_index > state.log.last_index:",
        ),
        (
            "an append of an older term is taken", "§5.1",
            "    if message.term < state.term:\n        state.send(message.sender, "
            "_reject(state, message, 0, 0))",
            "    if False:\n        state.send(message.sender, _reject(state, message, 0, 0))",
        ),
        (
            "a configuration in an append is not in force", "E5",
            "            state.append_configuration(index, "
            "_decode_configuration(entry, message.sender))",
            "            pass",
        ),
        (
            "a snapshot below the commit index is taken", "F2",
            "return message.index > state.commit_index",
            "return True",
        ),
        (
            "a snapshot drops acknowledged entries behind it", "F4",
            "keep_log = state.log.term_at(index) == index_term",
            "keep_log = False",
        ),
        (
            "a snapshot keeps another history's entries", "F4",
            "keep_log = state.log.term_at(index) == index_term",
            "keep_log = state.log.last_index >= index",
        ),
        (
            "a snapshot keeps the old configuration", "F3",
            "        state.members.reset(index, configuration)\n",
            "",
        ),
        (
            "a snapshot leaves the durable index of the old log", "F4",
            "        state.forget_writes_above(index)\n",
            "",
        ),
    ),
    *planted_in(
        "raft/replication.py",
        (
            "a prior term's entry is committed by counting", "B1",
            "if index > state.commit_index and state.log.term_at(index) == state.term:",
            "if index > state.commit_index:",
        ),
        (
            "the leader counts what it has not on disk", "C3",
            "index = state.majority_reached(state.durable_index, lambda p: p.match_index)",
            "index = state.majority_reached(state.log.last_index, lambda p: p.match_index)",
        ),
        (
            "an answer to another stream moves the match", "B8",
            "if progress is None or progress.stream != message.stream:",
            "if progress is None:",
        ),
        (
            "an answer of an older term moves the match", "B8",
            "if state.role != LEADER or message.term < state.term:",
            "if state.role != LEADER:",
        ),
        (
            "no entry opens the term", "B1 D1",
            'state.noop_index = propose(state, [b""], KIND_NOOP)',
            "state.noop_index = state.log.last_index",
        ),
        (
            "a lost append is not sent again", "G1",
            "if progress.inflight and state.now_ms - progress.advanced_at_ms > stall_ms:",
            "if False:",
        ),
        (
            "a lost probe is not sent again", "G3",
            "    for peer, progress in state.progress.items():\n"
            "        progress.probe_sent = False\n",
            "    for peer, progress in state.progress.items():\n",
        ),
        (
            "a failed snapshot is waited for", "F5",
            "if progress is not None and progress.stream == stream and progress.state == SNAPSHOT:",
            "if False:",
        ),
        (
            "a follower behind the log gets no snapshot", "F5",
            "        _want_snapshot(state, peer, progress)\n",
            "",
        ),
        (
            "a lease counts from the answer's receipt", "D4",
            "progress.answered(message.sent_ms, message.clock_ms, state.now_ms)",
            "progress.answered(state.now_ms, message.clock_ms, state.now_ms)",
        ),
    ),
    *planted_in(
        "raft/progress.py",
        (
            "a new search keeps the old window", "G2",
            "        self.inflight.clear()\n",
            "",
        ),
    ),
]  # fmt: skip

READS = [
    *planted_in(
        "raft/lease.py",
        (
            "the lease is kept on a transfer", "D5",
            "if state.role != LEADER or state.transfer_to or "
            "state.now_ms < state.lease_void_until_ms:",
            "if state.role != LEADER:",
        ),
        (
            "the lease trusts equal clocks", "D3",
            "length_ms = state.timing.election_timeout_ms * (1 - state.timing.clock_drift) "
            "- GUARD_MS",
            "length_ms = state.timing.election_timeout_ms",
        ),
        (
            "a lease twice as long", "D4",
            "return 0 <= confirmed_ms_ago(state) < length_ms",
            "return 0 <= confirmed_ms_ago(state) < 2 * length_ms",
        ),
        (
            "a lease before the term's first commit", "D1",
            "return 0 <= confirmed_ms_ago(state) < length_ms",
            "return confirmed_ms_ago(state) < length_ms",
        ),
        (
            "freshness before the term's first commit", "D1",
            "    if state.commit_index < state.noop_index:\n        return -1\n",
            "",
        ),
    ),
    *planted_in(
        "raft/transfer.py",
        (
            "an order to campaign is never too old", "H1",
            "        or not 0 <= age_ms <= state.timing.election_timeout_ms\n",
            "",
        ),
        (
            "a transfer is never given up", "H2",
            "if state.now_ms >= state.transfer_deadline_ms or "
            "state.transfer_to not in state.progress:",
            "if state.transfer_to not in state.progress:",
        ),
        (
            "an order to a target that lacks entries", "H1",
            "if progress is None or progress.match_index != state.log.last_index:",
            "if progress is None:",
        ),
    ),
    *planted_in(
        "raft/reads.py",
        (
            "a read joins the round under way", "D2",
            "state.reads.append(PendingRead(read_id, index, state.read_round + 1, origin, nonce))",
            "state.reads.append(PendingRead(read_id, index, state.read_round, origin, nonce))",
        ),
        (
            "one answer confirms a round", "D2",
            "confirmed = state.majority_reached(state.read_round, lambda p: p.read_round)",
            "confirmed = max([state.read_round, *(p.read_round for p in state.progress.values())])",
        ),
        (
            "a read before the term's first commit", "D1",
            "index = max(state.commit_index, state.noop_index)",
            "index = state.commit_index",
        ),
        (
            "a follower's read is answered without a round", "D2",
            "    register(state, message.read_id, message.sender, message.nonce)\n",
            "    answer = ReadIndexAnswer(\n"
            "        state.term, state.node_id, message.read_id, message.nonce, "
            "state.commit_index\n    )\n    state.send(message.sender, answer)\n",
        ),
        (
            "an answer to an older process is taken", "D8",
            "if message.nonce != state.nonce or state.asked_leader.pop(message.read_id, None) "
            "is None:",
            "if state.asked_leader.pop(message.read_id, None) is None:",
        ),
    ),
    *planted_in(
        "raft/freshness.py",
        (
            "staleness counts from receipt", "D9",
            "as_of_ms = echo_ms - ago_ms",
            "as_of_ms = state.now_ms - ago_ms",
        ),
        (
            "staleness trusts an unconfirmed leader", "D9",
            "as_of_ms = echo_ms - ago_ms",
            "as_of_ms = echo_ms",
        ),
        (
            "staleness counts what is not applied", "D9",
            "if message.commit_index <= state.applied_index:",
            "if True:",
        ),
    ),
]  # fmt: skip
