"""Which chunkserver holds which replica, and which chunks have too few, too many or no owner.

What the namespace wants (`want`, `forget`) meets what the servers report (`add`, `remove`). The
queues of chunks are kept up with every event, so that asking for the most endangered costs nothing.
A replica is

    good        live server, right version and length, not suspect
    suspect     found corrupt, or ordered to be deleted: not counted, read only when nothing else is
    bad         another version or length: deleted once enough good ones exist
    expected    a server that wrote the chunk and has not reported it yet
    orphan      a replica of a chunk that is not wanted

Healthy chunks, by the million, are in the compiled table alone; the dictionaries here hold what is
out of the ordinary for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydfsnode import _fast as fast
from pydfsnode import limits
from pydfsnode.errors import Overloaded
from pydfsnode.fleet.bounds import EXPECT_MS
from pydfsnode.fleet.queues import ChunkQueues, trimmed
from pydfsnode.fleet.sweep import Sweep

_FORGOTTEN = -(1 << 62)
CORRUPT, CONDEMNED = "corrupt", "condemned"


class ReplicaMap:
    """See the module. Node ids are those of certificates; times are on the monotonic clock.

    Attributes:
        now_ms: set by `tick`; what happens between two ticks happens at the earlier one.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._table = fast.ReplicaTable()
        self._numbers: dict[str, int] = {}  # a server's place in `_names`, its name in the table
        self._names: list[str] = []
        self._suspect: dict[int, dict[str, str]] = {}
        self._expected: dict[int, tuple[int, tuple[str, ...]]] = {}  # until when, who
        self._live: set[str] = set()
        self._maintained: frozenset[str] = frozenset()
        self._wanted_count = 0
        self._queues = ChunkQueues(self._table)
        self._sweep = Sweep(self._table)

    # ---- the clock and the servers

    def tick(self, now_ms: int) -> None:
        """Time passes: servers that never reported what they wrote do not count any more.

        Also goes on with what `server_live` and `server_dead` left to do.
        """
        self.now_ms = now_ms
        overdue = []
        for chunk_id, (until_ms, _) in self._expected.items():
            if until_ms > now_ms:
                break
            overdue.append(chunk_id)
        for chunk_id in overdue:
            del self._expected[chunk_id]
            self._classify(chunk_id)
        self._reclassify_some()
        self._queues.trim()
        self._expected = trimmed(self._expected)

    def server_live(self, node_id: str) -> None:
        """*node_id* is heard: what it holds counts."""
        if node_id not in self._live:
            number = self._number(node_id)
            self._live.add(node_id)
            self._table.set_live(number, True)
            self._reclassify_of(node_id)

    def server_dead(self, node_id: str) -> None:
        """*node_id* is silent: what it holds does not count, but is remembered."""
        if node_id in self._live:
            self._live.remove(node_id)
            self._table.set_live(self._numbers[node_id], False)
            self._reclassify_of(node_id)

    def set_maintained(self, node_ids: Iterable[str]) -> None:
        """Who comes back soon: while silent, its replicas count beside a live one of the chunk."""
        before, self._maintained = self._maintained, frozenset(node_ids)
        for node_id in sorted(before ^ self._maintained):
            if node_id in self._numbers:
                self._reclassify_of(node_id)

    def in_maintenance(self, chunk_id: int) -> list[str]:
        """Silent servers that are maintained and have the replica that is wanted."""
        if not self._maintained:
            return []
        wanted, suspects = self.wanted(chunk_id), self._suspect.get(chunk_id, {})
        return [
            node for node in self.holders(chunk_id)
            if node in self._maintained and node not in self._live and node not in suspects
            and wanted is not None and self.replica(node, chunk_id) == wanted[:2]
        ]  # fmt: skip

    def sweep_of(self, node_ids: Iterable[str]) -> Sweep:
        """A walk through everything that these servers hold."""
        sweep = Sweep(self._table)
        for node_id in node_ids:
            if node_id in self._numbers:
                sweep.begin(self._numbers[node_id])
        return sweep

    @property
    def is_behind(self) -> bool:
        """Whether queues lag behind deaths and returns: `tick` makes up for it, step by step.

        What is said of a single chunk is always right, and so is what `short_at` gives.
        """
        return not self._sweep.is_done

    def _reclassify_of(self, node_id: str) -> None:
        for chunk_id, (_, nodes) in list(self._expected.items()):
            if node_id in nodes:
                self._classify(chunk_id)
        self._sweep.begin(self._numbers[node_id])
        self._reclassify_some()

    def _reclassify_some(self) -> None:
        for chunk_id in self._sweep.step():
            self._classify(chunk_id)

    def _number(self, node_id: str) -> int:
        number = self._numbers.get(node_id)
        if number is None:
            try:
                number = self._table.add_server()
            except OverflowError as error:
                raise Overloaded(str(error)) from error
            self._numbers[node_id] = number
            self._names.append(node_id)
        return number

    # ---- what the namespace wants

    def want(
        self, chunk_id: int, version: int, length: int, replication: int,
        targets: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """The namespace wants *chunk_id* so; *targets* wrote it and will report it soon."""
        self._wanted_count += self._table.wanted(chunk_id) is None
        self._table.want(chunk_id, version, length, replication)
        self._expected.pop(chunk_id, None)
        if targets:
            holders = self.holders(chunk_id)
            unreported = tuple(node for node in targets if node not in holders)
            if unreported:
                self._expected[chunk_id] = (self.now_ms + EXPECT_MS, unreported)
        self._classify(chunk_id)

    def forget(self, chunk_id: int) -> None:
        """The namespace dropped *chunk_id*: its replicas may go at once."""
        self._wanted_count -= self._table.wanted(chunk_id) is not None
        self._table.forget(chunk_id)
        self._expected.pop(chunk_id, None)
        self._classify_unwanted(chunk_id, _FORGOTTEN)

    # ---- what servers report

    def add(
        self, node_id: str, chunk_id: int, version: int, length: int, *, fresh: bool = False
    ) -> None:
        """*node_id* holds a replica; *fresh*: just written, so it is not the one found corrupt."""
        if fresh and self._suspect.get(chunk_id, {}).get(node_id) == CORRUPT:
            self.clear(chunk_id, node_id)
        if self._table.add(chunk_id, self._number(node_id), version, length):
            self._unexpect(chunk_id, node_id)
            self._classify(chunk_id)

    def remove(self, node_id: str, chunk_id: int) -> None:
        """*node_id* holds no replica of *chunk_id* any more."""
        number = self._numbers.get(node_id)
        if number is not None and self._table.remove(chunk_id, number):
            self.clear(chunk_id, node_id)
        self._unexpect(chunk_id, node_id)
        self._classify(chunk_id)

    def begin_listing(self, node_id: str) -> None:
        """*node_id* begins to tell all it holds, by `add`: nothing counts as listed yet."""
        self._table.begin_listing(self._number(node_id))

    def unlisted(self, node_id: str) -> list[int]:
        """Chunks that *node_id* holds and that were not added again since `begin_listing`."""
        number = self._numbers.get(node_id)
        return [] if number is None else self._table.unlisted(number)

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
        if self.replica(node_id, chunk_id) is not None:
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
        return self._table.wanted(chunk_id)

    def holders(self, chunk_id: int) -> tuple[str, ...]:
        """Every server with a replica of whatever state, dead ones included."""
        return tuple(map(self._names.__getitem__, self._table.holders(chunk_id)))

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

    def is_corrupt(self, chunk_id: int, node_id: str) -> bool:
        """Whether the replica is known to be corrupt."""
        return self._suspect.get(chunk_id, {}).get(node_id) == CORRUPT

    def is_condemned(self, chunk_id: int, node_id: str) -> bool:
        """Whether the replica's deletion was ordered in this epoch."""
        return self._suspect.get(chunk_id, {}).get(node_id) == CONDEMNED

    def locations(self, chunk_id: int) -> list[str]:
        """Where to read *chunk_id*, the surest first; suspects only when there is nothing else."""
        good, suspects, _ = self._grades(chunk_id)
        return [*good, *self.expected(chunk_id)] or suspects

    def replica(self, node_id: str, chunk_id: int) -> tuple[int, int] | None:
        """(version, length) of the replica on *node_id*."""
        number = self._numbers.get(node_id)
        return None if number is None else self._table.replica(chunk_id, number)

    def held_by(self, node_id: str) -> dict[int, tuple[int, int]]:
        """Chunk to (version, length) of everything on *node_id*; walks the whole table."""
        number = self._numbers.get(node_id)
        if number is None:
            return {}
        return {
            chunk_id: replica
            for segment in range(fast.REPLICA_SEGMENTS)
            for chunk_id in self._table.held_in(segment, [number])
            if (replica := self._table.replica(chunk_id, number)) is not None
        }

    def live_in(self, segments: Iterable[int]) -> Iterator[list[int]]:
        """For each of some segments of the table, the chunks in it that live servers hold."""
        numbers = [number for node, number in self._numbers.items() if node in self._live]
        for segment in segments:
            yield self._table.held_in(segment, numbers)

    # ---- queues

    def under_replicated(self) -> Iterator[tuple[int, int]]:
        """(chunk, replicas that count) of every chunk with 1 or more but too few, fewest first."""
        for level in range(1, limits.REPLICATION_MAX):
            for chunk_id in self.short_at(level, self._queues.short_count(level)):
                yield chunk_id, level

    def short_at(self, level: int, count: int) -> list[int]:
        """Up to *count* chunks that want more and of which *level* replicas count, oldest first."""
        chunks = self._queues.short(level, count)
        if self._sweep.is_done:
            return chunks
        for chunk_id in chunks:
            self._classify(chunk_id)
        return [chunk_id for chunk_id in chunks if self._table.level(chunk_id) == level]

    def missing(self, count: int) -> list[int]:
        """Up to *count* wanted chunks of which no replica is known to live, in any order."""
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
    def memory_bytes(self) -> int:
        """Of the compiled table, where healthy chunks are."""
        return self._table.memory_bytes()

    @property
    def under_replicated_count(self) -> int:
        """Chunks that `under_replicated` gives."""
        return sum(map(self._queues.short_count, range(1, limits.REPLICATION_MAX)))

    @property
    def wanted_count(self) -> int:
        """Chunks that the namespace wants."""
        return self._wanted_count

    @property
    def missing_count(self) -> int:
        """Chunks that `missing` could give."""
        return self._queues.short_count(0)

    # ---- classes

    def _grades(self, chunk_id: int) -> tuple[list[str], list[str], list[str]]:
        as_wanted, others = self._table.standing(chunk_id)
        names = self._names
        good = [names[number] for number in as_wanted]
        suspects: list[str] = []
        reasons = self._suspect.get(chunk_id)
        if reasons is not None:
            suspects = [node for node in good if node in reasons]
            good = [node for node in good if node not in reasons]
        return good, suspects, [names[number] for number in others]

    def _classify(self, chunk_id: int) -> None:
        """Put *chunk_id* into the queues where it belongs now."""
        tally = self._table.tally(chunk_id)
        if tally is None:
            since_ms = self._queues.orphan_since_ms(chunk_id)
            self._classify_unwanted(chunk_id, self.now_ms if since_ms is None else since_ms)
            return
        replication, good, useless = tally
        is_whole = False
        if chunk_id in self._suspect:
            suspects = self.suspects(chunk_id)
            good -= len(suspects)
            useless += len(suspects)
            is_whole = any(self.is_condemned(chunk_id, node) for node in suspects)
        counted = good + (len(self.expected(chunk_id)) if chunk_id in self._expected else 0)
        if counted == 0 and is_whole:
            counted = 1  # a condemned replica is whole: the last one is what a copy is made from
        if self._maintained and 0 < counted < replication:
            counted += len(self.in_maintenance(chunk_id))
        self._queues.set_wanted(
            chunk_id,
            counted if counted < replication else None,
            good > replication or (good > 0 and useless > 0),
        )

    def _classify_unwanted(self, chunk_id: int, since_ms: int) -> None:
        is_held = bool(self._table.holders(chunk_id))
        self._queues.set_unwanted(chunk_id, since_ms if is_held else None)
