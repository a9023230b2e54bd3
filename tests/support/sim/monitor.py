"""What must always be true of a cluster, checked as it happens (DESIGN section 5, Raft's own five).

A log is known by its chain: the checksum over all encoded entries up to an index. Two logs with the
same chain are the same log. The monitor sees what is written, sent, committed and applied, and
raises `Violation` at the first thing that must not be.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pydfsnode.meta.codec import decode_op
from pydfsnode.meta.results import Rejected
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.raft.messages import AppendAck, Message, Promise, VoteGrant, VoteRequest
from pydfsnode.runtime.entry_compression import unpack

if TYPE_CHECKING:
    from tests.support.sim.node import Process

HASH_EVERY = 64
"""Applied indexes at which whole states are compared."""
SESSION_EXPIRED_CODES = frozenset({2013})

_INDEX_AND_TERM = struct.Struct("<QQ")


class Violation(AssertionError):
    """Something that must never be."""


class Shadow:
    """What one member's disk is known to hold: durable for certain.

    `chain[i]` is (term, chain) of entry i + 1.
    """

    def __init__(self) -> None:
        self.chain: list[tuple[int, int]] = []
        self.hard = HardState()


class Monitor:
    """See the module; one per cluster. `committed[i]` is (term, chain) of entry i + 1."""

    def __init__(self) -> None:
        self.shadows: dict[str, Shadow] = {}
        self.committed: list[tuple[int, int]] = []
        self.committed_in: list[int] = []
        self.leaders: dict[int, str] = {}
        self.applied_ops: dict[tuple[int, int], tuple[int, int]] = {}
        self.first_outcomes: dict[tuple[int, int], object] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._votes: dict[tuple[str, int], str] = {}
        self._outcomes: list[int] = []
        self._hashes: dict[int, bytes] = {}
        self.promises_checked = 0

    def require(self, condition: object, what: str) -> None:
        """Raise Violation(*what*) unless *condition* holds."""
        if not condition:
            raise Violation(what)

    def shadow(self, member: str) -> Shadow:
        """Of *member*, a new one when it was never seen."""
        found = self.shadows.get(member)
        if found is None:
            found = self.shadows[member] = Shadow()
        return found

    # ---- the disk

    def written(self, member: str, persist: Persist) -> None:
        """*persist* is durable at *member*: log matching, and nothing committed is truncated."""
        shadow = self.shadow(member)
        chain = shadow.chain
        if persist.hard_state is not None:
            self.require(
                persist.hard_state.term >= shadow.hard.term, f"{member}: the durable term went back"
            )
            if persist.hard_state.term == shadow.hard.term and shadow.hard.vote:
                self.require(
                    persist.hard_state.vote == shadow.hard.vote,
                    f"{member}: the durable vote changed within term {shadow.hard.term} (A1)",
                )
            shadow.hard = persist.hard_state
        if persist.install is not None:
            self._installed(member, shadow, persist.install)
            return
        cut = persist.truncate_from
        if cut is not None and cut <= len(chain):
            self.require(
                cut > len(self.committed) or chain[cut - 1] != self.committed[cut - 1],
                f"{member}: committed entry {cut} was truncated (B5)",
            )
            del chain[cut - 1 :]
        for entry in persist.entries:
            self._append(member, chain, entry)

    def _append(self, member: str, chain: list[tuple[int, int]], entry: bytes) -> None:
        index, term = _INDEX_AND_TERM.unpack_from(entry, 8)
        self.require(index == len(chain) + 1, f"{member}: entry {index} leaves a hole in the log")
        link = zlib.crc32(entry, chain[-1][1] if chain else 0)
        known = self._known.setdefault((index, term), link)
        self.require(
            known == link, f"log matching: entry {index} of term {term} has two pasts ({member})"
        )
        chain.append((term, link))

    def _installed(self, member: str, shadow: Shadow, install: Any) -> None:
        index = install.index
        self.require(
            index <= len(self.committed), f"{member}: installed uncommitted state at {index}"
        )
        self.require(
            install.index_term == self.committed[index - 1][0],
            f"{member}: the snapshot at {index} has the wrong term (F1)",
        )
        if install.keep_log:
            self.require(
                shadow.chain[index - 1 : index] == self.committed[index - 1 : index],
                f"{member}: kept a log that is not the snapshot's at {index} (F4)",
            )
        else:
            self.require(
                shadow.chain[index - 1 : index] != self.committed[index - 1 : index],
                f"{member}: dropped a log that agrees with the snapshot at {index} (F4)",
            )
            shadow.chain[:] = self.committed[:index]

    def reopened(
        self, member: str, first_index: int, entries: Sequence[bytes], hard: HardState
    ) -> None:
        """*member* opened its disk: all that was durable is there (INV-DUR)."""
        shadow = self.shadow(member)
        before = list(shadow.chain)
        self.require(
            (hard.term, bool(hard.vote)) >= (shadow.hard.term, bool(shadow.hard.vote))
            if hard.term == shadow.hard.term
            else hard.term > shadow.hard.term,
            f"{member}: opened with {hard}, though {shadow.hard} was durable",
        )
        shadow.hard = hard
        start = before[: first_index - 1]
        if len(start) < first_index - 1:  # died in the middle of an installation that was durable
            start = self.committed[: first_index - 1]
        shadow.chain = chain = list(start)
        for entry in entries:
            self._append(member, chain, entry)
        if chain[: len(before)] != before:
            # Only a write that was under way when it died may have replaced something.
            same = 0
            while same < min(len(chain), len(before)) and chain[same] == before[same]:
                same += 1
            self.require(
                same >= min(len(self.committed), len(before))
                or before[same] != self.committed[same],
                f"{member}: opened without entry {same + 1}, which was durable and is committed",
            )

    # ---- what leaves

    def leaving(self, member: str, to: str, message: Message) -> None:
        """A promise may only say what is durable (INV-DUR; traps A2, A3, C1)."""
        if not isinstance(message, Promise):
            return
        self.promises_checked += 1
        shadow = self.shadow(member)
        self.require(
            shadow.hard.term >= message.term,
            f"{member}: promised in term {message.term}, durable is {shadow.hard.term}",
        )
        if isinstance(message, AppendAck):
            self.require(
                message.match_index <= len(shadow.chain),
                f"{member}: acknowledged {message.match_index} with {len(shadow.chain)} durable",
            )
        elif isinstance(message, VoteGrant | VoteRequest):
            candidate = to if isinstance(message, VoteGrant) else member
            self.require(
                shadow.hard.term > message.term or shadow.hard.vote == candidate,
                f"{member}: votes for {candidate} in {message.term}, durable is {shadow.hard}",
            )
            first = self._votes.setdefault((member, message.term), candidate)
            self.require(first == candidate, f"{member}: voted twice in term {message.term}")

    # ---- the core

    def leads(self, process: Process, term: int) -> None:
        """*process* became leader: it is the only one, and holds all that was committed before."""
        member = process.member
        other = self.leaders.setdefault(term, member)
        self.require(other == member, f"election safety: {other} and {member} lead term {term}")
        position = len(self.committed)
        while position and self.committed_in[position - 1] >= term:
            position -= 1
        if position:
            held = process.core.term_at(position)
            self.require(
                process.core.last_index >= position
                and (held == -1 or held == self.committed[position - 1][0]),
                f"leader completeness: {member} leads term {term} without entry {position}",
            )

    def commits(self, process: Process, first: int, last: int) -> None:
        """*process* takes first..last for committed."""
        core, member = process.core, process.member
        known = min(last, len(self.committed))
        if known >= first:
            held = core.term_at(known)
            self.require(
                held in (-1, self.committed[known - 1][0]),
                f"{member}: committed entry {known} twice, of terms {held} and "
                f"{self.committed[known - 1][0]}",
            )
        if last <= len(self.committed):
            return
        term = core.term_at(last)
        link = self._known.get((last, term))
        self.require(link is not None, f"{member}: committed entry {last} that nobody wrote")
        wanted = (term, link)
        holder: Shadow | None = None
        for half in process.majorities():
            holders = [
                voter for voter in half if self.shadow(voter).chain[last - 1 : last] == [wanted]
            ]
            self.require(
                len(holders) > len(half) // 2,
                f"{member}: committed entry {last} with {holders} of {half} durable",
            )
            holder = self.shadow(holders[0])
        assert holder is not None
        chain = holder.chain
        self.require(
            chain[: len(self.committed)][-1:] == self.committed[-1:],
            f"{member}: what was committed before {last} is not in its log",
        )
        fresh = chain[len(self.committed) : last]
        self.committed.extend(fresh)
        self.committed_in.extend([core.term] * len(fresh))

    # ---- the state machine

    def applies(self, member: str, first: int, entries: Sequence[bytes]) -> None:
        """Only what is committed is applied, in order (state machine safety)."""
        last = first + len(entries) - 1
        self.require(
            last <= len(self.committed),
            f"{member}: applies up to {last}, committed is {len(self.committed)}",
        )
        link = self.committed[first - 2][1] if first > 1 else 0
        for index, entry in enumerate(entries, first):
            link = zlib.crc32(entry, link)
            self.require(
                link == self.committed[index - 1][1],
                f"state machine safety: {member} applies another entry {index}",
            )

    def applied(
        self, member: str, first: int, entries: Sequence[bytes], outcomes: Sequence[object]
    ) -> None:
        """The same index has the same outcome everywhere, and the same operation the first one."""
        for offset, outcome in enumerate(outcomes):
            index = first + offset
            digest = 0 if outcome is None else zlib.crc32(msgspec.msgpack.encode(outcome))
            if index <= len(self._outcomes):
                self.require(
                    self._outcomes[index - 1] == digest,
                    f"INV-SAME: {member} has another outcome at {index}",
                )
                continue
            self._outcomes.append(digest)
            payload = unpack(entries[offset])
            if payload is not None:
                self._first_time(index, payload, outcome, digest)

    def _first_time(self, index: int, payload: bytes, outcome: object, digest: int) -> None:
        self.require(outcome is not None, f"the operation at {index} had no outcome")
        op = decode_op(payload)
        self.first_outcomes.setdefault((op.client_id, op.seq), outcome)
        before = self.applied_ops.setdefault((op.client_id, op.seq), (index, digest))
        if before[0] != index and before[1] != digest:
            self.require(
                isinstance(outcome, Rejected) and outcome.code in SESSION_EXPIRED_CODES,
                f"INV-ONCE: operation {op.seq} of client {op.client_id} had an outcome at "
                f"{before[0]} and another at {index}: {outcome}",
            )

    def state(self, member: str, index: int, digest: bytes) -> None:
        """The state after *index* is the same everywhere (INV-SAME)."""
        first = self._hashes.setdefault(index, digest)
        self.require(first == digest, f"INV-SAME: {member} holds another state after {index}")
