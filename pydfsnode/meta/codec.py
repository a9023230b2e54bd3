"""Operations as bytes of a log entry: msgpack arrays [tag, head..., fields...]."""

from __future__ import annotations

import msgspec

from pydfsnode.errors import CorruptionError, InvalidPath
from pydfsnode.meta.ops import AnyOp

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(AnyOp)


def encode_op(op: AnyOp) -> bytes:
    """The payload of the operation's log entry.

    Raises:
        InvalidPath: a string in it is not valid Unicode.
    """
    try:
        return _ENCODER.encode(op)
    except UnicodeEncodeError as error:
        raise InvalidPath(f"{error.object!r} is not valid Unicode") from None


def decode_op(payload: bytes) -> AnyOp:
    """The operation that `encode_op` wrote.

    Raises:
        CorruptionError: not one; the node must not go on past such an entry.
    """
    try:
        op: AnyOp = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptionError(
            f"a log entry of {len(payload)} bytes is no operation that this version knows: {error}"
        ) from None
    return op
