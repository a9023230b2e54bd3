"""The head that every operation carries."""

from __future__ import annotations

import msgspec


class Op(msgspec.Struct, frozen=True, array_like=True):
    """A mutation as it lies in the log. Tags are never reused; new fields go to the end.

    Attributes:
        client_id: who retries; the holder of a file that it creates. 1..2^64-1.
        seq: 1, 2, 3, ... of that client; (client_id, seq) takes effect once (INV-ONCE).
        first_unacked: the client holds the answers of all seq below.
        at_ms: the leader's wall clock when it admitted the operation.
        user: the name in the caller's certificate.
    """

    client_id: int
    seq: int
    first_unacked: int
    at_ms: int
    user: str
