"""Let one new node in, once."""

from __future__ import annotations

import re

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Done
from pydfsnode.meta.tree import Tree
from pydfsnode.meta.trust import JoinToken

TOKENS_MAX = 1_000
HOSTS_MAX = 16
LIFETIME_MS_MAX = 7 * 86_400_000
_TOKEN_ID = re.compile("[0-9a-f]{16}", re.ASCII)
SHA256_HEX = re.compile("[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}", re.ASCII)
_ROLES = ("master", "chunkserver", "gateway")


class AddJoinToken(Op, frozen=True, array_like=True, tag=41):
    """Whoever shows the secret of this SHA-256 before `expires_ms` is *name* of *role*."""

    token_id: str
    secret_sha256: str
    role: str
    name: str
    hosts: tuple[str, ...]
    expires_ms: int


def apply(tree: Tree, op: AddJoinToken) -> Done:
    """Tokens that expired are forgotten.

    Raises:
        AccessDenied: needs a superuser.
        InvalidArgument: a field, a token of this id, too many tokens.
    """
    caller = tree.caller(op.user)
    tree.require_superuser(caller, "Letting a node join")
    if op.role not in _ROLES:
        raise InvalidArgument(f"{op.role[:80]!r} joins with no token: use one of {_ROLES}")
    if not _NAME.fullmatch(op.name) or not op.name.strip("."):
        raise InvalidArgument(f"{op.name[:80]!r} is no name of a node")
    if not _TOKEN_ID.fullmatch(op.token_id) or not SHA256_HEX.fullmatch(op.secret_sha256):
        raise InvalidArgument("the token's id or hash is malformed")
    if len(op.hosts) > HOSTS_MAX or not all(_HOST.fullmatch(host) for host in op.hosts):
        raise InvalidArgument(f"name at most {HOSTS_MAX} hosts, as DNS names or IP addresses")
    if not tree.clock_ms < op.expires_ms <= tree.clock_ms + LIFETIME_MS_MAX:
        raise InvalidArgument(f"a token is valid for 1 to {LIFETIME_MS_MAX} ms")
    live = [row for row in tree.trust.tokens.values() if row.expires_ms > tree.clock_ms]
    if len(live) >= TOKENS_MAX or any(row.token_id == op.token_id for row in live):
        raise InvalidArgument(f"this token is there already, or {TOKENS_MAX} others are")
    tree.trust.drop_tokens_before(tree.clock_ms)
    tree.trust.put_token(
        JoinToken(
            op.token_id, op.secret_sha256, op.role, op.name, op.hosts, op.expires_ms, caller.user
        )
    )
    return Done()
