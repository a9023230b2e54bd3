"""Raft messages between masters: one long-lived stream per peer and lane, never waited for.

Votes, heartbeats and acknowledgements ride in the urgent lane, entries in the bulk lane, each on
its own connection, so that the first never queue behind the second. Raft tolerates loss: a full
queue drops, a broken stream is opened again after a pause.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydfsnode import limits
from pydfsnode.errors import MalformedMessage, PermissionDenied, PydfsError, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.raft.messages import Append, Message, decode_message, encode_message
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import MASTER
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.server import ServerStream, log_failure
from pydfsnode.runtime.retry import Backoff
from pydfsnode.security.tls import TlsStore

_log = get_logger("rpc.raft")

PATH = "/pydfs.v1.Raft/Stream"
URGENT, BULK = "urgent", "bulk"
QUEUE_BYTES_MAX = 2 * limits.INFLIGHT_BYTES_MAX  # limits.py candidate
"""Entries queued in one lane; more than the leader may have in flight is an old view's."""
DISCONNECTED_MESSAGES_MAX = 64
"""Of the urgent lane kept while there is no connection: the newest, older ones say nothing new."""
COALESCE_BYTES = limits.APPEND_BYTES_MAX
MESSAGE_HEAD_BYTES_MAX = 1024
"""More than an encoded message has beside its entries."""
RECONNECT_MS, RECONNECT_MS_MAX = 50, 1_000
_SIZE = struct.Struct("<I")

Deliver = Callable[[Message], None]


class RaftTransport:
    """Sends to and receives from the other masters.

    Args:
        self_id: this master.
        peers: node id to framed "host:port" of the other masters.
        tls: this master's certificate.
        deliver: is given every message that arrives, on the loop's thread.
    """

    def __init__(
        self, self_id: str, peers: Mapping[str, str], tls: TlsStore, deliver: Deliver
    ) -> None:
        self.self_id = self_id
        self._peers = dict(peers)
        self._deliver = deliver
        self._lanes = {
            (node_id, lane): _Lane(node_id, lane, FramedChannel(address, tls, MASTER, node_id))
            for node_id, address in peers.items()
            for lane in (URGENT, BULK)
        }
        self._received: Callable[[float], None] = metrics().counter("raft_messages_total", "in").inc

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        for lane in self._lanes.values():
            lane.start()

    async def stop(self) -> None:
        """End all streams; what is queued is dropped."""
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))

    def send(self, to: str, message: Message) -> None:
        """Queue *message* for the master *to*. Never waits, may drop."""
        lane = BULK if isinstance(message, Append) and message.count else URGENT
        found = self._lanes.get((to, lane))
        if found is not None:
            found.put(message)

    async def handler(self, first: Any, context: CallContext, stream: ServerStream) -> None:
        """Serves Raft.Stream: delivers what a peer sends, until it ends the stream.

        Raises:
            PermissionDenied: the caller is none of the masters, or speaks in another's name.
            MalformedMessage: a frame does not hold messages.
        """
        name = context.identity.name
        if name not in self._peers:
            raise PermissionDenied(f"{context.identity} is none of this cluster's other masters")
        payload: Any = first.data
        while payload is not None:
            for message in parse_messages(payload):
                if message.sender != name:
                    _log.warning(
                        "message in another's name", identity=context.identity.uri,
                        sender=message.sender,
                    )  # fmt: skip
                    raise PermissionDenied(
                        f"{context.identity} sent a message of '{message.sender[:64]}'"
                    )
                self._received(1)
                self._deliver(message)
            payload = await stream.receive()


class _Lane:
    """One queue to one peer and the task that empties it."""

    def __init__(self, node_id: str, name: str, channel: FramedChannel) -> None:
        self.node_id = node_id
        self.name = name
        self._channel = channel
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._connected = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._dropped = metrics().counter("raft_messages_dropped_total", name).inc
        self._sent: Callable[[float], None] = metrics().counter("raft_messages_total", "out").inc

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"raft {self.node_id} {self.name}"
        )
        self._task.add_done_callback(log_failure)

    async def stop(self) -> None:
        """End the stream and the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._channel.close()

    def put(self, message: Message) -> None:
        """Queue *message*, or drop one when there is no room."""
        queue = self._queue
        if not self._connected:
            if self.name == BULK:
                self._dropped()
                return
            while len(queue) >= DISCONNECTED_MESSAGES_MAX:
                self._queued_bytes -= _size(queue.popleft())
                self._dropped()
        size = _size(message)
        if (
            len(queue) >= limits.RAFT_QUEUE_MESSAGES_MAX
            or self._queued_bytes + size > QUEUE_BYTES_MAX
        ):
            self._dropped()
            return
        queue.append(message)
        self._queued_bytes += size
        self._wake()

    def _wake(self, _: object = None) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _run(self) -> None:
        """Keep a stream open for as long as this node runs."""
        backoff = Backoff(RECONNECT_MS, RECONNECT_MS_MAX, random.random)
        told = ""
        while True:
            try:
                await self._pump(backoff)
            except PydfsError as error:
                if error.message != told:
                    told = error.message
                    _log.info("no stream to a master", to=self.node_id, lane=self.name, why=told)
            finally:
                self._connected = False
                self._clear()
            await asyncio.sleep(backoff.next_ms() / 1000)

    async def _pump(self, backoff: Backoff) -> None:
        """Open a stream and send what is queued until it ends."""
        async with self._channel.stream(PATH, dfs_pb2.RaftPacket()) as stream:
            # The peer sends nothing; this tells when it ends the call.
            ended = asyncio.ensure_future(stream.receive())
            ended.add_done_callback(self._wake)
            self._connected = True
            try:
                while not ended.done():
                    while self._queue:
                        await stream.send(self._next_frame())
                        backoff.reset()
                    self._waiter = asyncio.get_running_loop().create_future()
                    if not ended.done():
                        await self._waiter
                ended.result()
                raise Unavailable(f"{self.node_id} ended the stream")
            finally:
                ended.cancel()
                await asyncio.gather(ended, return_exceptions=True)

    def _next_frame(self) -> list[bytes]:
        """The next queued messages, as many as one frame should hold, each after its size."""
        pieces: list[bytes] = []
        total = count = 0
        while self._queue and total < COALESCE_BYTES:
            size = _size(self._queue[0])
            if pieces and total + size + MESSAGE_HEAD_BYTES_MAX > limits.FRAME_BYTES_MAX:
                break
            self._queued_bytes -= size
            encoded = encode_message(self._queue.popleft())
            pieces += (_SIZE.pack(len(encoded)), encoded)
            total += len(encoded) + _SIZE.size
            count += 1
        self._sent(count)
        return pieces

    def _clear(self) -> None:
        """What was queued for the stream that ended is old news."""
        for _ in self._queue:
            self._dropped()
        self._queue.clear()
        self._queued_bytes = 0


def _size(message: Message) -> int:
    return len(message.entries) if isinstance(message, Append) else 0


def parse_messages(payload: bytes | memoryview) -> Iterator[Message]:
    """The messages in one frame: each a u32 little-endian size and its bytes.

    Raises:
        MalformedMessage: the sizes do not add up, or one is not a message.
    """
    view = memoryview(payload)
    position, end = 0, len(view)
    while position < end:
        start = position + _SIZE.size
        size = _SIZE.unpack_from(view, position)[0] if start <= end else end
        if start + size > end:
            raise MalformedMessage(f"raft frame of {end} bytes is cut at {position}")
        yield decode_message(view[start : start + size])
        position = start + size
