"""`pydfsnode certs` against a running cluster: what is asked of it, what is printed and refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pydfsnode.cli import certs_cluster
from pydfsnode.cli.certs import group
from pydfsnode.client.trust import (
    JoinToken,
    JoinTokenState,
    NodeCertificate,
    RevokedCertificate,
    TrustedRoot,
    TrustState,
)
from pydfsnode.errors import PydfsError, UnsafeChange, UsageError
from pydfsnode.security import pki

NOW_MS = int(time.time() * 1000)
DAY_MS = 86_400_000
M1, C1 = "spiffe://demo/master/m1", "spiffe://demo/chunkserver/c1"
STATE = TrustState(
    phase="trust",
    roots=[TrustedRoot("sha256:aa", "CN=old", NOW_MS + DAY_MS, True)],
    signer_not_after_ms=NOW_MS + DAY_MS,
    revoked=[RevokedCertificate("1f", "lost", NOW_MS, "ann")],
    tokens=[JoinTokenState("0" * 16, C1, NOW_MS + DAY_MS, "ann", True)],
    nodes=[
        NodeCertificate(M1, "ab", NOW_MS, NOW_MS + 90 * DAY_MS, True, ""),
        NodeCertificate(C1, "", 0, 0, True, "has not said what it has"),
    ],
    root_pem="",
)
CALM = replace(STATE, nodes=STATE.nodes[:1], phase="")


class Security:
    """Answers as `SecurityCalls`, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.states = [CALM]

    async def state(self) -> TrustState:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    async def set_authority(
        self, step: str, ca: tuple[str, str, str] | None = None, nodes: Sequence[str] = ()
    ) -> TrustState:
        self.asked.append((step, ca is not None, tuple(nodes)))
        return await self.state()

    async def revoke(self, serials: Sequence[str], reason: str = "") -> None:
        self.asked.append((tuple(serials), reason))

    async def add_join_token(self, *fields: Any) -> JoinToken:
        self.asked.append(fields)
        return JoinToken("sha256:aa", "m1:7003", NOW_MS + DAY_MS)


class FileSystem:
    def __init__(self) -> None:
        self.security = Security()


@pytest.fixture
def security(monkeypatch: pytest.MonkeyPatch) -> Security:
    fs = FileSystem()

    def with_file_system(work: Callable[[Any], Any]) -> Any:
        async def run() -> Any:
            return await work(fs)

        return asyncio.run(run())

    monkeypatch.setattr(certs_cluster, "with_file_system", with_file_system)
    monkeypatch.setattr(certs_cluster, "_POLL_S", 0.0)
    return fs.security


def run(*argv: object) -> Result:
    return CliRunner().invoke(group, [str(word) for word in argv])


def output_of(*argv: object) -> str:
    result = run(*argv)
    assert result.exception is None, result.exception
    return result.output


def error_of(*argv: object) -> PydfsError:
    error = run(*argv).exception
    assert isinstance(error, PydfsError), error
    return error


def test_status_shows_who_lags_and_what_comes_next(security: Security) -> None:
    security.states = [STATE]
    text = output_of("status")
    assert "next is 'pydfsnode certs rotate --ca reissue'" in text
    assert "chunkserver/c1" in text
    assert "has not said what it has" in text
    assert "89 d" in text
    assert "revoked  1f" in text
    assert f"token    {'0' * 16}  {C1}  used" in text
    assert json.loads(output_of("status", "--json"))["nodes"][0]["serial"] == "ab"


def test_without_a_ca_the_command_is_named(security: Security) -> None:
    security.states = [replace(CALM, signer_not_after_ms=0)]
    assert "'pydfsnode certs install' gives them one" in output_of("status")


def test_install_sends_the_issuing_ca(security: Security, tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    output_of("install", "--dir", tmp_path)
    assert security.asked == [("install", True, ())]


def test_rotate_waits_until_all_have_followed(security: Security) -> None:
    security.states = [STATE, STATE, CALM]
    output_of("rotate", "--all")
    assert security.states == [CALM]
    assert security.asked == [("renew", False, ())]


def test_rotate_names_who_does_not_follow(
    security: Security, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certs_cluster, "WAIT_S", 0.01)
    security.states = [STATE]
    error = error_of("rotate", "--all")
    assert isinstance(error, UnsafeChange)
    assert f"{C1} has not said" in error.message
    output_of("rotate", "--all", "--no-wait")


def test_single_nodes_are_named_by_role_and_name(security: Security) -> None:
    output_of("rotate", "master/m1")
    assert security.asked == [("renew", False, (M1,))]
    for wrong in ("m1", "master/m9"):
        assert "there are master/m1" in error_of("rotate", wrong).message


@pytest.mark.parametrize(
    "argv", [(), ("--all", "master/m1"), ("--ca", "trust"), ("--ca", "drop", "--dir", "x")]
)
def test_rotate_wants_one_thing(security: Security, argv: tuple[str, ...]) -> None:
    assert isinstance(error_of("rotate", *argv), UsageError)
    assert security.asked == []


def test_the_ca_changes_by_phases(security: Security, tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    output_of("rotate", "--ca", "trust", "--dir", tmp_path)
    output_of("rotate", "--ca", "reissue")
    assert security.asked == [("trust", True, ()), ("reissue", False, ())]


def test_certificates_are_revoked_by_serial_or_file(security: Security, tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    cert = pki.issue(tmp_path, tmp_path, "user", "bob").cert
    output_of("revoke", "0A:1F", cert, "--reason", "lost")
    assert security.asked == [(("a1f", pki.describe(cert).serial), "lost")]


def test_a_token_is_told_once_and_its_secret_stays_here(security: Security, tmp_path: Path) -> None:
    out = tmp_path / "token"
    argv = ("token", "--role", "chunkserver", "--name", "c4", "--host", "h", "--for", "2h")
    text = output_of(*argv, "--out", out)
    token_id, _, secret = out.read_text().strip().partition(".")
    assert secret not in text
    assert out.stat().st_mode & 0o777 == 0o600
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    assert security.asked == [(token_id, hashed, "chunkserver", "c4", ("h",), 7_200_000)]
    assert f"--join m1:7003 --join-token-file {out} --ca-hash sha256:aa" in text
    shown = json.loads(output_of(*argv, "--json"))
    assert set(shown) == {"token", "ca_hash", "join", "expires_ms"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "EXPIRED"), (90, "1 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_expiry_for_people(seconds: float, text: str) -> None:
    assert certs_cluster.expires_in(seconds) == text


def test_several_certificates_are_a_table(tmp_path: Path) -> None:
    pki.init_ca(tmp_path, "demo")
    cert = pki.issue(tmp_path, tmp_path, "user", "bob").cert
    text = output_of("show", cert, tmp_path / "ca.crt")
    assert "spiffe://demo/user/bob" in text
    assert "364 d" in text
    assert len(json.loads(output_of("show", cert, tmp_path / "ca.crt", "--json"))) == 2
    output_of("issuer", "--dir", tmp_path)
    assert "issuing CA" in output_of("show", tmp_path / "issuing.crt")
