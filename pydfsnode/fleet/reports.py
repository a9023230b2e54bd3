"""Reports of chunkservers turned into events of the replica map, and how far each can be trusted.

A full report comes in pages while changes go on: a change is newer than the page that comes after
it, so pages skip what changed since the first one. At the last page, what was neither listed nor
added meanwhile is gone: the table of replicas marks what is added, so that nobody keeps a list.

A server is *confirmed* when its word is good enough to delete replicas elsewhere: its current
process has reported everything, and has told changes that it collected when it knew this epoch
already. From then on it refuses orders of an older epoch, and what it did for that one has been
told (INV-FENCE, INV-SUM). A server that does not say which epoch it knows counts as knowing it from
the second heartbeat on, which holds only while no answer is lost.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydfsnode.fleet.bounds import LATER_CHANGES_MAX
from pydfsnode.fleet.replicas import CORRUPT, ReplicaMap

_HEARD_TO_CONFIRM = 2
_PAGE_HEARTBEATS_MAX = 10
"""So many heartbeats without a page, and a full report that had begun is asked for again."""
Replica = tuple[int, int, int]
"""Chunk id, version, length."""


class _Reporter:
    """One process of a chunkserver; `is_listing` while pages come in."""

    __slots__ = (
        "changed", "complete", "epoch", "heard", "heard_since_page", "incarnation", "is_listing",
        "report_seq",
    )  # fmt: skip

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.report_seq = -1
        self.complete = False
        self.epoch: int | None = None
        self.heard = 0
        self.heard_since_page = 0
        self.is_listing = False
        self.changed: set[int] = set()

    def give_up(self) -> None:
        """Something was missed: only a new full report makes this server's word complete."""
        self.complete = False
        self.is_listing = False
        self.changed = set()


class ReplicaReports:
    """Feeds *replicas* from what every server tells."""

    def __init__(self, replicas: ReplicaMap) -> None:
        self._replicas = replicas
        self._reporters: dict[str, _Reporter] = {}
        self._epoch: int | None = None

    def heartbeat(
        self,
        node_id: str,
        incarnation: int,
        report_seq: int,
        added: Iterable[Replica] = (),
        removed: Iterable[int] = (),
        corrupt: Iterable[int] = (),
        epoch: int | None = None,
    ) -> bool:
        """Take the changes of one heartbeat; returns whether a full report is wanted.

        Args:
            incarnation: random per start of the server's process.
            report_seq: number of the last batch of changes in it: the one before plus one, or the
                same when there is none. After a gap a full report is wanted.
            corrupt: chunks whose own copy failed verification there.
            epoch: the highest that the server knew when it collected these changes; None: unsaid.
        """
        reporter = self._reporters.get(node_id)
        if reporter is None or reporter.incarnation != incarnation:
            reporter = self._reporters[node_id] = _Reporter(incarnation)
        reporter.heard += 1
        reporter.epoch = epoch
        in_order = report_seq in (reporter.report_seq, reporter.report_seq + 1)
        if report_seq >= reporter.report_seq:
            # Single changes are true even when others before them were missed.
            self._change(node_id, reporter, added, removed, corrupt)
        if in_order:
            reporter.report_seq = report_seq
        else:
            reporter.give_up()
        reporter.heard_since_page += 1
        is_coming = reporter.is_listing and reporter.heard_since_page <= _PAGE_HEARTBEATS_MAX
        return not reporter.complete and not is_coming

    def _change(
        self, node_id: str, reporter: _Reporter, added: Iterable[Replica],
        removed: Iterable[int], corrupt: Iterable[int],
    ) -> None:  # fmt: skip
        for chunk_id, version, length in added:
            self._replicas.add(node_id, chunk_id, version, length, fresh=True)
            reporter.changed.add(chunk_id)
        for chunk_id in removed:
            self._replicas.remove(node_id, chunk_id)
            reporter.changed.add(chunk_id)
        for chunk_id in corrupt:
            self._replicas.suspect(chunk_id, node_id, CORRUPT)
        if not reporter.is_listing:
            reporter.changed.clear()
        elif len(reporter.changed) > LATER_CHANGES_MAX:
            reporter.give_up()

    def full_report_page(
        self,
        node_id: str,
        incarnation: int,
        report_seq: int,
        replicas: Iterable[Replica],
        *,
        first: bool,
        last: bool,
    ) -> None:
        """Take one page of everything that *node_id* holds, as of its change batch *report_seq*.

        A page that does not follow a first one is ignored: the next heartbeat asks again.
        """
        reporter = self._reporters.get(node_id)
        if reporter is None or reporter.incarnation != incarnation:
            reporter = self._reporters[node_id] = _Reporter(incarnation)
        if first:
            reporter.give_up()
            if report_seq < reporter.report_seq:
                return  # taken before changes that are known already
            reporter.is_listing = True
            self._replicas.begin_listing(node_id)
            reporter.report_seq = report_seq
        if not reporter.is_listing:
            return
        reporter.heard_since_page = 0
        for chunk_id, version, length in replicas:
            if chunk_id not in reporter.changed:
                self._replicas.add(node_id, chunk_id, version, length)
        if last:
            for chunk_id in self._replicas.unlisted(node_id):
                self._replicas.remove(node_id, chunk_id)
            reporter.is_listing = False
            reporter.changed = set()
            reporter.complete = True

    def new_epoch(self, epoch: int | None) -> None:
        """This master leads in *epoch*: nobody is confirmed, nothing counts as ordered deleted."""
        self._epoch = epoch
        self._replicas.pardon_condemned()
        for reporter in self._reporters.values():
            reporter.heard = 0

    def is_complete(self, node_id: str) -> bool:
        """Whether everything that the server's current process holds is known."""
        reporter = self._reporters.get(node_id)
        return reporter is not None and reporter.complete

    def is_confirmed(self, node_id: str) -> bool:
        """See the module."""
        reporter = self._reporters.get(node_id)
        if reporter is None or not reporter.complete:
            return False
        if reporter.epoch is None or self._epoch is None:
            return reporter.heard >= _HEARD_TO_CONFIRM
        return reporter.epoch >= self._epoch
