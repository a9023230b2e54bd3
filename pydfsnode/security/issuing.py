"""An issuing CA at work: it signs leaves, for the keys of others that come as requests (CSR)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pydfsnode.errors import CertificateInvalid
from pydfsnode.security import pem, profile
from pydfsnode.security.identity import SCHEME, Identity, is_cluster_id

REQUEST_BYTES_MAX = 8 * 1024
PIN_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class IssuingCa:
    """`certificate` is the root itself in a cluster without an issuing CA of its own."""

    root: x509.Certificate
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cluster_id: str

    @classmethod
    def from_pem(cls, root: str, certificate: str, key: str) -> IssuingCa:
        """Read and check the three; *certificate* may be "": the root signs.

        Raises:
            CertificateInvalid: they are damaged, or do not belong together.
        """
        try:
            root_cert = pem.certificates_in(root.encode())[0]
            signer = pem.certificates_in(certificate.encode())[0] if certificate else None
            private = serialization.load_pem_private_key(key.encode(), None)
        except pem.UNREADABLE as error:
            raise CertificateInvalid(f"the issuing CA cannot be read: {error}") from None
        return cls.checked(root_cert, signer or root_cert, private)

    @classmethod
    def checked(
        cls, root: x509.Certificate, certificate: x509.Certificate, key: object
    ) -> IssuingCa:
        """What was read, when it fits together; raises CertificateInvalid."""
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateInvalid("the CA's key is not an ECDSA key: only our own CAs can issue")
        if certificate.public_key() != key.public_key():
            raise CertificateInvalid("the CA's key is not the key of its certificate")
        cluster_ids = {_cluster_id_of(root), _cluster_id_of(certificate)}
        cluster_id = cluster_ids.pop()
        if cluster_ids or not is_cluster_id(cluster_id):
            raise CertificateInvalid(
                f"the CA names no cluster (one URI {SCHEME}CLUSTER), or root and issuing CA name "
                "two: make a CA with 'pydfsnode certs init'"
            )
        try:
            certificate.verify_directly_issued_by(root)
        except (*pem.UNREADABLE, InvalidSignature):
            raise CertificateInvalid("the issuing CA is not under this root") from None
        return cls(root, certificate, key, cluster_id)

    def sign(
        self,
        identity: Identity,
        public: ec.EllipticCurvePublicKey,
        hosts: Sequence[str],
        days: float,
    ) -> bytes:
        """The chain to send: the leaf, valid for *days*, and what leads to the root, as PEM.

        Raises:
            UsageError: a host.
        """
        leaf = profile.leaf_certificate(
            identity, public, hosts, timedelta(days=days), self.certificate, self.key
        )
        return profile.cert_pem(leaf, *self.between)

    @property
    def between(self) -> tuple[x509.Certificate, ...]:
        """Certificates between a leaf and the root."""
        return () if self.certificate == self.root else (self.certificate,)

    def texts(self) -> tuple[str, str, str]:
        """Root, own certificate ("" when the root signs) and key, as PEM."""
        return (
            profile.cert_pem(self.root).decode(),
            profile.cert_pem(*self.between).decode(),
            profile.key_pem(self.key).decode(),
        )


def request_for(identity: Identity, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A request for a certificate, DER; it proves that the asker has *key*."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key that is to be certified; what else the request says counts for nothing.

    Raises:
        CertificateInvalid: it is no request, not of a key on P-256, or not signed with that key.
    """
    try:
        found = x509.load_der_x509_csr(request[: REQUEST_BYTES_MAX + 1])
        public = found.public_key()
        is_signed = found.is_signature_valid
    except pem.UNREADABLE:
        raise CertificateInvalid("not a request for a certificate (PKCS #10, DER)") from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise CertificateInvalid("certificates are issued for ECDSA keys on P-256 only")
    if not is_signed:
        raise CertificateInvalid("the request is not signed with the key that it names")
    return public


def requested_uri(request: bytes) -> str:
    """The identity that a request names, "" for none: whom its sender takes himself for."""
    try:
        found = x509.load_der_x509_csr(request[: REQUEST_BYTES_MAX + 1])
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (*pem.UNREADABLE, x509.ExtensionNotFound):
        return ""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if len(uris) == 1 else ""


def pin_of(certificate: x509.Certificate) -> str:
    """ "sha256:HEX" of a CA's public key: what a new node is told, to know the CA by."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PIN_PREFIX + hashlib.sha256(public).hexdigest()


def _cluster_id_of(certificate: x509.Certificate) -> str:
    uris = pem.uris_of(certificate)
    return uris[0].removeprefix(SCHEME) if len(uris) == 1 else ""
