"""The cluster's own certificate authority: make it, issue certificates from it, describe one.

ECDSA P-256 throughout. The CA's certificate carries `spiffe://<cluster id>`, so that every
certificate it issues belongs to that cluster; a leaf carries one URI (its identity) and the hosts
where it may be reached. A leaf may both serve and call (extended key usage).
Source of the profile: RFC 5280, SPIFFE X.509-SVID.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pydfsnode.errors import CertificateInvalid, ConfigError, UsageError
from pydfsnode.security import pem
from pydfsnode.security.files import write_new
from pydfsnode.security.identity import SCHEME, checked_identity, is_cluster_id

CA_CERT, CA_KEY = "ca.crt", "ca.key"
CA_DAYS = 3650
LEAF_DAYS = 365
LEAF_DAYS_MAX = 3650
BACKDATED = timedelta(minutes=5)
"""How far certificates begin in the past: clocks of two machines are never quite equal."""
_RESERVED_NAMES = frozenset({"ca"})  # its files would be the CA's own


@dataclass(frozen=True, slots=True)
class IssuedFiles:
    """Where a certificate, its key and the CA's certificate were written."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """What `certs show` prints; times are ISO 8601 UTC."""

    path: str
    uri: str
    """The identity, or "" for none; a CA's holds only the cluster."""
    is_ca: bool
    subject: str
    issuer: str
    hosts: list[str]
    not_before: str
    not_after: str
    days_left: int
    serial: str
    fingerprint_sha256: str


def init_ca(directory: Path, cluster_id: str | None = None) -> str:
    """Make a CA in *directory*: `ca.crt`, and `ca.key` that only the owner can read.

    Args:
        cluster_id: of the new cluster; None draws 16 random hex digits.
    Returns:
        The cluster id.
    Raises:
        UsageError: *cluster_id* is not allowed, or a CA is there already (it is never overwritten).
        ConfigError: the directory cannot be written.
    """
    cluster_id = secrets.token_hex(8) if cluster_id is None else cluster_id
    if not is_cluster_id(cluster_id):
        checked_identity(cluster_id, "master", "any")  # raises, with the sentence
    cert_path, key_path = directory / CA_CERT, directory / CA_KEY
    for path in (cert_path, key_path):
        if path.exists():
            raise UsageError(
                f"{path} exists and is not overwritten: every certificate of its cluster would "
                "become worthless; choose another directory, or move it away first"
            )
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"pydfsnode CA {cluster_id}")])
    builder = _builder(name, name, key.public_key(), key.public_key(), days=CA_DAYS)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SCHEME + cluster_id)]),
            critical=False,
        )
    )
    _make_directory(directory)
    _write_new(key_path, _key_pem(key), mode=0o600)
    _write_new(cert_path, _cert_pem(builder.sign(key, hashes.SHA256())), mode=0o644)
    return cluster_id


def issue(
    ca_dir: Path,
    out_dir: Path,
    role: str,
    name: str,
    hosts: Sequence[str] = (),
    days: int = LEAF_DAYS,
) -> IssuedFiles:
    """Issue `<name>.crt` and `<name>.key` (owner only) into *out_dir*, and `ca.crt` beside them.

    Args:
        role: one of `identity.ROLES`.
        hosts: DNS names and IP addresses where the holder listens.
        days: how long it is valid; never longer than the CA.
    Raises:
        UsageError: a role, name, host or number that is not allowed, or a file that exists already.
        CertificateInvalid: the CA is missing, expired or damaged.
        ConfigError: *out_dir* cannot be written.
    """
    ca, ca_key, cluster_id = _load_ca(ca_dir)
    identity = checked_identity(cluster_id, role, name)
    if name in _RESERVED_NAMES:
        raise UsageError(f"name '{name}' is kept for the CA's own files: choose another")
    if not 1 <= days <= LEAF_DAYS_MAX:
        raise UsageError(f"{days} days is not in 1..{LEAF_DAYS_MAX}")
    files = IssuedFiles(out_dir / f"{name}.crt", out_dir / f"{name}.key", out_dir / CA_CERT)
    for path in (files.cert, files.key):
        if path.exists():
            raise UsageError(f"{path} exists and is not overwritten: move it away or choose --out")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    names.extend(_host(host) for host in dict.fromkeys(hosts))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ca_public = ca_key.public_key()
    builder = _builder(subject, ca.subject, key.public_key(), ca_public, days=days, issuer=ca)
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
    _make_directory(out_dir)
    _place_ca(ca, files.ca)
    _write_new(files.key, _key_pem(key), mode=0o600)
    _write_new(files.cert, _cert_pem(builder.sign(ca_key, hashes.SHA256())), mode=0o644)
    return files


def describe(path: Path) -> CertificateDescription:
    """What the first certificate in *path* says.

    Raises:
        CertificateInvalid: the file is missing or holds no certificate.
    """
    cert = pem.load_certificates(path, "certificate")[0]
    left = cert.not_valid_after_utc - datetime.now(UTC)
    uris = pem.uris_of(cert)
    return CertificateDescription(
        path=str(path),
        uri=uris[0] if len(uris) == 1 else "",
        is_ca=pem.is_ca(cert),
        subject=cert.subject.rfc4514_string(),
        issuer=cert.issuer.rfc4514_string(),
        hosts=pem.hosts_of(cert),
        not_before=cert.not_valid_before_utc.isoformat(),
        not_after=cert.not_valid_after_utc.isoformat(),
        days_left=left.days,
        serial=f"{cert.serial_number:x}",
        fingerprint_sha256=cert.fingerprint(hashes.SHA256()).hex(),
    )


def cluster_id_of(ca_dir: Path) -> str:
    """The cluster id of the CA in *ca_dir*; raises CertificateInvalid as `issue` does."""
    return _load_ca(ca_dir)[2]


def _load_ca(ca_dir: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, str]:
    cert_path, key_path = ca_dir / CA_CERT, ca_dir / CA_KEY
    if not cert_path.exists() and not key_path.exists():
        raise CertificateInvalid(f"{ca_dir} holds no CA: make one with 'pydfsnode certs init'")
    cert = pem.load_certificates(cert_path, "CA certificate")[0]
    key = pem.load_private_key(key_path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateInvalid(f"{key_path}: not an ECDSA key: only a CA made by us can issue")
    pem.check_key_matches(cert, key, cert_path, key_path)
    pem.check_valid_now(cert, cert_path, "make a new CA in another directory and rotate to it")
    uris = pem.uris_of(cert)
    cluster_id = uris[0].removeprefix(SCHEME) if len(uris) == 1 else ""
    if not is_cluster_id(cluster_id):
        raise CertificateInvalid(
            f"{cert_path}: names no cluster (one URI {SCHEME}CLUSTER): make a CA with "
            "'pydfsnode certs init'"
        )
    return cert, key, cluster_id


def _builder(
    subject: x509.Name,
    issuer_name: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_public: ec.EllipticCurvePublicKey,
    *,
    days: int,
    issuer: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(days=days)
    if issuer is not None:
        end = min(end, issuer.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
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


def _host(host: str) -> x509.GeneralName:
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


def _place_ca(ca: x509.Certificate, path: Path) -> None:
    """Write the CA's certificate to *path*, or check that the file there trusts it already."""
    if not path.exists():
        _write_new(path, _cert_pem(ca), mode=0o644)
    elif ca not in pem.load_certificates(path, "CA certificate"):
        raise UsageError(f"{path} is another cluster's CA: choose another directory with --out")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _cert_pem(*certs: x509.Certificate) -> bytes:
    return b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in certs)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror}") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        write_new(path, content, mode)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
