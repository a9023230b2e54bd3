"""Identities: the one URI of a certificate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.errors import PeerUnauthenticated, UsageError
from pydfsnode.rpc import methods
from pydfsnode.security.identity import ROLES, Identity, checked_identity, identity_of

M1 = Identity("c0ffee", "master", "m1")


def test_an_identity_is_written_and_read_as_its_uri() -> None:
    assert M1.uri == str(M1) == "spiffe://c0ffee/master/m1"
    assert Identity.parse(M1.uri) == M1


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://",
        "spiffe://c0ffee",
        "spiffe://c0ffee/master",
        "spiffe://c0ffee/master/",
        "spiffe://c0ffee//m1",
        "spiffe:///master/m1",
        "spiffe://c0ffee/master/m1/",
        "spiffe://c0ffee/master/m1/x",
        "spiffe://c0ffee/root/m1",
        "spiffe://c0ffee/MASTER/m1",
        "spiffe://C0FFEE/master/m1",
        "spiffe://c0ffee:1/master/m1",
        "spiffe://u@c0ffee/master/m1",
        "spiffe://c0ffee/master/m1?x",
        "spiffe://c0ffee/master/m1\n",
        "spiffe://c0ffee/master/m 1",
        "spiffe://c0ffee/master/m\x001",
        "spiffe://c0ffee/master/mé",
        "spiffe://c0ffee/master/..",
        "spiffe://c0ffee/master/" + "m" * 65,
        "SPIFFE://c0ffee/master/m1",
        "https://c0ffee/master/m1",
        "c0ffee/master/m1",
    ],
)
def test_any_other_form_is_refused_and_shown_escaped(uri: str) -> None:
    with pytest.raises(PeerUnauthenticated) as caught:
        Identity.parse(uri)
    assert repr(uri) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_refused_uri_is_cut_in_the_message() -> None:
    with pytest.raises(PeerUnauthenticated) as caught:
        Identity.parse("x" * 100_000)
    assert len(caught.value.message) < 500


def test_exactly_one_uri_counts_and_hosts_do_not() -> None:
    hosts = [("DNS", "spiffe://c0ffee/admin/root"), ("IP Address", "127.0.0.1")]
    assert identity_of([*hosts, ("URI", M1.uri)]) == M1
    with pytest.raises(PeerUnauthenticated, match="it holds 0 "):
        identity_of(hosts)
    with pytest.raises(PeerUnauthenticated, match="it holds 2 ") as caught:
        identity_of([("URI", M1.uri), ("URI", "spiffe://c0ffee/admin/root")])
    assert "admin/root" in str(caught.value.fields["found"])


@pytest.mark.parametrize(
    ("cluster_id", "role", "name", "message"),
    [
        ("C", "master", "m1", "cluster id 'C' is not allowed"),
        ("", "master", "m1", "cluster id '' is not allowed"),
        ("c", "boss", "m1", "role 'boss' is unknown: use one of master, chunkserver"),
        ("c", "master", "../m1", "name '../m1' is not allowed"),
        ("c", "master", ".", "name '.' is not allowed"),
        ("c", "master", "", "name '' is not allowed"),
    ],
)
def test_what_a_person_typed_is_checked(
    cluster_id: str, role: str, name: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        checked_identity(cluster_id, role, name)
    assert message in caught.value.message


def test_the_roles_are_those_of_the_method_table() -> None:
    assert set(ROLES) == methods.ANYONE


@given(
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    st.sampled_from(ROLES),
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
)
def test_every_allowed_identity_survives_its_uri(cluster_id: str, role: str, name: str) -> None:
    identity = checked_identity(cluster_id, role, name)
    assert Identity.parse(identity.uri) == identity
