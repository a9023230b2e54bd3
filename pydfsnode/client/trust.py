"""What admins see of certificates, as plain values; times in milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """A root that is believed; `signs`: certificates come from under it now."""

    pin: str
    subject: str
    not_after_ms: int
    signs: bool


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """By its serial number in hexadecimal digits."""

    serial: str
    reason: str
    since_ms: int
    user: str


@dataclass(frozen=True, slots=True)
class JoinTokenState:
    """A token, without its secret."""

    token_id: str
    identity: str
    expires_ms: int
    user: str
    used: bool


@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """Of a live node; `behind`: what it lacks before a change of the CA may go on."""

    identity: str
    serial: str
    signed_at_ms: int
    not_after_ms: int
    live: bool
    behind: str


@dataclass(frozen=True, slots=True)
class TrustState:
    """`phase` of a change of the CA: "", "trust" or "reissue"."""

    phase: str
    roots: list[TrustedRoot]
    signer_not_after_ms: int
    """0: the masters have no issuing CA."""
    revoked: list[RevokedCertificate]
    tokens: list[JoinTokenState]
    nodes: list[NodeCertificate]
    root_pem: str

    @property
    def lagging(self) -> list[NodeCertificate]:
        """Live nodes that have not followed."""
        return [node for node in self.nodes if node.behind]


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What a new node needs, the secret aside: where it is let in, and how it knows the CA."""

    pin: str
    join_address: str
    expires_ms: int
