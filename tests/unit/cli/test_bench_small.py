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
        self.busy = 0
        self.most_busy = 0

    async def _turn(self) -> None:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1

    async def pipe_file(self, path: str, value: bytes) -> object:
        await self._turn()
        self.files[path] = value
        self.created += 1
        return None

    async def cat_file(self, path: str) -> bytes:
        await self._turn()
        self.read.append(path)
        return self.files[path]


@pytest.mark.parametrize("inflight", [1, 3])
async def test_every_client_works_and_every_file_is_read_once(inflight: int) -> None:
    files: dict[str, bytes] = {}
    clients = [FakeClient(files) for _ in range(4)]
    figures = await bench_small.measure(clients, "/b", files=40, file_bytes=100, inflight=inflight)
    assert len(files) == 40
    assert {len(content) for content in files.values()} == {100}
    assert all(client.created for client in clients)
    assert sorted(path for client in clients for path in client.read) == sorted(files)
    assert [client.most_busy for client in clients] == [inflight] * 4
    assert (figures.pop("clients"), figures.pop("inflight_per_client")) == (4, inflight)
    assert set(figures) == {
        "creates_per_s", "create_p50_ms", "create_p99_ms", "create_p999_ms",
        "reads_per_s", "read_p50_ms", "read_p99_ms", "read_p999_ms",
    }  # fmt: skip


async def test_a_file_in_the_place_of_another_is_an_error() -> None:
    class Swapping(FakeClient):
        async def cat_file(self, path: str) -> bytes:
            return await super().cat_file(next(iter(self.files)))

    with pytest.raises(CorruptionError, match="other bytes came back"):
        await bench_small.measure([Swapping({})], "/b", files=3, file_bytes=16, inflight=1)
