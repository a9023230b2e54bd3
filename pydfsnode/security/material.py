"""What a process shows and believes: certificate, key and roots, read from files and checked."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid, PeerUnauthenticated
from pydfsnode.security.identity import Identity, identity_of
from pydfsnode.security.lifetimes import Lifetime, lifetimes_of

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True)
class Material:
    """One validated state of the three files and the contexts made from it."""

    identity: Identity
    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes
    leaf: x509.Certificate
    issuer_sha256: str
    authorities: tuple[x509.Certificate, ...]
    server: ssl.SSLContext
    grpc: ssl.SSLContext
    """As `server`, for peers that want to hear that HTTP/2 is spoken (ALPN)."""
    client: ssl.SSLContext
    lifetimes: dict[str, Lifetime] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """As `content_of` the files that it was read from."""
        return digest_of(self.ca_pem, self.cert_pem, self.key_pem)


def content_of(files: TlsFiles) -> bytes:
    """A digest of what the three files hold; one that cannot be read counts as empty."""
    contents = []
    for name in (files.ca, files.cert, files.key):
        try:
            contents.append(Path(name).read_bytes())
        except OSError:
            contents.append(b"")
    return digest_of(*contents)


def digest_of(*contents: bytes) -> bytes:
    """One digest of several contents."""
    return hashlib.sha256(b"".join(hashlib.sha256(c).digest() for c in contents)).digest()


def read_material(files: TlsFiles) -> Material:
    """Read and check *files*.

    Raises:
        CertificateInvalid: see `TlsStore.load`.
    """
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
        verify_chain(leaf, between, authorities)
    except x509.verification.VerificationError as error:
        raise CertificateInvalid(
            f"{cert_path} was not issued by a valid CA of {ca_path} ({error}): use the ca.crt that "
            "'pydfsnode certs issue' wrote beside it"
        ) from None
    server, grpc = (_context(ssl.PROTOCOL_TLS_SERVER, files, authorities) for _ in range(2))
    server.num_tickets = grpc.num_tickets = 0
    grpc.set_alpn_protocols(["h2"])
    client = _context(ssl.PROTOCOL_TLS_CLIENT, files, authorities)
    if cert_pem != pem.read(cert_path, "certificate"):
        # OpenSSL reads the files itself: what it took must be what was checked.
        raise CertificateInvalid(f"{cert_path}: changed while it was read: try again")
    return Material(
        identity,
        ca_pem,
        cert_pem,
        key_pem,
        leaf,
        _issuer_sha256(leaf, [*between, *authorities]),
        tuple(authorities),
        server,
        grpc,
        client,
        lifetimes_of(leaf, between, authorities),
    )


def _issuer_sha256(leaf: x509.Certificate, others: Iterable[x509.Certificate]) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    for other in others:
        if other.subject == leaf.issuer:
            return other.fingerprint(SHA256()).hex()
    return ""


def verify_chain(
    leaf: x509.Certificate,
    between: Iterable[x509.Certificate],
    authorities: Iterable[x509.Certificate],
) -> None:
    """Raise VerificationError unless *leaf* leads to one of *authorities* and is valid now."""
    from cryptography.x509.verification import PolicyBuilder, Store

    verifier = PolicyBuilder().store(Store(list(authorities))).build_client_verifier()
    verifier.verify(leaf, list(between))


def _context(
    protocol: int, files: TlsFiles, authorities: Iterable[x509.Certificate]
) -> ssl.SSLContext:
    from cryptography.hazmat.primitives.serialization import Encoding

    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.cert, files.key)
        # Not the file: what stands around the certificates in it need not be ASCII.
        roots = b"".join(root.public_bytes(Encoding.DER) for root in authorities)
        context.load_verify_locations(cadata=roots)
    except (OSError, ssl.SSLError) as error:
        raise CertificateInvalid(f"{files.cert}: OpenSSL does not accept it: {error}") from None
    return context


def leads_to(ca_pem: bytes, cert_pem: bytes) -> bool:
    """Whether a chain leads to one of the roots of *ca_pem* and is valid now."""
    from cryptography import x509

    from pydfsnode.security import pem

    try:
        roots = pem.certificates_in(ca_pem)
        leaf, *between = pem.certificates_in(cert_pem)
        verify_chain(leaf, between, roots)
    except (*pem.UNREADABLE, x509.verification.VerificationError):
        return False
    return True


def problem_of(material: Material) -> str:
    """What is wrong with a process's own certificate by now; "" when nothing is to be seen.

    A peer that refuses a certificate in the handshake seldom gets to say so: the connection
    ends before its alert is sent.
    """
    now, leaf = datetime.now(UTC), material.leaf
    if now > leaf.not_valid_after_utc:
        return (
            f"our certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}: renew it with "
            "'pydfsnode certs issue'"
        )
    if now < leaf.not_valid_before_utc:
        return (
            f"our certificate is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} "
            "UTC: compare the clocks"
        )
    if not leads_to(material.ca_pem, material.cert_pem):
        return (
            "our certificate leads to no CA of our ca.crt, or may not be used to call: issue "
            "one with 'pydfsnode certs issue'"
        )
    return ""
