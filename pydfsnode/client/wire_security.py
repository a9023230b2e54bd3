"""Certificates: what admins order and ask, and the renewal of one's own, on plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pydfsnode.client.trust import (
    JoinToken,
    JoinTokenState,
    NodeCertificate,
    RevokedCertificate,
    TrustedRoot,
    TrustState,
)
from pydfsnode.client.wire_asking import Asking, Router
from pydfsnode.rpc.audit_calls import from_message
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.security.audit.checkpoint import Checkpoint

_SECURITY = "/pydfs.v1.Security/"


class SecurityCalls:
    """One method for every RPC; errors as of `MasterCalls`. Orders have op ids."""

    def __init__(self, router: Router, asking: Asking) -> None:
        self._router = router
        self._asking = asking

    async def _ask(self, name: str, request: Any) -> Any:
        path = _SECURITY + name
        encoded = request.SerializeToString()
        answer = await self._router.call(path, encoded, timeout_ms=self._asking.timeout_ms)
        return rpc_of(path).parse_response(answer)

    async def _order(self, name: str, request: Any) -> Any:
        path = _SECURITY + name
        encoded = request.SerializeToString()
        return await self._asking.change(path, encoded, rpc_of(path).parse_response)

    async def state(self) -> TrustState:
        """Roots, nodes, what is revoked, tokens."""
        return _state(await self._ask("TrustState", pb.TrustStateRequest()))

    async def set_authority(
        self, step: str, ca: tuple[str, str, str] | None = None, nodes: Sequence[str] = ()
    ) -> TrustState:
        """One step; *ca*: root, issuing certificate and key as PEM, of install and trust.

        Raises:
            UnsafeChange: a live node has not followed the step before.
            InvalidArgument: not the turn of this step.
        """
        root, certificate, key = ca or ("", "", "")
        request = pb.SetAuthorityRequest(
            step=step, nodes=nodes, root_pem=root, certificate_pem=certificate, key_pem=key
        )
        return _state((await self._order("SetAuthority", request)).trust)

    async def revoke(self, serials: Sequence[str], reason: str = "") -> None:
        """Certificates are worth nothing from now on."""
        request = pb.RevokeCertificatesRequest(serials=serials, reason=reason)
        await self._order("RevokeCertificates", request)

    async def add_join_token(
        self, token_id: str, secret_sha256: str, role: str, name: str, hosts: Sequence[str],
        for_ms: int,
    ) -> JoinToken:  # fmt: skip
        """Let one node in who shows the secret within *for_ms*."""
        request = pb.AddJoinTokenRequest(
            token_id=token_id, secret_sha256=secret_sha256, role=role, name=name, hosts=hosts,
            for_ms=for_ms,
        )  # fmt: skip
        made: JoinToken = _plain(JoinToken, await self._order("AddJoinToken", request))
        return made

    async def audit_checkpoints(self) -> list[Checkpoint]:
        """How far each audit trail had come when its node signed it last."""
        found: list[Checkpoint] = []
        after = ""
        while True:
            request = pb.AuditCheckpointsRequest(after=after)
            answer = await self._ask("AuditCheckpoints", request)
            found += [from_message(each) for each in answer.checkpoints]
            after = answer.next
            if not after:
                return found

    async def sign(self, request: bytes, present_pem: str) -> tuple[str, str]:
        """(chain, roots) as PEM: one's own certificate again, for the key of *request*."""
        asked = pb.SignRequest(request=request, present_pem=present_pem)
        answer = await self._ask("Sign", asked)
        return answer.chain_pem, answer.roots_pem


def _state(answer: Any) -> TrustState:
    return TrustState(
        phase=answer.phase,
        roots=[_plain(TrustedRoot, root) for root in answer.roots],
        signer_not_after_ms=answer.signer_not_after_ms,
        revoked=[_plain(RevokedCertificate, row) for row in answer.revoked],
        tokens=[_plain(JoinTokenState, row) for row in answer.tokens],
        nodes=[_plain(NodeCertificate, row) for row in answer.nodes],
        root_pem=answer.root_pem,
    )


def _plain(kind: Any, message: Any) -> Any:
    """A record whose fields have the names of the message's."""
    names = [field.name for field in fields(kind)]
    return kind(**{name: getattr(message, name) for name in names})
