"""Raft messages between masters: one long-lived stream per peer and lane, never waited for.

Votes, heartbeats and acknowledgements ride in the urgent lane, entries in the bulk lane, each on
its own connection, so that the first never queue behind the second. Raft tolerates loss: a full
queue drops, a broken stream is opened again after a pause.

Peers are named by member id ("m1#5f3a9c01") and come and go while the node runs. A stream begins
with a greeting: who sends, where it listens, and whom it means. So a new member can answer a leader
of whom it knows nothing yet, and a master that lost its disk gets nothing that was meant for the
member it was (trap E6). Messages count for their sender only when its node's certificate sent them;
which senders matter is for the core to decide.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from pydfsnode import limits
from pydfsnode.config import is_address
from pydfsnode.errors import MalformedMessage, PermissionDenied, PydfsError, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.raft.configuration import member_name
from pydfsnode.raft.messages import Append, Message, decode_message, encode_message
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import MASTER
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.server import ServerStream, log_failure
from pydfsnode.runtime.retry import MASTER_TO_MASTER, Backoff
from pydfsnode.security.identity import Identity
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
REMOVED_GRACE_MS = 10_000
"""How long a removed member is still sent to: it should hear that its removal is committed."""
PEERS_MAX = 64
"""Masters with lanes, and masters of whom a greeting is remembered."""
_SIZE = struct.Struct("<I")
_GREETING_MAGIC = b"\xff\xff\xff\xffpydfsR1"  # as a size it is larger than any frame

Deliver = Callable[[Message], None]


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """What begins a stream. `sender`, `to` are member ids; `listen` is where `sender` is reached.

    Fields are only ever added, at the end and with a default.
    """

    sender: str
    listen: str
    to: str

    def encode(self) -> bytes:
        """As the data of the stream's first packet."""
        return _GREETING_MAGIC + _encoder.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Greeting | None:
        """Undo `encode`; None when *data* is no greeting: an older version sends messages at once.

        Raises:
            MalformedMessage: it begins as a greeting and is none.
        """
        if not data.startswith(_GREETING_MAGIC):
            return None
        try:
            return msgspec.msgpack.decode(data[len(_GREETING_MAGIC) :], type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedMessage(f"the greeting of a raft stream: {error}") from None


_encoder = msgspec.msgpack.Encoder()


class RaftTransport:
    """Sends to and receives from the other masters.

    Args:
        self_id: this master's member id.
        peers: member id to framed "host:port" of the members; this one's is left out.
        tls: this master's certificate.
        deliver: is given every message that arrives, on the loop's thread.
        listen: "host:port" at which the others reach this master; "" when they know.
        health: shared with the other channels of this node.
    """

    def __init__(
        self, self_id: str, peers: Mapping[str, str], tls: TlsStore, deliver: Deliver,
        listen: str = "", health: PeerHealth | None = None,
    ) -> None:  # fmt: skip
        self.self_id = self_id
        self._health = health or PeerHealth()
        self._listen = listen
        self._tls = tls
        self._deliver = deliver
        self._peers: dict[str, str] = {}
        self._greeted: dict[str, str] = {}
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._retiring: dict[str, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._running = False
        self._received: Callable[[float], None] = metrics().counter("raft_messages_total", "in").inc
        self.set_members(peers)

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        self._running = True
        for lane in self._lanes.values():
            lane.start()

    async def stop(self) -> None:
        """End all streams; what is queued is dropped."""
        self._running = False
        for timer in self._retiring.values():
            timer.cancel()
        self._retiring.clear()
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()), *self._ending)

    def set_members(self, addresses: Mapping[str, str]) -> None:
        """Take *addresses* (member id to "host:port") as the members from now on.

        Lanes to new ones open at once; those to who is no longer a member end after a grace.
        """
        self._peers = {m: a for m, a in addresses.items() if m != self.self_id and is_address(a)}
        for member in self._peers:
            timer = self._retiring.pop(member, None)
            if timer is not None:
                timer.cancel()
            self._open_lanes(member)
        for member in {member for member, _ in self._lanes} - self._peers.keys():
            if member not in self._retiring:
                self._retire_later(member)

    def address_of(self, member: str) -> str:
        """Where *member* is reached, by the configuration or its own greeting; "" if unknown."""
        return self._peers.get(member) or self._greeted.get(member, "")

    def send(self, to: str, message: Message) -> None:
        """Queue *message* for the member *to*. Never waits, may drop."""
        lane = BULK if isinstance(message, Append) and message.count else URGENT
        found = self._lanes.get((to, lane))
        if found is None:
            if not self._open_lanes(to):
                return
            found = self._lanes[to, lane]
        found.put(message)

    def _open_lanes(self, member: str) -> bool:
        """Make the lanes to *member*, anew when its address changed; False when it is unknown."""
        address = self.address_of(member)
        present = self._lanes.get((member, URGENT))
        if not address or member == self.self_id:
            return present is not None
        if present is not None and present.address == address:
            return True
        if present is None and len(self._lanes) >= 2 * PEERS_MAX:
            return False
        self._end_lanes(member)
        for name in (URGENT, BULK):
            channel = FramedChannel(
                address, self._tls, MASTER, member_name(member), health=self._health
            )
            greeting = Greeting(self.self_id, self._listen, member)
            lane = self._lanes[member, name] = _Lane(member, name, channel, greeting)
            if self._running:
                lane.start()
        return True

    def _end_lanes(self, member: str) -> None:
        for name in (URGENT, BULK):
            lane = self._lanes.pop((member, name), None)
            if lane is not None:
                task = asyncio.get_running_loop().create_task(lane.stop())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                task.add_done_callback(log_failure)

    def _retire_later(self, member: str) -> None:
        def retire() -> None:
            self._retiring.pop(member, None)
            self._end_lanes(member)

        loop = asyncio.get_running_loop()
        self._retiring[member] = loop.call_later(REMOVED_GRACE_MS / 1000, retire)

    async def handler(self, first: Any, context: CallContext, stream: ServerStream) -> None:
        """Serves Raft.Stream: delivers what a peer sends, until it ends the stream.

        Raises:
            PermissionDenied: the caller speaks in another's name, or means another member.
            MalformedMessage: a frame does not hold messages.
        """
        identity = context.identity
        payload: Any = first.data
        greeting = Greeting.decode(payload)
        if greeting is not None:
            self._take_greeting(greeting, identity)
            payload = b""
        name = identity.name
        while payload is not None:
            for message in parse_messages(payload):
                if member_name(message.sender) != name:
                    raise _in_anothers_name(identity, message.sender)
                self._received(1)
                self._deliver(message)
            payload = await stream.receive()

    def _take_greeting(self, greeting: Greeting, identity: Identity) -> None:
        if member_name(greeting.sender) != identity.name:
            raise _in_anothers_name(identity, greeting.sender)
        if greeting.to != self.self_id:
            raise PermissionDenied(
                f"this master is {self.self_id}, not {greeting.to[:80]}: its data directory is "
                "another one; 'pydfsnode cluster remove-master' the old one, then add this one"
            )
        if not is_address(greeting.listen):
            return
        self._greeted.pop(greeting.sender, None)
        self._greeted[greeting.sender] = greeting.listen
        while len(self._greeted) > PEERS_MAX:
            del self._greeted[next(iter(self._greeted))]


def _in_anothers_name(identity: Identity, sender: str) -> PermissionDenied:
    _log.warning("message in another's name", identity=identity.uri, sender=sender[:80])
    return PermissionDenied(f"{identity} sent a message of '{sender[:64]}'")


class _Lane:
    """One queue to one peer and the task that empties it."""

    def __init__(self, member: str, name: str, channel: FramedChannel, greeting: Greeting) -> None:
        self.member = member
        self.name = name
        self.address = channel.address
        self._channel = channel
        self._greeting = greeting.encode()
        self._greets = True
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._connected = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._dropped = metrics().counter("raft_messages_dropped_total", name).inc
        self._sent: Callable[[float], None] = metrics().counter("raft_messages_total", "out").inc

    def start(self) -> None:
        """Begin to connect; nothing when it has begun."""
        if self._task is not None:
            return
        self._task = asyncio.get_running_loop().create_task(
            self._run(), name=f"raft {self.member} {self.name}"
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
        backoff = MASTER_TO_MASTER.backoff(random.random)
        told = ""
        while True:
            try:
                await self._pump(backoff)
            except PydfsError as error:
                # A master of an older version takes a greeting for a broken message.
                self._greets = not (self._greets and isinstance(error, MalformedMessage))
                if error.message != told:
                    told = error.message
                    _log.info("no stream to a master", to=self.member, lane=self.name, why=told)
            finally:
                self._connected = False
                self._clear()
            await asyncio.sleep(backoff.next_ms() / 1000)

    async def _pump(self, backoff: Backoff) -> None:
        """Open a stream and send what is queued until it ends."""
        opening = dfs_pb2.RaftPacket(data=self._greeting if self._greets else b"")
        async with self._channel.stream(PATH, opening) as stream:
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
                raise Unavailable(f"{self.member} ended the stream")
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
