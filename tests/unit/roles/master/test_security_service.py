"""The Security service by a whole master: signing, joining, revoking, changing the CA."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pydfsnode.errors import (
    AccessDenied,
    CertificateInvalid,
    CertificateRevoked,
    InvalidArgument,
    PeerUnauthenticated,
    Unavailable,
    UnsafeChange,
)
from pydfsnode.roles.master.trust_reports import HEARD_MS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security import pem, pki, profile
from pydfsnode.security.identity import Identity
from pydfsnode.security.issuing import IssuingCa, pin_of, request_for
from tests.support.certs import make_cluster_certs
from tests.support.masters import Master, node_config

SECRET = "a secret of thirty-two characters"
C9 = Identity("testcluster", "chunkserver", "c9")


class Cluster:
    """One master, and the CA's files."""

    def __init__(self, directory: Path, master: Master) -> None:
        self.directory = directory
        self.master = master
        self.ca = pki.load_issuing_ca(directory / "certs")

    async def order(self, method: str, **fields: Any) -> Any:
        request = getattr(pb, f"{method}Request")(op=self.master.op(), **fields)
        return await self.master.call(f"/pydfs.v1.Security/{method}", request)

    async def step(self, step: str, ca: IssuingCa | None = None, **fields: Any) -> Any:
        if ca is not None:
            names = ("root_pem", "certificate_pem", "key_pem")
            fields |= dict(zip(names, ca.texts(), strict=True))
        return (await self.order("SetAuthority", step=step, **fields)).trust

    async def follow(self, who: str = "m1", **fields: Any) -> pb.FollowTrustResponse:
        role = "master" if who == "m1" else "chunkserver"
        request = pb.FollowTrustRequest(**fields)
        path = "/pydfs.v1.Security/FollowTrust"
        answer = await self.master.call(path, request, role, who)
        assert isinstance(answer, pb.FollowTrustResponse)
        return answer

    async def sign(self, files: Any, role: str = "user", name: str = "bob") -> str:
        identity = Identity("testcluster", role, name)
        request = pb.SignRequest(
            request=request_for(identity, profile.new_key()),
            present_pem=Path(files.cert).read_text(),
        )
        answer = await self.master.call("/pydfs.v1.Security/Sign", request, role, name)
        return str(answer.chain_pem)

    async def join(self, token: str, key: Any, identity: Identity = C9) -> Any:
        request = pb.JoinRequest(token=token, request=request_for(identity, key))
        return await self.master.call("/pydfs.v1.Security/Join", request, "master", "m1")

    async def token(self, for_ms: int = 60_000) -> str:
        hashed = hashlib.sha256(SECRET.encode()).hexdigest()
        await self.order(
            "AddJoinToken", token_id="0" * 16, secret_sha256=hashed, role="chunkserver",
            name="c9", hosts=["10.0.0.9"], for_ms=for_ms,
        )  # fmt: skip
        return f"{'0' * 16}.{SECRET}"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    master = await Master(node_config(tmp_path)).start()
    yield Cluster(tmp_path, master)
    await master.stop()


async def test_without_a_ca_nothing_is_signed_and_the_command_is_named(cluster: Cluster) -> None:
    files = make_cluster_certs(cluster.directory / "certs", {"bob": "user"})["bob"]
    with pytest.raises(Unavailable, match="certs install"):
        await cluster.sign(files)
    answer = await cluster.follow()
    assert (answer.can_sign, answer.roots_pem) == (False, "")


async def test_ones_own_certificate_is_renewed_with_its_hosts(cluster: Cluster) -> None:
    await cluster.step("install", cluster.ca)
    files = make_cluster_certs(cluster.directory / "certs", {"bob": "user", "eve": "user"})
    chain = await cluster.sign(files["bob"])
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    assert pem.uris_of(leaf) == ["spiffe://testcluster/user/bob"]
    assert pem.hosts_of(leaf) == ["localhost", "127.0.0.1"]
    assert (leaf.not_valid_after_utc - profile.signed_at(leaf)).days == 90
    with pytest.raises(PeerUnauthenticated, match="not that of"):
        await cluster.sign(files["eve"])
    strange = make_cluster_certs(cluster.directory / "other", {"bob": "user"})["bob"]
    with pytest.raises(PeerUnauthenticated):
        await cluster.sign(strange)


async def test_a_revoked_certificate_renews_nothing(cluster: Cluster) -> None:
    await cluster.step("install", cluster.ca)
    files = make_cluster_certs(cluster.directory / "certs", {"bob": "user"})["bob"]
    serial = pki.describe(Path(files.cert)).serial
    await cluster.order("RevokeCertificates", serials=[serial], reason="lost")
    answer = await cluster.follow()
    assert list(answer.revoked) == [serial]
    cluster.master.role._node.tls.revoke(answer.revoked)  # as its keeper does a second later
    with pytest.raises(CertificateRevoked):
        await cluster.sign(files)


async def test_a_token_lets_one_key_in(cluster: Cluster) -> None:
    await cluster.step("install", cluster.ca)
    token, key = await cluster.token(), profile.new_key()
    with pytest.raises(AccessDenied):
        await cluster.join(token + "x", key)
    with pytest.raises(InvalidArgument, match="the token is for chunkserver 'c9'"):
        await cluster.join(token, key, Identity("testcluster", "master", "c9"))
    answer = await cluster.join(token, key)
    leaf = x509.load_pem_x509_certificates(answer.chain_pem.encode())[0]
    assert (pem.uris_of(leaf), pem.hosts_of(leaf)) == ([C9.uri], ["10.0.0.9"])
    await cluster.join(token, key)  # the answer was lost
    with pytest.raises(AccessDenied):
        await cluster.join(token, profile.new_key())
    assert SECRET not in str(cluster.master.role._store.namespace.tree.trust.tokens)


async def test_an_old_token_lets_nobody_in(cluster: Cluster) -> None:
    await cluster.step("install", cluster.ca)
    token = await cluster.token(for_ms=1_000)
    cluster.master.clock.ahead_ms += 1_000
    with pytest.raises(AccessDenied):
        await cluster.join(token, profile.new_key())


async def test_a_ca_that_is_not_ours_is_refused(cluster: Cluster) -> None:
    pki.init_ca(cluster.directory / "elsewhere", "elsewhere")
    with pytest.raises(CertificateInvalid, match="is of cluster 'elsewhere'"):
        await cluster.step("install", pki.load_issuing_ca(cluster.directory / "elsewhere"))


async def test_a_change_of_the_ca_waits_for_every_live_node(cluster: Cluster) -> None:
    await cluster.master.heartbeat("c1")
    await cluster.step("install", cluster.ca)
    pki.init_ca(cluster.directory / "new", "testcluster")
    new = pki.load_issuing_ca(cluster.directory / "new")
    state = await cluster.step("trust", new)
    assert {node.identity.rpartition("/")[2] for node in state.nodes} == {"m1", "c1"}
    both = [pin_of(cluster.ca.root), pin_of(new.root)]
    with pytest.raises(UnsafeChange, match="has not said what it has"):
        await cluster.step("reissue")
    await cluster.follow("m1", root_pins=both)
    await cluster.follow("c1", root_pins=both[:1], problem="ca.crt cannot be written")
    with pytest.raises(UnsafeChange, match=r"c1 does not believe .* cannot be written"):
        await cluster.step("reissue")
    await cluster.follow("c1", root_pins=both)
    await cluster.step("reissue")

    asked = (await cluster.follow("m1", root_pins=both)).renew_before_ms
    assert asked > 0
    from pydfsnode.roles.master.trust_center import fingerprint

    done = {"root_pins": both, "signed_at_ms": asked, "issuer_sha256": fingerprint(new.certificate)}
    await cluster.follow("m1", **done)
    await cluster.follow("c1", **{**done, "issuer_sha256": fingerprint(cluster.ca.certificate)})
    with pytest.raises(UnsafeChange, match="c1 has a certificate of the old CA"):
        await cluster.step("drop")
    await cluster.follow("c1", **done)
    cluster.master.clock.ahead_ms += HEARD_MS + 1
    with pytest.raises(UnsafeChange):
        await cluster.step("drop")
    await cluster.master.heartbeat("c1")
    await cluster.follow("m1", **done)
    await cluster.follow("c1", **done)
    state = await cluster.step("drop")
    assert [root.pin for root in state.roots] == both[1:]
    assert {node.behind for node in state.nodes} == {"still believes a root that is gone"}


async def test_only_known_nodes_are_renewed_one_by_one(cluster: Cluster) -> None:
    await cluster.step("install", cluster.ca)
    with pytest.raises(InvalidArgument, match="is no live node"):
        await cluster.step("renew", nodes=["spiffe://testcluster/master/m9"])
    await cluster.step("renew", nodes=["spiffe://testcluster/master/m1"])
    assert (await cluster.follow("m1")).renew_before_ms > 0
    assert (await cluster.follow("c1")).renew_before_ms == 0


async def test_an_answer_that_is_known_is_not_told_again(cluster: Cluster) -> None:
    await cluster.step("install", cluster.ca)
    first = await cluster.follow()
    assert first.changed
    again = await cluster.follow(version=first.version)
    assert (again.changed, again.roots_pem) == (False, "")
    await cluster.order("RevokeCertificates", serials=["1f"])
    assert (await cluster.follow(version=first.version)).changed


async def test_health_warns_of_certificates_that_were_not_renewed(cluster: Cluster) -> None:
    now_ms = cluster.master.clock.wall_ms()
    await cluster.follow("m1", signed_at_ms=now_ms - 90, not_after_ms=now_ms + 10)
    status = await cluster.master.call("/pydfs.v1.Cluster/Status", pb.ClusterStatusRequest())
    (check,) = [c for c in status.checks if c.code == "CERT_EXPIRING"]
    assert "master/m1" in check.message
    assert "certs status" in check.remedy
