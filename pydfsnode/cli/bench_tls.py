"""What plain mutual TLS over loopback reaches: the baseline that `bench io` prints beside ours.

As many server processes as a file has replicas, in a chain as a write pipeline is, each writing to
the disk what it receives. No checksums, no namespace, no frames: what remains is TLS, the kernel
and the disk.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import ssl
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from pydfsnode import limits
from pydfsnode.cli import bench_tls_hop as hop
from pydfsnode.cli.bench_io import megabytes_per_s
from pydfsnode.cli.bench_load import Load
from pydfsnode.config import TlsFiles
from pydfsnode.security import pki
from pydfsnode.security.tls import TlsStore


def measure(
    size: int, hops: int, streams: int, random_reads: int, directory: Path
) -> dict[str, float]:
    """Figures of *size* bytes through *hops* servers, named as those of `bench io`, with "tls_".

    Call it before there are threads: the servers are forks of this process.

    Args:
        streams: connections that read at the same time for the figure of several.
        random_reads: how often a small request is answered with 4 KiB.
        directory: on the disk that is to be written; nothing is left there.
    """
    with ExitStack() as stack:
        scratch = tempfile.TemporaryDirectory(prefix="pydfsnode-bench-", dir=directory)
        store = _certificate(Path(stack.enter_context(scratch)))
        ports = stack.enter_context(_servers(hops, streams, store, Path(scratch.name)))
        context, part = store.client_context(), size // streams

        def several() -> None:
            _at_once([partial(_read, port, context, part) for port in ports[:streams]])

        found = {
            "tls_write_mb_per_s": _rate(size, lambda: _write(ports[0], context, size)),
            "tls_read_mb_per_s": _rate(size, lambda: _read(ports[0], context, size)),
            "tls_read_several_mb_per_s": _rate(part * streams, several),
        }
        load = _ping(ports[0], context, random_reads)
    return {
        **found,
        "tls_random_read_p50_ms": load.quantile_ms(0.5),
        "tls_random_read_p99_ms": load.quantile_ms(0.99),
    }


def _rate(size: int, work: Callable[[], None]) -> float:
    began = time.perf_counter_ns()
    work()
    return megabytes_per_s(size, time.perf_counter_ns() - began)


def _write(port: int, context: ssl.SSLContext, size: int) -> None:
    """Send *size* bytes down the chain; on return they are durable everywhere."""
    piece = memoryview(os.urandom(limits.PACKET_BYTES))
    with hop.connect(port, context) as connection:
        connection.sendall(hop.HEAD.pack(hop.WRITE, size))
        for start in range(0, size, len(piece)):
            connection.sendall(piece[: size - start])
        hop.receive_into(connection, memoryview(bytearray(len(hop.ACK))))


def _read(port: int, context: ssl.SSLContext, size: int) -> None:
    buffer = memoryview(bytearray(limits.PACKET_BYTES))
    with hop.connect(port, context) as connection:
        connection.sendall(hop.HEAD.pack(hop.READ, size))
        for start in range(0, size, len(buffer)):
            hop.receive_into(connection, buffer[: size - start])


def _ping(port: int, context: ssl.SSLContext, count: int) -> Load:
    """Requests and answers, one at a time."""
    ping, pong = bytes(hop.PING_BYTES), memoryview(bytearray(hop.PONG_BYTES))
    latencies = array("q")
    with hop.connect(port, context) as connection:
        connection.sendall(hop.HEAD.pack(hop.PING, count))
        began = before = time.perf_counter_ns()
        for _ in range(count):
            connection.sendall(ping)
            hop.receive_into(connection, pong)
            now = time.perf_counter_ns()
            latencies.append(now - before)
            before = now
    return Load(array("q", sorted(latencies)), before - began)


def _at_once(works: list[Callable[[], None]]) -> None:
    """Do all of *works*, each in a thread; raises the first error."""
    errors: list[OSError] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _certificate(directory: Path) -> TlsStore:
    """A certificate of an authority that lives as long as the measurement, as nodes have them."""
    pki.init_ca(directory / "ca")
    issued = pki.issue(directory / "ca", directory / "certs", "chunkserver", "baseline")
    return TlsStore.load(TlsFiles(str(issued.ca), str(issued.cert), str(issued.key)))


@contextmanager
def _servers(hops: int, streams: int, store: TlsStore, directory: Path) -> Iterator[list[int]]:
    """Ports of enough servers for *streams*; the first *hops* of them are a chain."""
    forks = multiprocessing.get_context("fork")
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(max(hops, streams))]
    ports = [listener.getsockname()[1] for listener in listeners]
    processes = []
    for place, listener in enumerate(listeners):
        server = hop.Hop(
            listener,
            store.server_context(),
            store.client_context(),
            ports[place + 1] if place + 1 < hops else 0,
            directory,
        )
        processes.append(forks.Process(target=server.serve, daemon=True))
    try:
        for process in processes:
            process.start()
        yield ports
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        for listener in listeners:
            listener.close()
