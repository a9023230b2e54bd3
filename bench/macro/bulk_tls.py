"""What carries bulk over mutual TLS best (ADR 10): blocking sockets in threads, or event loops.

Run as `python -m bench.macro.bulk_tls [--mib 512] [--rounds 3]`. A process that sends and one that
receives, 1 MiB at a time; CPU seconds a GB (10^9 bytes) of each, user and system, the least of all
rounds: those hold on a busy machine too, MB/s do not.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from pydfsnode import limits
from pydfsnode.cli.bench_tls import _certificate
from pydfsnode.cli.bench_tls_hop import receive_into
from pydfsnode.security.tls import TlsStore

PIECE = limits.PACKET_BYTES
PAIRS = (
    ("thread", "thread"), ("uvloop", "thread"), ("thread", "uvloop"),
    ("uvloop", "uvloop"), ("asyncio", "asyncio"),
)  # fmt: skip
"""(receiver, sender)."""
Wrap = Callable[[socket.socket], ssl.SSLSocket]
LOOPS: dict[str, Callable[[Any], None]] = {"uvloop": uvloop.run, "asyncio": asyncio.run}


class Receiver(asyncio.BufferedProtocol):
    """Receives *size* bytes into one buffer, then says so."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._buffer = memoryview(bytearray(PIECE))
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(b"!")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[: self._left % PIECE or PIECE]

    def buffer_updated(self, nbytes: int) -> None:
        self._left -= nbytes
        if not self._left:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


class Sender(asyncio.Protocol):
    """Sends *size* bytes once it is asked."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._piece = os.urandom(PIECE)
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._send()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def _send(self) -> None:
        while self._left and not self._paused:
            self._left -= PIECE
            self._transport.writelines([self._piece])

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


def in_loop(loop: str, make: type[Receiver | Sender], size: int, plain: socket.socket,
            context: ssl.SSLContext) -> None:  # fmt: skip
    """One end in an event loop."""

    async def run() -> None:
        plain.setblocking(False)
        made: list[Receiver | Sender] = []

        def protocol() -> Receiver | Sender:
            made.append(make(size))
            return made[0]

        running = asyncio.get_running_loop()
        if make is Sender:
            await running.connect_accepted_socket(protocol, plain, ssl=context)
        else:
            await running.create_connection(protocol, sock=plain, ssl=context, server_hostname="x")
        await made[0].ended

    LOOPS[loop](run())


def receive(way: str, size: int, plain: socket.socket, context: ssl.SSLContext) -> None:
    """Connect TLS and receive *size* bytes."""
    if way in LOOPS:
        in_loop(way, Receiver, size, plain, context)
        return
    buffer = memoryview(bytearray(PIECE))
    with context.wrap_socket(plain, server_hostname="x") as connection:
        connection.sendall(b"!")
        for _ in range(size // PIECE):
            receive_into(connection, buffer)


def send(way: str, size: int, plain: socket.socket, context: ssl.SSLContext) -> None:
    """Accept TLS and send *size* bytes."""
    if way in LOOPS:
        in_loop(way, Sender, size, plain, context)
        return
    piece = os.urandom(PIECE)
    with context.wrap_socket(plain, server_side=True) as connection:
        connection.recv(1)
        for _ in range(size // PIECE):
            connection.sendall(piece)


def used(work: Callable[[], None], size: int) -> float:
    """CPU seconds a GB that *work* takes in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds / (size / 1e9)


def measure(receiver: str, sender: str, size: int, store: TlsStore) -> tuple[float, float, float]:
    """(MB/s, the receiver's CPU seconds a GB, the sender's)."""
    forks = multiprocessing.get_context("fork")
    answers: multiprocessing.SimpleQueue[float] = multiprocessing.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            answers.put(used(partial(send, sender, size, plain, store.server_context()), size))

        process = forks.Process(target=serve)
        process.start()
        plain = socket.create_connection(listener.getsockname())
        began = time.perf_counter()
        received = used(partial(receive, receiver, size, plain, store.client_context()), size)
        took_s = time.perf_counter() - began
        sent = answers.get()
        process.join()
    return size / 1e6 / took_s, received, sent


def main() -> None:
    """Print the least of all rounds for each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {pair: [] for pair in PAIRS}
    with tempfile.TemporaryDirectory() as scratch:
        store = _certificate(Path(scratch))
        for _ in range(given.rounds):
            for pair in PAIRS:
                found[pair].append(measure(*pair, given.mib * limits.MIB, store))
    print(f"{'receiver':<10}{'sender':<10}{'MB/s':>8}{'receiver s/GB':>15}{'sender s/GB':>13}")
    for (receiver, sender), runs in found.items():
        speeds, received, sent = zip(*runs, strict=True)
        print(
            f"{receiver:<10}{sender:<10}{max(speeds):>8.0f}{min(received):>15.2f}{min(sent):>13.2f}"
        )


if __name__ == "__main__":
    main()
