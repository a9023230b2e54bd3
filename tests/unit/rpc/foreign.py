"""A peer that knows only the published ttrpc format: bytes by `struct`, no code of the project.

Source: containerd/ttrpc, PROTOCOL.md and request.proto (shared/reference/ttrpc.md).
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import Protocol

REQUEST, RESPONSE, DATA = 1, 2, 3
REMOTE_CLOSED, REMOTE_OPEN, NO_DATA = 1, 2, 4


class Files(Protocol):
    """Paths of PEM files."""

    @property
    def ca(self) -> str: ...
    @property
    def cert(self) -> str: ...
    @property
    def key(self) -> str: ...


def frame(stream_id: int, kind: int, flags: int, payload: bytes = b"") -> bytes:
    """Length u32, stream id u32, type u8, flags u8, all big-endian, and the payload."""
    return struct.pack(">IIBB", len(payload), stream_id, kind, flags) + payload


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def request(
    service: str, method: str, payload: bytes = b"", timeout_nano: int = 0,
    metadata: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    """A Request: 1 service, 2 method, 3 payload, 4 timeout_nano, 5 metadata {1 key, 2 value}."""
    out = field(1, service.encode()) + field(2, method.encode()) + field(3, payload)
    if timeout_nano:
        out += varint(4 << 3) + varint(timeout_nano)
    for key, value in (metadata or {}).items():
        out += field(5, field(1, key.encode()) + field(2, value.encode()))
    return out


def fields(message: bytes) -> dict[int, list[bytes | int]]:
    """The fields of a protobuf message: number to values, varints as integers."""
    found: dict[int, list[bytes | int]] = {}
    position = 0

    def take_varint() -> int:
        nonlocal position
        number = shift = 0
        while True:
            byte = message[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while position < len(message):
        key = take_varint()
        if key & 7 == 0:
            found.setdefault(key >> 3, []).append(take_varint())
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size = take_varint()
            found.setdefault(key >> 3, []).append(message[position : position + size])
            position += size
    return found


def status_of(response: bytes) -> tuple[int, str]:
    """(code, message) of a ttrpc.Response: 1 status {1 code, 2 message}; (0, "") without one."""
    statuses = fields(response).get(1, [])
    if not statuses:
        return 0, ""
    assert isinstance(statuses[0], bytes)
    status = fields(statuses[0])
    code, text = status.get(1, [0])[0], status.get(2, [b""])[0]
    assert isinstance(code, int)
    assert isinstance(text, bytes)
    return code, text.decode()


def payload_of(response: bytes) -> bytes:
    """The payload of a ttrpc.Response: 2 payload."""
    value = fields(response).get(2, [b""])[0]
    assert isinstance(value, bytes)
    return value


class Foreign:
    """A TLS connection on which frames are written and read one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str, files: Files | None, ca: str = "") -> Foreign:
        """Connect with the certificate in *files*, or with none and only *ca* trusted."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(files.ca if files is not None else ca)
        if files is not None:
            context.load_cert_chain(files.cert, files.key)
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), ssl=context, limit=1 << 20))

    async def write(self, *frames: bytes) -> None:
        """Send *frames*; waits for the transport."""
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def read(self) -> tuple[int, int, int, bytes]:
        """(stream id, type, flags, payload) of the next frame."""
        async with asyncio.timeout(10):
            head = await self.reader.readexactly(10)
            size, stream_id, kind, flags = struct.unpack(">IIBB", head)
            return stream_id, kind, flags, await self.reader.readexactly(size)

    async def ended(self) -> bool:
        """Wait until the peer closes; frames before that are read and dropped."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except (ConnectionError, ssl.SSLError):
                pass
            return True

    async def close(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()
