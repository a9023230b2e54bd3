"""What each server is ordered next, and whether it took what it was sent last.

Orders leave with the answer to a heartbeat, which can be lost on its way. Answers with orders are
numbered, and the server's next heartbeat names the last one that it took orders from. What it did
not take is decided on again, not sent again: what a deletion rests on may be gone (INV-SUM).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from pydfsnode import limits
from pydfsnode.fleet.orders import Copy, Delete

Order = Copy | Delete


class _Sent(NamedTuple):
    number: int
    orders: list[Order]


class OrderQueues:
    """Of all servers, in the epoch of one leader."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Order]] = {}
        self._sent: dict[str, _Sent] = {}
        self._numbers: dict[str, int] = {}

    def add(self, order: Order) -> None:
        """It goes with the server's next heartbeat that has room for it."""
        self._waiting.setdefault(order.node_id, deque()).append(order)

    def lost(self, node_id: str, taken: int | None) -> list[Order]:
        """What was sent to *node_id* last, if it did not get there; tells it once.

        Args:
            taken: number of the last answer that it took orders from; None: it is too old to say,
                and is believed to take everything.
        """
        sent = self._sent.pop(node_id, None)
        if sent is None or taken is None or taken == sent.number:
            return []
        return sent.orders

    def take(self, node_id: str, taken: int | None) -> tuple[list[Order], int]:
        """Orders for the next answer to *node_id*, and its number; 0: there are none.

        Args:
            taken: as of `lost`, which comes first.
        """
        waiting = self._waiting.get(node_id)
        if not waiting:
            return [], 0
        count = min(len(waiting), limits.COMMANDS_PER_HEARTBEAT_MAX)
        orders = [waiting.popleft() for _ in range(count)]
        # Above what the server names too: that may be of this master before its restart.
        number = 1 + max(self._numbers.get(node_id, 0), taken or 0)
        self._numbers[node_id] = number
        self._sent[node_id] = _Sent(number, orders)
        return orders, number

    def withdraw(self) -> list[Order]:
        """What no server was sent yet, and will not be now."""
        withdrawn = [order for waiting in self._waiting.values() for order in waiting]
        self._waiting.clear()
        return withdrawn

    def drop(self, node_id: str) -> None:
        """Forget what *node_id* was to do."""
        self._waiting.pop(node_id, None)
        self._sent.pop(node_id, None)

    def clear(self) -> None:
        """Forget every order; numbers go on, so that none means two answers."""
        self._waiting.clear()
        self._sent.clear()
