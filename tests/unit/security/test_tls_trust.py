"""What ends trust in a peer, and when a store looks at its files again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid, CertificateRevoked, IssuerUntrusted
from pydfsnode.security import pki, replacing
from pydfsnode.security.files import replace_file
from pydfsnode.security.renewing import own_renewal
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs


@pytest.fixture
def files(tmp_path: Path) -> dict[str, TlsFiles]:
    return make_cluster_certs(tmp_path, {"m1": "master", "alice": "user"})


def chain_of(files: TlsFiles) -> list[bytes]:
    found = x509.load_pem_x509_certificates(Path(files.cert).read_bytes())
    return [certificate.public_bytes(Encoding.DER) for certificate in found]


def renew(files: TlsFiles, ca_dir: Path) -> None:
    """A new certificate in the files of an old one."""
    from pydfsnode.security.issuing import requested_key

    ca, renewal = pki.load_issuing_ca(ca_dir), own_renewal(files)
    identity = renewal.store_of.identity
    chain = ca.sign(identity, requested_key(renewal.request), [], 1)
    renewal.store(chain.decode(), ca.texts()[0])


def test_a_revoked_certificate_is_refused_with_its_serial(files: dict[str, TlsFiles]) -> None:
    store, alice = TlsStore.load(files["m1"]), chain_of(files["alice"])
    changes: list[int] = []
    store.on_change(lambda: changes.append(store.generation))
    serial = pki.describe(Path(files["alice"].cert)).serial
    assert store.trusts(*alice)
    store.revoke([serial])
    error = store.distrust(alice)
    assert isinstance(error, CertificateRevoked)
    assert serial in error.message
    assert store.trusts(*chain_of(files["m1"]))
    store.revoke([serial])
    assert changes == [1]
    store.revoke([])
    assert store.trusts(*alice)


def test_a_revoked_issuing_ca_ends_everything_under_it(
    files: dict[str, TlsFiles], tmp_path: Path
) -> None:
    store = TlsStore.load(files["m1"])
    store.revoke([pki.describe(tmp_path / "issuing.crt").serial])
    assert isinstance(store.distrust(chain_of(files["alice"])), CertificateRevoked)


def test_nobody_is_trusted_without_a_chain_or_under_another_root(
    files: dict[str, TlsFiles], tmp_path: Path
) -> None:
    store = TlsStore.load(files["m1"])
    assert isinstance(store.distrust([]), IssuerUntrusted)
    assert isinstance(store.distrust(chain_of(files["alice"])[:1]), IssuerUntrusted)
    strange = make_cluster_certs(tmp_path / "other", {"alice": "user"})["alice"]
    assert isinstance(store.distrust(chain_of(strange)), IssuerUntrusted)


def test_content_counts_and_not_the_file(files: dict[str, TlsFiles], tmp_path: Path) -> None:
    store, cert = TlsStore.load(files["m1"]), Path(files["m1"].cert)
    assert not store.reload_if_changed()
    cert.touch()
    replace_file(cert, cert.read_bytes(), 0o644)
    assert not store.reload_if_changed()
    renew(files["m1"], tmp_path)
    assert store.reload_if_changed()
    assert (store.generation, store.own_generation) == (1, 1)
    linked = tmp_path / "linked.crt"
    shutil.copy(cert, linked)
    cert.unlink()
    cert.symlink_to(linked)
    assert not store.reload_if_changed()


def test_a_change_of_the_roots_alone_leaves_our_connections(
    files: dict[str, TlsFiles], tmp_path: Path
) -> None:
    store = TlsStore.load(files["m1"])
    pki.init_ca(tmp_path / "new", "testcluster")
    with Path(files["m1"].ca).open("ab") as ca:
        ca.write((tmp_path / "new" / "ca.crt").read_bytes())
    assert store.reload_if_changed()
    assert (store.generation, store.own_generation) == (1, 0)


def test_files_that_cannot_be_used_are_told_once_and_change_nothing(
    files: dict[str, TlsFiles],
) -> None:
    store, cert = TlsStore.load(files["m1"]), Path(files["m1"].cert)
    good, context = cert.read_bytes(), store.client_context()
    cert.write_text("nonsense")
    with pytest.raises(CertificateInvalid):
        store.reload_if_changed()
    assert not store.reload_if_changed()
    store.look(1.0)
    store.look(1.1)
    assert store.client_context() is context
    cert.write_bytes(good)
    assert store.reload_if_changed()


def test_while_files_are_replaced_nobody_takes_them(
    files: dict[str, TlsFiles], tmp_path: Path
) -> None:
    store = TlsStore.load(files["m1"])
    with store.replacing():
        renew(files["m1"], tmp_path)
        assert not store.reload_if_changed()
    assert store.reload_if_changed()


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["replace_file", "_take"])
def test_a_crash_while_files_are_replaced_leaves_a_pair_that_fits(
    files: dict[str, TlsFiles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = pki.describe(Path(files["m1"].cert)).serial
    calls: list[object] = []

    def crash(*arguments: object) -> None:
        calls.append(arguments)
        if step == "_take" or len(calls) == 2:  # the certificate, after the key beside the old one
            raise Crash
        replace_file(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(replacing, step, crash)
    with pytest.raises(Crash):
        renew(files["m1"], tmp_path)
    monkeypatch.undo()
    store = TlsStore.load(files["m1"])
    is_new = f"{store.leaf.serial_number:x}" != before
    assert is_new == (step == "_take")
    assert not Path(files["m1"].key + ".next").exists()
    assert Path(files["m1"].key).stat().st_mode & 0o777 == 0o600
