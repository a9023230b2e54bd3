"""What a certificate of ours holds: the profile of roots, issuing CAs and leaves.

ECDSA P-256 throughout. A CA's certificate carries `spiffe://<cluster id>`, so that every
certificate under it belongs to that cluster; a leaf carries one URI (its identity) and the hosts
where it may be reached. A leaf may both serve and call (extended key usage).
Source of the profile: RFC 5280, SPIFFE X.509-SVID.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pydfsnode.errors import UsageError
from pydfsnode.security.identity import SCHEME, Identity

BACKDATED = timedelta(minutes=5)
"""How far certificates begin in the past: clocks of two machines are never quite equal."""


def ca_certificate(
    cluster_id: str,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    under: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
) -> x509.Certificate:
    """A root for *key*, which may sign issuing CAs; or, *under* a root, such an issuing CA."""
    kind = "CA" if under is None else "issuing CA"
    # The serial number: two CAs of a cluster must have two names, or chains are ambiguous.
    serial = x509.random_serial_number()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"pydfsnode {kind} {cluster_id}"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"[:16]),
        ]
    )
    issuer, signer = (None, key) if under is None else under
    builder = _builder(
        name, serial, key.public_key(), issuer, signer.public_key(), timedelta(days=days)
    )
    builder = (
        builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=1 if under is None else 0), critical=True
        )
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SCHEME + cluster_id)]),
            critical=False,
        )
    )
    return builder.sign(signer, hashes.SHA256())


def leaf_certificate(
    identity: Identity,
    public: ec.EllipticCurvePublicKey,
    hosts: Sequence[str],
    lifetime: timedelta,
    issuer: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """A certificate of *identity*; it never outlives *issuer*. Raises UsageError for a host."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    names.extend(host_name(host) for host in dict.fromkeys(hosts))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.name)])
    serial = x509.random_serial_number()
    builder = _builder(subject, serial, public, issuer, signer.public_key(), lifetime)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(signer, hashes.SHA256())


def signed_at(certificate: x509.Certificate) -> datetime:
    """When one of our leaves was signed, to the second."""
    return certificate.not_valid_before_utc + BACKDATED


def host_name(host: str) -> x509.GeneralName:
    """*host* as it stands in a certificate; raises UsageError."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    labels = host.removesuffix(".").split(".")
    allowed = all(
        label and len(label) <= 63 and label.replace("-", "a").isalnum() and label.isascii()
        for label in labels
    )
    # A dotted number that is no IP address is a typing error, not a DNS name.
    if not allowed or len(host) > 253 or labels[-1].isdigit():
        raise UsageError(f"host {host[:80]!r} is neither a DNS name nor an IP address")
    return x509.DNSName(host.removesuffix("."))


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted: for a file that its owner alone reads."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def cert_pem(*certs: x509.Certificate) -> bytes:
    """One after the other."""
    return b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in certs)


def public_key_der(public: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo."""
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _builder(
    subject: x509.Name,
    serial: int,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_public: ec.EllipticCurvePublicKey,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + lifetime
    if issuer is not None:
        end = min(end, issuer.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False
        )
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
