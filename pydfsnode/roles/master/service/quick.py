"""Quick ways for the calls that batches are full of: plain functions, straight from bytes.

What they do not know - a field more, another form - is None: then the handler of the method answers
as ever, and both answer alike (tests/unit/roles/master/test_quick.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydfsnode._fast import OpCoder
from pydfsnode.errors import invariant
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.ops import OPS, Op
from pydfsnode.meta.results import Result
from pydfsnode.meta.state import Namespace

Encode = Callable[[bytes, int, str], tuple[int, bytes] | None]
"""(request, at_ms, user) to (client id, payload of the log entry); see `_fast.OpCoder`."""
WEIGHT_MAX = 8
"""Of what may be done between two looks at the clock: 8 short steps or one that is not short."""


def encoder(kind: type[Op], *fields: tuple[int, str, int]) -> Encode:
    """Encodes operations of *kind*; *fields* as in `OpCoder`, one for each of the operation's."""
    (tag,) = (tag for tag, known in OPS.items() if known is kind)
    own = kind.__struct_fields__[len(Op.__struct_fields__) :]
    invariant(len(own) == len(fields), f"{kind.__name__} has the fields {own}, not {fields}")
    return OpCoder(tag, fields).encode


class QuickChange(NamedTuple):
    """A change whose request says all that its operation does; `answer` encodes the response.

    Its results are of the type `result`.
    """

    encode: Encode
    result: type[Result]
    answer: Callable[[Any], bytes]


class QuickRead(NamedTuple):
    """A plain linearizable read: `answer` encodes the response to what `parse` understood."""

    parse: Callable[[bytes], Any]
    answer: Callable[[Namespace, Any, Caller], bytes]
    weight: int = 1


@dataclass(frozen=True)
class Quick:
    """What there is, by the name of the method."""

    changes: Mapping[str, QuickChange] = field(default_factory=dict)
    reads: Mapping[str, QuickRead] = field(default_factory=dict)

    @staticmethod
    def joined(parts: Iterable[Quick]) -> Quick:
        """All of *parts* together."""
        changes: dict[str, QuickChange] = {}
        reads: dict[str, QuickRead] = {}
        for part in parts:
            changes.update(part.changes)
            reads.update(part.reads)
        return Quick(changes, reads)
