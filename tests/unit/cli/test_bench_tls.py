"""The baseline of bench io: real processes that pass on, write and answer what they should."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from pydfsnode import limits
from pydfsnode.cli import bench_tls, bench_tls_hop
from pydfsnode.security.tls import TlsStore

MIB = limits.MIB


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TlsStore:
    return bench_tls._certificate(tmp_path_factory.mktemp("baseline"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the files that were synced in this process."""
    sizes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: sizes.append(os.fstat(fd).st_size))
    return sizes


def serve(store: TlsStore, directory: Path, next_port: int = 0) -> int:
    """A hop in a thread of the test; its port. It ends with the process."""
    listener = socket.create_server(("127.0.0.1", 0))
    hop = bench_tls_hop.Hop(
        listener, store.server_context(), store.client_context(), next_port, directory
    )
    threading.Thread(target=hop.serve, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 5])
def test_each_hop_writes_and_syncs_all_of_it(
    store: TlsStore, tmp_path: Path, synced: list[int], size: int
) -> None:
    last = serve(store, tmp_path)
    first = serve(store, tmp_path, serve(store, tmp_path, last))
    bench_tls._write(first, store.client_context(), size)
    rounded = -(-size // MIB) * MIB
    assert synced == [rounded] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_larger_than_a_chunk(
    store: TlsStore, tmp_path: Path, synced: list[int]
) -> None:
    with patch.object(limits, "CHUNK_BYTES_DEFAULT", 2 * MIB):
        bench_tls._write(serve(store, tmp_path), store.client_context(), 5 * MIB)
    assert synced == [2 * MIB, 2 * MIB, MIB]


def test_a_disk_that_fails_is_no_figure(store: TlsStore, tmp_path: Path) -> None:
    port = serve(store, tmp_path / "nothing")
    with pytest.raises(OSError):
        bench_tls._write(port, store.client_context(), 20 * MIB)
    bench_tls._read(port, store.client_context(), 10)  # it serves the next connection


def test_all_figures_come_from_processes_that_are_gone_afterwards(tmp_path: Path) -> None:
    before = multiprocessing.active_children()
    found = bench_tls.measure(2 * MIB + 3, 2, 3, 7, tmp_path)
    assert set(found) == {
        "tls_write_mb_per_s", "tls_read_mb_per_s", "tls_read_several_mb_per_s",
        "tls_random_read_p50_ms", "tls_random_read_p99_ms",
    }  # fmt: skip
    assert all(value > 0 for value in found.values())
    assert multiprocessing.active_children() == before
    assert list(tmp_path.iterdir()) == []
