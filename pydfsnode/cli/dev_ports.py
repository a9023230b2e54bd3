"""Ports for a development cluster: free now, and out of the way of the system's own choices."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Collection

from pydfsnode.errors import PortInUse

HOST = "127.0.0.1"
# Below Linux's ephemeral range (32768 and up): the kernel gives those to outgoing connections, and
# one of them could take a stopped node's port.
PORT_MIN, PORT_MAX = 20_000, 32_000
TRIES_MAX = 2_000


def is_free(port: int) -> bool:
    """Whether a listener could take *port* on this machine now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def choose_ports(
    count: int, taken: Collection[int], free: Callable[[int], bool] = is_free
) -> list[int]:
    """*count* distinct free ports that are not in *taken*.

    Raises:
        PortInUse: there are not enough.
    """
    chosen: list[int] = []
    for _ in range(TRIES_MAX):
        if len(chosen) == count:
            return chosen
        port = PORT_MIN + secrets.randbelow(PORT_MAX - PORT_MIN)
        if port not in taken and port not in chosen and free(port):
            chosen.append(port)
    raise PortInUse(
        f"fewer than {count} free ports between {PORT_MIN} and {PORT_MAX}: stop other clusters "
        "('pydfsnode dev down')"
    )
