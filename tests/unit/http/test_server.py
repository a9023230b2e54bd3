"""The HTTPS listener: who sees what, and that no peer can hurt it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from pydfsnode.config import TlsFiles
from pydfsnode.errors import ConfigError, PortInUse
from pydfsnode.http import server as http_server
from pydfsnode.http.server import HttpsServer
from pydfsnode.obs import log
from pydfsnode.obs.metrics import metrics
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs

NAMES = {"m1": "master", "c1": "chunkserver", "g1": "gateway", "alice": "user", "root": "admin"}


class World:
    """A listener, its files and its log."""

    def __init__(self, files: dict[str, TlsFiles], log_path: Path) -> None:
        self.files = files
        self.log_path = log_path
        self.is_ready = True
        self.tls = TlsStore.load(files["m1"])
        self.server = HttpsServer(
            f"127.0.0.1:{free_port()}",
            self.tls,
            health=lambda: {"status": "OK"},
            ready=lambda: (self.is_ready, {"reason": "" if self.is_ready else "no leader"}),
            pages={
                "/raft/state": lambda: {"role": "leader", "term": 3},
                "/broken": lambda: 1 // 0,
            },
        )

    def as_(self, name: str) -> ssl.SSLContext:
        return TlsStore.load(self.files[name]).client_context()

    def anonymous(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.files["m1"].ca)
        return context

    async def get(self, path: str, context: ssl.SSLContext, method: str = "GET") -> tuple[int, str]:
        url = f"https://{self.server.address}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, ssl=context) as response,
        ):
            return response.status, await response.text()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def make_each_trust_the_other(ours: TlsFiles, theirs: TlsFiles) -> None:
    both = Path(ours.ca).read_bytes() + Path(theirs.ca).read_bytes()
    Path(ours.ca).write_bytes(both)
    Path(theirs.ca).write_bytes(both)


def refused(reason: str) -> float:
    labels = {"reason": reason, "transport": "https"}
    name = "pydfs_rpc_refused_peers_total"
    return metrics().registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def log_path(tmp_path: Path) -> Iterator[Path]:
    log.configure("info", "m1", "master", tmp_path / "node.log")
    yield tmp_path / "node.log"
    log.reset()


@pytest.fixture
async def world(tmp_path: Path, log_path: Path) -> AsyncIterator[World]:
    world = World(make_cluster_certs(tmp_path, NAMES), log_path)
    await world.server.start()
    yield world
    await world.server.stop()


async def test_health_and_ready_answer_without_a_certificate(world: World) -> None:
    assert await world.get("/health", world.anonymous()) == (200, '{"status":"OK"}\n')
    status, body = await world.get("/ready", world.anonymous())
    assert (status, json.loads(body)) == (200, {"ready": True, "reason": ""})


def test_it_serves_on_uvloop_too(tmp_path: Path, log_path: Path) -> None:
    async def ask() -> None:
        world = World(make_cluster_certs(tmp_path, NAMES), log_path)
        await world.server.start()
        assert (await world.get("/health", world.anonymous()))[0] == 200
        assert (await world.get("/metrics", world.anonymous()))[0] == 403
        assert (await world.get("/metrics", world.as_("c1")))[0] == 200
        with pytest.raises(PortInUse):
            await HttpsServer(world.server.address, world.tls, dict, lambda: (True, {}), {}).start()
        await world.server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(ask(), 20))


async def test_a_node_that_is_not_ready_says_503_and_why(world: World) -> None:
    world.is_ready = False
    status, body = await world.get("/ready", world.anonymous())
    assert (status, json.loads(body)) == (503, {"ready": False, "reason": "no leader"})


@pytest.mark.parametrize("name", list(NAMES))
async def test_every_role_of_the_cluster_sees_metrics_and_pages(world: World, name: str) -> None:
    status, body = await world.get("/metrics", world.as_(name))
    assert status == 200
    assert "# TYPE pydfs_raft_term gauge" in body
    assert await world.get("/raft/state", world.as_(name)) == (200, '{"role":"leader","term":3}\n')


@pytest.mark.parametrize(
    "path", ["/metrics", "/raft/state", "/no/such", "/", "/Health", "/health/"]
)
async def test_without_a_certificate_everything_else_is_refused_counted_and_logged(
    world: World, path: str
) -> None:
    before = refused("no_certificate")
    status, body = await world.get(path, world.anonymous())
    assert status == 403
    assert "is for members of this cluster: the peer showed no certificate" in body
    assert refused("no_certificate") == before + 1
    (line,) = [line for line in world.log_lines() if line["event"] == "peer refused"]
    assert (line["path"], line["found"], line["peer"]) == (path, "no certificate", "127.0.0.1")


async def test_a_certificate_of_another_cluster_that_tls_lets_in_is_refused(
    world: World, tmp_path: Path
) -> None:
    strangers = make_cluster_certs(tmp_path / "b", {"eve": "admin"}, cluster_id="elsewhere")
    make_each_trust_the_other(world.files["m1"], strangers["eve"])
    world.tls.reload()
    before = refused("cluster")
    status, body = await world.get("/metrics", TlsStore.load(strangers["eve"]).client_context())
    assert status == 403
    assert "spiffe://elsewhere/admin/eve" in body
    assert refused("cluster") == before + 1


async def test_an_unknown_page_is_told_to_members_with_what_there_is(world: World) -> None:
    status, body = await world.get("/nowhere", world.as_("alice"))
    assert status == 404
    assert "/metrics" in body
    assert "/raft/state" in body


async def test_only_reading_is_served(world: World) -> None:
    assert (await world.get("/health", world.anonymous(), "POST"))[0] == 405
    assert (await world.get("/raft/state", world.as_("root"), "DELETE"))[0] == 405
    assert await world.get("/health", world.anonymous(), "HEAD") == (200, "")


async def test_a_page_that_fails_is_a_500_in_one_sentence_and_a_traceback_in_the_log(
    world: World,
) -> None:
    status, body = await world.get("/broken", world.as_("root"))
    assert (status, body) == (500, "/broken failed; the reason is in this node's log\n")
    (line,) = [line for line in world.log_lines() if line["event"] == "page failed"]
    assert "ZeroDivisionError" in line["exception"]
    assert (await world.get("/health", world.anonymous()))[0] == 200


async def test_pages_are_counted_by_their_path_and_unknown_ones_together(world: World) -> None:
    def count(page: str, code: str) -> float:
        labels = {"page": page, "code": code}
        return metrics().registry.get_sample_value("pydfs_http_requests_total", labels) or 0.0

    before = count("/raft/state", "200"), count("other", "404")
    await world.get("/raft/state", world.as_("alice"))
    await world.get("/made/up", world.as_("alice"))
    await world.get("/made/up/too", world.as_("alice"))
    assert (count("/raft/state", "200"), count("other", "404")) == (before[0] + 1, before[1] + 2)


async def test_a_flood_of_refusals_is_counted_in_full_but_logged_in_part(world: World) -> None:
    before = refused("no_certificate")
    url = f"https://{world.server.address}/metrics"
    async with aiohttp.ClientSession() as session:
        context = world.anonymous()
        for _ in range(100):
            async with session.get(url, ssl=context) as response:
                assert response.status == 403
    assert refused("no_certificate") == before + 100
    lines = [line for line in world.log_lines() if line["event"] == "peer refused"]
    assert len(lines) < 100


async def test_a_port_in_use_is_one_sentence(world: World) -> None:
    second = HttpsServer(world.server.address, world.tls, dict, lambda: (True, {}), {})
    with pytest.raises(
        PortInUse, match=f"{world.server.address}: the port of http_listen is in use"
    ):
        await second.start()
    await second.stop()


async def test_a_foreign_address_is_a_configuration_error(world: World) -> None:
    second = HttpsServer("203.0.113.1:443", world.tls, dict, lambda: (True, {}), {})
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1:443: http_listen cannot be used here"):
        await second.start()
    await second.stop()


async def test_after_stop_the_port_is_free_and_stopping_again_is_harmless(world: World) -> None:
    await world.get("/health", world.anonymous())
    await world.server.stop()
    await world.server.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await world.get("/health", world.anonymous())
    await world.server.start()
    assert (await world.get("/health", world.anonymous()))[0] == 200


async def raw(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = world.server.address.split(":")
    return await asyncio.open_connection(host, int(port), ssl=world.anonymous(), server_hostname="")


@pytest.mark.parametrize("part", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_client_that_hangs_up_leaves_no_trace_in_the_log(world: World, part: bytes) -> None:
    _, writer = await raw(world)
    writer.write(part)
    await writer.drain()
    writer.transport.abort()
    assert (await world.get("/health", world.anonymous()))[0] == 200
    assert world.log_lines() == []


async def test_garbage_gets_an_error_and_the_next_client_is_served(world: World) -> None:
    reader, writer = await raw(world)
    writer.write(b"\x00\xff garbage\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.0 400 ")
    writer.close()
    host, port = world.server.address.split(":")
    plain_reader, plain = await asyncio.open_connection(host, int(port))
    plain.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"pydfs" not in await plain_reader.read()
    plain.close()
    assert (await world.get("/health", world.anonymous()))[0] == 200


async def test_a_connection_that_asks_nothing_is_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "SILENCE_S_MAX", 0.2)
    reader, writer = await raw(world)
    writer.write(b"GET /health HTTP/1.1\r\nHost: ")  # and never the rest
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_a_connection_that_asked_in_time_is_not_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: list[Callable[[], object]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(http_server, "SILENCE_S_MAX", 0.0)
    original = loop.call_later

    def call_later(delay: float, callback: Any, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        if callback == world.server._cut_if_silent:
            cut.append(lambda: callback(*args))
            return original(3600, lambda: None)
        return original(delay, callback, *args, **kwargs)

    monkeypatch.setattr(loop, "call_later", call_later)
    reader, writer = await raw(world)
    for _ in range(2):
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"}\n")
        for fire in cut:
            fire()
    assert len(cut) == 1
    writer.close()


async def test_connections_past_the_limit_are_refused_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HTTPS_CONNECTIONS_MAX", 2)
    before = refused("too_many")
    kept = [await raw(world) for _ in range(2)]
    for reader, writer in kept:
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"}\n")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        reader, _ = await raw(world)
        assert await reader.read() == b""
    assert refused("too_many") == before + 1
    for _, writer in kept:
        writer.close()
