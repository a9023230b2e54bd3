"""Calls that are made at the same time go to a master in one message.

A lone call goes at once as it is. While others wait for an answer, what the same turn of the loop
asks is gathered and sent together at its end: no timer, no delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydfsnode import limits
from pydfsnode.client import wire_batch
from pydfsnode.client.routing import Channel, ChannelFor
from pydfsnode.config import Peer
from pydfsnode.errors import MessageTooLarge, PydfsError
from pydfsnode.rpc.methods import METHODS

SERVICE = "/pydfs.v1.Namespace"
BATCH = f"{SERVICE}/Batch"
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


class _Call:
    """One call on its way: its encoded request, and who waits for its answer."""

    __slots__ = ("answer", "path", "request", "timeout_ms")

    def __init__(
        self, path: str, request: bytes, timeout_ms: int, answer: asyncio.Future[Any]
    ) -> None:
        self.path = path
        self.request = request
        self.timeout_ms = timeout_ms
        self.answer = answer


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
        self._batchable = batchable
        self._under_way = 0
        self._gathered: list[_Call] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """One call, alone or with others; errors as the channel's own."""
        if path not in self._batchable:
            return await self._channel().unary(path, request, timeout_ms=timeout_ms)
        self._under_way += 1
        try:
            if self._under_way > 1:
                encoded = request.SerializeToString()
                if len(encoded) <= CALL_BYTES_MAX:
                    try:
                        return await self._gather(path, encoded, timeout_ms)
                    except MessageTooLarge:
                        pass  # its answer would not fit beside the others'
            return await self._channel().unary(path, request, timeout_ms=timeout_ms)
        finally:
            self._under_way -= 1

    def _gather(self, path: str, encoded: bytes, timeout_ms: int) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        if not self._gathered:
            loop.call_soon(self._send_gathered)
        self._gathered.append(_Call(path, encoded, timeout_ms, answer))
        return answer

    def _send_gathered(self) -> None:
        calls, self._gathered = self._gathered, []
        while calls:
            count = _fitting(calls)
            task = asyncio.ensure_future(self._send(calls[:count]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            calls = calls[count:]

    async def _send(self, calls: list[_Call]) -> None:
        timeout_ms = min(call.timeout_ms for call in calls)
        request = wire_batch.request([(call.path, call.request) for call in calls])
        try:
            response = await self._channel().unary(BATCH, request, timeout_ms=timeout_ms)
            answers = wire_batch.answers([call.path for call in calls], response)
        except PydfsError as error:
            answers = [type(error)(error.message, **error.fields) for _ in calls]
        except BaseException:
            for call in calls:  # nobody else would end their wait
                call.answer.cancel()
            raise
        for call, answer in zip(calls, answers, strict=True):
            _settle(call.answer, answer)


def _settle(waiting: asyncio.Future[Any], answer: Any) -> None:
    if waiting.done():
        return  # its caller has gone
    if isinstance(answer, PydfsError):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)


def _fitting(calls: list[_Call]) -> int:
    size = 0
    for count, call in enumerate(calls[:CALLS_MAX]):
        size += len(call.request)
        if size > BATCH_BYTES_MAX:
            return count
    return min(len(calls), CALLS_MAX)
