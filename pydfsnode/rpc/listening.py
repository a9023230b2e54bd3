"""Addresses and sockets: binding with clear errors, and noticing peers that vanished."""

from __future__ import annotations

import asyncio
import errno
import socket

from pydfsnode.errors import ConfigError, PortInUse

BACKLOG = 1024
KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
USER_TIMEOUT_MS = 25_000
"""Unacknowledged data for this long means that the peer's machine is gone."""


def split_listen(address: str) -> tuple[str, int]:
    """(host, port) of "host:port"; port 0 is allowed and means any free one.

    Raises:
        ConfigError: *address* has another form.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"'{address}' is not an address: write HOST:PORT, as 10.0.0.1:7001")
    return host.strip("[]"), int(port)


async def bind(address: str) -> list[socket.socket]:
    """Listening, non-blocking sockets on every address that the host of *address* has.

    Raises:
        PortInUse: something else listens there.
        ConfigError: the host cannot be resolved or is not this machine's.
    """
    host, port = split_listen(address)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found):
            sockets.append(_listen(family, kind, protocol, where, address))
            if port == 0:
                break  # any free port is free on the first address only
    except ConfigError:
        for listener in sockets:
            listener.close()
        raise
    return sockets


def _listen(family: int, kind: int, protocol: int, where: object, address: str) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(where)  # type: ignore[arg-type]
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"{address} is in use: stop what listens there, or listen elsewhere",
                address=address,
            ) from None
        raise ConfigError(f"cannot listen on {address}: {error.strerror}") from None
    return listener


def keep_alive(connected: socket.socket) -> str:
    """Have the kernel notice a peer that vanished; returns the peer's "host:port"."""
    try:
        connected.setblocking(False)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        name = connected.getpeername()
    except OSError:  # it vanished already; the handshake will find out
        return "gone"
    return f"{name[0]}:{name[1]}"
