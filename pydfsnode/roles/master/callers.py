"""Who calls, as the namespace knows people: the certificate's name and the groups configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydfsnode.errors import ConfigError
from pydfsnode.meta.caller import SUPERGROUP, Caller, caller_text, parse_caller
from pydfsnode.rpc.methods import ADMIN
from pydfsnode.security.identity import Identity, is_name

CALLERS_KEPT_MAX = 4096  # limits.py candidate


class KnownCaller(NamedTuple):
    """`text` is what operations carry, `caller` what queries take."""

    text: str
    caller: Caller


class Callers:
    """Looks up the identity of each connection once; bounded.

    Args of the constructor:
        groups: group name to the names of its users. An admin is in SUPERGROUP without it.
    """

    def __init__(self, groups: Mapping[str, Sequence[str]] | None = None) -> None:
        self._groups_of: dict[str, list[str]] = {}
        for group, users in sorted((groups or {}).items()):
            for name in (group, *users):
                if not is_name(name):
                    raise ConfigError(
                        f"[groups] {group}: '{name[:80]}' is no name of a group or user: write 1 "
                        "to 64 of A-Z a-z 0-9 . _ -"
                    )
            for user in users:
                self._groups_of.setdefault(user, []).append(group)
        self._known: dict[int, tuple[Identity, KnownCaller]] = {}

    def of(self, identity: Identity) -> KnownCaller:
        """Who *identity* is to the namespace."""
        # By the object, which is that of the connection: to hash its parts takes six times as long.
        found = self._known.get(id(identity))
        if found is not None:  # and it is this one: who is known is kept, so his id is not reused
            return found[1]
        if len(self._known) >= CALLERS_KEPT_MAX:
            self._known.clear()
        known = self._look_up(identity)
        self._known[id(identity)] = identity, known
        return known

    def _look_up(self, identity: Identity) -> KnownCaller:
        groups = set(self._groups_of.get(identity.name, ()))
        if identity.role == ADMIN:
            groups.add(SUPERGROUP)
        text = caller_text(identity.name, tuple(sorted(groups)))
        return KnownCaller(text, parse_caller(text))
