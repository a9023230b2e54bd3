"""Asking a master who it is: before it is added, and among masters that begin a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydfsnode.config import Peer
from pydfsnode.errors import PydfsError
from pydfsnode.raft.configuration import member_id
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.methods import MASTER
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.security.tls import TlsStore

PATH = "/pydfs.v1.Raft/Hello"


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a master is. `members` are member ids, of a master that is `formed`.

    `masters` are the names with which it would begin a cluster; none: it waits to be added.
    """

    node_id: str
    incarnation: int
    formed: bool = False
    members: tuple[str, ...] = ()
    masters: tuple[str, ...] = ()

    @property
    def member(self) -> str:
        """Its member id."""
        return member_id(self.node_id, self.incarnation)


AskHello = Callable[[Peer], Awaitable[Hello]]


class HelloCaller:
    """Asks other masters, telling who this one is.

    Args:
        own: this master.
        tls: its certificate.
        health: of this node: is told what failed.
    """

    def __init__(self, own: Hello, tls: TlsStore, health: PeerHealth | None = None) -> None:
        self._own = own
        self._health = health or PeerHealth()
        self._tls = tls

    async def ask(self, peer: Peer) -> Hello:
        """Who is at *peer*; its certificate must be that of the master of this name.

        Always asks, whatever came of calls before: *peer* may have been started just now.

        Raises:
            PeerUnauthenticated: it is another one, or of another cluster.
            ClusterError: it does not answer.
        """
        # Not with the breaker of other channels: it may still be open from before *peer* started.
        channel = FramedChannel(peer.listen, self._tls, MASTER, peer.node_id, health=PeerHealth())
        own = self._own
        request = dfs_pb2.HelloRequest(
            node_id=own.node_id, incarnation=own.incarnation, masters=own.masters
        )
        try:
            answer = await channel.unary(PATH, request)
        except PydfsError as error:
            self._health.note(peer.node_id, error)
            raise
        finally:
            await channel.close()
        return Hello(
            answer.node_id,
            answer.incarnation,
            bool(answer.formed),
            tuple(answer.members),
            tuple(answer.masters),
        )
