"""For whom gateways may act: they know their users, and name one in the metadata of a call.

What is done is then done as that user, with his groups and rights, never as an admin. Who is no
gateway acts as himself, whatever he sends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydfsnode.errors import ConfigError, PermissionDenied
from pydfsnode.rpc.methods import GATEWAY, USER
from pydfsnode.security.identity import Identity, is_name

ACT_FOR_KEY = "pydfs-act-for"
"""Metadata of a call: the name of a user."""


class Acting:
    """Args of the constructor:
    may_act_for: a gateway's name to the names of users. Who is not listed is refused.
    """

    def __init__(self, may_act_for: Mapping[str, Sequence[str]] | None = None) -> None:
        self._allowed: dict[str, frozenset[str]] = {}
        # Kept: to the namespace a caller is the same as long as the object is.
        self._users: dict[str, Identity] = {}
        for gateway, users in (may_act_for or {}).items():
            for name in (gateway, *users):
                if not is_name(name):
                    raise ConfigError(
                        f"[may_act_for] {gateway}: '{name[:80]}' is no name of a gateway or user: "
                        "write 1 to 64 of A-Z a-z 0-9 . _ -; everyone cannot be allowed at once"
                    )
            self._allowed[gateway] = frozenset(users)

    def identity(self, peer: Identity, named: str) -> Identity:
        """Who acts when *peer* names *named* ("": nobody).

        Raises:
            PermissionDenied: a gateway that may not act for that user.
        """
        if not named or peer.role != GATEWAY:
            return peer
        if named not in self._allowed.get(peer.name, ()):
            raise PermissionDenied(
                f"gateway {peer.name} may not act for '{named[:80]}': an administrator allows it "
                "by [may_act_for] in the masters' configuration",
                role=GATEWAY,
            )
        known = self._users.get(named)
        if known is None:
            known = self._users[named] = Identity(peer.cluster_id, USER, named)
        return known
