"""Files of certificates that people or disks changed: read, or refused with the file's name."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid
from pydfsnode.security import material, pem, pki


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    pki.init_ca(tmp_path / "ca", "testcluster")
    made = pki.issue(tmp_path / "ca", tmp_path, "master", "m1")
    return TlsFiles(str(made.ca), str(made.cert), str(made.key))


def test_a_remark_beside_the_roots_may_be_in_any_language(files: TlsFiles) -> None:
    roots = Path(files.ca)
    roots.write_bytes("# Zürich, März\n".encode() + roots.read_bytes())
    assert material.read_material(files).identity.name == "m1"


def test_a_certificate_with_a_damaged_name_is_refused_when_it_is_read(files: TlsFiles) -> None:
    path = Path(files.cert)
    der = pem.load_certificates(path, "certificate")[0].public_bytes(Encoding.DER)
    damaged = der.replace(b"spiffe://", b"\xffpiffe://")
    assert damaged != der
    path.write_bytes(armoured(damaged))
    with pytest.raises(CertificateInvalid, match=r"m1\.crt"):
        pki.describe(path)
    with pytest.raises(CertificateInvalid, match=r"m1\.crt"):
        material.read_material(files)


def armoured(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
