"""The masters that a client knows, in the order in which they are asked.

Three sources: the configuration; hints of masters that do not lead; and the leader's list of all
members. Nothing configured is ever forgotten, and what is learned is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode.config import Peer, is_address

LEARNED_MAX = 32
"""Masters known beside the configured ones; beyond it the one learned first is forgotten."""


class MasterList:
    """See the module. Names are of nodes, which move; a `Peer` is a name at an address."""

    def __init__(self, configured: Sequence[Peer]) -> None:
        self._configured = list(configured)
        self._learned: dict[str, Peer] = {}  # by name, where no configured one is
        self._gone: set[str] = set()  # configured, but no member by the leader's last list
        self._spare: list[Peer] = []
        self.known = list(configured)
        """All, in the order in which they are asked: the current ones first."""
        self.current = len(configured)
        """How many of `known` are members as far as is known; after them what may be of use."""

    def is_current(self, master: Peer) -> bool:
        """Whether *master* is a member at that address, as far as is known."""
        return master in self.known[: self.current]

    def hinted(self, master: Peer) -> None:
        """Another master says that *master* leads."""
        self._gone.discard(master.node_id)
        self._learned.pop(master.node_id, None)
        if master not in self._configured:
            self._learned[master.node_id] = master
            if len(self._learned) > LEARNED_MAX:
                del self._learned[next(iter(self._learned))]
        self._order()

    def listed(self, asked: Peer, members: Sequence[Peer]) -> None:
        """The leader, reached as *asked*, says that *members* are all masters."""
        members = [peer for peer in members if is_address(peer.listen)]
        if not members:
            return
        if asked in members:
            names = {peer.node_id for peer in members}
            self._gone = {p.node_id for p in self._configured if p.node_id not in names}
            new = [p for p in members if p not in self._configured]
            self._learned = {p.node_id: p for p in new[:LEARNED_MAX]}
            self._spare = []
        else:
            # From here it has another address than among the masters, and so may the others.
            self._spare = members[:LEARNED_MAX]
        self._order()

    def _order(self) -> None:
        learned = self._learned
        current = [
            peer
            for peer in self._configured
            if peer.node_id not in learned and peer.node_id not in self._gone
        ]
        current += learned.values()
        # A configured address stays, last: it may be the only one that is reached from here.
        rest = [p for p in (*self._configured, *self._spare) if p not in current]
        known = list(dict.fromkeys([*current, *rest]))
        self.known, self.current = known[: len(self._configured) + LEARNED_MAX], len(current)

    def after(self, asked: Peer) -> Peer:
        """Whose turn it is after *asked*."""
        position = self.known.index(asked) if asked in self.known else -1
        return self.known[(position + 1) % len(self.known)]
