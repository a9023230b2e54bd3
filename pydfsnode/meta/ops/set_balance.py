"""Begin, change or stop to even out the chunkservers."""

from __future__ import annotations

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.administration import BALANCE, Mode
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree

PPM = 1_000_000
BYTES_PER_S_MAX = (1 << 63) - 1


class SetBalance(Op, frozen=True, array_like=True, tag=36):
    """`threshold_ppm`: how far from the mean share of used space a server may be; 0: stop."""

    threshold_ppm: int
    bytes_per_s: int = 0


def apply(tree: Tree, op: SetBalance) -> Done:
    """A balance that runs goes on with the new numbers.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: a number.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Balancing")
    if not 0 <= op.threshold_ppm <= PPM:
        raise InvalidArgument(f"a threshold of {op.threshold_ppm} ppm is not within 0 to {PPM}")
    if not op.threshold_ppm:
        tree.administration.set_mode(BALANCE, None)
        return Done()
    if not 0 < op.bytes_per_s <= BYTES_PER_S_MAX:
        raise InvalidArgument(f"{op.bytes_per_s} bytes/s: 1 or more are needed")
    before = tree.administration.mode(BALANCE)
    since_ms = tree.clock_ms if before is None else before.since_ms
    mode = Mode(since_ms, caller.user, op.threshold_ppm, op.bytes_per_s)
    tree.administration.set_mode(BALANCE, mode)
    return Done()
