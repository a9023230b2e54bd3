"""TLS for every listener and every call: validated files, contexts replaced while in use.

TLS 1.3 only, both sides always show a certificate. A listener's context never changes; its
`sni_callback` (OpenSSL calls it without SNI too) hands each new connection the newest one, so that
`reload` can also take a CA away. Session tickets are off: a ticket would let a client of a removed
CA back in without its certificate being looked at (measured).
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from pydfsnode.config import TlsFiles
from pydfsnode.errors import (
    CertificateInvalid,
    CertificateRevoked,
    IssuerUntrusted,
    OtherCluster,
    PeerUnauthenticated,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.security.identity import Identity, identity_of
from pydfsnode.security.lifetimes import Lifetime
from pydfsnode.security.material import (
    Material,
    content_of,
    leads_to,
    problem_of,
    read_material,
    verify_chain,
)
from pydfsnode.security.replacing import finish_replacement

if TYPE_CHECKING:
    import grpc
    from cryptography import x509

LOOK_S = 0.9
_DER = 2
"""`_ssl.ENCODING_DER`."""
_log = get_logger("security.tls")


class SslObject(Protocol):
    """What `transport.get_extra_info("ssl_object")` gives, on asyncio and uvloop."""

    def getpeercert(self) -> dict[str, object] | None:
        """The verified peer certificate, or None or {} without one."""


class TlsStore:
    """This process's certificate, key and trusted CAs, and the contexts made from them."""

    def __init__(self, files: TlsFiles, material: Material) -> None:
        self.files = files
        self.generation = 0
        """Counts what may end trust in a peer: reloads, and certificates that were revoked."""
        self.own_generation = 0
        """Counts changes of this process's own certificate."""
        self.revoked: frozenset[str] = frozenset()
        """Serial numbers of certificates that are refused though they are valid."""
        self._now = material
        self._looked_at = material.content
        self._looked_s = -math.inf
        self._is_replacing = False
        self.before_connecting: Callable[[], None] = _nothing
        """Called for each connection that is opened."""
        self._watchers: list[Callable[[], None]] = []

    @classmethod
    def load(cls, files: TlsFiles) -> TlsStore:
        """Read and validate *files*; a replacement that a crash cut short is finished.

        Raises:
            CertificateInvalid: a file is missing or damaged, the key is open to others or not the
                certificate's; the certificate is not from the CA, not valid now, or nobody's.
        """
        finish_replacement(files)
        return cls(files, read_material(files))

    @property
    def identity(self) -> Identity:
        """Who this process is; the same for its whole life."""
        return self._now.identity

    @property
    def leaf(self) -> x509.Certificate:
        """This process's certificate."""
        return self._now.leaf

    @property
    def cert_pem(self) -> bytes:
        """This process's certificate and what leads to the root."""
        return self._now.cert_pem

    @property
    def key_pem(self) -> bytes:
        """This process's private key: to sign with, and never to be shown."""
        return self._now.key_pem

    @property
    def ca_pem(self) -> bytes:
        """The roots that are believed, as in the file."""
        return self._now.ca_pem

    @property
    def issuer_sha256(self) -> str:
        """SHA-256 of the certificate of the CA that signed this process's own."""
        return self._now.issuer_sha256

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The roots that are believed."""
        return self._now.authorities

    @property
    def lifetimes(self) -> dict[str, Lifetime]:
        """Of its own certificate, its issuing CA's and the root's: see `lifetimes_of`."""
        return self._now.lifetimes

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Call *watcher* after each change of `generation`, in the thread that made it."""
        self._watchers.append(watcher)

    def reload(self) -> None:
        """Take the files' present content for all new connections; existing ones go on.

        Raises:
            CertificateInvalid: as `load`, or the certificate is somebody else's; nothing changed.
        """
        material = read_material(self.files)
        if material.identity != self.identity:
            raise CertificateInvalid(
                f"{self.files.cert}: is {material.identity}, this process is {self.identity}: "
                "a reload cannot change who it is; restart it instead"
            )
        if material.cert_pem != self._now.cert_pem:
            self.own_generation += 1
        self._now = material
        self._changed()

    def reload_if_changed(self) -> bool:
        """`reload` when the content of a file is another than at the last look; whether it was.

        Content counts, not the inode or the time: files are replaced, linked and mounted over.

        Raises:
            CertificateInvalid: as `reload`; the next look says nothing until they change again.
        """
        if self._is_replacing:
            return False
        content = content_of(self.files)
        if content == self._looked_at:
            return False
        self._looked_at = content
        self.reload()
        return True

    def look(self, now_s: float) -> None:
        """`reload_if_changed`, at most once a second; what cannot be used is logged.

        Args:
            now_s: any clock that goes on evenly.
        """
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        try:
            if self.reload_if_changed():
                _log.info("certificates reloaded", identity=self.identity.uri)
        except CertificateInvalid as error:
            _log.error("certificates not reloaded, the old ones stay in use", error=error.message)

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """Within it the files are being replaced one after the other: nobody takes them."""
        self._is_replacing = True
        try:
            yield
        finally:
            self._is_replacing = False

    def would_hold(self, ca_pem: bytes, cert_pem: bytes) -> bool:
        """Whether a chain leads to one of the roots of *ca_pem* and is valid now."""
        return leads_to(ca_pem, cert_pem)

    def own_problem(self) -> str:
        """What is wrong with this process's own certificate by now; "" when nothing is seen."""
        return problem_of(self._now)

    def revoke(self, serials: Iterable[str]) -> None:
        """From now on exactly *serials* (lower-case hexadecimal digits) are refused."""
        revoked = frozenset(serials)
        if revoked != self.revoked:
            self.revoked = revoked
            self._changed()

    def _changed(self) -> None:
        self.generation += 1
        for watcher in self._watchers:
            watcher()

    # ---- contexts

    def server_context(self) -> ssl.SSLContext:
        """For a listener that demands a client certificate; follows `reload`."""
        return self._listening(ssl.CERT_REQUIRED, lambda: self._now.server)

    def grpc_context(self) -> ssl.SSLContext:
        """As `server_context`, for the gRPC listener."""
        return self._listening(ssl.CERT_REQUIRED, lambda: self._now.grpc)

    def https_context(self) -> ssl.SSLContext:
        """For the HTTPS listener: a client certificate is verified when shown; follows `reload`."""
        return self._listening(ssl.CERT_OPTIONAL, lambda: self._now.server)

    def client_context(self) -> ssl.SSLContext:
        """For calling; ask again for each connection, so that it follows `reload`.

        The host name is not checked: who answers is told by the URI, with `expect_peer`.
        """
        self.before_connecting()
        return self._now.client

    def grpc_channel_credentials(self) -> grpc.ChannelCredentials:
        """For a gRPC channel. It checks host names itself; it does not follow `reload`."""
        import grpc

        now = self._now
        return grpc.ssl_channel_credentials(now.ca_pem, now.key_pem, now.cert_pem)

    # ---- peers

    def peer_of(self, ssl_object: SslObject | None) -> Identity:
        """As `peer_identity`, for this process's own cluster.

        Raises:
            PeerUnauthenticated: also when its certificate was revoked.
        """
        identity = peer_identity(ssl_object, self.identity.cluster_id)
        if self.revoked:
            error = self.distrust(peer_chain(ssl_object))
            if error is not None:
                raise error
        return identity

    def trusts(self, *chain: bytes) -> bool:
        """Whether a peer's certificate is believed now: see `distrust`."""
        return self.distrust(chain) is None

    def distrust(self, chain: Sequence[bytes]) -> PeerUnauthenticated | None:
        """Why a peer is not believed (any more), None when it is.

        Args:
            chain: certificates as `peer_chain` gives them, the peer's own first.
        """
        from cryptography import x509

        from pydfsnode.security.pem import UNREADABLE

        try:
            leaf, *between = [x509.load_der_x509_certificate(der) for der in chain]
            for certificate in (leaf, *between):
                serial = f"{certificate.serial_number:x}"
                if serial in self.revoked:
                    return CertificateRevoked(
                        f"the certificate with serial number {serial} was revoked: issue a new one",
                        found=serial, reason="revoked",
                    )  # fmt: skip
            verify_chain(leaf, between, self._now.authorities)
        except (*UNREADABLE, x509.verification.VerificationError) as error:
            return IssuerUntrusted(
                f"the certificate is not valid now, or its CA is believed no more ({error}): "
                "issue a new one with 'pydfsnode certs issue'",
                found="chain", reason="untrusted",
            )  # fmt: skip
        return None

    def _listening(
        self, verify: ssl.VerifyMode, newest: Callable[[], ssl.SSLContext]
    ) -> ssl.SSLContext:
        def use_newest(connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
            connection.context = newest()

        # It holds neither certificate nor CA: a handshake that is not given the newest fails.
        outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        outer.minimum_version = ssl.TLSVersion.TLSv1_3
        outer.verify_mode = verify
        outer.num_tickets = 0
        outer.sni_callback = use_newest
        return outer


def peer_identity(ssl_object: SslObject | None, cluster_id: str) -> Identity:
    """Who is at the other end of a TLS connection, of cluster *cluster_id*.

    Raises:
        PeerUnauthenticated: no certificate, not exactly one URI, or another cluster's.
    """
    certificate = ssl_object.getpeercert() if ssl_object is not None else None
    if not certificate:
        raise PeerUnauthenticated(
            "the peer showed no certificate: give it one of this cluster ('pydfsnode certs issue')",
            found="no certificate",
        )
    names = certificate.get("subjectAltName", ())
    san = [pair for pair in names if len(pair) == 2] if isinstance(names, tuple) else []
    return _of_cluster(identity_of(san), cluster_id)


def peer_chain(ssl_object: object) -> list[bytes]:
    """The certificates that the peer sent, DER, its own first; [] without any.

    Before Python 3.13 only an inner object tells them (`SSL_get_peer_cert_chain`).
    """
    if ssl_object is None:
        return []
    if hasattr(ssl_object, "get_unverified_chain"):
        return list(ssl_object.get_unverified_chain())
    inner = getattr(ssl_object, "_sslobj", None)
    found = inner.get_unverified_chain() if inner is not None else None
    return [certificate.public_bytes(_DER) for certificate in found or ()]


def expect_peer(identity: Identity, role: str, name: str | None = None) -> None:
    """Check that the peer is who was meant to be called.

    Raises:
        PeerUnauthenticated: it has another role, or (when *name* is given) another name.
    """
    if identity.role == role and name in (None, identity.name):
        return
    wanted = f"{role} '{name}'" if name is not None else f"a {role}"
    raise PeerUnauthenticated(
        f"the peer is {identity}, not {wanted}: check the address and its certificate",
        found=identity.uri,
    )


def _of_cluster(identity: Identity, cluster_id: str) -> Identity:
    if identity.cluster_id != cluster_id:
        raise OtherCluster(
            f"the peer is {identity}, this cluster is '{cluster_id}': use a certificate of "
            "this cluster",
            found=identity.uri,
        )
    return identity


def _nothing() -> None:
    pass


def der_of(chain_pem: bytes) -> list[bytes]:
    """The certificates in *chain_pem* in their order; [] when there is none to read."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from pydfsnode.security.pem import UNREADABLE

    try:
        certificates = x509.load_pem_x509_certificates(chain_pem)
    except UNREADABLE:
        return []
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]
