"""A node follows the cluster's trust and renews its certificate by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pydfsnode.config import TlsFiles
from pydfsnode.errors import PydfsError, Unavailable
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.certificates import CertificateKeeper
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.security import pki
from pydfsnode.security.issuing import IssuingCa, requested_key
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs

DAY_MS = 86_400_000


class Leader:
    """Answers as the leading master does."""

    def __init__(self, ca: IssuingCa) -> None:
        self.ca = ca
        self.answer = pb.FollowTrustResponse(version="v1", changed=True, can_sign=True)
        self.asked: list[Any] = []
        self.failure: PydfsError | None = None
        self.identity = ""

    async def ask(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        if path.endswith("FollowTrust"):
            return self.answer
        from pydfsnode.security.identity import Identity

        public = requested_key(request.request)
        chain = self.ca.sign(Identity.parse(self.identity), public, [], 9).decode()
        return pb.SignResponse(chain_pem=chain, roots_pem=self.answer.roots_pem)


class Node:
    """A keeper of c1 and its leader."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files: TlsFiles = make_cluster_certs(directory, {"c1": "chunkserver"})["c1"]
        self.tls = TlsStore.load(self.files)
        self.leader = Leader(pki.load_issuing_ca(directory))
        self.leader.identity = self.tls.identity.uri
        self.leader.answer.roots_pem = self.leader.ca.texts()[0]
        signed_ms = int(self.tls.leaf.not_valid_before_utc.timestamp() * 1000)
        self.clock = ManualClock(0, signed_ms)
        self.keeper = self.keep()

    def keep(self) -> CertificateKeeper:
        return CertificateKeeper(self.tls, self.directory, self.leader.ask, self.clock, lambda: 0.5)

    @property
    def serial(self) -> str:
        return f"{self.tls.leaf.serial_number:x}"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def test_it_tells_what_it_has_and_which_answer_it_followed(node: Node) -> None:
    await node.keeper.step()
    await node.keeper.step()
    first, second = node.leader.asked
    assert (first.version, second.version) == ("", "v1")
    assert first.serial == node.serial
    assert first.root_pins


async def test_a_certificate_is_renewed_after_two_thirds_of_its_life(node: Node) -> None:
    before = node.serial
    lifetime_ms = 2 * DAY_MS
    node.clock.advance(lifetime_ms * 6 // 10)
    await node.keeper.step()
    assert node.serial == before
    node.clock.advance(lifetime_ms // 10)
    await node.keeper.step()
    assert node.serial != before
    assert node.tls.own_generation == 1
    assert TlsStore.load(node.files).leaf == node.tls.leaf


async def test_a_node_is_asked_to_renew_at_once(node: Node) -> None:
    before = node.serial
    node.leader.answer.renew_before_ms = node.clock.wall_ms() + DAY_MS
    node.leader.answer.can_sign = False
    await node.keeper.step()
    assert node.serial == before
    node.leader.answer.can_sign = True
    await node.keeper.step()
    assert node.serial != before


async def test_after_a_failure_it_waits_before_it_asks_again(node: Node) -> None:
    node.leader.answer.renew_before_ms = node.clock.wall_ms() + DAY_MS
    elsewhere = node.directory / "elsewhere"
    pki.init_ca(elsewhere, "testcluster")
    node.leader.ca = pki.load_issuing_ca(elsewhere)
    before = node.serial
    await node.keeper.step()
    assert node.serial == before
    await node.keeper.step()
    assert len(node.leader.asked) == 3
    assert "a CA that they do not believe" in node.leader.asked[2].problem
    node.clock.advance(10_000)
    await node.keeper.step()
    assert len(node.leader.asked) == 5


async def test_revoked_certificates_are_remembered_over_a_restart(node: Node) -> None:
    node.leader.answer.revoked.extend(["1f", "2a"])
    await node.keeper.step()
    assert node.tls.revoked == {"1f", "2a"}
    again = TlsStore.load(node.files)
    node.leader.failure = Unavailable("no leader")
    keeper = CertificateKeeper(again, node.directory, node.leader.ask, node.clock)
    await keeper.step()
    assert again.revoked == {"1f", "2a"}


async def test_a_damaged_memory_is_no_reason_to_stay_down(node: Node) -> None:
    (node.directory / "revoked.json").write_text("nonsense")
    node.keep()
    assert node.tls.revoked == frozenset()


async def test_the_ca_changes_under_it(node: Node) -> None:
    new_dir = node.directory / "new"
    pki.init_ca(new_dir, "testcluster")
    old, new = node.leader.ca, pki.load_issuing_ca(new_dir)
    answer = node.leader.answer
    answer.roots_pem, answer.version = old.texts()[0] + new.texts()[0], "v2"
    await node.keeper.step()
    assert list(node.tls.authorities) == [old.root, new.root]
    node.leader.ca, answer.renew_before_ms = new, node.clock.wall_ms() + DAY_MS
    await node.keeper.step()
    answer.renew_before_ms = 0
    answer.roots_pem, answer.version = new.texts()[0], "v3"
    await node.keeper.step()
    assert list(node.tls.authorities) == [new.root]
    store = TlsStore.load(node.files)
    assert store.issuer_sha256 == node.tls.issuer_sha256


async def test_it_does_not_saw_off_the_branch_that_it_sits_on(node: Node) -> None:
    new_dir = node.directory / "new"
    pki.init_ca(new_dir, "testcluster")
    node.leader.answer.roots_pem = pki.load_issuing_ca(new_dir).texts()[0]
    await node.keeper.step()
    assert list(node.tls.authorities) == [node.leader.ca.root]
    await node.keeper.step()
    assert "a CA that is believed no more" in node.leader.asked[-1].problem
    TlsStore.load(node.files)


async def test_metrics_tell_when_each_certificate_ends(node: Node) -> None:
    def shown(name: str, kind: str) -> float:
        value = metrics().registry.get_sample_value(f"pydfs_{name}", {"certificate": kind})
        assert value is not None
        return value

    assert abs(shown("certificate_lifetime_seconds", "leaf") - 2 * DAY_MS / 1000) < 2
    left_s = shown("certificate_expires_seconds", "leaf")
    node.clock.advance(5_000_000)
    assert shown("certificate_expires_seconds", "leaf") == left_s - 5000
    assert shown("certificate_expires_seconds", "root") > 9 * 365 * DAY_MS / 1000
    assert shown("certificate_lifetime_seconds", "issuing") > 4 * 365 * DAY_MS / 1000
    node.leader.answer.renew_before_ms = node.clock.wall_ms() + DAY_MS
    await node.keeper.step()
    assert shown("certificate_expires_seconds", "leaf") > left_s + 6 * DAY_MS / 1000
