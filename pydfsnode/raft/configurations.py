"""The configurations that a log holds, newest first to count: a change is in force once appended.

A stack, because what was appended may be truncated again, several levels deep (trap E1).
INV-CONF  indexes ascend; the base is the configuration as of the entry before the log's first.
"""

from __future__ import annotations

from pydfsnode.errors import invariant
from pydfsnode.raft.configuration import Configuration


class Configurations:
    """See the module. `current` counts from `index` on, committed or not."""

    def __init__(
        self, base: Configuration, later: list[tuple[int, Configuration]] | None = None
    ) -> None:
        self._stack = [(0, base), *(later or [])]
        self.current = base
        self.index = 0
        self._show()

    def _show(self) -> None:
        self.index, self.current = self._stack[-1]

    def append(self, index: int, configuration: Configuration) -> None:
        """Note the configuration entry at *index*."""
        invariant(index > self.index, "configurations out of order", index=index)
        self._stack.append((index, configuration))
        self._show()

    def truncate_from(self, index: int) -> bool:
        """Forget those from *index* on; True when another one counts now."""
        before = len(self._stack)
        while len(self._stack) > 1 and self._stack[-1][0] >= index:
            self._stack.pop()
        self._show()
        return len(self._stack) != before

    def at(self, index: int) -> Configuration:
        """The one in force at *index*, which is not below the log's start."""
        return next((c for at, c in reversed(self._stack) if at <= index), self._stack[0][1])

    def compact(self, through: int) -> Configuration:
        """Make the one in force at *through* the base and return it."""
        base = self.at(through)
        later = [(at, found) for at, found in self._stack[1:] if at > through]
        kept_index = max((at for at, _ in self._stack if at <= through), default=0)
        self._stack = [(kept_index, base), *later]
        self._show()
        return base

    def reset(self, index: int, configuration: Configuration) -> None:
        """A snapshot replaced the log: nothing of before counts (trap F3)."""
        self._stack = [(index, configuration)]
        self._show()
