"""How many streams may run at once (INV-BOUND)."""

from __future__ import annotations

from types import TracebackType

from pydfsnode.errors import Overloaded

RETRY_AFTER_MS = 200


class StreamSlots:
    """A counted, bounded number of running streams: `with slots:` around each."""

    def __init__(self, kind: str, count_max: int) -> None:
        """*kind* is for the message of a refusal."""
        self._kind = kind
        self._count_max = count_max
        self.count = 0
        """Streams running now."""

    def __enter__(self) -> None:
        """Take a slot.

        Raises:
            Overloaded: all are taken.
        """
        if self.count >= self._count_max:
            raise Overloaded(
                f"{self.count} {self._kind} streams run here already: use another replica or come "
                "again",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.count -= 1
