"""A new node joins over HTTPS: what each end checks before it believes the other."""

from __future__ import annotations

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.config import TlsFiles
from pydfsnode.errors import (
    AccessDenied,
    CertificateInvalid,
    ConfigError,
    PeerUnauthenticated,
    Unavailable,
)
from pydfsnode.http.server import BODY_BYTES_MAX, HttpsServer
from pydfsnode.roles.joining import AT_ONCE_MAX, Joining
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security import pki
from pydfsnode.security.identity import Identity
from pydfsnode.security.issuing import pin_of, requested_key
from pydfsnode.security.joining import join
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs
from tests.unit.http.test_server import free_port


class Master:
    """A master's HTTPS listener; its leader takes the token "good"."""

    def __init__(self, directory: Path, role: str = "master") -> None:
        files = make_cluster_certs(directory, {"m1": role})["m1"]
        self.ca = pki.load_issuing_ca(directory)
        self.pin = pin_of(self.ca.root)
        tls = TlsStore.load(files)
        self.name = "c9"
        self.joining = Joining(tls, self.ask)
        self.server = HttpsServer(
            f"127.0.0.1:{free_port()}", tls, dict, lambda: (True, {}), {}, self.joining.pages
        )
        self.wait: asyncio.Event | None = None

    async def ask(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        if self.wait is not None:
            await self.wait.wait()
        if request.token == "busy":
            raise Unavailable("no leader is known")
        if request.token != "good":
            raise AccessDenied("the join token is unknown, used up or expired")
        identity = Identity("testcluster", "chunkserver", self.name)
        chain = self.ca.sign(identity, requested_key(request.request), ["h"], 9)
        return pb.JoinResponse(chain_pem=chain.decode(), roots_pem=self.ca.texts()[0])

    async def post(self, body: bytes) -> tuple[int, str]:
        return await asyncio.to_thread(self._post, body)

    def _post(self, body: bytes) -> tuple[int, str]:
        context = ssl.create_default_context(cadata=self.ca.texts()[0])
        host, _, port = self.server.address.rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
        connection.request("POST", "/join", body)
        response = connection.getresponse()
        found = response.status, response.read().decode()
        connection.close()
        return found


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    made = Master(tmp_path / "ca")
    await made.server.start()
    yield made
    await made.server.stop()


def files_in(directory: Path) -> TlsFiles:
    return TlsFiles(*(str(directory / name) for name in ("ca.crt", "c9.crt", "c9.key")))


async def joined(
    master: Master, files: TlsFiles, token: str = "good", pin: str = "", name: str = "c9"
) -> Identity:
    return await asyncio.to_thread(
        join, master.server.address, token, pin or master.pin, "chunkserver", name, files
    )


async def test_a_node_with_the_token_gets_a_certificate_for_its_own_key(
    master: Master, tmp_path: Path
) -> None:
    files = files_in(tmp_path / "c9")
    identity = await joined(master, files)
    store = TlsStore.load(files)
    assert store.identity == identity == Identity("testcluster", "chunkserver", "c9")
    assert Path(files.key).stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="not overwritten"):
        await joined(master, files)
    assert TlsStore.load(files).leaf == store.leaf


async def test_another_pin_is_refused_before_the_token_is_told(
    master: Master, tmp_path: Path
) -> None:
    with pytest.raises(PeerUnauthenticated, match="no CA that it tells has the pin"):
        await joined(master, files_in(tmp_path / "c9"), pin="sha256:" + "0" * 64)
    with pytest.raises(ConfigError, match="is not sha256"):
        await joined(master, files_in(tmp_path / "c9"), pin="md5:1")
    assert not (tmp_path / "c9").exists()


async def test_only_a_master_is_told_the_token(tmp_path: Path) -> None:
    other = Master(tmp_path / "ca", role="chunkserver")
    await other.server.start()
    try:
        with pytest.raises(PeerUnauthenticated, match="not a master"):
            await joined(other, files_in(tmp_path / "c9"))
    finally:
        await other.server.stop()


@pytest.mark.parametrize(
    ("token", "error"), [("bad", AccessDenied), ("busy", Unavailable), ("x" * 300, AccessDenied)]
)
async def test_what_the_leader_says_is_told(
    master: Master, tmp_path: Path, token: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await joined(master, files_in(tmp_path / "c9"), token)
    assert not (tmp_path / "c9").exists()


async def test_a_certificate_for_somebody_else_is_not_taken(master: Master, tmp_path: Path) -> None:
    master.name = "c8"
    with pytest.raises(CertificateInvalid, match="the token is for chunkserver 'c8'"):
        await joined(master, files_in(tmp_path / "c9"))
    assert not (tmp_path / "c9").exists()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token": "good", "request": "*"}'])
async def test_nonsense_is_refused(master: Master, body: bytes) -> None:
    status, text = await master.post(body)
    assert status == 403
    assert "token and request are needed" in text


async def test_a_request_that_is_too_large_is_not_read(master: Master) -> None:
    status, _ = await master.post(b"x" * (BODY_BYTES_MAX + 1))
    assert status == 413


async def test_few_strangers_wait_at_once(master: Master) -> None:
    master.wait = asyncio.Event()
    body = b'{"token": "good", "request": ""}'
    waiting = [asyncio.create_task(master.joining.join(body)) for _ in range(AT_ONCE_MAX)]
    await asyncio.sleep(0)
    status, text = await master.post(body)
    assert status == 503
    assert "too many" in text
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
