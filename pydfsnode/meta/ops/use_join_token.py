"""A new node has come with its token."""

from __future__ import annotations

import msgspec

from pydfsnode.errors import AccessDenied
from pydfsnode.meta.ops.add_join_token import SHA256_HEX
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree


class UseJoinToken(Op, frozen=True, array_like=True, tag=42):
    """`key_sha256`: of the public key that is to be certified."""

    token_id: str
    secret_sha256: str
    key_sha256: str


def apply(tree: Tree, op: UseJoinToken) -> Done:
    """Bind the token to the key; the same key may come again, as its answer may have been lost.

    Raises:
        AccessDenied: only the masters themselves may ask; no such token, it expired, or another key
            came with it before. One sentence for all: whoever guesses learns nothing.
    """
    tree.require_superuser(tree.caller(op.user), "Using a join token")
    token = tree.trust.tokens.get(op.token_id)
    if (
        token is None
        or token.secret_sha256 != op.secret_sha256
        or token.expires_ms <= tree.clock_ms
        or token.used_by_sha256 not in ("", op.key_sha256)
        or not SHA256_HEX.fullmatch(op.key_sha256)
    ):
        raise AccessDenied(
            "the join token is unknown, used up or expired: an administrator makes another one "
            "with 'pydfsnode certs token'"
        )
    if not token.used_by_sha256:
        tree.trust.put_token(msgspec.structs.replace(token, used_by_sha256=op.key_sha256))
    return Done()
