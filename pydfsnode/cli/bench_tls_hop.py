"""One server of the baseline of `bench io`: TLS and the disk, and nothing else of a chunkserver.

Blocking sockets and buffers of a packet's size: between two calls into OpenSSL or the kernel there
are a few lines of Python for each 16 KiB, which is as fast as a program in C does it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import queue
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from pydfsnode import limits
from pydfsnode.storage.aligned_units import UNIT_BYTES, give_unit, take_unit

HEAD = struct.Struct("<BQ")
"""What is wanted, and how many bytes, or for PING how many times."""
WRITE, READ, PING = 1, 2, 3
PING_BYTES, PONG_BYTES = 64, 4096
ACK = b"\x06"
UNITS_AHEAD = 8
"""Received and not yet on the disk."""


def connect(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection to the hop at *port* of this machine."""
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def receive_into(connection: ssl.SSLSocket, buffer: memoryview) -> None:
    """Fill *buffer*; raises ConnectionError when the peer ends before."""
    done = 0
    while done < len(buffer):
        size = connection.recv_into(buffer[done:])
        if not size:
            raise ConnectionError("the other end of the baseline is gone")
        done += size


class Hop:
    """Serves one connection after the other until the process is ended."""

    def __init__(
        self,
        listener: socket.socket,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        next_port: int,
        directory: Path,
    ) -> None:
        """Args: next_port: where what is written goes on to; 0: this is the last hop."""
        self._listener = listener
        self._server = server
        self._client = client
        self._next_port = next_port
        self._directory = directory

    def serve(self) -> None:
        """The whole life of the process."""
        while True:
            plain, _ = self._listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with (
                contextlib.suppress(OSError),
                plain,
                self._server.wrap_socket(plain, server_side=True) as connection,
            ):
                self._answer(connection)

    def _answer(self, connection: ssl.SSLSocket) -> None:
        head = bytearray(HEAD.size)
        receive_into(connection, memoryview(head))
        kind, size = HEAD.unpack(head)
        if kind == WRITE:
            self._write(connection, size)
        elif kind == READ:
            buffer = memoryview(os.urandom(limits.PACKET_BYTES))
            for start in range(0, size, len(buffer)):
                connection.sendall(buffer[: size - start])
        else:
            ping, pong = memoryview(bytearray(PING_BYTES)), os.urandom(PONG_BYTES)
            for _ in range(size):
                receive_into(connection, ping)
                connection.sendall(pong)

    def _write(self, connection: ssl.SSLSocket, size: int) -> None:
        with contextlib.ExitStack() as stack:
            behind: ssl.SSLSocket | None = None
            if self._next_port:
                behind = stack.enter_context(connect(self._next_port, self._client))
                behind.sendall(HEAD.pack(WRITE, size))
            disk = stack.enter_context(_Disk(self._directory))
            for start in range(0, size, UNIT_BYTES):
                unit = take_unit()
                with memoryview(unit) as whole, whole[: size - start] as wanted:
                    receive_into(connection, wanted)
                    if behind is not None:
                        behind.sendall(wanted)
                    disk.write(unit, len(wanted))
            disk.finish()
            if behind is not None:
                receive_into(behind, memoryview(bytearray(len(ACK))))
        connection.sendall(ACK)


class _Disk:
    """Writes units in a thread, past the page cache, to files of a chunk's size; each is synced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._units: queue.Queue[tuple[mmap.mmap, int] | None] = queue.Queue(UNITS_AHEAD)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: OSError | None = None

    def __enter__(self) -> _Disk:
        self._thread.start()
        return self

    def __exit__(self, *_exit: object) -> None:
        if self._thread.is_alive():
            self._units.put(None)
            self._thread.join()

    def write(self, unit: mmap.mmap, size: int) -> None:
        """Take over *unit*, of which *size* bytes count."""
        self._units.put((unit, size))

    def finish(self) -> None:
        """Return when everything is durable; raises OSError when it is not."""
        self._units.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        left = iter(self._units.get, None)
        try:
            while self._one_file(left):
                pass
        except OSError as error:
            self._error = error
            for unit, _ in left:  # whoever writes must not wait for us
                give_unit(unit)

    def _one_file(self, units: Iterator[tuple[mmap.mmap, int]]) -> bool:
        """Whether more may follow."""
        written = 0
        with _unnamed_file(self._directory) as descriptor:
            for unit, size in units:
                with memoryview(unit) as whole:
                    # Direct writes are of whole units; the rest of the last one does no harm.
                    os.pwrite(descriptor, whole, written)
                give_unit(unit)
                written += size
                if written >= limits.CHUNK_BYTES_DEFAULT:
                    os.fdatasync(descriptor)
                    return True
            os.fdatasync(descriptor)
        return False


@contextlib.contextmanager
def _unnamed_file(directory: Path) -> Iterator[int]:
    """A new file that is gone when it is closed, written past the page cache where that works."""
    descriptor, name = tempfile.mkstemp(dir=directory)
    try:
        try:
            direct = os.open(name, os.O_WRONLY | os.O_DIRECT)
        except OSError:  # a file system without it, as tmpfs
            direct = os.open(name, os.O_WRONLY)
        os.unlink(name)
        try:
            yield direct
        finally:
            os.close(direct)
    finally:
        os.close(descriptor)
