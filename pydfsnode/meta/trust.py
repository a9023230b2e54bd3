"""Whom the cluster believes, replicated: its authority, withdrawn certificates, join tokens.

Certificates and keys are text here: whoever proposes an operation has read and checked them.
"""

from __future__ import annotations

import msgspec

from pydfsnode.meta.tables import AnyTable, Table

TABLE_AUTHORITY = 34
"""One row: who signs, and which roots are believed."""
TABLE_REVOKED = 35
"""Certificates that are worth nothing any more, by a number of their own."""
TABLE_JOIN_TOKEN = 36
"""What lets a new node in, by a number of its own."""

AT_REST, TRUSTING, REISSUING = "", "trust", "reissue"
"""Phases of a change of the CA: none; both roots are believed; the new one signs."""
_ONLY = 1


class Signer(msgspec.Struct, frozen=True, array_like=True):
    """An issuing CA, as PEM: its root, its own certificate ("" when the root signs), its key."""

    root: str
    certificate: str
    key: str


class Authority(msgspec.Struct, frozen=True, array_like=True):
    """`roots`: who is believed, as PEM. `coming`: what the CA is being changed to.

    Certificates signed before `renew_ms` are to be renewed, those in `renew_nodes` before the time
    there, both of the log's time; by identity.
    """

    phase: str
    roots: tuple[str, ...]
    signer: Signer
    coming: Signer | None
    renew_ms: int
    renew_nodes: tuple[tuple[str, int], ...]
    since_ms: int
    user: str


class Revoked(msgspec.Struct, frozen=True, array_like=True):
    """A certificate by its serial number in lower-case hexadecimal digits."""

    serial: str
    reason: str
    since_ms: int
    user: str


class JoinToken(msgspec.Struct, frozen=True, array_like=True):
    """Who may come with it. Of its secret and of the key that came only the SHA-256 is kept."""

    token_id: str
    secret_sha256: str
    role: str
    name: str
    hosts: tuple[str, ...]
    expires_ms: int
    user: str
    used_by_sha256: str = ""


class Trust:
    """Part of `Tree`; change through its methods only."""

    def __init__(self) -> None:
        self._authority: Table[Authority] = Table(TABLE_AUTHORITY, Authority)
        self._revoked: Table[Revoked] = Table(TABLE_REVOKED, Revoked)
        self._tokens: Table[JoinToken] = Table(TABLE_JOIN_TOKEN, JoinToken)
        self.changes = 0
        """Grows with every change since this object was made."""

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """Every table of it."""
        return (self._authority, self._revoked, self._tokens)

    @property
    def authority(self) -> Authority | None:
        """Who signs; None: nobody was told yet."""
        return self._authority.rows.get(_ONLY)

    def set_authority(self, authority: Authority) -> None:
        """Replace it."""
        self.changes += 1
        self._authority.put(_ONLY, authority)

    @property
    def revoked(self) -> dict[str, Revoked]:
        """By serial number."""
        return {row.serial: row for row in self._revoked.rows.values()}

    def revoke(self, revoked: Revoked) -> None:
        """Add one that is not there yet."""
        self.changes += 1
        self._revoked.add(revoked)

    @property
    def tokens(self) -> dict[str, JoinToken]:
        """By their ids."""
        return {row.token_id: row for row in self._tokens.rows.values()}

    def put_token(self, token: JoinToken) -> None:
        """Add it, or replace the one of this id."""
        self._tokens.replace(lambda known: known.token_id == token.token_id, token)

    def drop_tokens_before(self, clock_ms: int) -> None:
        """Forget those that expired."""
        rows = self._tokens.rows
        for key in [key for key, row in rows.items() if row.expires_ms <= clock_ms]:
            self._tokens.drop(key)
