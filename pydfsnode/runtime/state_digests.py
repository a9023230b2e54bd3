"""Masters compare what they made of the same entries (INV-SAME).

At the same indexes every master computes a digest, of what it changed since the last one or of the
next slice of all that it holds, and tells the others. A master that differs from a majority which
agrees among itself is wrong and stops; of two masters the follower stops. Nobody waits for it: it
finds out within a few digests what changed, and within a round of slices whatever there is.
"""

from __future__ import annotations

from pydfsnode.errors import StateDiverged
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.configuration import Configuration, member_name
from pydfsnode.raft.quorum import majority

KEPT_INDEXES_MAX = 64
MEMBERS_MAX = 64

_log = get_logger("runtime.state_digests")


class StateDigests:
    """Own and heard digests of the latest indexes."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._heard: dict[int, dict[str, bytes]] = {}

    def own(self, index: int, digest: bytes, members: Configuration, leader: str) -> None:
        """Note this master's digest at *index*.

        Raises:
            StateDiverged: a majority of *members* has another one.
        """
        self.heard(self._member, index, digest, members, leader)

    def heard(
        self, sender: str, index: int, digest: bytes, members: Configuration, leader: str
    ) -> None:
        """Note *sender*'s digest at *index*. Raises as `own`."""
        at_index = self._heard.get(index)
        if at_index is None:
            at_index = self._heard[index] = {}
            while len(self._heard) > KEPT_INDEXES_MAX:
                del self._heard[min(self._heard)]
        if len(at_index) < MEMBERS_MAX:
            at_index[sender] = digest
        self._compare(index, at_index, members, leader)

    def _compare(
        self, index: int, at_index: dict[str, bytes], members: Configuration, leader: str
    ) -> None:
        mine = at_index.get(self._member)
        if mine is None:
            return
        # Masters of another version may put other things into theirs: the first byte says so.
        at_index = {m: digest for m, digest in at_index.items() if digest[:1] == mine[:1]}
        if all(digest == mine for digest in at_index.values()):
            return
        others = sorted(m for m, digest in at_index.items() if digest != mine)
        _log.error("masters differ in state", index=index, with_whom=others)
        counts: dict[bytes, int] = {}
        for member, digest in sorted(at_index.items()):
            if member in members.voters:
                counts[digest] = counts.get(digest, 0) + 1
        needed = majority(len(members.voters))
        outvoted = any(n >= needed for digest, n in counts.items() if digest != mine)
        of_two = len(members.voters) == 2 and leader in others
        if outvoted or of_two:
            raise StateDiverged(
                f"the state after entry {index} differs from that of "
                f"{', '.join(map(member_name, others))}: this master applied the same log to "
                "another result, or rows of its state were exchanged on its disk; it stops. Keep "
                "its data directory for the report, then give it an empty one: remove-master and "
                "add-master, and the leader sends the state",
                index=index,
            )
