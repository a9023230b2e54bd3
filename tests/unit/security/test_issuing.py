"""An issuing CA signs keys that others made, for identities that it is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pydfsnode.errors import CertificateInvalid, UsageError
from pydfsnode.security import pem, pki, profile
from pydfsnode.security.identity import Identity
from pydfsnode.security.issuing import (
    IssuingCa,
    pin_of,
    request_for,
    requested_key,
    requested_uri,
)

C4 = Identity("demo", "chunkserver", "c4")


@pytest.fixture
def ca(tmp_path: Path) -> IssuingCa:
    pki.init_ca(tmp_path, "demo")
    return pki.load_issuing_ca(tmp_path)


def test_what_is_signed_leads_over_the_issuing_ca_to_the_root(ca: IssuingCa) -> None:
    key = profile.new_key()
    public = requested_key(request_for(C4, key))
    chain = ca.sign(C4, public, ["10.0.0.4"], 3)
    leaf, between = x509.load_pem_x509_certificates(chain)
    assert pem.uris_of(leaf) == [C4.uri]
    assert pem.hosts_of(leaf) == ["10.0.0.4"]
    assert leaf.public_key() == key.public_key()
    leaf.verify_directly_issued_by(between)
    between.verify_directly_issued_by(ca.root)
    lifetime = leaf.not_valid_after_utc - profile.signed_at(leaf)
    assert lifetime == timedelta(days=3)


def test_the_texts_are_the_same_ca_again(ca: IssuingCa) -> None:
    again = IssuingCa.from_pem(*ca.texts())
    assert (again.root, again.certificate, again.cluster_id) == (ca.root, ca.certificate, "demo")


def test_a_root_may_sign_itself_as_in_clusters_of_an_earlier_version() -> None:
    key = profile.new_key()
    root = profile.cert_pem(profile.ca_certificate("demo", key, 9)).decode()
    alone = IssuingCa.from_pem(root, "", profile.key_pem(key).decode())
    assert alone.between == ()
    assert alone.texts() == (root, "", profile.key_pem(key).decode())


def test_parts_that_do_not_belong_together_are_refused(ca: IssuingCa, tmp_path: Path) -> None:
    pki.init_ca(tmp_path / "other", "demo")
    other = pki.load_issuing_ca(tmp_path / "other")
    root, certificate, key = ca.texts()
    with pytest.raises(CertificateInvalid, match="not the key of its certificate"):
        IssuingCa.from_pem(root, certificate, other.texts()[2])
    with pytest.raises(CertificateInvalid, match="not under this root"):
        IssuingCa.from_pem(other.texts()[0], certificate, key)
    with pytest.raises(CertificateInvalid, match="cannot be read"):
        IssuingCa.from_pem(root, certificate, "nonsense")
    pki.init_ca(tmp_path / "elsewhere", "elsewhere")
    elsewhere = pki.load_issuing_ca(tmp_path / "elsewhere")
    with pytest.raises(CertificateInvalid, match="name two"):
        IssuingCa.from_pem(elsewhere.texts()[0], certificate, key)


def test_a_request_must_be_signed_with_its_own_key_on_p256() -> None:
    good = request_for(C4, profile.new_key())
    assert requested_uri(good) == C4.uri
    assert requested_uri(b"nonsense") == ""
    with pytest.raises(CertificateInvalid, match="not a request"):
        requested_key(b"nonsense")
    broken = bytearray(good)
    broken[-3] ^= 1
    with pytest.raises(CertificateInvalid):
        requested_key(bytes(broken))
    for key in (
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ):
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        request = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        with pytest.raises(CertificateInvalid, match="P-256 only"):
            requested_key(request)


def test_hosts_are_checked_when_they_are_signed(ca: IssuingCa) -> None:
    with pytest.raises(UsageError, match="neither a DNS name"):
        ca.sign(C4, profile.new_key().public_key(), ["a b"], 1)


def test_a_pin_is_of_the_key_not_of_the_certificate(ca: IssuingCa, tmp_path: Path) -> None:
    key = profile.new_key()
    first, second = (profile.ca_certificate("demo", key, days) for days in (9, 99))
    assert pin_of(first) == pin_of(second) != pin_of(ca.root)
    assert pin_of(first).startswith("sha256:")


def test_another_issuing_ca_under_the_same_root(ca: IssuingCa, tmp_path: Path) -> None:
    pki.make_issuing_ca(tmp_path)
    again = pki.load_issuing_ca(tmp_path)
    assert again.root == ca.root
    assert again.certificate != ca.certificate
    assert again.certificate.subject != ca.certificate.subject
