"""The Raft service beside its streams: who this master is."""

from __future__ import annotations

from collections.abc import Callable

from pydfsnode.raft.configuration import Configuration
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.raft_hello import PATH, Hello
from pydfsnode.rpc.server import Handlers


class RaftService:
    """Hello: answered by every master at any time, before it is a member too.

    Args of the constructor:
        own: this master as it would begin a cluster.
        configuration: the members as of now; none while it is not one.
    """

    def __init__(self, own: Hello, configuration: Callable[[], Configuration]) -> None:
        self._own = own
        self._configuration = configuration

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {PATH: self.hello}

    async def hello(self, request: pb.HelloRequest, call: CallContext) -> pb.HelloResponse:
        """Who this master is, and of which cluster."""
        members = self._configuration().members
        own = self._own
        return pb.HelloResponse(
            node_id=own.node_id,
            incarnation=own.incarnation,
            formed=bool(members),
            members=members,
            masters=() if members else own.masters,
        )
