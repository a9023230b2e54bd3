"""What a node asks the leading master about certificates, as calls on plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydfsnode.rpc.pb import dfs_pb2 as pb

_SERVICE = "/pydfs.v1.Security/"
FOLLOW_MS = 3_000
JOIN_MS = 10_000

Ask = Callable[..., Awaitable[Any]]
"""(path, request, *, timeout_ms): asks the leading master; raises PydfsError."""


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What a node has; see `FollowTrustRequest`."""

    serial: str
    signed_at_ms: int
    not_after_ms: int
    issuer_sha256: str
    root_pins: Sequence[str]
    revoked_count: int
    problem: str


@dataclass(frozen=True, slots=True)
class WantedTrust:
    """What it shall have; `roots_pem` and `revoked` only count when `changed`."""

    version: str
    changed: bool
    roots_pem: str
    revoked: frozenset[str]
    renew_before_ms: int
    can_sign: bool


@dataclass(frozen=True, slots=True)
class Signed:
    """A chain, and the roots to believe, as PEM."""

    chain_pem: str
    roots_pem: str


class TrustCalls:
    """One method for every RPC that a node makes. All raise PydfsError."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def follow(self, version: str, own: OwnCertificate) -> WantedTrust:
        """Tell what this node has; *version* of the last answer, "" for none."""
        request = pb.FollowTrustRequest(
            version=version, serial=own.serial, signed_at_ms=own.signed_at_ms,
            not_after_ms=own.not_after_ms, issuer_sha256=own.issuer_sha256,
            root_pins=own.root_pins, revoked_count=own.revoked_count, problem=own.problem,
        )  # fmt: skip
        answer = await self._ask(_SERVICE + "FollowTrust", request, timeout_ms=FOLLOW_MS)
        return WantedTrust(
            answer.version, answer.changed, answer.roots_pem, frozenset(answer.revoked),
            answer.renew_before_ms, answer.can_sign,
        )  # fmt: skip

    async def sign(self, request: bytes, present_pem: str) -> Signed:
        """This node's certificate again, for the key of *request*."""
        asked = pb.SignRequest(request=request, present_pem=present_pem)
        answer = await self._ask(_SERVICE + "Sign", asked, timeout_ms=FOLLOW_MS)
        return Signed(answer.chain_pem, answer.roots_pem)

    async def join(self, token: str, request: bytes) -> Signed:
        """A new node's certificate, that showed *token* here."""
        asked = pb.JoinRequest(token=token, request=request)
        answer = await self._ask(_SERVICE + "Join", asked, timeout_ms=JOIN_MS)
        return Signed(answer.chain_pem, answer.roots_pem)
