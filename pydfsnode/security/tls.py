"""TLS for every listener and every call: validated files, contexts replaced while in use.

TLS 1.3 only, both sides always show a certificate. A listener's context never changes; its
`sni_callback` (OpenSSL calls it without SNI too) hands each new connection the newest one, so that
`reload` can also take a CA away. Session tickets are off: a ticket would let a client of a removed
CA back in without its certificate being looked at (measured).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid, PeerUnauthenticated
from pydfsnode.security.identity import Identity, identity_of

if TYPE_CHECKING:
    import grpc
    from cryptography import x509


class SslObject(Protocol):
    """What `transport.get_extra_info("ssl_object")` gives, on asyncio and uvloop."""

    def getpeercert(self) -> dict[str, object] | None:
        """The verified peer certificate, or None or {} without one."""


@dataclass(frozen=True)
class _Material:
    """One validated state of the three files and the contexts made from it."""

    identity: Identity
    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes
    authorities: tuple[x509.Certificate, ...]
    server: ssl.SSLContext
    client: ssl.SSLContext


class TlsStore:
    """This process's certificate, key and trusted CAs, and the contexts made from them."""

    def __init__(self, files: TlsFiles, material: _Material) -> None:
        self.files = files
        self.generation = 0
        """Counts reloads; a connection accepted under an older one may be checked by `trusts`."""
        self._now = material
        self._grpc: tuple[_Material, grpc.ServerCertificateConfiguration] | None = None

    @classmethod
    def load(cls, files: TlsFiles) -> TlsStore:
        """Read and validate *files*.

        Raises:
            CertificateInvalid: a file is missing or damaged, the key is open to others or not the
                certificate's; the certificate is not from the CA, not valid now, or nobody's.
        """
        return cls(files, _read(files))

    @property
    def identity(self) -> Identity:
        """Who this process is; the same for its whole life."""
        return self._now.identity

    def reload(self) -> None:
        """Take the files' present content for all new connections; existing ones go on.

        Raises:
            CertificateInvalid: as `load`, or the certificate is somebody else's; nothing changed.
        """
        material = _read(self.files)
        if material.identity != self.identity:
            raise CertificateInvalid(
                f"{self.files.cert}: is {material.identity}, this process is {self.identity}: "
                "a reload cannot change who it is; restart it instead"
            )
        self._now = material
        self.generation += 1

    def server_context(self) -> ssl.SSLContext:
        """For a listener that demands a client certificate; follows `reload`."""
        return self._listening(ssl.CERT_REQUIRED)

    def https_context(self) -> ssl.SSLContext:
        """For the HTTPS listener: a client certificate is verified when shown; follows `reload`."""
        return self._listening(ssl.CERT_OPTIONAL)

    def client_context(self) -> ssl.SSLContext:
        """For calling; ask again for each connection, so that it follows `reload`.

        The host name is not checked: who answers is told by the URI, with `expect_peer`.
        """
        return self._now.client

    def grpc_server_credentials(self) -> grpc.ServerCredentials:
        """For a gRPC server that demands a client certificate; follows `reload`."""
        import grpc

        return grpc.dynamic_ssl_server_credentials(
            self._grpc_configuration(), self._grpc_configuration, True
        )

    def grpc_channel_credentials(self) -> grpc.ChannelCredentials:
        """For a gRPC channel. It checks host names itself; it does not follow `reload`."""
        import grpc

        now = self._now
        return grpc.ssl_channel_credentials(now.ca_pem, now.key_pem, now.cert_pem)

    def peer_from_grpc(self, auth_context: Mapping[str, Iterable[bytes]]) -> Identity:
        """The caller of a gRPC call, from `context.auth_context()`; only its URI counts.

        Raises:
            PeerUnauthenticated: there is not exactly one URI of this cluster.
        """
        uris = [uri.decode("utf-8", "replace") for uri in auth_context.get("peer_uri", ())]
        return _of_cluster(identity_of([("URI", uri) for uri in uris]), self.identity.cluster_id)

    def peer_of(self, ssl_object: SslObject | None) -> Identity:
        """As `peer_identity`, for this process's own cluster."""
        return peer_identity(ssl_object, self.identity.cluster_id)

    def trusts(self, certificate_der: bytes) -> bool:
        """Whether a peer's certificate (`getpeercert(True)`) is valid now under the present CAs."""
        from cryptography import x509

        try:
            leaf = x509.load_der_x509_certificate(certificate_der)
            _verify_chain(leaf, [], self._now.authorities)
        except (ValueError, x509.verification.VerificationError):
            return False
        return True

    def _listening(self, verify: ssl.VerifyMode) -> ssl.SSLContext:
        # It holds neither certificate nor CA: a handshake that is not given the newest fails.
        outer = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        outer.minimum_version = ssl.TLSVersion.TLSv1_3
        outer.verify_mode = verify
        outer.num_tickets = 0
        outer.sni_callback = self._use_newest
        return outer

    def _use_newest(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._now.server

    def _grpc_configuration(self) -> grpc.ServerCertificateConfiguration:
        # Called by gRPC's own thread for each new connection: it must not block.
        import grpc

        now, made = self._now, self._grpc
        if made is None or made[0] is not now:
            # The same object while nothing changed: gRPC then keeps its own context.
            configuration = grpc.ssl_server_certificate_configuration(
                [(now.key_pem, now.cert_pem)], root_certificates=now.ca_pem
            )
            self._grpc = made = (now, configuration)
        return made[1]


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
        raise PeerUnauthenticated(
            f"the peer is {identity}, this cluster is '{cluster_id}': use a certificate of "
            "this cluster",
            found=identity.uri,
        )
    return identity


def _read(files: TlsFiles) -> _Material:
    # Imported here: a client pays for cryptography when it connects, not when it prints its help.
    from cryptography import x509

    from pydfsnode.security import pem

    ca_path, cert_path, key_path = Path(files.ca), Path(files.cert), Path(files.key)
    ca_pem = pem.read(ca_path, "CA certificate")
    cert_pem = pem.read(cert_path, "certificate")
    key_pem = pem.read(key_path, "private key")
    authorities = pem.parse_certificates(ca_pem, ca_path, "CA certificate")
    leaf, *between = pem.parse_certificates(cert_pem, cert_path, "certificate")
    pem.check_private(key_path)
    key = pem.parse_private_key(key_pem, key_path)
    pem.check_key_matches(leaf, key, cert_path, key_path)
    pem.check_valid_now(leaf, cert_path, "issue a new one with 'pydfsnode certs issue'")
    try:
        identity = identity_of([("URI", uri) for uri in pem.uris_of(leaf)])
    except PeerUnauthenticated as error:
        raise CertificateInvalid(f"{cert_path}: {error.message}") from None
    try:
        _verify_chain(leaf, between, authorities)
    except x509.verification.VerificationError as error:
        raise CertificateInvalid(
            f"{cert_path} was not issued by a valid CA of {ca_path} ({error}): use the ca.crt that "
            "'pydfsnode certs issue' wrote beside it"
        ) from None
    server = _context(ssl.PROTOCOL_TLS_SERVER, files, ca_pem)
    server.num_tickets = 0
    client = _context(ssl.PROTOCOL_TLS_CLIENT, files, ca_pem)
    if cert_pem != pem.read(cert_path, "certificate"):
        # OpenSSL reads the files itself: what it took must be what was checked.
        raise CertificateInvalid(f"{cert_path}: changed while it was read: try again")
    return _Material(identity, ca_pem, cert_pem, key_pem, tuple(authorities), server, client)


def _verify_chain(
    leaf: x509.Certificate,
    between: Iterable[x509.Certificate],
    authorities: Iterable[x509.Certificate],
) -> None:
    from cryptography.x509.verification import PolicyBuilder, Store

    verifier = PolicyBuilder().store(Store(list(authorities))).build_client_verifier()
    verifier.verify(leaf, list(between))


def _context(protocol: int, files: TlsFiles, ca_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.cert, files.key)
        context.load_verify_locations(cadata=ca_pem.decode("ascii", "replace"))
    except (OSError, ssl.SSLError) as error:
        raise CertificateInvalid(f"{files.cert}: OpenSSL does not accept it: {error}") from None
    return context
