"""Whether the peer of an open connection is still believed, as revocations and CAs change."""

from __future__ import annotations

from pydfsnode.errors import PeerUnauthenticated
from pydfsnode.security.tls import TlsStore, peer_chain


class PeerTrust:
    """Of one connection. Ask `lost` as often as you like: it verifies only after a change."""

    def __init__(self, tls: TlsStore) -> None:
        self._tls = tls
        self._generation = tls.generation
        self._chain: list[bytes] = []

    def take(self, ssl_object: object) -> None:
        """The peer showed its certificates."""
        self._chain = peer_chain(ssl_object)

    def lost(self) -> PeerUnauthenticated | None:
        """Why the peer is believed no more, told once; None: nothing changed, or not for it."""
        if self._generation == self._tls.generation:
            return None
        self._generation = self._tls.generation
        return self._tls.distrust(self._chain)
