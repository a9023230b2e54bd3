"""The model's authority, withdrawn certificates and join tokens."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tests.reference.namespace_model_base import User, refuse_unless
from tests.reference.namespace_model_tree import Trees

WEEK_MS = 7 * 86_400_000
NEXT = {"trust": "", "reissue": "trust", "drop": "reissue", "abort": "trust", "install": ""}
"""Step to the phase that it may be taken in; `renew` may always."""


class Token(NamedTuple):
    """What was promised to whoever has the secret."""

    secret: str
    role: str
    name: str
    hosts: tuple[str, ...]
    expires_ms: int
    user: str
    key: str


class Trust(Trees):
    """Operations 40 to 43. A signer's first field is its root."""

    def __init__(self, dropped_at_once_max: int) -> None:
        super().__init__(dropped_at_once_max)
        self.revoked: dict[str, tuple[str, int, str]] = {}
        self.tokens: dict[str, Token] = {}
        self.phase = ""
        self.roots: tuple[str, ...] = ()
        self.signer: Any = None
        self.coming: Any = None
        self.renew: tuple[int, dict[str, int]] = (0, {})

    def revoke_certificates(self, user: User, serials: tuple[str, ...], reason: str) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        well_formed = all(re.fullmatch("[1-9a-f][0-9a-f]{0,39}", serial) for serial in serials)
        refuse_unless(serials and well_formed and len(reason) <= 200, "InvalidArgument")
        for serial in serials:
            self.revoked.setdefault(serial, (reason, self.clock, user.name))

    def add_join_token(
        self, user: User, token: str, secret: str, role: str, name: str, hosts: tuple[str, ...],
        expires_ms: int,
    ) -> None:  # fmt: skip
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(role in ("master", "chunkserver", "gateway"), "InvalidArgument")
        refuse_unless(0 < len(name) <= 64 and name.strip("."), "InvalidArgument")
        refuse_unless(self.clock < expires_ms <= self.clock + WEEK_MS, "InvalidArgument")
        live = {t: row for t, row in self.tokens.items() if row.expires_ms > self.clock}
        refuse_unless(token not in live, "InvalidArgument")
        self.tokens = {**live, token: Token(secret, role, name, hosts, expires_ms, user.name, "")}

    def use_join_token(self, user: User, token: str, secret: str, key: str) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        row = self.tokens.get(token)
        if row is None or row.expires_ms <= self.clock or row.key not in ("", key):
            refuse_unless(False, "AccessDenied")
            return
        refuse_unless(row.secret == secret, "AccessDenied")
        self.tokens[token] = row._replace(key=key)

    def set_authority(self, user: User, step: str, signer: Any, nodes: tuple[str, ...]) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(step in NEXT or step == "renew", "InvalidArgument")
        refuse_unless((signer is not None) == (step in ("install", "trust")), "InvalidArgument")
        refuse_unless(self.signer or step == "install", "InvalidArgument")
        refuse_unless(step == "renew" or NEXT[step] == self.phase, "InvalidArgument")
        if step == "install":
            refuse_unless(not self.signer or signer.root in self.roots, "InvalidArgument")
            self.signer, self.roots = signer, self.roots or (signer.root,)
        elif step == "trust":
            refuse_unless(signer.root not in self.roots, "InvalidArgument")
            self.coming, self.roots, self.phase = signer, (*self.roots, signer.root), "trust"
        elif step == "reissue":
            self.signer, self.phase, self.renew = self.coming, "reissue", (self.clock, {})
        elif step == "drop":
            self.roots, self.coming, self.phase = (self.signer.root,), None, ""
        elif step == "abort":
            self.roots = tuple(root for root in self.roots if root != self.coming.root)
            self.coming, self.phase = None, ""
        elif nodes:
            self.renew = (self.renew[0], {**self.renew[1], **dict.fromkeys(nodes, self.clock)})
        else:
            self.renew = (self.clock, {})
