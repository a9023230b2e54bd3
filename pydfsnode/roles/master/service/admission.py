"""What a mutation needs before it is proposed: the op id, the time stamp and who asks."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops import AnyOp
from pydfsnode.meta.results import Result
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb

R = TypeVar("R", bound=Result)
Head = tuple[int, int, int, int, str]
"""The first fields of every operation; see `meta.ops.base.Op`."""


class Admission:
    """The way of the handlers that change something."""

    def __init__(self, consensus: Consensus, callers: Callers) -> None:
        self._consensus = consensus
        self._callers = callers

    def head(self, op: pb.OpId, call: CallContext) -> Head:
        """The head of the operation that *call* asks for.

        Raises:
            InvalidArgument: no op id.
        """
        client_id, seq = op.client_id, op.seq
        if client_id == 0 or seq == 0:
            raise InvalidArgument(
                "a mutation needs an op id: client_id (random, not 0) and seq (1, 2, 3, ...)"
            )
        user = self._callers.of(call.identity).text
        return client_id, seq, op.first_unacked, self._consensus.wall_ms(), user

    def propose(self, op: AnyOp, result: type[R]) -> Awaitable[R]:
        """See Consensus.propose."""
        return self._consensus.propose(op, result)
