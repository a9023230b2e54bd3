"""Planted bugs: promises, votes, majorities, members."""

from __future__ import annotations

from tests.mutants.mutant import planted_in

PROMISES = [
    *planted_in(
        "raft/state.py",
        (
            "acknowledge before fsync", "A2 C1",
            "io_id = pending.io_id if pending is not None else self.io_issued",
            "io_id = 0",
        ),
        (
            "acknowledge after the write before", "A2 C1",
            "io_id = pending.io_id if pending is not None else self.io_issued",
            "io_id = self.io_issued",
        ),
        (
            "a replaced write still counts when it ends", "C2",
            "self.io_last_index = deque((io, min(last, index)) for io, last in self.io_last_index)",
            "pass",
        ),
        (
            "what was cut off still counts as durable", "C2",
            "self.durable_index = min(self.durable_index, index)",
            "pass",
        ),
        (
            "the term is not persisted", "A1",
            'self.vote = ""\n            self.persist_hard_state()',
            'self.vote = ""',
        ),
        (
            "reads outlive leadership", "D7",
            "        self.reads.clear()\n",
            "",
        ),
        (
            "no roll-back of the configuration", "E1",
            "if self.members.truncate_from(index):",
            "if False:",
        ),
    ),
    *planted_in(
        "raft/configurations.py",
        (
            "roll-back of one configuration only", "E1",
            "while len(self._stack) > 1 and",
            "if len(self._stack) > 1 and",
        ),
        (
            "compaction keeps the newest configuration as base", "E1 F3",
            "base = self.at(through)",
            "base = self.current",
        ),
    ),
    *planted_in(
        "raft/core.py",
        (
            "the vote is forgotten at restart", "A1",
            "hard_state.term, hard_state.vote,",
            'hard_state.term, "",',
        ),
        (
            "no silence after a restart", "D6b",
            "state.leader_heard_ms = state.tick_ms = now_ms",
            "state.leader_heard_ms, state.tick_ms = -(10**9), now_ms",
        ),
        (
            "configurations of the log are not read at start", "E5",
            "later = [(index, Configuration.decode(c)) for index, c in start.configurations]",
            "later: list[Any] = []",
        ),
        (
            "any write ends the wait for all writes", "C2",
            "last_index = state.io_last_index.popleft()[1]",
            "last_index = state.log.last_index\n            state.io_last_index.popleft()",
        ),
    ),
]  # fmt: skip

ELECTIONS = [
    *planted_in(
        "raft/election.py",
        (
            "a leader that is leaving may not campaign any more", "E8",
            "state.now_ms >= state.election_deadline_ms and state.may_lead:",
            "state.now_ms >= state.election_deadline_ms and state.is_voter:",
        ),
        (
            "the own vote counts before it is durable", "A3",
            "state.grants = {}",
            "state.grants = {state.node_id: True}",
        ),
        (
            "a vote is not persisted", "A1",
            "state.vote = message.sender\n        state.persist_hard_state()",
            "state.vote = message.sender",
        ),
        (
            "a second vote in a term", "§5.2",
            'free = state.vote in ("", message.sender)',
            "free = True",
        ),
        (
            "a vote for an incomplete log", "§5.4.1",
            "if not free or not state.log.is_up_to_date(message.last_index, message.last_term):",
            "if not free:",
        ),
        (
            "anybody's grant counts", "A10",
            "return quorum.joint_majority(state.configuration, "
            "lambda voter: grants.get(voter, False))",
            "return sum(grants.values()) > len(state.configuration.voters) // 2",
        ),
        (
            "a live leader is voted out", "A7 D4",
            "if _has_live_leader(state) and not message.transfer:",
            "if False:",
        ),
        (
            "a pre-vote against a live leader", "A7",
            "        and not _has_live_leader(state)\n",
            "",
        ),
        (
            "no pre-vote", "A7",
            "    state.elections_started += 1\n    if _won(state):",
            "    state.elections_started += 1\n    if True:",
        ),
        (
            "a refused pre-vote teaches nothing", "A4",
            "if message.term > state.term and not message.granted:",
            "if False:",
        ),
        (
            "a late answer to an older pre-vote counts", "A6",
            "if state.role != PRE_CANDIDATE or message.asked_term != state.term + 1:",
            "if state.role != PRE_CANDIDATE:",
        ),
        (
            "a grant of another term counts", "A5",
            "if state.role != CANDIDATE or message.term != state.term:",
            "if state.role != CANDIDATE:",
        ),
        (
            "votes by a leader's order count however late", "H1",
            "if state.order_until_ms is not None and state.now_ms >= state.order_until_ms:",
            "if False:",
        ),
        (
            "a sleeper counts the pre-votes of before", "J2",
            "    if state.now_ms >= state.election_deadline_ms:\n        return",
            "    if False:\n        return",
        ),
        (
            "a process that wakes up campaigns", "J2",
            "    elif overslept:",
            "    elif False:",
        ),
        (
            "a leader without a majority stays", "A9",
            "if state.now_ms - heard_ms > timeout_ms:",
            "if False:",
        ),
        (
            "a leader whose disk stalls stays", "C12",
            "if state.role == LEADER and state.disk_stalled and state.other_voters:",
            "if False:",
        ),
    ),
    *planted_in(
        "raft/log.py",
        (
            "the longer log is the more complete one", "§5.4.1",
            "return (last_term, last_index) >= (self.last_term, self.last_index)",
            "return last_index >= self.last_index",
        ),
        (
            "compaction forgets the term before the log", "F1",
            "self._prev_term = self.term_at(through)",
            "self._prev_term = self.last_term",
        ),
    ),
    *planted_in(
        "raft/quorum.py",
        (
            "half is a majority", "§5.2",
            "return voter_count // 2 + 1",
            "return (voter_count + 1) // 2",
        ),
        (
            "a joint commit by the new set only", "E3",
            "    if configuration.outgoing:\n",
            "    if False:\n",
        ),
        (
            "a joint commit by the old set only", "E3",
            "index = committed(map(index_of, configuration.voters))",
            "index = committed(map(index_of, configuration.outgoing or configuration.voters))",
        ),
        (
            "a joint election by the new set only", "E3",
            "return not outgoing or has_majority(sum(map(agrees, outgoing)), len(outgoing))",
            "return True",
        ),
        (
            "a joint election by the old set only", "E3",
            "voters, outgoing = configuration.voters, configuration.outgoing",
            "voters, outgoing = configuration.outgoing or configuration.voters, ()",
        ),
    ),
]  # fmt: skip

MEMBERSHIP = [
    *planted_in(
        "raft/membership.py",
        (
            "the joint phase is left before it is committed", "E4",
            "if state.members.index > state.commit_index or state.noop_index > state.commit_index:",
            "if state.noop_index > state.commit_index:",
        ),
        (
            "nobody leaves the joint phase", "E4",
            "    if state.configuration.is_joint:\n        _append",
            "    if False:\n        _append",
        ),
        (
            "reads wait for voters that left", "D7",
            "    reads.confirm(state)  # by the voters of now",
            "    # by the voters of now",
        ),
        (
            "a change during a change", "E2",
            "    if not is_settled(state):\n",
            "    if False:\n",
        ),
        (
            "a removed leader stays", "E8",
            "    elif not state.is_voter:\n",
            "    elif False:\n",
        ),
        (
            "a new member is not replicated to", "E7",
            "if progress is None or progress.leaving_until_ms:",
            "if progress is None and state.commit_index < state.noop_index:",
        ),
        (
            "a returning member keeps its old progress", "B8",
            "if progress is None or progress.leaving_until_ms:",
            "if progress is None:",
        ),
    ),
    *planted_in(
        "raft/configuration.py",
        (
            "voters change without a joint phase", "E3",
            "outgoing = () if voters == self.voters else self.voters",
            "outgoing: tuple[str, ...] = ()",
        ),
        (
            "a wiped disk keeps its member id", "E6",
            'return f"{name}{_SEPARATOR}{incarnation:08x}" if incarnation else name',
            "return name",
        ),
    ),
]  # fmt: skip
