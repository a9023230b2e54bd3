"""bench small uses every client, reads every file once, and notices a swapped file."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.cli import bench_small
from pydfsnode.errors import CorruptionError


class FakeClient:
    """Files shared by all clients; answers after one turn of the loop."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.created = 0
        self.read: list[str] = []
        self.busy = False

    async def _turn(self) -> None:
        assert not self.busy, "a client has one operation in flight"
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False

    async def pipe_file(self, path: str, value: bytes) -> object:
        await self._turn()
        self.files[path] = value
        self.created += 1
        return None

    async def cat_file(self, path: str) -> bytes:
        await self._turn()
        self.read.append(path)
        return self.files[path]


async def test_every_client_works_and_every_file_is_read_once() -> None:
    files: dict[str, bytes] = {}
    clients = [FakeClient(files) for _ in range(4)]
    figures = await bench_small.measure(clients, "/b", files=40, file_bytes=100)
    assert len(files) == 40
    assert {len(content) for content in files.values()} == {100}
    assert all(client.created for client in clients)
    assert sorted(path for client in clients for path in client.read) == sorted(files)
    assert set(figures) == {
        "creates_per_s", "create_p50_ms", "create_p99_ms", "create_p999_ms",
        "reads_per_s", "read_p50_ms", "read_p99_ms", "read_p999_ms",
    }  # fmt: skip


async def test_a_file_in_the_place_of_another_is_an_error() -> None:
    class Swapping(FakeClient):
        async def cat_file(self, path: str) -> bytes:
            return await super().cat_file(next(iter(self.files)))

    with pytest.raises(CorruptionError, match="other bytes came back"):
        await bench_small.measure([Swapping({})], "/b", files=3, file_bytes=16)
