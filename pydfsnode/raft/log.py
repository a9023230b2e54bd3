"""The log as the core sees it: terms by runs, a cache of encoded entries at the end.

INV-LOG-1  Entries first_index..last_index exist; those from cache_first on are in
           memory, older ones are read through `LogStart.read`.
INV-LOG-2  Terms never decrease with the index.
An entry is its encoded bytes (see `_fast.encode_entry`): leader, log and followers carry the same
ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from pydfsnode import limits
from pydfsnode._fast import assemble_entries
from pydfsnode.errors import invariant
from pydfsnode.raft.types import LogStart


class EntryLog:
    """See the module. Mutated only by the core; what is durable is the driver's concern."""

    def __init__(self, start: LogStart) -> None:
        self.first_index = start.first_index
        self.last_index = start.last_index
        self._prev_term = start.prev_term
        self._run_starts = [index for index, _ in start.term_runs]
        self._run_terms = [term for _, term in start.term_runs]
        self._read = start.read
        self._cache: deque[bytes] = deque()
        self._cache_first = start.last_index + 1
        self._cache_bytes = 0

    @property
    def last_term(self) -> int:
        """Term of the last entry, or of the one before the first."""
        return self._run_terms[-1] if self._run_terms else self._prev_term

    def term_at(self, index: int) -> int:
        """Term of the entry at *index*.

        -1 where there is none. Index first_index - 1 is known too.
        """
        if index == self.first_index - 1:
            return self._prev_term
        if not self.first_index <= index <= self.last_index:
            return -1
        return self._run_terms[bisect_right(self._run_starts, index) - 1]

    def append(self, term: int, entry: bytes) -> int:
        """Add one encoded entry after the last; return its index."""
        invariant(term >= self.last_term, "terms in the log decrease", term=term)
        self.last_index += 1
        if not self._run_terms or self._run_terms[-1] != term:
            self._run_starts.append(self.last_index)
            self._run_terms.append(term)
        self._cache.append(entry)
        self._cache_bytes += len(entry)
        return self.last_index

    def truncate_from(self, index: int) -> None:
        """Drop the entries from *index* on."""
        invariant(index >= self.first_index, "truncation below the log's start", index=index)
        while self._run_starts and self._run_starts[-1] >= index:
            self._run_starts.pop()
            self._run_terms.pop()
        for _ in range(min(len(self._cache), self.last_index - index + 1)):
            self._cache_bytes -= len(self._cache.pop())
        self.last_index = index - 1
        self._cache_first = min(self._cache_first, index)

    def entries(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """Encoded entries from *first* on, up to *last*, at least one, about *bytes_max* bytes."""
        if first < self._cache_first:
            bytes_max = min(bytes_max, limits.LOG_READ_BYTES_MAX)
            return self._read(first, min(last, self._cache_first - 1), bytes_max)
        chosen: list[bytes] = []
        size = 0
        offset = first - self._cache_first
        cache = self._cache
        for position in range(offset, min(last - self._cache_first + 1, len(cache))):
            entry = cache[position]
            size += len(entry)
            if chosen and size > bytes_max:
                break
            chosen.append(entry)
        return chosen

    def assemble(self, first: int, last: int, bytes_max: int) -> tuple[bytes, int]:
        """As `entries`, joined, with their count: the body of an append."""
        if first < self._cache_first:
            entries = self.entries(first, last, bytes_max)
            return b"".join(entries), len(entries)
        start = first - self._cache_first
        return assemble_entries(self._cache, start, last - self._cache_first + 1, bytes_max)

    def compact(self, through: int) -> None:
        """Forget the entries up to *through*; only its term is still known."""
        invariant(through <= self.last_index, "compaction beyond the log", through=through)
        if through < self.first_index:
            return
        self._prev_term = self.term_at(through)
        run = bisect_right(self._run_starts, through) - 1
        del self._run_starts[:run], self._run_terms[:run]
        if through == self.last_index:
            self._run_starts, self._run_terms = [], []
        elif self._run_starts[0] <= through:
            self._run_starts[0] = through + 1
            if len(self._run_starts) > 1 and self._run_starts[1] == through + 1:
                del self._run_starts[0], self._run_terms[0]
        self.first_index = through + 1
        while self._cache and self._cache_first <= through:
            self._cache_bytes -= len(self._cache.popleft())
            self._cache_first += 1
        self._cache_first = max(self._cache_first, self.first_index)

    def reset(self, index: int, term: int) -> None:
        """A snapshot up to *index*, of *term*, replaced the log: nothing of it remains."""
        self.first_index, self.last_index, self._prev_term = index + 1, index, term
        self._run_starts, self._run_terms = [], []
        self._cache.clear()
        self._cache_first, self._cache_bytes = index + 1, 0

    def trim_cache(self, keep_from: int) -> None:
        """Forget cached entries below *keep_from* while the cache is over its limit."""
        while self._cache_bytes > limits.LOG_CACHE_BYTES_MAX and self._cache_first < keep_from:
            self._cache_bytes -= len(self._cache.popleft())
            self._cache_first += 1

    def find_conflict_by_term(self, index: int, term: int) -> tuple[int, int]:
        """(index, term) of the largest entry at or below *index* whose term is at most *term*.

        Both sides use it to skip a whole term of divergence in one round trip (trap B9).
        """
        index = min(index, self.last_index)
        while index >= self.first_index:
            here = self.term_at(index)
            if here <= term:
                return index, here
            index = self._run_starts[bisect_right(self._run_starts, index) - 1] - 1
        return self.first_index - 1, self._prev_term

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log that ends in (last_index, last_term) is at least as complete (Raft
        §5.4.1).
        """
        return (last_term, last_index) >= (self.last_term, self.last_index)
