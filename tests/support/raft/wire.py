"""Messages as a master of an older version writes and reads them: without what was added since."""

from __future__ import annotations

import msgspec

from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    AppendReject,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteGrant,
    VoteRefusal,
    VoteRequest,
    encode_message,
)

_FIELDS: dict[type, int] = {
    VoteRequest: 5, VoteGrant: 3, VoteRefusal: 3, PreVoteRequest: 5, PreVoteResponse: 5,
    Append: 10, AppendAck: 6, AppendReject: 8, HeartbeatAck: 5,
}  # fmt: skip
"""How many array elements, the tag included, the first version had."""


def as_old_version(message: Message) -> bytes | None:
    """*message* without later fields; None: the older version does not know it."""
    count = _FIELDS.get(type(message))
    if count is None:
        return None
    elements = msgspec.msgpack.decode(encode_message(message))
    return msgspec.msgpack.encode(elements[:count])
