"""The Security service: certificates are followed, signed, revoked; nodes join; the CA changes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

from cryptography import x509

from pydfsnode.errors import AccessDenied, InvalidArgument, UnsafeChange
from pydfsnode.meta import ops
from pydfsnode.meta.results import Done
from pydfsnode.meta.trust import Authority, JoinToken
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.own_operations import head_of_one
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.roles.master.trust_center import TrustCenter
from pydfsnode.roles.master.trust_reports import NodeReport, next_step, renew_before_ms
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.runtime.clock import Clock
from pydfsnode.security.identity import Identity
from pydfsnode.security.issuing import pin_of, requested_key, requested_uri
from pydfsnode.security.profile import host_name, public_key_der

_log = get_logger("roles.master.security")

SERVICE = "/pydfs.v1.Security/"
PROBLEM_CHARACTERS_MAX = 200
PINS_MAX = 8


class SecurityService:
    """Handlers of the leader.

    Args of the constructor:
        live: identities of the nodes that are there now.
        cluster_id: of every identity.
        join_address: "host:port" where a new node is let in, at this master.
    """

    def __init__(
        self, consensus: Consensus, center: TrustCenter, callers: Callers, clock: Clock,
        live: Callable[[], list[str]], cluster_id: str, join_address: str,
    ) -> None:  # fmt: skip
        self._consensus = consensus
        self._center = center
        self._admission = Admission(consensus, callers)
        self._clock = clock
        self._live = live
        self._cluster_id = cluster_id
        self._join_address = join_address

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            SERVICE + "FollowTrust": self.follow_trust,
            SERVICE + "Sign": self.sign,
            SERVICE + "Join": self.join,
            SERVICE + "AddJoinToken": self.add_join_token,
            SERVICE + "RevokeCertificates": self.revoke_certificates,
            SERVICE + "SetAuthority": self.set_authority,
            SERVICE + "TrustState": self.trust_state,
        }

    async def follow_trust(
        self, request: pb.FollowTrustRequest, call: CallContext
    ) -> pb.FollowTrustResponse:
        """What the asker shall have. No read barrier: what is new today it hears a second later."""
        self._consensus.require_leader()
        center, identity = self._center, call.identity.uri
        center.reports.note(
            identity,
            NodeReport(
                request.serial[:40], request.signed_at_ms, request.not_after_ms,
                request.issuer_sha256[:64], frozenset(request.root_pins[:PINS_MAX]),
                request.revoked_count, request.problem[:PROBLEM_CHARACTERS_MAX],
                self._clock.monotonic_ms(),
            ),
        )  # fmt: skip
        version = center.version()
        answer = pb.FollowTrustResponse(
            version=version,
            renew_before_ms=renew_before_ms(center.authority, identity),
            can_sign=center.authority is not None,
        )
        if request.version != version:
            answer.changed = True
            answer.roots_pem = "".join(center.roots())
            answer.revoked.extend(center.revoked())
        return answer

    async def sign(self, request: pb.SignRequest, call: CallContext) -> pb.SignResponse:
        """Renew the asker's certificate."""
        await self._consensus.read()
        chain = self._center.renew(call.identity, request.request, request.present_pem)
        _tell("signed", call, identity=call.identity.uri, serial=_serial(chain))
        return pb.SignResponse(chain_pem=chain, roots_pem="".join(self._center.roots()))

    async def join(self, request: pb.JoinRequest, call: CallContext) -> pb.JoinResponse:
        """Let a new node in, whose token another master (or this one) was shown."""
        await self._consensus.read()
        ca = self._center.issuing_ca()
        key = requested_key(request.request)
        token_id, _, secret = request.token.partition(".")
        hashed = hashlib.sha256(secret.encode()).hexdigest()
        token = self._token(token_id)
        if token is None or not secrets.compare_digest(token.secret_sha256, hashed):
            _log.warning("join refused", by=call.identity.uri, why="no such token")
            raise AccessDenied(
                "the join token is unknown, used up or expired: an administrator makes another one "
                "with 'pydfsnode certs token'"
            )
        identity = Identity(self._cluster_id, token.role, token.name)
        if requested_uri(request.request) != identity.uri:
            raise InvalidArgument(
                f"the token is for {token.role} '{token.name}', which this node is not: set role "
                "and node_id, or make a token for it with 'pydfsnode certs token'"
            )
        key_sha256 = hashlib.sha256(public_key_der(key)).hexdigest()
        head = head_of_one(self._consensus.wall_ms())
        op = ops.UseJoinToken(*head, token_id, hashed, key_sha256)
        await self._consensus.propose(op, Done)
        chain = self._center.sign(ca, identity, key, list(token.hosts))
        _tell("joined", call, identity=identity.uri, token=token_id, serial=_serial(chain))
        return pb.JoinResponse(chain_pem=chain, roots_pem="".join(self._center.roots()))

    def _token(self, token_id: str) -> JoinToken | None:
        return self._consensus.namespace.tree.trust.tokens.get(token_id)

    async def add_join_token(
        self, request: pb.AddJoinTokenRequest, call: CallContext
    ) -> pb.AddJoinTokenResponse:
        """Remember a token that an administrator made."""
        head = self._admission.head(request.op, call)
        await self._consensus.read()
        ca = self._center.issuing_ca()
        for host in request.hosts:
            host_name(host)
        expires_ms = self._consensus.wall_ms() + request.for_ms
        op = ops.AddJoinToken(
            *head, request.token_id, request.secret_sha256, request.role, request.name,
            tuple(request.hosts), expires_ms,
        )  # fmt: skip
        await self._admission.propose(op, Done)
        _tell("join token made", call, token=request.token_id, name=request.name)
        return pb.AddJoinTokenResponse(
            pin=pin_of(ca.root), join_address=self._join_address, expires_ms=expires_ms
        )

    async def revoke_certificates(
        self, request: pb.RevokeCertificatesRequest, call: CallContext
    ) -> pb.RevokeCertificatesResponse:
        """Nodes hear of it within a second or two."""
        head = self._admission.head(request.op, call)
        op = ops.RevokeCertificates(*head, tuple(request.serials), request.reason)
        await self._admission.propose(op, Done)
        _tell("revoked", call, serials=",".join(request.serials)[:400], reason=request.reason)
        return pb.RevokeCertificatesResponse()

    async def set_authority(
        self, request: pb.SetAuthorityRequest, call: CallContext
    ) -> pb.SetAuthorityResponse:
        """One step; a change of the CA goes on only when every live node has followed so far."""
        head = self._admission.head(request.op, call)
        await self._consensus.read()
        signer = None
        if request.root_pem or request.key_pem:
            signer = self._center.checked(
                request.root_pem, request.certificate_pem, request.key_pem
            )
        authority = self._center.authority
        if authority is not None and request.step == next_step(authority):
            self._require_followed(authority)
        self._require_known(list(request.nodes))
        op = ops.SetAuthority(*head, request.step, signer, tuple(request.nodes))
        await self._admission.propose(op, Done)
        _tell("authority", call, step=request.step, nodes=",".join(request.nodes)[:400])
        return pb.SetAuthorityResponse(trust=self._state())

    def _require_followed(self, authority: Authority) -> None:
        wanted, now_ms = self._center.wanted(), self._clock.monotonic_ms()
        lagging = [
            f"{node} {why}"
            for node in self._live()
            if (why := self._center.reports.behind(node, authority, wanted, now_ms))
        ]
        if lagging:
            raise UnsafeChange(
                f"not every live node has followed the step before: {'; '.join(lagging[:8])}: wait "
                "('pydfsnode certs status' shows who lags), or stop the node"
            )

    def _require_known(self, nodes: list[str]) -> None:
        live = self._live()
        for node in nodes:
            if node not in live:
                raise InvalidArgument(f"{node[:200]} is no live node: there are {', '.join(live)}")

    async def trust_state(
        self, request: pb.TrustStateRequest, call: CallContext
    ) -> pb.TrustStateResponse:
        """Everything `certs status` prints."""
        await self._consensus.read()
        return self._state()

    def _state(self) -> pb.TrustStateResponse:
        center, trust = self._center, self._consensus.namespace.tree.trust
        authority, live = center.authority, self._live()
        wanted, now_ms = center.wanted(), self._clock.monotonic_ms()
        found = pb.TrustStateResponse(
            phase="" if authority is None else authority.phase,
            root_pem="".join(center.roots()),
            revoked=[
                pb.RevokedCertificate(
                    serial=row.serial, reason=row.reason, since_ms=row.since_ms, user=row.user
                )
                for row in trust.revoked.values()
            ],
            tokens=[
                pb.JoinTokenState(
                    token_id=row.token_id, expires_ms=row.expires_ms, user=row.user,
                    identity=Identity(self._cluster_id, row.role, row.name).uri,
                    used=bool(row.used_by_sha256),
                )
                for row in trust.tokens.values()
            ],
        )  # fmt: skip
        if authority is not None:
            ca = center.issuing_ca()
            found.signer_not_after_ms = _ms(ca.certificate)
            for pem_text in authority.roots:
                root = x509.load_pem_x509_certificate(pem_text.encode())
                found.roots.add(
                    pin=pin_of(root), subject=root.subject.rfc4514_string(),
                    not_after_ms=_ms(root), signs=root == ca.root,
                )  # fmt: skip
        for node in live:
            report = center.reports.get(node)
            added = found.nodes.add(identity=node, live=True)
            added.behind = center.reports.behind(node, authority, wanted, now_ms)
            if report is not None:
                added.serial, added.signed_at_ms = report.serial, report.signed_at_ms
                added.not_after_ms = report.not_after_ms
        return found


def _serial(chain_pem: str) -> str:
    return f"{x509.load_pem_x509_certificates(chain_pem.encode())[0].serial_number:x}"


def _ms(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)


def _tell(what: str, call: CallContext, **more: str) -> None:
    """Log a certificate event with who asked."""
    _log.info(
        "certificates", what=what, by=call.identity.uri, peer=call.peer,
        request_id=call.request_id, **more,
    )  # fmt: skip
