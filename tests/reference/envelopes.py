"""The ttrpc envelopes as protobuf writes and reads them."""

from __future__ import annotations

from pydfsnode.rpc.pb import ttrpc_pb2
from tests.reference.frames import frame_head

REQUEST, RESPONSE = 1, 2


def head(service: str, method: str) -> bytes:
    return ttrpc_pb2.Request(service=service, method=method).SerializeToString()


def request(
    stream_id: int, service: str, method: str, payload: bytes, timeout_nano: int, tag: str,
    more: dict[str, str],
) -> bytes:  # fmt: skip
    pairs = {
        "pydfs-request-id": f"{tag}-{stream_id:x}",
        "traceparent": f"00-{tag}{stream_id:016x}-{stream_id:016x}-01",
        **more,
    }
    return ttrpc_pb2.Request(
        service=service,
        method=method,
        payload=payload,
        timeout_nano=timeout_nano,
        metadata=metadata(pairs),
    ).SerializeToString()


def metadata(pairs: dict[str, str]) -> list[ttrpc_pb2.KeyValue]:
    return [ttrpc_pb2.KeyValue(key=key, value=value) for key, value in pairs.items()]


def response(payload: bytes) -> bytes:
    return ttrpc_pb2.Response(payload=payload).SerializeToString()


def frame(stream_id: int, kind: int, flags: int, envelope: bytes) -> bytes:
    return frame_head(len(envelope), stream_id, kind, flags) + envelope
