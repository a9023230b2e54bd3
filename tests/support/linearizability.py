"""Is a history linearizable? The search of Wing and Gong with Lowe's memory of what was tried.

A history is a list of operations with the moments of call and return. An operation whose outcome is
unknown may have taken effect at any moment after its call, or never. Histories over independent
objects are checked one object at a time (linearizability is local).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

STEPS_MAX = 2_000_000


class _Unknown:
    def __repr__(self) -> str:
        return "?"


UNKNOWN: Any = _Unknown()
"""The result of an operation of which nobody knows whether it happened."""


@dataclass(slots=True)
class Operation:
    """`called` and `returned` are moments that only need to be ordered; equal ones overlap."""

    call: tuple[Any, ...]
    called: float
    returned: float = float("inf")
    result: Any = UNKNOWN


class Model(Protocol):
    """A deterministic object. States are values."""

    @property
    def initial(self) -> Hashable:
        """The state before the first operation."""
        ...

    def step(self, state: Any, call: tuple[Any, ...]) -> tuple[Hashable, Any]:
        """The state after *call*, and its result."""
        ...


class Undecided(Exception):
    """The search is too long to tell."""


class _Node:
    """A call or a return in the order of time, as a doubly linked list."""

    __slots__ = ("back", "bit", "is_return", "match", "next", "operation")

    def __init__(self, operation: Operation | None, bit: int, is_return: bool) -> None:
        self.operation = operation
        self.bit = bit
        self.is_return = is_return
        self.match: _Node | None = None
        self.next: _Node | None = None
        self.back: _Node | None = None

    def unlink(self) -> None:
        assert self.back is not None
        self.back.next = self.next
        if self.next is not None:
            self.next.back = self.back

    def relink(self) -> None:
        assert self.back is not None
        self.back.next = self
        if self.next is not None:
            self.next.back = self


def is_linearizable(
    operations: Sequence[Operation], model: Model, steps_max: int = STEPS_MAX
) -> bool:
    """Whether some order of *operations* that respects real time is what *model* does.

    Raises:
        Undecided: after *steps_max* steps.
    """
    head = _linked(operations)
    waiting = sum(operation.result is not UNKNOWN for operation in operations)
    state: Any = model.initial
    taken_bits = 0
    tried: set[tuple[int, Hashable]] = set()
    taken: list[tuple[_Node, Any]] = []
    node = head.next
    steps = 0
    while waiting:
        steps += 1
        if steps > steps_max:
            raise Undecided(f"{len(operations)} operations, {steps} steps")
        if node is None or node.is_return:
            # Every operation that could come first was tried: take the last one back.
            if not taken:
                return False
            node, state = taken.pop()
            taken_bits &= ~node.bit
            assert node.operation is not None
            if node.match is not None:
                node.match.relink()
                waiting += 1
            node.relink()
            node = node.next
            continue
        operation = node.operation
        assert operation is not None
        after, result = model.step(state, operation.call)
        known = operation.result is not UNKNOWN
        # Of an operation that is unknown and changes nothing, nothing can be seen.
        if result == operation.result if known else after != state:
            bits = taken_bits | node.bit
            if (bits, after) not in tried:
                tried.add((bits, after))
                taken.append((node, state))
                state, taken_bits = after, bits
                node.unlink()
                if node.match is not None:
                    node.match.unlink()
                    waiting -= 1
                node = head.next
                continue
        node = node.next
    return True


def _linked(operations: Sequence[Operation]) -> _Node:
    """Calls and returns in the order of time; calls first where moments are equal."""
    events: list[tuple[float, int, int, _Node]] = []
    for number, operation in enumerate(operations):
        call = _Node(operation, 1 << number, False)
        events.append((operation.called, 0, number, call))
        if operation.result is not UNKNOWN:
            call.match = _Node(operation, 1 << number, True)
            events.append((operation.returned, 1, number, call.match))
    head = last = _Node(None, 0, False)
    for *_, node in sorted(events, key=lambda event: event[:3]):
        last.next, node.back = node, last
        last = node
    return head


class Names:
    """One directory: names that are free or hold (kind, owner).

    Calls: create, mkdir (name, owner); delete, stat (name); rename (source, destination). Results
    are "ok", "absent", "exists"; mkdir and stat give the owner, stat None when the name is free.
    """

    initial: Hashable = ()

    def step(self, state: Any, call: tuple[Any, ...]) -> tuple[Hashable, Any]:
        """See `Model.step`."""
        names: dict[str, tuple[str, str]] = dict(state)
        verb, name = call[0], call[1]
        held = names.get(name)
        if verb == "stat":
            return state, None if held is None else held[1]
        if verb == "create":
            if held is not None:
                return state, "exists"
            names[name] = ("file", call[2])
            return tuple(sorted(names.items())), "ok"
        if verb == "mkdir":
            if held is not None:
                return state, held[1] if held[0] == "dir" else "exists"
            names[name] = ("dir", call[2])
            return tuple(sorted(names.items())), call[2]
        if held is None:
            return state, "absent"
        if verb == "rename":
            if call[2] == name:
                return state, "ok"
            if call[2] in names:
                return state, "exists"
            names[call[2]] = held
        del names[name]
        return tuple(sorted(names.items())), "ok"
