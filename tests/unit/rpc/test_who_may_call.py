"""Every method, called over both transports by a peer of every role: only who may is let in."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.errors import PermissionDenied, PydfsError, UnknownMethod
from pydfsnode.rpc.methods import METHODS, Shape
from pydfsnode.rpc.schema import rpc_of
from tests.unit.rpc.harness import Wire, counter
from tests.unit.rpc.test_methods import ALLOWED

WHO = {"master": "m2", "chunkserver": "cs1", "gateway": "gw1", "user": "alice", "admin": "root"}
NODES = {"master": "m1", "chunkserver": "cs1"}


class Reached:
    """Handlers of a node that answer nothing and remember that they were called."""

    def __init__(self, node_role: str) -> None:
        self.paths: set[str] = set()
        self.handlers: dict[str, Any] = {
            path: self._unary(path) if row.shape is Shape.UNARY else self._stream(path)
            for path, row in METHODS.items()
            if node_role in row.served_by
        }

    def _unary(self, path: str) -> Any:
        async def handle(_request: Any, _call: Any) -> Any:
            self.paths.add(path)
            return rpc_of(path).response()

        return handle

    def _stream(self, path: str) -> Any:
        async def handle(_request: Any, _call: Any, _stream: Any) -> None:
            self.paths.add(path)

        return handle


async def _call(client: Any, path: str) -> PydfsError | None:
    """What a call without content ends with."""
    request = rpc_of(path).request()
    try:
        if METHODS[path].shape is Shape.UNARY:
            await client.unary(path, request, timeout_ms=5_000)
        else:
            opening = client.stream(path, request, timeout_ms=5_000)
            stream = await opening if hasattr(opening, "__await__") else opening
            await stream.receive()
    except PydfsError as error:
        return error
    return None


@pytest.mark.parametrize("role", WHO)
@pytest.mark.parametrize("node_role", NODES)
async def test_every_method_with_every_role(wire: Wire, node_role: str, role: str) -> None:
    reached = Reached(node_role)
    address = await wire.serve(reached.handlers, NODES[node_role])
    client = wire.client(address, WHO[role], node_role)
    served = set(reached.handlers)
    before = counter("rpc_refused_peers_total", "role", wire.transport)
    for path in sorted(METHODS):
        error = await _call(client, path)
        if path not in served:
            assert isinstance(error, UnknownMethod), path
        elif path in ALLOWED[role]:
            assert error is None, path
        else:
            assert isinstance(error, PermissionDenied), path
            assert error.fields == {"method": path, "role": role}
    assert reached.paths == served & ALLOWED[role]
    refused = counter("rpc_refused_peers_total", "role", wire.transport) - before
    assert refused == len(served - ALLOWED[role])
