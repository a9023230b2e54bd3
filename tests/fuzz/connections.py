"""Whole connections: what a peer sends to a server, and a server to its client, after TLS."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from pydfsnode import errors
from pydfsnode._fast import frame_head, request_frame, response_frame
from pydfsnode.rpc import framing
from pydfsnode.rpc.client_connection import ClientConnection
from pydfsnode.rpc.framed_connection import FramedConnection
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.pb import ttrpc_pb2
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.server_connection import ServerConnection
from pydfsnode.rpc.status import ERROR_INFO_URL, status_of
from tests.fuzz.certificates import CLUSTER, node_tls
from tests.fuzz.decoder import Decoder

STAT, STREAM = "/pydfs.v1.Namespace/Stat", "/pydfs.v1.Raft/Stream"
TURNS = 12
"""Of the event loop, in which everything that can happen has happened."""


class _Transport:
    """Takes what is written; hands itself out as the TLS object of a peer of one role."""

    def __init__(self, role: str) -> None:
        self._role = role
        self.closing = False

    def get_extra_info(self, name: str) -> object:
        return {"peername": ("h", 1), "ssl_object": self}.get(name)

    def getpeercert(self) -> dict[str, object]:
        uri = f"spiffe://{CLUSTER}/{self._role}/m2"
        return {"subjectAltName": (("URI", uri),)}

    def get_unverified_chain(self) -> list[bytes]:
        return []

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def set_write_buffer_limits(self, **_: int) -> None: ...
    def write(self, data: object) -> None: ...
    def writelines(self, data: object) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def _stat(request: Any, _: object) -> Any:
    await asyncio.sleep(0)
    return pb.StatResponse(status=pb.FileStatus(path=request.path))


async def _echo(_: object, __: object, stream: Any) -> None:
    while (data := await stream.receive()) is not None:
        await stream.send(data)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _server() -> FramedServer:
    async def made() -> FramedServer:
        return FramedServer({STAT: _stat, STREAM: _echo}, node_tls(), "master")

    return _loop().run_until_complete(made())


def _after(
    given: bytes, role: str, made: Callable[[asyncio.AbstractEventLoop], FramedConnection]
) -> object:
    """Feed *given* to a connection, end it, and see that nothing of it is left.

    Raises:
        ExceptionGroup: what the event loop was told of.
    """
    loop, told = _loop(), list[Exception]()

    def note(_: object, context: dict[str, Any]) -> None:
        told.append(context.get("exception") or RuntimeError(context["message"]))

    async def run() -> None:
        connection = made(loop)
        connection.connection_made(_Transport(role))
        rest = memoryview(given)
        while rest and not connection.closed:
            room = connection.get_buffer(len(rest))
            size = min(len(room), len(rest), 4096)
            room[:size] = rest[:size]
            rest = rest[size:]
            connection.buffer_updated(size)
            await asyncio.sleep(0)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        connection.eof_received()
        connection.connection_lost(None)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert not connection.streams, "streams outlive their connection"
        assert asyncio.all_tasks() == {asyncio.current_task()}, "calls outlive their connection"

    loop.set_exception_handler(note)
    loop.run_until_complete(run())
    if told:
        raise ExceptionGroup("told to the event loop", told)
    return "served"


def _at_server(role: str) -> Callable[[bytes], object]:
    server = _server()
    return lambda given: _after(given, role, lambda loop: ServerConnection(server, loop))


def _frame(stream_id: int, kind: int, flags: int, payload: bytes) -> bytes:
    return frame_head(len(payload), stream_id, kind, flags) + payload


def _opening() -> bytes:
    service, method = framing.WIRE_PING
    known = ttrpc_pb2.KeyValue(key=framing.FLOW_KEY, value=framing.FLOW_VERSION)
    request = ttrpc_pb2.Request(service=service, method=method, metadata=[known])
    return _frame(1, framing.REQUEST, 0, request.SerializeToString())


def _session() -> bytes:
    """Calls of every kind, one that is cancelled, and credit."""
    tag = b"0123456789abcdef"
    stat = pb.StatRequest(path="/a").SerializeToString()
    first = pb.RaftPacket(data=b"first").SerializeToString()
    data, more = framing.DATA, framing.REMOTE_OPEN
    return b"".join((
        _opening(),
        request_frame(3, 0, rpc_of(STAT).head, stat, 10**9, tag, b""),
        request_frame(5, more, rpc_of(STREAM).head, first, 0, tag, b""),
        _frame(5, data, 0, b"raw bytes"),
        request_frame(7, more, rpc_of(STREAM).head, first, 0, tag, b""),
        _frame(0, data, 0, framing.control_record(framing.CANCEL, 7, 0)),
        _frame(5, data, framing.REMOTE_CLOSED, b"last"),
    ))  # fmt: skip


# ---------------------------------------------------------------- a client's end


def _client(loop: asyncio.AbstractEventLoop) -> FramedConnection:
    return _Calling(loop, node_tls(), "h:1", "master", None, [])


class _Calling(ClientConnection):
    """Makes two calls at once; nobody waits for them."""

    def opened(self) -> None:
        super().opened()
        self.flow = True
        call = self.open_unary(rpc_of(STAT), b"", math.inf, "", "")
        call.future.add_done_callback(lambda future: future.exception())
        self.open_stream(rpc_of(STREAM), b"", math.inf, "", "")


def _answers() -> bytes:
    stat = pb.StatResponse(status=pb.FileStatus(path="/a")).SerializeToString()
    refused = status_of(errors.NotLeader("ask m2", leader_hint="m2=h:1"))
    details = [ttrpc_pb2.Any(type_url=ERROR_INFO_URL, value=refused.error_info)]
    failure = ttrpc_pb2.Response(
        status=ttrpc_pb2.Status(code=refused.code, message=refused.message, details=details)
    )
    return b"".join((
        _frame(0, framing.DATA, 0, framing.control_record(framing.HELLO, 0, 1)),
        _frame(1, framing.RESPONSE, 0, b""),
        _frame(5, framing.DATA, 0, b"raw bytes"),
        response_frame(3, stat),
        _frame(5, framing.RESPONSE, 0, failure.SerializeToString()),
        _frame(0, framing.DATA, 0, framing.control_record(framing.GOAWAY, 0, 0)),
        _frame(0, framing.DATA, 0, framing.control_record(framing.CLOSE, 0, 3001)),
    ))  # fmt: skip


CONNECTIONS = [
    Decoder("connections of a master", _at_server("master"), _session()),
    Decoder("connections of a user", _at_server("user"), _session()),
    Decoder("connections to a server", lambda given: _after(given, "master", _client), _answers()),
]
