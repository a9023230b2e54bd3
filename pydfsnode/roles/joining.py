"""Letting a new node in over HTTPS: the only thing that is done for somebody without a certificate.

`GET /ca` tells the roots, which the node compares with the pin that it was given. `POST /join`
takes `{"token": ..., "request": base64 of a PKCS #10 request}` and answers `{"chain": ...,
"roots": ...}`; the leading master checks the token.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

import msgspec

from pydfsnode.errors import InvalidArgument, Overloaded
from pydfsnode.rpc.trust_calls import Ask, TrustCalls
from pydfsnode.security.tls import TlsStore

AT_ONCE_MAX = 8
"""Joins that wait for the leader; more strangers are sent away."""
TOKEN_CHARACTERS_MAX = 200


class JoinBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new node sends."""

    token: str
    request: str


class JoinAnswer(msgspec.Struct, frozen=True):
    """What it gets: its chain and the roots to believe, as PEM."""

    chain: str
    roots: str


class Joining:
    """At a master.

    Args of the constructor:
        ask: how the leading master is asked.
    """

    def __init__(self, tls: TlsStore, ask: Ask) -> None:
        self._tls = tls
        self._calls = TrustCalls(ask)
        self._running = 0

    @property
    def pages(self) -> dict[str, Callable[[bytes], Awaitable[object]]]:
        """As `HttpsServer` takes them: what is done without a certificate."""
        return {"GET /ca": self.roots, "POST /join": self.join}

    async def roots(self, _: bytes) -> bytes:
        """Whom this master believes."""
        return self._tls.ca_pem

    async def join(self, body: bytes) -> JoinAnswer:
        """Certify a new node's key.

        Raises:
            InvalidArgument: malformed. AccessDenied: the token. Overloaded, ClusterError.
        """
        try:
            asked = msgspec.json.decode(body, type=JoinBody)
            request = base64.b64decode(asked.request, validate=True)
        except (msgspec.MsgspecError, ValueError):
            raise InvalidArgument("not a request to join: token and request are needed") from None
        if len(asked.token) > TOKEN_CHARACTERS_MAX:
            raise InvalidArgument("the token is too long")
        if self._running >= AT_ONCE_MAX:
            raise Overloaded("too many nodes join at once: try again", retry_after_ms=1000)
        self._running += 1
        try:
            answer = await self._calls.join(asked.token, request)
        finally:
            self._running -= 1
        return JoinAnswer(answer.chain_pem, answer.roots_pem)
