"""Calls that are made at the same time go to a master in one message.

A lone call goes at once as it is. While others wait for an answer, what the same turn of the loop
asks is gathered and sent together at its end: no timer, no delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from pydfsnode import limits
from pydfsnode.client import wire_batch
from pydfsnode.client.routing import Channel, ChannelFor
from pydfsnode.client.wire_batch import BATCH
from pydfsnode.config import Peer
from pydfsnode.errors import MessageTooLarge, PydfsError
from pydfsnode.rpc.methods import METHODS

SERVICE = "/pydfs.v1.Namespace"
BATCHABLE = frozenset(
    path
    for path, method in METHODS.items()
    if method.service == "pydfs.v1.Namespace" and path not in (BATCH, f"{SERVICE}/Find")
)
"""Everything that a client asks of the namespace, but steps of searches: they take long."""
CALLS_MAX = 64
"""In one message. With more the two ends would wait for each other in turn: while one works on its
messages, the other should have some to work on too."""
BATCH_BYTES_MAX = limits.MIB
"""Of the requests in one message; the service takes more, for what stands around them."""
CALL_BYTES_MAX = 16 * limits.KIB
"""A larger request goes by itself."""


PEERS_MAX = 64


class BatchingChannels:
    """A `BatchingChannel` for each master.

    Args of the constructor:
        channel_for: gives the channel to a master.
    """

    def __init__(self, channel_for: ChannelFor, batchable: frozenset[str]) -> None:
        self._channel_for = channel_for
        self._batchable = batchable
        self._channels: dict[Peer, BatchingChannel] = {}

    def of(self, peer: Peer) -> BatchingChannel:
        """The one for *peer*."""
        known = self._channels.get(peer)
        if known is None:
            if len(self._channels) >= PEERS_MAX:
                self._channels.clear()  # masters that moved often; who waits goes on waiting
            known = self._channels[peer] = BatchingChannel(
                lambda: self._channel_for(peer), self._batchable
            )
        return known


class BatchingChannel:
    """A `Channel` that gathers calls of *batchable* methods for the channel below it.

    Args of the constructor:
        channel: gives the channel to the master, connected or not.
        batchable: paths of methods whose requests say all that the server needs.
    """

    def __init__(self, channel: Callable[[], Channel], batchable: frozenset[str]) -> None:
        self._channel = channel
        self._heads = {path: wire_batch.head(path) for path in batchable}
        self._under_way = 0
        self._gathered = _Gathered()
        self._sending: set[asyncio.Task[None]] = set()

    def ask(self, path: str, request: bytes, *, timeout_ms: int) -> Awaitable[bytes]:
        """One call, alone or with others; errors as the channel's own."""
        head = self._heads.get(path)
        if head is None:
            return self._channel().ask(path, request, timeout_ms=timeout_ms)
        if not self._under_way or len(request) > CALL_BYTES_MAX:
            return self._alone(path, request, timeout_ms)
        self._under_way += 1
        gathered = self._gathered
        if not gathered.paths:
            gathered.loop = asyncio.get_running_loop()  # asks the kernel for our pid
            gathered.timeout_ms = timeout_ms
            gathered.loop.call_soon(self._send_gathered)
        elif timeout_ms < gathered.timeout_ms:
            gathered.timeout_ms = timeout_ms
        answer: asyncio.Future[bytes] = gathered.loop.create_future()
        gathered.paths.append(path)
        gathered.heads.append(head)
        gathered.requests.append(request)
        gathered.answers.append(answer)
        return answer

    async def _alone(self, path: str, request: bytes, timeout_ms: int) -> bytes:
        self._under_way += 1
        try:
            return await self._channel().ask(path, request, timeout_ms=timeout_ms)
        finally:
            self._under_way -= 1

    def _send_gathered(self) -> None:
        gathered, self._gathered = self._gathered, _Gathered()
        first, count = 0, len(gathered.paths)
        while first < count:
            last = gathered.fitting(first)
            one = last - first == 1
            self._begin(
                self._send_one(gathered, first) if one else self._send(gathered, first, last)
            )
            first = last

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, gathered: _Gathered, first: int, last: int) -> None:
        """Send the calls [first, last) in one message, and settle them."""
        waiting = gathered.answers[first:last]
        try:
            request = wire_batch.request(gathered.heads, gathered.requests, first, last)
            response = await self._channel().ask(BATCH, request, timeout_ms=gathered.timeout_ms)
            responses, errors = wire_batch.answers(response, last - first)
        except PydfsError as failure:
            responses = []
            errors = {
                position: type(failure)(failure.message, **failure.fields)
                for position in range(last - first)
            }
        except BaseException:
            for answer in waiting:  # nobody else would end their wait
                answer.cancel()
            raise
        finally:
            self._under_way -= last - first
        for position, error in errors.items():
            if isinstance(error, MessageTooLarge):  # beside the others' answers
                self._under_way += 1
                self._begin(self._send_one(gathered, first + position))
            elif not waiting[position].done():
                waiting[position].set_exception(error)
        for position, response in enumerate(responses):
            # What is done has lost its caller.
            if position not in errors and not waiting[position].done():
                waiting[position].set_result(response)

    async def _send_one(self, gathered: _Gathered, position: int) -> None:
        """Send a call by itself: no other came with it, or its answer fits beside no other's."""
        waiting = gathered.answers[position]
        path, request = gathered.paths[position], gathered.requests[position]
        try:
            response = await self._channel().ask(path, request, timeout_ms=gathered.timeout_ms)
        except PydfsError as error:
            if not waiting.done():
                waiting.set_exception(error)
        except BaseException:
            waiting.cancel()
            raise
        else:
            if not waiting.done():
                waiting.set_result(response)
        finally:
            self._under_way -= 1


class _Gathered:
    """Calls for the same master: an entry of each list is of one call."""

    __slots__ = ("answers", "heads", "loop", "paths", "requests", "timeout_ms")

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.heads: list[bytes] = []
        self.requests: list[bytes] = []
        self.answers: list[asyncio.Future[bytes]] = []
        self.loop: asyncio.AbstractEventLoop
        self.timeout_ms = 0
        """Of the one that has least."""

    def fitting(self, first: int) -> int:
        """The end of the calls from *first* on that fit one message."""
        size = 0
        last = min(first + CALLS_MAX, len(self.requests))
        for position in range(first, last):
            size += len(self.requests[position])
            if size > BATCH_BYTES_MAX:
                return position
        return last
