"""Several calls of the Namespace service in one message: one frame, one wait, one answer.

What callers ask at the same time enters the same group of the log anyway; this saves what each
call by itself costs on the way in and out (docs/adr/0007). The commonest calls go a way of their
own (`quick`), all others that of their handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydfsnode import limits
from pydfsnode._fast import batch_response
from pydfsnode.errors import InvalidArgument
from pydfsnode.roles.master.service.batch_items import BatchItems, BatchWay, Known
from pydfsnode.roles.master.service.conversions import Encoded
from pydfsnode.roles.master.service.quick import Quick
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import may_call
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.server import Handlers


class Batching:
    """Answers `Batch` with the handlers of the other methods.

    Args of the constructor:
        handlers: path to unary handler; what is missing cannot be batched.
        quick: faster ways of some of them.
        way: what all items share.
    """

    def __init__(self, handlers: Handlers, quick: Quick, way: BatchWay) -> None:
        self._handlers = handlers
        self._quick = quick
        self._way = way
        self._known: dict[str, Mapping[str, Known]] = {}  # by the role of the caller

    async def batch(self, request: pb.BatchRequest, call: CallContext) -> pb.BatchResponse:
        """Run every item as if it had been called by itself; each has its own answer or error.

        Raises:
            InvalidArgument: too many items.
            Unavailable: they could not be recorded, and must be.
        """
        count = len(request.items)
        if count > limits.BATCH_ITEMS_MAX:
            raise InvalidArgument(f"a batch of {count} calls: at most {limits.BATCH_ITEMS_MAX}")
        auditing = self._way.auditing
        if auditing is not None:
            auditing.admit()
        known = self._known_to(call.identity.role)
        items = BatchItems(count, call, known, self._way)
        try:
            await items.begin(request.items)
            await items.finish()
        finally:
            items.close()
            if auditing is not None:
                auditing.batch(request.items, items.outcomes, call)
        encoded = batch_response(items.responses, items.errors)
        return cast(pb.BatchResponse, Encoded(pb.BatchResponse, encoded))

    def _known_to(self, role: str) -> Mapping[str, Known]:
        found = self._known.get(role)
        if found is None:
            changes, reads = self._quick.changes, self._quick.reads
            found = self._known[role] = {
                (name := path.rpartition("/")[2]): Known(
                    changes.get(name), reads.get(name), rpc_of(path).parse_request, handler
                )
                for path, handler in self._handlers.items()
                if may_call(path, role)
            }
        return found
