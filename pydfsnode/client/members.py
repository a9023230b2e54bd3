"""The masters as a group: plain records of who is a member and what became of a change.

Field names are those of the JSON that `cluster members --json` and its sisters print.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """A master as the leader sees it; `lag` in log entries.

    `membership`: voter, learner, incoming or outgoing. `incarnation` is of its data directory, 0:
    begun before there were any. `replication`: probe, replicate or snapshot, "" of the leader.
    """

    id: str
    role: str
    membership: str
    listen: str
    recently_active: bool
    match_index: int
    lag: int
    incarnation: int
    replication: str


@dataclass(frozen=True, slots=True)
class Members:
    """All masters; `changing`: their voters are being changed right now."""

    members: list[Member]
    leader: str
    term: int
    changing: bool
    configuration_index: int

    def find(self, name: str) -> Member | None:
        """The master *name*, None when it is no member."""
        return next((member for member in self.members if member.id == name), None)


@dataclass(frozen=True, slots=True)
class Transferred:
    """Who leads now, and for how long nobody led."""

    leader: str
    gap_ms: int
