"""Whom the cluster believes: revocations, join tokens and the phases of a change of the CA."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import ops
from pydfsnode.meta.ops.set_authority import PEM_CHARACTERS_MAX
from pydfsnode.meta.trust import Authority, JoinToken, Signer
from pydfsnode.roles.master.machine import load_namespace
from tests.unit.meta.harness import Harness

OLD, NEW = Signer("old root", "old ca", "old key"), Signer("new root", "new ca", "new key")
TOKEN, SECRET = "0" * 16, "1" * 64


@pytest.fixture
def harness() -> Harness:
    return Harness()


def authority(harness: Harness) -> Authority:
    found = harness.namespace.tree.trust.authority
    assert found is not None
    return found


def step(harness: Harness, name: str, signer: Signer | None = None, *nodes: str) -> None:
    harness.run(ops.SetAuthority, name, signer, nodes)


def test_the_ca_changes_in_its_phases_and_in_no_other_order(harness: Harness) -> None:
    with pytest.raises(InvalidArgument, match="certs install"):
        step(harness, "trust", NEW)
    step(harness, "install", OLD)
    for early in ("reissue", "drop", "abort"):
        with pytest.raises(InvalidArgument, match="not its turn"):
            step(harness, early)
    step(harness, "trust", NEW)
    assert authority(harness).roots == ("old root", "new root")
    assert authority(harness).signer == OLD
    with pytest.raises(InvalidArgument, match="not its turn"):
        step(harness, "drop")
    step(harness, "reissue")
    assert authority(harness).signer == NEW
    assert authority(harness).renew_ms == harness.namespace.tree.clock_ms
    with pytest.raises(InvalidArgument, match="not its turn"):
        step(harness, "abort")
    step(harness, "drop")
    assert (authority(harness).roots, authority(harness).phase) == (("new root",), "")
    assert authority(harness).coming is None


def test_the_first_phase_can_be_taken_back(harness: Harness) -> None:
    step(harness, "install", OLD)
    step(harness, "trust", NEW)
    step(harness, "abort")
    assert (authority(harness).roots, authority(harness).signer) == (("old root",), OLD)


def test_another_issuing_ca_must_be_under_a_root_that_is_believed(harness: Harness) -> None:
    step(harness, "install", OLD)
    step(harness, "install", Signer("old root", "another", "key"))
    with pytest.raises(InvalidArgument, match="another root"):
        step(harness, "install", NEW)


@pytest.mark.parametrize(
    ("name", "signer"),
    [("leap", None), ("install", None), ("drop", NEW),
     ("install", Signer("r", "c", "k" * (PEM_CHARACTERS_MAX + 1)))],
)  # fmt: skip
def test_steps_that_make_no_sense(harness: Harness, name: str, signer: Signer | None) -> None:
    with pytest.raises(InvalidArgument):
        step(harness, name, signer)
    assert harness.namespace.tree.trust.authority is None


def test_single_nodes_or_all_are_asked_to_renew(harness: Harness) -> None:
    step(harness, "install", OLD)
    step(harness, "renew", None, "c1", "c2")
    first = harness.namespace.tree.clock_ms
    harness.now_ms += 1000
    step(harness, "renew", None, "c1")
    assert dict(authority(harness).renew_nodes) == {"c1": first + 1000, "c2": first}
    step(harness, "renew")
    assert (authority(harness).renew_nodes, authority(harness).renew_ms) == ((), first + 1000)


def test_a_token_works_once_and_again_only_for_the_same_key(harness: Harness) -> None:
    expires_ms = harness.now_ms + 1000
    harness.run(ops.AddJoinToken, TOKEN, SECRET, "chunkserver", "c4", ("h",), expires_ms)
    with pytest.raises(AccessDenied):
        harness.run(ops.UseJoinToken, TOKEN, "2" * 64, "a" * 64)
    harness.run(ops.UseJoinToken, TOKEN, SECRET, "a" * 64)
    harness.run(ops.UseJoinToken, TOKEN, SECRET, "a" * 64)
    with pytest.raises(AccessDenied, match="certs token"):
        harness.run(ops.UseJoinToken, TOKEN, SECRET, "b" * 64)
    harness.now_ms += 1000
    with pytest.raises(AccessDenied):
        harness.run(ops.UseJoinToken, TOKEN, SECRET, "a" * 64)
    found = harness.namespace.tree.trust.tokens
    assert found[TOKEN] == JoinToken(
        TOKEN, SECRET, "chunkserver", "c4", ("h",), expires_ms, "alice", "a" * 64
    )
    harness.run(ops.AddJoinToken, "f" * 16, SECRET, "master", "m4", (), harness.now_ms + 9)
    assert set(harness.namespace.tree.trust.tokens) == {"f" * 16}


@pytest.mark.parametrize(
    "change",
    [{2: "user"}, {3: ".."}, {0: "zz"}, {1: "zz"}, {4: ("a b",)}, {4: ("h",) * 17}, {5: 0}],
)
def test_a_token_that_cannot_be(harness: Harness, change: dict[int, Any]) -> None:
    fields = [TOKEN, SECRET, "chunkserver", "c4", ("h",), harness.now_ms + 1000]
    for place, value in change.items():
        fields[place] = value
    with pytest.raises(InvalidArgument):
        harness.run(ops.AddJoinToken, *fields)


@pytest.mark.parametrize("serials", [(), ("0f",), ("XY",), ("1" * 41,), ("1f",) * 257])
def test_serial_numbers_that_cannot_be(harness: Harness, serials: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument):
        harness.run(ops.RevokeCertificates, serials)


def test_everything_comes_back_from_the_rows(harness: Harness) -> None:
    step(harness, "install", OLD)
    harness.run(ops.RevokeCertificates, ("1f", "2a", "1f"), "lost")
    harness.run(ops.AddJoinToken, TOKEN, SECRET, "gateway", "g1", (), harness.now_ms + 9)
    loaded = load_namespace(harness.namespace.drain_rows())
    assert loaded.tree.trust.revoked == harness.namespace.tree.trust.revoked
    assert set(loaded.tree.trust.revoked) == {"1f", "2a"}
    assert loaded.tree.trust.authority == authority(harness)
    assert loaded.state_hash() == harness.namespace.state_hash()
