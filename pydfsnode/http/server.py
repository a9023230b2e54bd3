"""The HTTPS listener: `/health` and `/ready` for everyone, metrics and state for the cluster.

Requests only read, but for `POST /join` at a master, by which a new node gets its certificate.
aiohttp is imported when the server starts.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from pydfsnode import limits
from pydfsnode.config import split_address
from pydfsnode.errors import (
    ConfigError,
    DomainError,
    PeerUnauthenticated,
    PortInUse,
    PydfsError,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import CONTENT_TYPE, metrics, render
from pydfsnode.security.refusals import refusal_reason
from pydfsnode.security.tls import TlsStore, peer_chain

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, Response, Server
    from aiohttp.web_protocol import RequestHandler

HTTPS_CONNECTIONS_MAX = 256  # limits.py candidate
SILENCE_S_MAX = 15.0  # limits.py candidate: a connection that asks nothing for this long is cut
BODY_BYTES_MAX = 16 * 1024
KEEPALIVE_S = 30.0  # also how long a connection can outlive a reload of certificates
REFUSALS_LOGGED_PER_S = 10  # all are counted; strangers must not fill the disk through the log
_log = get_logger("http.server")


class HttpsServer:
    """Answers GET and HEAD on one address; see the module for who may ask what.

    Args:
        address: "host:port".
        health: what `/health` answers, always with 200 while the process runs.
        ready: (whether this node does its work, details) of `/ready`: 200 or 503.
        pages: path -> content; bytes go out as text, everything else as JSON. `/metrics` is added.
        strangers: "METHOD path" -> handler of the request's body, for whom no certificate is
            needed yet.
    """

    def __init__(
        self,
        address: str,
        tls: TlsStore,
        health: Callable[[], Mapping[str, object]],
        ready: Callable[[], tuple[bool, Mapping[str, object]]],
        pages: Mapping[str, Callable[[], object]],
        strangers: Mapping[str, Callable[[bytes], Awaitable[object]]] | None = None,
    ) -> None:
        self._strangers = strangers or {}
        self.on_refusal: Callable[[str, str, str], None] | None = None
        """Told of each refused peer: from where, why in a word and in a sentence."""
        self.address = address
        self._tls = tls
        self._health = health
        self._ready = ready
        self._pages: dict[str, Callable[[], object]] = {"/metrics": render, **pages}
        self._http: Server | None = None
        self._listener: asyncio.Server | None = None
        self._silent: set[RequestHandler] = set()
        self._refusals_window = (0.0, 0)  # (start of the second, refusals logged in it)

    async def start(self) -> None:
        """Listen.

        Raises:
            PortInUse: another process has the port.
            ConfigError: the address is malformed, or not one of this machine's.
        """
        from aiohttp.web import Server

        host, port = split_address(self.address)
        self._http = Server(self._handle, access_log=None, keepalive_timeout=KEEPALIVE_S)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._accept,
                host,
                port,
                ssl=self._tls.https_context(),
                ssl_handshake_timeout=limits.HANDSHAKE_MS_MAX / 1000,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"{self.address}: the port of http_listen is in use by another process: "
                    "stop it or choose another port"
                ) from None
            raise ConfigError(
                f"{self.address}: http_listen cannot be used here: {error.strerror or error}"
            ) from None

    async def stop(self) -> None:
        """Close the listener and every connection; nothing to do when not started."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
            self._listener = None
        if self._http is not None:
            await self._http.shutdown(timeout=1.0)
            self._http = None
        self._silent.clear()

    def _accept(self) -> asyncio.Protocol:
        http = self._http
        if http is None or len(http.connections) >= HTTPS_CONNECTIONS_MAX:
            metrics().counter("rpc_refused_peers_total", "too_many", "https").inc()
            return _Refused()
        connection = http()
        self._silent.add(connection)
        asyncio.get_running_loop().call_later(SILENCE_S_MAX, self._cut_if_silent, connection)
        return connection

    def _cut_if_silent(self, connection: RequestHandler) -> None:
        if connection in self._silent:
            self._silent.discard(connection)
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: BaseRequest) -> Response:
        self._silent.discard(request.protocol)
        try:
            stranger = self._strangers.get(f"{request.method} {request.path}")
            if stranger is None:
                response = self._answer(request)
            else:
                response = await self._answer_stranger(request, stranger)
        except Exception:  # noqa: BLE001 - the boundary of the listener: one bad page, not the node
            _log.exception("page failed", path=request.path)
            response = self._text(500, f"{request.path} failed; the reason is in this node's log")
        named = ("/health", "/ready", "/ca", "/join")
        known = request.path in self._pages or request.path in named
        page = request.path if known else "other"
        metrics().counter("http_requests_total", page, str(response.status)).inc()
        return response

    async def _answer_stranger(
        self, request: BaseRequest, handler: Callable[[bytes], Awaitable[object]]
    ) -> Response:
        """Only what fits into BODY_BYTES_MAX and comes in time is read."""
        try:
            async with asyncio.timeout(SILENCE_S_MAX):
                body = await request.content.read(BODY_BYTES_MAX + 1)
                while len(body) <= BODY_BYTES_MAX and (more := await request.content.readany()):
                    body += more
            if len(body) > BODY_BYTES_MAX:
                return self._text(413, f"a request has at most {BODY_BYTES_MAX} bytes")
            content = await handler(body)
        except TimeoutError:
            return self._text(408, "the request did not come in time")
        except PydfsError as error:
            _log.warning("stranger refused", peer=request.remote, path=request.path, why=str(error))
            return self._text(403 if isinstance(error, DomainError) else 503, str(error))
        if isinstance(content, bytes):
            return self._respond(200, content, "application/x-pem-file")
        return self._json(200, content)

    def _answer(self, request: BaseRequest) -> Response:
        if request.method not in ("GET", "HEAD"):
            return self._text(405, f"{request.method} is not served here: use GET")
        if request.path == "/health":
            return self._json(200, self._health())
        if request.path == "/ready":
            is_ready, details = self._ready()
            return self._json(200 if is_ready else 503, {"ready": is_ready, **details})
        transport = request.transport
        ssl_object = transport.get_extra_info("ssl_object") if transport is not None else None
        try:
            self._tls.peer_of(ssl_object)
            # Each time: there are few requests, and a connection may be older than a reload.
            if (distrust := self._tls.distrust(peer_chain(ssl_object))) is not None:
                raise distrust
        except PeerUnauthenticated as error:
            self._count_refusal(request, error)
            return self._text(403, f"{request.path} is for members of this cluster: {error}")
        page = self._pages.get(request.path)
        if page is None:
            paths = ", ".join(sorted(self._pages))
            return self._text(
                404, f"there is no {request.path} here, only /health, /ready, {paths}"
            )
        content = page()
        if isinstance(content, bytes):
            return self._respond(200, content, CONTENT_TYPE)
        return self._json(200, content)

    def _count_refusal(self, request: BaseRequest, error: PeerUnauthenticated) -> None:
        found, reason = str(error.fields.get("found", "")), refusal_reason(error)
        metrics().counter("rpc_refused_peers_total", reason, "https").inc()
        if self.on_refusal is not None:
            self.on_refusal(f"{request.remote}:0", reason, f"{request.path[:200]}: {error}")
        now = asyncio.get_running_loop().time()
        start, logged = self._refusals_window
        if now - start >= 1:
            start, logged = now, 0
        self._refusals_window = (start, logged + 1)
        if logged < REFUSALS_LOGGED_PER_S:
            _log.warning("peer refused", peer=request.remote, path=request.path, found=found)

    def _text(self, status: int, sentence: str) -> Response:
        return self._respond(status, f"{sentence}\n".encode(), "text/plain; charset=utf-8")

    def _json(self, status: int, content: object) -> Response:
        return self._respond(status, msgspec.json.encode(content) + b"\n", "application/json")

    @staticmethod
    def _respond(status: int, body: bytes, content_type: str) -> Response:
        from aiohttp.web import Response

        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        return Response(status=status, body=body, headers=headers)


class _Refused(asyncio.Protocol):
    """Ends a connection past the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
