"""From an RPC's path to the classes of its request and response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from pydfsnode.errors import MalformedMessage, UnknownMethod
from pydfsnode.rpc.methods import METHODS, Method
from pydfsnode.rpc.pb import dfs_pb2, ttrpc_pb2

SERVICES = dfs_pb2.DESCRIPTOR.services_by_name


@dataclass(frozen=True, slots=True)
class Rpc:
    """A row of the method table with the message classes that the schema gives it."""

    method: Method
    request: Any
    response: Any
    head: bytes
    """Service and method as they begin each encoded ttrpc Request."""

    def parse_request(self, payload: bytes | memoryview) -> Any:
        """The request message in *payload*.

        Raises:
            MalformedMessage: it is not one.
        """
        try:
            return self.request.FromString(payload)
        except (DecodeError, UnicodeDecodeError) as error:
            raise _malformed(self.request, payload, self.method.path, error) from None

    def parse_response(self, payload: bytes | memoryview) -> Any:
        """The response message in *payload*.

        Raises:
            MalformedMessage: it is not one.
        """
        try:
            return self.response.FromString(payload)
        except (DecodeError, UnicodeDecodeError) as error:
            raise _malformed(self.response, payload, self.method.path, error) from None


def _malformed(
    message_class: Any, payload: bytes | memoryview, path: str, error: Exception
) -> MalformedMessage:
    name = message_class.DESCRIPTOR.name
    return MalformedMessage(f"{path}: {len(payload)} bytes are not a {name}: {error}", path=path)


def _build() -> dict[str, Rpc]:
    found: dict[str, Rpc] = {}
    for service in SERVICES.values():
        for rpc in service.methods:
            path = f"/{service.full_name}/{rpc.name}"
            method = METHODS.get(path)
            if method is not None:  # an rpc without a row may be called by nobody
                found[path] = Rpc(
                    method,
                    message_factory.GetMessageClass(rpc.input_type),
                    message_factory.GetMessageClass(rpc.output_type),
                    ttrpc_pb2.Request(
                        service=service.full_name, method=rpc.name
                    ).SerializeToString(),
                )
    return found


RPCS: dict[str, Rpc] = _build()
"""Path ("/pydfs.v1.Namespace/Stat") to row and message classes."""


def rpc_of(path: str) -> Rpc:
    """The RPC at *path*.

    Raises:
        UnknownMethod: the schema or the method table has none.
    """
    rpc = RPCS.get(path)
    if rpc is None:
        raise UnknownMethod(f"there is no method {path} in this version of pydfsnode", path=path)
    return rpc
