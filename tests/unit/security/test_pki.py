"""The CA and what it issues."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pydfsnode.errors import CertificateInvalid, ConfigError, UsageError
from pydfsnode.security import pki


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_makes_a_ca_whose_key_only_the_owner_reads(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "certs"
    cluster_id = pki.init_ca(directory)
    assert len(cluster_id) == 16
    assert set(cluster_id) <= set("0123456789abcdef")
    assert mode_of(directory / "ca.key") == 0o600
    ca = load(directory / "ca.crt")
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=1)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert pki.cluster_id_of(directory) == cluster_id


def test_two_cas_have_different_cluster_ids(tmp_path: Path) -> None:
    assert pki.init_ca(tmp_path / "a") != pki.init_ca(tmp_path / "b")


def test_init_never_overwrites_a_ca(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "first")
    before = (tmp_path / "ca.key").read_bytes()
    with pytest.raises(UsageError, match=r"ca\.crt exists and is not overwritten"):
        pki.init_ca(tmp_path, "second")
    (tmp_path / "ca.crt").unlink()
    with pytest.raises(UsageError, match=r"ca\.key exists and is not overwritten"):
        pki.init_ca(tmp_path, "second")
    assert (tmp_path / "ca.key").read_bytes() == before


def test_a_bad_cluster_id_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cluster id 'No Good' is not allowed"):
        pki.init_ca(tmp_path / "certs", "No Good")
    assert not (tmp_path / "certs").exists()


def test_a_leaf_holds_one_uri_its_hosts_and_may_serve_and_call(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    hosts = ["127.0.0.1", "::1", "localhost", "m1.example.com", "localhost"]
    files = pki.issue(tmp_path, tmp_path / "out", "master", "m1", hosts, days=30)
    leaf = load(files.cert)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://demo/master/m1"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "m1.example.com"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]
    usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert mode_of(files.key) == 0o600
    assert files.ca.read_bytes() == (tmp_path / "ca.crt").read_bytes()
    leaf.verify_directly_issued_by(load(tmp_path / "issuing.crt"))
    load(tmp_path / "issuing.crt").verify_directly_issued_by(load(tmp_path / "ca.crt"))


def test_certificates_begin_a_little_in_the_past_and_end_as_asked(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    leaf = load(pki.issue(tmp_path, tmp_path, "user", "alice", [], days=7).cert)
    now = datetime.now(UTC)
    assert timedelta(minutes=4) < now - leaf.not_valid_before_utc < timedelta(minutes=10)
    assert timedelta(days=6, hours=23) < leaf.not_valid_after_utc - now <= timedelta(days=7)


def test_a_leaf_never_outlives_its_ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "CA_DAYS", 5)
    pki.init_ca(tmp_path, "demo")
    leaf = load(pki.issue(tmp_path, tmp_path, "user", "a", [], days=30).cert)
    assert leaf.not_valid_after_utc == load(tmp_path / "ca.crt").not_valid_after_utc


def test_serial_numbers_and_keys_are_new_each_time(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    first = load(pki.issue(tmp_path, tmp_path, "user", "a").cert)
    second = load(pki.issue(tmp_path, tmp_path, "user", "b").cert)
    assert first.serial_number != second.serial_number
    assert first.serial_number > 2**64
    assert first.public_key() != second.public_key()


def test_issue_never_overwrites(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    files = pki.issue(tmp_path, tmp_path, "user", "alice")
    before = files.cert.read_bytes(), files.key.read_bytes()
    with pytest.raises(UsageError, match=r"alice\.crt exists"):
        pki.issue(tmp_path, tmp_path, "admin", "alice")
    files.cert.unlink()
    with pytest.raises(UsageError, match=r"alice\.key exists"):
        pki.issue(tmp_path, tmp_path, "admin", "alice")
    assert files.key.read_bytes() == before[1]


def test_the_cas_own_file_names_cannot_be_taken(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    with pytest.raises(UsageError, match="'ca' is kept for the CA"):
        pki.issue(tmp_path, tmp_path / "out", "user", "ca")


@pytest.mark.parametrize(
    ("role", "name", "hosts", "days", "message"),
    [
        ("boss", "m1", [], 1, "role 'boss' is unknown"),
        ("master", "a/b", [], 1, "name 'a/b' is not allowed"),
        ("master", "..", [], 1, "name '..' is not allowed"),
        ("master", "m1", ["bad host"], 1, "'bad host' is neither a DNS name nor"),
        ("master", "m1", ["1.2.3.400"], 1, "'1.2.3.400' is neither"),
        ("master", "m1", [""], 1, "'' is neither"),
        ("master", "m1", ["spiffe://x/admin/root"], 1, "is neither"),
        ("master", "m1", [], 0, "0 days is not in 1..3650"),
        ("master", "m1", [], 99999, "99999 days is not in"),
    ],
)
def test_what_is_not_allowed_is_refused_before_anything_is_written(
    tmp_path: Path, role: str, name: str, hosts: list[str], days: int, message: str
) -> None:
    pki.init_ca(tmp_path, "demo")
    with pytest.raises(UsageError) as caught:
        pki.issue(tmp_path, tmp_path / "out", role, name, hosts, days)
    assert message in caught.value.message
    assert not (tmp_path / "out").exists()


def test_issuing_beside_another_clusters_ca_is_refused(tmp_path: Path) -> None:
    pki.init_ca(tmp_path / "a", "a")
    pki.init_ca(tmp_path / "b", "b")
    pki.issue(tmp_path / "a", tmp_path / "out", "user", "alice")
    with pytest.raises(UsageError, match="is another cluster's CA"):
        pki.issue(tmp_path / "b", tmp_path / "out", "user", "bob")
    assert not (tmp_path / "out" / "bob.key").exists()


def test_a_bundle_that_holds_our_ca_is_left_alone(tmp_path: Path) -> None:
    pki.init_ca(tmp_path / "a", "a")
    pki.init_ca(tmp_path / "b", "b")
    bundle = (tmp_path / "a" / "ca.crt").read_bytes() + (tmp_path / "b" / "ca.crt").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ca.crt").write_bytes(bundle)
    pki.issue(tmp_path / "b", tmp_path / "out", "user", "bob")
    assert (tmp_path / "out" / "ca.crt").read_bytes() == bundle


def test_a_missing_damaged_or_open_ca_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(
        CertificateInvalid, match="holds no CA: make one with 'pydfsnode certs init"
    ):
        pki.issue(tmp_path, tmp_path, "user", "a")
    pki.init_ca(tmp_path, "demo")
    (tmp_path / "issuing.key").chmod(0o640)
    with pytest.raises(CertificateInvalid, match=r"mode 0640 .* run 'chmod 600 .*issuing\.key'"):
        pki.issue(tmp_path, tmp_path, "user", "a")
    (tmp_path / "issuing.key").chmod(0o600)
    (tmp_path / "issuing.key").write_text("nonsense")
    with pytest.raises(CertificateInvalid, match=r"issuing\.key: holds no PEM private key"):
        pki.issue(tmp_path, tmp_path, "user", "a")
    (tmp_path / "issuing.key").unlink()
    with pytest.raises(CertificateInvalid, match=r"issuing\.key: no such private key file"):
        pki.issue(tmp_path, tmp_path, "user", "a")


def test_a_leaf_cannot_act_as_a_ca(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    files = pki.issue(tmp_path, tmp_path, "admin", "root")
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "ca.crt").write_bytes(files.cert.read_bytes())
    (tmp_path / "fake" / "ca.key").touch(mode=0o600)
    (tmp_path / "fake" / "ca.key").write_bytes(files.key.read_bytes())
    with pytest.raises(CertificateInvalid, match="names no cluster"):
        pki.issue(tmp_path / "fake", tmp_path / "out", "admin", "evil")


def test_a_directory_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        pki.init_ca(tmp_path / "file" / "certs", "demo")


def test_describe_tells_what_a_certificate_says(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    files = pki.issue(tmp_path, tmp_path, "chunkserver", "c1", ["localhost", "10.0.0.1"], days=10)
    told = pki.describe(files.cert)
    assert told.uri == "spiffe://demo/chunkserver/c1"
    assert told.hosts == ["localhost", "10.0.0.1"]
    assert not told.is_ca
    assert told.days_left == 9
    assert told.subject == "CN=c1"
    assert told.issuer.endswith("CN=pydfsnode issuing CA demo")
    assert told.chain == [told.issuer]
    assert datetime.fromisoformat(told.not_before) < datetime.fromisoformat(told.not_after)
    assert len(told.fingerprint_sha256) == 64
    ca = pki.describe(files.ca)
    assert ca.is_ca
    assert ca.uri == "spiffe://demo"


def test_describe_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CertificateInvalid, match="no such certificate file"):
        pki.describe(tmp_path / "none.crt")
    (tmp_path / "x.crt").write_bytes(b"\xff\x00")
    with pytest.raises(CertificateInvalid, match="holds no PEM certificate"):
        pki.describe(tmp_path / "x.crt")
    with pytest.raises(CertificateInvalid, match="cannot be read"):
        pki.describe(tmp_path)
