"""What lets a client touch one chunk: a short-lived token of the masters, which chunkservers check.

To know the id of a chunk is not enough: who asks brings a token that names the chunk, its version,
what may be done, for whom and until when, under a key that masters and chunkservers alone have.
The keys come from those that chunks are sealed with, one for each day: they change by themselves.

    key of a day = BLAKE2b(key: chunk key of the epoch, person: PERSON, message: day u32)[:32]
    token = head | user | BLAKE2b-128(key: key of the day, person: PERSON, message: head | user)
    head = format u8 | operations u8 | epoch u32 | day u32 | chunk u64 | version u64 | expires u64

All numbers little-endian; times in milliseconds since 1970.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from typing import NamedTuple

from pydfsnode.errors import CapabilityRefused, KeyUnavailable

FORMAT = 1
PERSON = b"pydfs capability"
MAC_BYTES = 16
TOKEN_BYTES_MAX = 256
DAY_MS = 24 * 3_600_000
LIFE_MS = 600_000
"""How long a token opens reads and writes; what is open goes on."""
LONG_LIFE_MS = DAY_MS
"""Of what is asked for later without the masters: the bytes that a chunk begins with."""
END_GRACE_MS = DAY_MS
"""A writer may end what it began for so long: what the masters gave to somebody else meanwhile has
another version, which refuses him (INV-FENCE)."""
CLOCKS_MS = 120_000
"""How far the clocks of masters and chunkservers may be apart."""

_HEAD = struct.Struct("<BBIIQQQ")


class Operation(enum.IntFlag):
    """What a token is for."""

    READ = 1
    WRITE = 2
    END = 4
    """Of a chunk whose writing stopped: to be kept as it is, cut to a length."""
    READ_ANY_VERSION = 8
    """Of a chunk that is written: its version changes without its readers."""


WRITING = Operation.READ | Operation.WRITE | Operation.END
READING_OPEN = Operation.READ | Operation.READ_ANY_VERSION

KeyOf = Callable[[int], bytes | None]
"""The chunk key of an epoch; None: it is not here."""


class Capability(NamedTuple):
    """What a token says."""

    chunk_id: int
    version: int
    operations: int
    user: str
    expires_ms: int


@lru_cache(maxsize=16)  # of a call that costs as much as the rest of a check
def day_mac(chunk_key: bytes, day: int) -> blake2b:
    """What tokens of *day* (since 1970) are made and checked with; to be copied."""
    key = blake2b(day.to_bytes(4, "little"), key=chunk_key, person=PERSON).digest()[:32]
    return blake2b(digest_size=MAC_BYTES, key=key, person=PERSON)


def sign(capability: Capability, mac: blake2b, epoch: int, day: int) -> bytes:
    """The token; *mac* is `day_mac` of the chunk key of *epoch*."""
    chunk_id, version, operations, user, expires_ms = capability
    said = _HEAD.pack(FORMAT, operations, epoch, day, chunk_id, version, expires_ms) + user.encode()
    return said + _digest(mac, said)


def _digest(mac: blake2b, said: bytes) -> bytes:
    found = mac.copy()
    found.update(said)
    return found.digest()


def verify(token: bytes, key_of: KeyOf, now_ms: int) -> Capability:
    """What *token* says, once it is known that a master made it; when it expires is not looked at.

    Raises:
        CapabilityRefused: nobody of this cluster made it in the last days; `reason` says more.
        KeyUnavailable: it names a key that is not here.
    """
    if not token:
        raise refused("missing", "no capability came with the request")
    size = len(token) - MAC_BYTES
    if not _HEAD.size < size <= TOKEN_BYTES_MAX or token[0] != FORMAT:
        raise refused("malformed", f"{len(token)} bytes that are no capability")
    said, mac = token[:size], token[size:]
    _, operations, epoch, day, chunk_id, version, expires_ms = _HEAD.unpack_from(said)
    today = now_ms // DAY_MS
    # A key of long ago may have come to light since: what it makes is good for nothing.
    if not today - 2 <= day <= today + 1:
        raise refused("old", "the capability is of another day")
    chunk_key = key_of(epoch)
    if chunk_key is None:
        raise KeyUnavailable(f"a capability of key epoch {epoch}, which is not here", epoch=epoch)
    if not compare_digest(_digest(day_mac(chunk_key, day), said), mac):
        raise refused("forged", "the capability was not made by a master of this cluster")
    user = said[_HEAD.size :].decode()
    return Capability(chunk_id, version, operations, user, expires_ms)


def require(
    capability: Capability, chunk_id: int, version: int, operation: Operation, now_ms: int
) -> None:
    """Return if *capability* allows *operation* on a chunk now; *version* 0: on any of them.

    Raises:
        CapabilityRefused: it does not; `reason` says why.
    """
    if capability.chunk_id != chunk_id:
        raise refused("chunk", f"the capability is for chunk {capability.chunk_id}")
    if not capability.operations & operation:
        raise refused("operation", f"the capability is not for {operation.name}")
    any_version = not version or capability.operations & Operation.READ_ANY_VERSION
    if capability.version != version and not any_version:
        raise refused("version", f"the capability is for version {capability.version}")
    grace_ms = CLOCKS_MS + (END_GRACE_MS if operation is Operation.END else 0)
    if now_ms > capability.expires_ms + grace_ms:
        raise refused("expired", "the capability has expired: the masters give another")


def refused(reason: str, why: str) -> CapabilityRefused:
    """An error whose *reason* is one word, for counting."""
    return CapabilityRefused(why, reason=reason)
