"""What TlsStore accepts as files, and who it says a peer is."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid, PeerUnauthenticated
from pydfsnode.security import pem, pki, profile
from pydfsnode.security.identity import Identity
from pydfsnode.security.tls import TlsStore, expect_peer, peer_identity
from tests.support.certs import make_cluster_certs

M1 = Identity("testcluster", "master", "m1")


@pytest.fixture
def m1(tmp_path: Path) -> TlsFiles:
    return make_cluster_certs(tmp_path, {"m1": "master"})["m1"]


def replaced(files: TlsFiles, **paths: str) -> TlsFiles:
    names = {"ca": files.ca, "cert": files.cert, "key": files.key, **paths}
    return TlsFiles(**names)


def clock_at(now: datetime) -> type[datetime]:
    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return now

    return Moved


def test_a_good_set_of_files_tells_who_we_are(m1: TlsFiles) -> None:
    store = TlsStore.load(m1)
    assert store.identity == M1
    assert store.files is m1
    assert store.generation == 0


def test_a_certificate_without_hosts_is_good_for_a_user(tmp_path: Path) -> None:
    files = make_cluster_certs(tmp_path, {"alice": "user"}, hosts=())["alice"]
    assert TlsStore.load(files).identity.role == "user"


@pytest.mark.parametrize(
    ("field", "what"), [("ca", "CA certificate"), ("cert", "certificate"), ("key", "private key")]
)
def test_a_missing_file_is_named(m1: TlsFiles, field: str, what: str) -> None:
    files = replaced(m1, **{field: "/no/such/file"})
    with pytest.raises(CertificateInvalid, match=f"/no/such/file: no such {what} file"):
        TlsStore.load(files)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("ca", "holds no PEM CA certificate"),
        ("cert", "holds no PEM certificate"),
        ("key", "holds no PEM private key"),
    ],
)
def test_a_damaged_file_is_named(m1: TlsFiles, tmp_path: Path, field: str, message: str) -> None:
    bad = tmp_path / "bad"
    bad.touch(mode=0o600)
    bad.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(CertificateInvalid, match=message):
        TlsStore.load(replaced(m1, **{field: str(bad)}))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o677])
def test_a_key_that_others_can_reach_is_refused_with_the_command_to_run(
    m1: TlsFiles, mode: int
) -> None:
    Path(m1.key).chmod(mode)
    with pytest.raises(CertificateInvalid, match=f"mode {mode:04o} .* run 'chmod 600 {m1.key}'"):
        TlsStore.load(m1)


def test_the_key_of_another_certificate_is_refused(m1: TlsFiles, tmp_path: Path) -> None:
    other = make_cluster_certs(tmp_path, {"m2": "master"})["m2"]
    with pytest.raises(CertificateInvalid, match=r"m2\.key is not the key of .*m1\.crt"):
        TlsStore.load(replaced(m1, key=other.key))


def test_a_certificate_of_another_ca_is_refused(m1: TlsFiles, tmp_path: Path) -> None:
    pki.init_ca(tmp_path / "other", "testcluster")
    with pytest.raises(CertificateInvalid, match=r"m1\.crt was not issued by a valid CA of"):
        TlsStore.load(replaced(m1, ca=str(tmp_path / "other" / "ca.crt")))


def test_an_expired_certificate_is_refused_with_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.init_ca(tmp_path, "testcluster")
    monkeypatch.setattr(profile, "datetime", clock_at(datetime(2020, 1, 1, tzinfo=UTC)))
    files = make_cluster_certs(tmp_path, {"m1": "master"})["m1"]
    with pytest.raises(CertificateInvalid, match=r"m1\.crt: expired on 2020-01-03: issue a new"):
        TlsStore.load(files)


def test_a_certificate_of_the_future_tells_to_correct_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.init_ca(tmp_path, "testcluster")
    later = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr(profile, "datetime", clock_at(later))
    files = make_cluster_certs(tmp_path, {"m1": "master"})["m1"]
    with pytest.raises(CertificateInvalid, match="correct this machine's clock"):
        TlsStore.load(files)


def test_an_expired_ca_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "CA_DAYS", -1)
    monkeypatch.setattr(profile, "BACKDATED", timedelta(days=3))
    monkeypatch.setattr(pem, "check_valid_now", lambda *_: None)
    monkeypatch.setattr(profile, "min", lambda first, _: first, raising=False)
    files = make_cluster_certs(tmp_path, {"m1": "master"})["m1"]
    monkeypatch.undo()
    with pytest.raises(CertificateInvalid, match="was not issued by a valid CA"):
        TlsStore.load(files)


def test_the_cas_own_certificate_is_nobodys(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "testcluster")
    ca = str(tmp_path / "ca.crt")
    with pytest.raises(CertificateInvalid, match="is not spiffe://CLUSTER/ROLE/NAME"):
        TlsStore.load(TlsFiles(ca=ca, cert=ca, key=str(tmp_path / "ca.key")))


def test_reload_refuses_to_become_somebody_else_and_keeps_what_it_had(
    m1: TlsFiles, tmp_path: Path
) -> None:
    store = TlsStore.load(m1)
    context = store.client_context()
    other = make_cluster_certs(tmp_path, {"m2": "master"})["m2"]
    for field in ("cert", "key"):
        Path(getattr(m1, field)).write_bytes(Path(getattr(other, field)).read_bytes())
    with pytest.raises(CertificateInvalid, match="a reload cannot change who it is"):
        store.reload()
    assert store.client_context() is context
    assert store.generation == 0


def test_a_failed_reload_changes_nothing(m1: TlsFiles) -> None:
    store = TlsStore.load(m1)
    context = store.client_context()
    Path(m1.cert).write_text("half a certific")
    with pytest.raises(CertificateInvalid):
        store.reload()
    assert store.client_context() is context


def test_contexts_speak_tls_13_only_and_give_no_tickets(m1: TlsFiles) -> None:
    store = TlsStore.load(m1)
    for context in (store.server_context(), store.https_context(), store.client_context()):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert store.server_context().num_tickets == 0
    assert store.https_context().num_tickets == 0
    assert store.server_context().verify_mode == ssl.CERT_REQUIRED
    assert store.https_context().verify_mode == ssl.CERT_OPTIONAL
    assert store.client_context().verify_mode == ssl.CERT_REQUIRED


class Peer:
    def __init__(self, certificate: dict[str, object] | None) -> None:
        self.certificate = certificate

    def getpeercert(self) -> dict[str, object] | None:
        return self.certificate


@pytest.mark.parametrize("peer", [None, Peer(None), Peer({})])
def test_a_peer_without_a_certificate_is_nobody(peer: Peer | None) -> None:
    with pytest.raises(PeerUnauthenticated, match="showed no certificate"):
        peer_identity(peer, "testcluster")


def test_a_peer_is_its_one_uri() -> None:
    names = (("DNS", "root.example"), ("URI", M1.uri))
    assert peer_identity(Peer({"subjectAltName": names}), "testcluster") == M1
    with pytest.raises(PeerUnauthenticated, match="exactly one URI"):
        peer_identity(Peer({"subject": ()}), "testcluster")


def test_a_peer_of_another_cluster_is_refused_with_what_was_found() -> None:
    with pytest.raises(PeerUnauthenticated, match="this cluster is 'other'") as caught:
        peer_identity(Peer({"subjectAltName": (("URI", M1.uri),)}), "other")
    assert caught.value.fields == {"found": M1.uri}


def test_expect_peer_compares_role_and_name() -> None:
    expect_peer(M1, "master")
    expect_peer(M1, "master", "m1")
    with pytest.raises(PeerUnauthenticated, match="not a chunkserver"):
        expect_peer(M1, "chunkserver")
    with pytest.raises(PeerUnauthenticated, match="not master 'm2'"):
        expect_peer(M1, "master", "m2")
    with pytest.raises(PeerUnauthenticated, match="not chunkserver 'm1'"):
        expect_peer(M1, "chunkserver", "m1")


def der_chain(path: str) -> list[bytes]:
    """The certificates in a file, the holder's own first."""
    found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


def test_trusts_follows_the_cas_of_the_last_reload(m1: TlsFiles, tmp_path: Path) -> None:
    store = TlsStore.load(m1)
    ours = der_chain(m1.cert)
    strangers = make_cluster_certs(tmp_path / "other", {"m1": "master"})["m1"]
    theirs = der_chain(strangers.cert)
    assert store.trusts(*ours)
    assert not store.trusts(*theirs)
    assert not store.trusts(b"nonsense")
    both = Path(m1.ca).read_bytes() + Path(strangers.ca).read_bytes()
    Path(m1.ca).write_bytes(both)
    store.reload()
    assert store.trusts(*theirs)
    assert store.generation == 1
