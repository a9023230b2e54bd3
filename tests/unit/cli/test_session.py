"""How commands reach the cluster: the configuration, the timeout, and a word while they wait."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.cli import session
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.config import ClientConfig
from pydfsnode.errors import NotFound
from pydfsnode.obs.request_scope import current
from pydfsnode.security import renewal_advice
from tests.unit.cli.conftest import Run
from tests.unit.client.fakes import FakeCluster

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def slow_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call takes far longer than the patience of a person."""
    monkeypatch.setattr(session, "_PATIENCE_SECONDS", 0.01)

    async def info(_fs: AsyncFileSystem, _path: str) -> object:
        await asyncio.sleep(0.2)
        raise ZeroDivisionError

    monkeypatch.setattr(AsyncFileSystem, "info", info)


@pytest.mark.usefixtures("slow_listing")
def test_a_command_that_gets_no_answer_says_once_why_it_waits(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.router, "waiting_because", lambda: "127.0.0.1:7001: cannot connect")
    told = run("fs", "stat", "/x").err.splitlines()
    assert told[0] == (
        "pydfsnode: still waiting: 127.0.0.1:7001: cannot connect (Ctrl-C to give up)"
    )
    assert len(told) == 2, "and the error at the end"


@pytest.mark.usefixtures("slow_listing")
def test_a_slow_answer_without_a_problem_is_no_reason_to_talk(run: Run) -> None:
    assert "waiting" not in run("fs", "stat", "/x").err


def test_a_timeout_replaces_the_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    async def connect(config: object) -> AsyncFileSystem:
        seen.append(config.timeout_ms)  # type: ignore[attr-defined]
        return FakeCluster(1 << 20).connect()

    monkeypatch.setattr(AsyncFileSystem, "connect", connect)
    monkeypatch.setattr(session, "given_client_config", lambda: None)

    async def nothing(_fs: AsyncFileSystem) -> None:
        return

    session.with_file_system(nothing)
    session.with_file_system(nothing, timeout_ms=1234)
    assert seen == [30_000, 1234]


def test_timeout_and_retries_of_the_command_line_replace_the_configurations(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[ClientConfig] = []

    async def connect(config: ClientConfig) -> AsyncFileSystem:
        seen.append(config)
        return cluster.connect()

    monkeypatch.setattr(AsyncFileSystem, "connect", connect)
    for options in ([], ["--timeout", "1.5", "--retries", "0"]):
        run("fs", "mkdir", *options, f"/d{len(seen)}")
    run("fs", "--timeout", "2", "mkdir", "--retries", "3", "/d2")
    found = [(config.timeout_ms, config.retries) for config in seen]
    assert found == [(30_000, None), (1_500, 0), (2_000, 3)]
    assert run("fs", "ls", "--retries", "-1", "/").code == 2


def test_a_command_is_one_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def info(_fs: AsyncFileSystem, _path: str, **_: object) -> object:
        scope = current.get()
        seen.append(scope.request_id if scope is not None else "")
        raise NotFound("gone")

    monkeypatch.setattr(AsyncFileSystem, "info", info)
    run("fs", "stat", "/x", "/y")
    run("fs", "stat", "/x")
    assert len(seen) == 3
    assert seen[0] == seen[1] != seen[2] != ""
    assert current.get() is None


def test_that_the_certificate_ends_soon_is_said_as_errors_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(renewal_advice, "adviser", renewal_advice.Adviser())
    monkeypatch.setattr(session, "given_client_config", lambda: None)

    async def ends_soon(_fs: AsyncFileSystem) -> None:
        renewal_advice.adviser.say("the certificate ends")

    session.with_file_system(ends_soon)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "pydfsnode: the certificate ends\n")
