"""What a master proposes by itself: the head of such an operation, and keys that it draws."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from pydfsnode.client.session import new_client_id
from pydfsnode.meta import file_keys
from pydfsnode.meta.caller import SUPERUSER
from pydfsnode.meta.ops.add_chunk_key import KEY_BYTES
from pydfsnode.roles.master.service.admission import Head


def head_of_one(wall_ms: int, new_id: Callable[[], int] = new_client_id) -> Head:
    """The head of an operation alone in its session: its outcome is never asked for again.

    Args:
        wall_ms: its time stamp.
        new_id: draws the session's id.
    """
    return new_id(), 1, 1, wall_ms, SUPERUSER


def new_chunk_key() -> bytes:
    """A key for chunkservers to seal with."""
    return secrets.token_bytes(KEY_BYTES)


def new_file_key() -> bytes:
    """A key for the chunks of one file."""
    return secrets.token_bytes(file_keys.KEY_BYTES)
