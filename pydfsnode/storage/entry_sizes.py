"""How large each entry of the log is: what tells when the log should be compacted."""

from __future__ import annotations

from array import array
from collections.abc import Sequence


class EntrySizes:
    """Four bytes for each entry of the log, and their sum `total`."""

    def __init__(self) -> None:
        self.total = 0
        self._sizes = array("I")

    def extend(self, entries: Sequence[bytes]) -> None:
        """Note encoded *entries* at the end."""
        sizes = array("I", map(len, entries))
        self._sizes.extend(sizes)
        self.total += sum(sizes)

    def keep(self, first: int, end: int) -> None:
        """Forget all entries but those from position *first* (of 0) up to *end*, exclusive."""
        self.total -= sum(self._sizes[end:])
        del self._sizes[end:]
        self.total -= sum(self._sizes[:first])
        del self._sizes[:first]
