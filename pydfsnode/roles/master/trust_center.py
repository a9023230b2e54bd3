"""The leader's side of certificates: what nodes are told, and signing with the replicated CA.

The issuing CA's key is part of the replicated state: in the log, the state table and snapshots,
sealed there by each master's keyring as everything else is, sent between masters over mutual TLS
only, and never told to anybody else. So any master that leads can sign, a CA that was changed is
changed everywhere at once, and no file of its own must be guarded on each master. The root's key
never comes here: what can be stolen with a master is ended by changing the CA.
"""

from __future__ import annotations

import hashlib

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pydfsnode.errors import CertificateInvalid, PeerUnauthenticated, Unavailable
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.trust import Authority, Signer
from pydfsnode.roles.master.trust_reports import TrustReports, Wanted
from pydfsnode.security import pem
from pydfsnode.security.identity import Identity, identity_of
from pydfsnode.security.issuing import IssuingCa, pin_of, requested_key
from pydfsnode.security.tls import TlsStore, der_of

CA_WARN_MS = 2 * 90 * 86_400_000
"""No leaf outlives its CA: twice what leaves live by default."""
_NO_CA = "the masters have no issuing CA: an administrator runs 'pydfsnode certs install'"


class TrustCenter:
    """Looks into the namespace; nothing here changes it.

    Args of the constructor:
        days: how long certificates are valid that are signed here.
    """

    def __init__(self, namespace: Namespace, tls: TlsStore, days: float) -> None:
        self._namespace = namespace
        self._tls = tls
        self._days = days
        self.reports = TrustReports()
        self._signer: tuple[Signer, IssuingCa] | None = None
        self._told: tuple[object, int, str] | None = None
        self._pins: tuple[tuple[str, ...], frozenset[str]] | None = None

    @property
    def authority(self) -> Authority | None:
        """As applied here."""
        return self._namespace.tree.trust.authority

    def version(self) -> str:
        """Changes with the roots and the revoked certificates, and with nothing else."""
        trust = self._namespace.tree.trust
        if self._told is None or self._told[0] is not trust or self._told[1] != trust.changes:
            content = msgspec.msgpack.encode((self.roots(), self.revoked()))
            self._told = (trust, trust.changes, hashlib.sha256(content).hexdigest()[:16])
        return self._told[2]

    def roots(self) -> list[str]:
        """The roots that are believed, as PEM; none before a CA was installed."""
        authority = self.authority
        return [] if authority is None else list(authority.roots)

    def revoked(self) -> list[str]:
        """Serial numbers."""
        return sorted(self._namespace.tree.trust.revoked)

    def wanted(self) -> Wanted:
        """What every node shall have now."""
        roots = tuple(self.roots())
        if self._pins is None or self._pins[0] != roots:
            pins = (pin_of(x509.load_pem_x509_certificate(root.encode())) for root in roots)
            self._pins = roots, frozenset(pins)
        issuer = "" if self.authority is None else fingerprint(self.issuing_ca().certificate)
        return Wanted(self._pins[1], issuer, len(self._namespace.tree.trust.revoked))

    def expiring(self, live: list[str], wall_ms: int) -> list[tuple[str, int]]:
        """(whose, ms left) of certificates that were not renewed in time, the nearest end first."""
        found = self.reports.expiring(live, wall_ms)
        if self.authority is not None:
            ca = self.issuing_ca()
            for name, certificate in (("root CA", ca.root), ("issuing CA", ca.certificate)):
                left_ms = int(certificate.not_valid_after_utc.timestamp() * 1000) - wall_ms
                if left_ms < CA_WARN_MS:
                    found.append((name, left_ms))
        return sorted(found, key=lambda pair: pair[1])

    def issuing_ca(self) -> IssuingCa:
        """Who signs. Raises Unavailable when nobody was installed."""
        authority = self.authority
        if authority is None:
            raise Unavailable(_NO_CA)
        signer = authority.signer
        if self._signer is None or self._signer[0] != signer:
            self._signer = signer, IssuingCa.from_pem(signer.root, signer.certificate, signer.key)
        return self._signer[1]

    def checked(self, root: str, certificate: str, key: str) -> Signer:
        """A CA that an administrator sent, in the one form that is kept.

        Raises:
            CertificateInvalid: it is damaged, does not fit together, or is another cluster's.
        """
        found = IssuingCa.from_pem(root, certificate, key)
        own = self._tls.identity.cluster_id
        if found.cluster_id != own:
            raise CertificateInvalid(f"this CA is of cluster '{found.cluster_id}', this is '{own}'")
        return Signer(*found.texts())

    def renew(self, identity: Identity, request: bytes, present_pem: str) -> str:
        """A new chain for *identity*, which has shown its certificate; see `Security/Sign`.

        Raises:
            PeerUnauthenticated: the present certificate is not its own, or not believed.
            CertificateInvalid: the request. Unavailable: there is no CA.
        """
        ca = self.issuing_ca()
        chain = der_of(present_pem.encode())
        error = self._tls.distrust(chain)
        if error is not None:
            raise error
        present = x509.load_der_x509_certificate(chain[0])
        if identity_of([("URI", uri) for uri in pem.uris_of(present)]) != identity:
            raise PeerUnauthenticated(f"the certificate sent along is not that of {identity}")
        return self.sign(ca, identity, requested_key(request), pem.hosts_of(present))

    def sign(
        self, ca: IssuingCa, identity: Identity, key: ec.EllipticCurvePublicKey, hosts: list[str]
    ) -> str:
        """The chain for *identity*."""
        return ca.sign(identity, key, hosts, self._days).decode()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate."""
    return certificate.fingerprint(hashes.SHA256()).hex()
