"""Which chunkserver holds which replica, and which chunks have too few, too many or no owner.

What the namespace wants (`want`, `forget`) meets what the servers report (`add`, `remove`). The
queues of chunks are kept up with every event, so that asking for the most endangered costs nothing.
A replica is

    good        live server, right version and length, not suspect
    suspect     found corrupt, or ordered to be deleted: not counted, read only when nothing else is
    bad         another version or length: deleted once enough good ones exist
    expected    a server that wrote the chunk and has not reported it yet
    orphan      a replica of a chunk that is not wanted
"""

from __future__ import annotations

from collections.abc import Iterator

from pydfsnode import limits
from pydfsnode.fleet.bounds import EXPECT_MS
from pydfsnode.fleet.queues import ChunkQueues

_FORGOTTEN = -(1 << 62)
CORRUPT, CONDEMNED = "corrupt", "condemned"


class ReplicaMap:
    """See the module. Node ids are those of certificates; times are on the monotonic clock.

    Attributes:
        now_ms: set by `tick`; what happens between two ticks happens at the earlier one.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._wanted: dict[int, tuple[int, int, int]] = {}  # version, length, replication
        self._held: dict[str, dict[int, tuple[int, int]]] = {}  # version, length
        self._holders: dict[int, tuple[str, ...]] = {}
        self._suspect: dict[int, dict[str, str]] = {}
        self._expected: dict[int, tuple[int, tuple[str, ...]]] = {}  # until when, who
        self._live: set[str] = set()
        self._queues = ChunkQueues()

    # ---- the clock and the servers

    def tick(self, now_ms: int) -> None:
        """Time passes: servers that never reported what they wrote do not count any more."""
        self.now_ms = now_ms
        while self._expected:
            chunk_id = next(iter(self._expected))
            if self._expected[chunk_id][0] > now_ms:
                return
            del self._expected[chunk_id]
            self._classify(chunk_id)

    def server_live(self, node_id: str) -> None:
        """*node_id* is heard: what it holds counts."""
        if node_id not in self._live:
            self._live.add(node_id)
            self._reclassify_of(node_id)

    def server_dead(self, node_id: str) -> None:
        """*node_id* is silent: what it holds does not count, but is remembered."""
        if node_id in self._live:
            self._live.remove(node_id)
            self._reclassify_of(node_id)

    def _reclassify_of(self, node_id: str) -> None:
        for chunk_id in self._held.get(node_id, ()):
            self._classify(chunk_id)
        for chunk_id, (_, nodes) in list(self._expected.items()):
            if node_id in nodes:
                self._classify(chunk_id)

    # ---- what the namespace wants

    def want(
        self, chunk_id: int, version: int, length: int, replication: int,
        targets: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """The namespace wants *chunk_id* so; *targets* wrote it and will report it soon."""
        self._wanted[chunk_id] = (version, length, replication)
        unreported = tuple(node for node in targets if node not in self._holders.get(chunk_id, ()))
        self._expected.pop(chunk_id, None)
        if unreported:
            self._expected[chunk_id] = (self.now_ms + EXPECT_MS, unreported)
        self._classify(chunk_id)

    def forget(self, chunk_id: int) -> None:
        """The namespace dropped *chunk_id*: its replicas may go at once."""
        self._wanted.pop(chunk_id, None)
        self._expected.pop(chunk_id, None)
        self._classify(chunk_id)
        if self._queues.is_orphan(chunk_id):
            self._queues.set_orphan(chunk_id, _FORGOTTEN)

    # ---- what servers report

    def add(
        self, node_id: str, chunk_id: int, version: int, length: int, *, fresh: bool = False
    ) -> None:
        """*node_id* holds a replica; *fresh*: just written, so it is not the one found corrupt."""
        held = self._held.setdefault(node_id, {})
        replica = (version, length)
        if fresh and self._suspect.get(chunk_id, {}).get(node_id) == CORRUPT:
            self.clear(chunk_id, node_id)
        if held.get(chunk_id) == replica:
            return
        held[chunk_id] = replica
        holders = self._holders.get(chunk_id, ())
        if node_id not in holders:
            self._holders[chunk_id] = (*holders, node_id)
        self._unexpect(chunk_id, node_id)
        self._classify(chunk_id)

    def remove(self, node_id: str, chunk_id: int) -> None:
        """*node_id* holds no replica of *chunk_id* any more."""
        if self._held.get(node_id, {}).pop(chunk_id, None) is None:
            self._unexpect(chunk_id, node_id)
            self._classify(chunk_id)
            return
        holders = tuple(node for node in self._holders[chunk_id] if node != node_id)
        if holders:
            self._holders[chunk_id] = holders
        else:
            del self._holders[chunk_id]
        self.clear(chunk_id, node_id)
        self._unexpect(chunk_id, node_id)
        self._classify(chunk_id)

    def _unexpect(self, chunk_id: int, node_id: str) -> None:
        until_nodes = self._expected.get(chunk_id)
        if until_nodes is None or node_id not in until_nodes[1]:
            return
        left = tuple(node for node in until_nodes[1] if node != node_id)
        if left:
            self._expected[chunk_id] = (until_nodes[0], left)
        else:
            del self._expected[chunk_id]

    # ---- suspicion

    def suspect(self, chunk_id: int, node_id: str, why: str = CORRUPT) -> None:
        """Do not count the replica on *node_id*: CORRUPT, or CONDEMNED, to be deleted."""
        if node_id in self._holders.get(chunk_id, ()):
            self._suspect.setdefault(chunk_id, {})[node_id] = why
            self._classify(chunk_id)

    def clear(self, chunk_id: int, node_id: str) -> None:
        """The replica on *node_id* was made anew or is gone: no suspicion any more."""
        reasons = self._suspect.get(chunk_id)
        if reasons is not None and reasons.pop(node_id, None) is not None:
            if not reasons:
                del self._suspect[chunk_id]
            self._classify(chunk_id)

    def pardon_condemned(self) -> None:
        """A new epoch: what an earlier one ordered deleted counts, until reported gone."""
        for chunk_id, reasons in list(self._suspect.items()):
            for node_id in [node for node, why in reasons.items() if why == CONDEMNED]:
                self.clear(chunk_id, node_id)

    # ---- questions

    def wanted(self, chunk_id: int) -> tuple[int, int, int] | None:
        """(version, length, replication) of a wanted chunk."""
        return self._wanted.get(chunk_id)

    def holders(self, chunk_id: int) -> tuple[str, ...]:
        """Every server with a replica of whatever state, dead ones included."""
        return self._holders.get(chunk_id, ())

    def expected(self, chunk_id: int) -> tuple[str, ...]:
        """Live servers that wrote the chunk and have not reported it."""
        until_nodes = self._expected.get(chunk_id)
        if until_nodes is None:
            return ()
        return tuple(node for node in until_nodes[1] if node in self._live)

    def good(self, chunk_id: int) -> list[str]:
        """Servers whose replica counts."""
        return self._grades(chunk_id)[0]

    def suspects(self, chunk_id: int) -> list[str]:
        """Live servers whose replica has the right version and length but is under suspicion."""
        return self._grades(chunk_id)[1]

    def bad(self, chunk_id: int) -> list[str]:
        """Live servers whose replica is of no use: corrupt, or of another version or length."""
        _, suspects, bad = self._grades(chunk_id)
        reasons = self._suspect.get(chunk_id, {})
        return bad + [node for node in suspects if reasons[node] == CORRUPT]

    def is_condemned(self, chunk_id: int, node_id: str) -> bool:
        """Whether the replica's deletion was ordered in this epoch."""
        return self._suspect.get(chunk_id, {}).get(node_id) == CONDEMNED

    def locations(self, chunk_id: int) -> list[str]:
        """Where to read *chunk_id*, the surest first; suspects only when there is nothing else."""
        good, suspects, _ = self._grades(chunk_id)
        return [*good, *self.expected(chunk_id)] or suspects

    def replica(self, node_id: str, chunk_id: int) -> tuple[int, int] | None:
        """(version, length) of the replica on *node_id*."""
        return self._held.get(node_id, {}).get(chunk_id)

    def held_by(self, node_id: str) -> dict[int, tuple[int, int]]:
        """Chunk to (version, length) of everything on *node_id*; not to be changed."""
        return self._held.get(node_id, {})

    # ---- queues

    def under_replicated(self) -> Iterator[tuple[int, int]]:
        """(chunk, replicas that count) of every chunk with 1 or more but too few, fewest first."""
        for level in range(1, limits.REPLICATION_MAX):
            for chunk_id in self.short_at(level, self._queues.short_count(level)):
                yield chunk_id, level

    def short_at(self, level: int, count: int) -> list[int]:
        """Up to *count* chunks that want more and of which *level* replicas count, oldest first."""
        return self._queues.short(level, count)

    def missing(self, count: int) -> list[int]:
        """Up to *count* wanted chunks of which no replica is known to live."""
        return self._queues.short(0, count)

    def surplus(self, count: int) -> list[int]:
        """Up to *count* wanted chunks with more good replicas than wanted, or with bad ones."""
        return self._queues.surplus(count)

    def orphans(self, count: int) -> list[tuple[int, int]]:
        """Up to *count* (chunk, since when) that servers hold and the namespace does not want."""
        return self._queues.orphans(count)

    def defer(self, chunk_id: int) -> None:
        """Nothing can be done for *chunk_id* now: it goes behind the others of its queues."""
        self._queues.defer(chunk_id)

    @property
    def under_replicated_count(self) -> int:
        """Chunks that `under_replicated` gives."""
        return sum(map(self._queues.short_count, range(1, limits.REPLICATION_MAX)))

    @property
    def missing_count(self) -> int:
        """Chunks that `missing` could give."""
        return self._queues.short_count(0)

    # ---- classes

    def _grades(self, chunk_id: int) -> tuple[list[str], list[str], list[str]]:
        good: list[str] = []
        suspects: list[str] = []
        bad: list[str] = []
        wanted = self._wanted.get(chunk_id)
        if wanted is None:
            return good, suspects, bad
        reasons = self._suspect.get(chunk_id, {})
        for node in self._holders.get(chunk_id, ()):
            if node not in self._live:
                continue
            if self._held[node][chunk_id] != wanted[:2]:
                bad.append(node)
            elif node in reasons:
                suspects.append(node)
            else:
                good.append(node)
        return good, suspects, bad

    def _classify(self, chunk_id: int) -> None:
        """Put *chunk_id* into the queues where it belongs now."""
        queues = self._queues
        wanted = self._wanted.get(chunk_id)
        if wanted is None:
            queues.set_short(chunk_id, None)
            queues.set_surplus(chunk_id, False)
            if chunk_id not in self._holders:
                queues.set_orphan(chunk_id, None)
            elif not queues.is_orphan(chunk_id):
                queues.set_orphan(chunk_id, self.now_ms)
            return
        queues.set_orphan(chunk_id, None)
        good, suspects, bad = self._grades(chunk_id)
        counted = len(good) + len(self.expected(chunk_id))
        if counted == 0 and any(self.is_condemned(chunk_id, node) for node in suspects):
            counted = 1  # a condemned replica is whole: the last one is what a copy is made from
        queues.set_short(chunk_id, counted if counted < wanted[2] else None)
        has_useless = bool(good) and bool(suspects or bad)
        queues.set_surplus(chunk_id, len(good) > wanted[2] or has_useless)
