"""Certificates with one thing wrong, signed by a real CA, for those who must refuse them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pydfsnode.config import TlsFiles
from pydfsnode.security import pki, profile

OURS = "spiffe://testcluster/admin/odd"
DAY = timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def odd_certificate(
    ca_dir: Path,
    out: Path,
    *,
    uris: Sequence[str] = (OURS,),
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    usages: Sequence[x509.ObjectIdentifier] = BOTH,
    self_signed: bool = False,
) -> TlsFiles:
    """Files of a leaf of the CA in *ca_dir*, or of its own; times count from now."""
    ca, key, now = pki.load_issuing_ca(ca_dir), profile.new_key(), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])
    signer = key if self_signed else ca.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if self_signed else ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(u) for u in uris])
        builder = builder.add_extension(names, critical=False)
    leaf = builder.sign(signer, hashes.SHA256())
    between = () if self_signed else ca.between
    out.mkdir(parents=True)
    files = TlsFiles(str(ca_dir / "ca.crt"), str(out / "odd.crt"), str(out / "odd.key"))
    Path(files.cert).write_bytes(profile.cert_pem(leaf, *between))
    Path(files.key).touch(0o600)
    Path(files.key).write_bytes(profile.key_pem(key))
    return files
