"""Reading certificates and keys from PEM files, each failure with the file and the remedy."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from pydfsnode.errors import CertificateInvalid

PEM_BYTES_MAX = 1024 * 1024  # limits.py candidate: a file of certificates is never larger
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for bytes that are no certificate, request or key that it knows; for
parts of a certificate not before they are looked at."""
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def read(path: Path, what: str) -> bytes:
    """The bytes of *path*; *what* it should be ("CA certificate") stands in the error.

    Raises:
        CertificateInvalid: it is missing, unreadable or far too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(PEM_BYTES_MAX + 1)
    except FileNotFoundError:
        raise CertificateInvalid(
            f"{path}: no such {what} file; make one with 'pydfsnode certs issue' or correct "
            "the path"
        ) from None
    except OSError as error:
        raise CertificateInvalid(f"{path}: the {what} cannot be read: {error.strerror}") from None
    if len(content) > PEM_BYTES_MAX:
        raise CertificateInvalid(f"{path}: larger than {PEM_BYTES_MAX} bytes: not a {what}")
    return content


def parse_certificates(content: bytes, path: Path, what: str) -> list[x509.Certificate]:
    """The certificates in *content* (read from *path*), at least one, in their order.

    Raises:
        CertificateInvalid: there is no readable certificate.
    """
    try:
        return certificates_in(content)
    except UNREADABLE:
        raise CertificateInvalid(f"{path}: holds no PEM {what}, or a damaged one") from None


def certificates_in(content: bytes) -> list[x509.Certificate]:
    """The certificates in PEM, at least one; every part that is asked for later can be read.

    Raises:
        UNREADABLE: there is none, or it is damaged.
    """
    found = x509.load_pem_x509_certificates(content)
    for certificate in found:
        _ = certificate.extensions, certificate.public_key()
        _ = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return found


def load_certificates(path: Path, what: str) -> list[x509.Certificate]:
    """`read` and `parse_certificates`."""
    return parse_certificates(read(path, what), path, what)


def parse_private_key(content: bytes, path: Path) -> PrivateKey:
    """The private key in *content* (read from *path*).

    Raises:
        CertificateInvalid: it is encrypted, damaged or of a kind that TLS here cannot use.
    """
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise CertificateInvalid(
            f"{path}: the key is encrypted; store it without a password"
        ) from None
    except UNREADABLE:
        raise CertificateInvalid(f"{path}: holds no PEM private key") from None
    if not isinstance(key, PrivateKey):
        raise CertificateInvalid(f"{path}: the key is neither ECDSA, RSA nor Ed25519")
    return key


def load_private_key(path: Path) -> PrivateKey:
    """`read`, `check_private` and `parse_private_key`."""
    content = read(path, "private key")
    check_private(path)
    return parse_private_key(content, path)


def check_private(path: Path) -> None:
    """Raise CertificateInvalid when the group or others have any access to *path*."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        raise CertificateInvalid(
            f"{path}: mode {mode:04o} lets others read the private key: run 'chmod 600 {path}'"
        )


def check_key_matches(
    cert: x509.Certificate, key: PrivateKey, cert_path: Path, key_path: Path
) -> None:
    """Raise CertificateInvalid unless *key* is the one *cert* was issued for."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if cert.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise CertificateInvalid(
            f"{key_path} is not the key of {cert_path}: use the two files of one 'certs issue'"
        )


def check_valid_now(cert: x509.Certificate, path: Path, remedy: str) -> None:
    """Raise CertificateInvalid, ending in *remedy*, when *cert* is not valid at this moment."""
    now = datetime.now(UTC)
    if now > cert.not_valid_after_utc:
        raise CertificateInvalid(
            f"{path}: expired on {cert.not_valid_after_utc:%Y-%m-%d}: {remedy}"
        )
    if now < cert.not_valid_before_utc:
        raise CertificateInvalid(
            f"{path}: valid only from {cert.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC, it is now "
            f"{now:%Y-%m-%d %H:%M:%S}: correct this machine's clock"
        )


def is_ca(cert: x509.Certificate) -> bool:
    """Whether *cert* may sign others."""
    try:
        return cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def uris_of(cert: x509.Certificate) -> list[str]:
    """The URIs among its subject alternative names."""
    names = _names_of(cert)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names else []


def hosts_of(cert: x509.Certificate) -> list[str]:
    """The DNS names and IP addresses among its subject alternative names."""
    names = _names_of(cert)
    if names is None:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return names.get_values_for_type(x509.DNSName) + addresses


def _names_of(cert: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
