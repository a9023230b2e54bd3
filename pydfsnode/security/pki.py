"""The files of the cluster's certificate authority: make it, issue from it, describe one.

`ca.crt` is the root: whom to believe. Its key, `ca.key`, is needed to make issuing CAs only and
belongs off line. `issuing.crt` and `issuing.key` sign everything else.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pydfsnode.errors import CertificateInvalid, ConfigError, UsageError
from pydfsnode.security import pem, profile
from pydfsnode.security.files import replace_file, write_new
from pydfsnode.security.identity import SCHEME, checked_identity, is_cluster_id
from pydfsnode.security.issuing import IssuingCa

CA_CERT, CA_KEY = "ca.crt", "ca.key"
ISSUING_CERT, ISSUING_KEY = "issuing.crt", "issuing.key"
CA_DAYS = 3650
ISSUING_DAYS = 1825
LEAF_DAYS = 365
LEAF_DAYS_MAX = 3650
_RESERVED_NAMES = frozenset({"ca", "issuing"})  # their files would be the CA's own


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
    chain: list[str]
    """Subjects of the certificates that follow in the file."""
    expires_in_s: int
    """Negative: it expired."""


def init_ca(directory: Path, cluster_id: str | None = None) -> str:
    """Make a root and an issuing CA in *directory*; only the owner can read their keys.

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
    for name in (CA_CERT, CA_KEY, ISSUING_CERT, ISSUING_KEY):
        if (directory / name).exists():
            raise UsageError(
                f"{directory / name} exists and is not overwritten: every certificate of its "
                "cluster would become worthless; choose another directory, or move it away first"
            )
    key = profile.new_key()
    root = profile.ca_certificate(cluster_id, key, CA_DAYS)
    _make_directory(directory)
    _write_new(directory / CA_KEY, profile.key_pem(key), mode=0o600)
    _write_new(directory / CA_CERT, profile.cert_pem(root), mode=0o644)
    make_issuing_ca(directory)
    return cluster_id


def make_issuing_ca(directory: Path) -> Path:
    """Make an issuing CA under the root in *directory*, whose key must be there; the old one goes.

    Raises:
        CertificateInvalid: the root or its key is missing, expired or damaged.
        ConfigError: the directory cannot be written.
    """
    root = _load_signer(directory, CA_CERT, CA_KEY)
    key = profile.new_key()
    under = (root.certificate, root.key)
    made = profile.ca_certificate(root.cluster_id, key, ISSUING_DAYS, under)
    try:
        # In between the two do not fit together, which is refused: then this is called again.
        replace_file(directory / ISSUING_KEY, profile.key_pem(key), 0o600)
        replace_file(directory / ISSUING_CERT, profile.cert_pem(made), 0o644)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be written: {error.strerror}") from None
    return directory / ISSUING_CERT


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
    ca = load_issuing_ca(ca_dir)
    identity = checked_identity(ca.cluster_id, role, name)
    if name in _RESERVED_NAMES:
        raise UsageError(f"name '{name}' is kept for the CA's own files: choose another")
    if not 1 <= days <= LEAF_DAYS_MAX:
        raise UsageError(f"{days} days is not in 1..{LEAF_DAYS_MAX}")
    files = IssuedFiles(out_dir / f"{name}.crt", out_dir / f"{name}.key", out_dir / CA_CERT)
    for path in (files.cert, files.key):
        if path.exists():
            raise UsageError(f"{path} exists and is not overwritten: move it away or choose --out")
    key = profile.new_key()
    chain = ca.sign(identity, key.public_key(), hosts, days)
    _make_directory(out_dir)
    _place_ca(ca.root, files.ca)
    _write_new(files.key, profile.key_pem(key), mode=0o600)
    _write_new(files.cert, chain, mode=0o644)
    return files


def describe(path: Path) -> CertificateDescription:
    """What the first certificate in *path* says, and who follows it.

    Raises:
        CertificateInvalid: the file is missing or holds no certificate.
    """
    cert, *following = pem.load_certificates(path, "certificate")
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
        chain=[other.subject.rfc4514_string() for other in following],
        expires_in_s=int(left.total_seconds()),
    )


def cluster_id_of(ca_dir: Path) -> str:
    """The cluster id of the CA in *ca_dir*; raises CertificateInvalid as `issue` does."""
    return load_issuing_ca(ca_dir).cluster_id


def load_issuing_ca(ca_dir: Path) -> IssuingCa:
    """Who signs in *ca_dir*: the issuing CA, or the root of a directory that has none.

    Raises:
        CertificateInvalid: it is missing, expired, damaged, or its key is open to others.
    """
    if not (ca_dir / CA_CERT).exists() and not (ca_dir / CA_KEY).exists():
        raise CertificateInvalid(f"{ca_dir} holds no CA: make one with 'pydfsnode certs init'")
    if (ca_dir / ISSUING_CERT).exists():
        return _load_signer(ca_dir, ISSUING_CERT, ISSUING_KEY)
    return _load_signer(ca_dir, CA_CERT, CA_KEY)


def _load_signer(ca_dir: Path, cert_name: str, key_name: str) -> IssuingCa:
    cert_path, key_path = ca_dir / cert_name, ca_dir / key_name
    root = pem.load_certificates(ca_dir / CA_CERT, "CA certificate")[0]
    cert = pem.load_certificates(cert_path, "CA certificate")[0]
    key = pem.load_private_key(key_path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateInvalid(f"{key_path}: not an ECDSA key: only a CA made by us can issue")
    pem.check_key_matches(cert, key, cert_path, key_path)
    pem.check_valid_now(cert, cert_path, "make a new CA in another directory and rotate to it")
    uris = pem.uris_of(cert)
    if len(uris) != 1 or not is_cluster_id(uris[0].removeprefix(SCHEME)):
        raise CertificateInvalid(
            f"{cert_path}: names no cluster (one URI {SCHEME}CLUSTER): make a CA with "
            "'pydfsnode certs init'"
        )
    try:
        return IssuingCa.checked(root, cert, key)
    except CertificateInvalid as error:
        raise CertificateInvalid(f"{cert_path}: {error.message}") from None


def _place_ca(ca: x509.Certificate, path: Path) -> None:
    """Write the CA's certificate to *path*, or check that the file there trusts it already."""
    if not path.exists():
        _write_new(path, profile.cert_pem(ca), mode=0o644)
    elif ca not in pem.load_certificates(path, "CA certificate"):
        raise UsageError(f"{path} is another cluster's CA: choose another directory with --out")


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
