"""Renewing the certificate of one's own files: a new key, a request, and both put in place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from pydfsnode.config import TlsFiles
from pydfsnode.errors import CertificateInvalid, ConfigError
from pydfsnode.security import profile
from pydfsnode.security.files import replace_file
from pydfsnode.security.issuing import request_for
from pydfsnode.security.replacing import replace_certificate
from pydfsnode.security.tls import TlsStore


@dataclass(frozen=True, slots=True)
class OwnRenewal:
    """What the masters are sent; `store` what they answer."""

    store_of: TlsStore
    key: ec.EllipticCurvePrivateKey
    request: bytes
    present_pem: str

    def store(self, chain_pem: str, roots_pem: str) -> None:
        """Write what was signed, roots first; who uses the files takes them by itself.

        Raises:
            CertificateInvalid: the chain does not lead to the roots. ConfigError: a file.
        """
        tls, roots, chain = self.store_of, roots_pem.encode(), chain_pem.encode()
        if not tls.would_hold(roots, chain):
            raise CertificateInvalid("the masters signed with a CA that they do not believe")
        try:
            if roots != tls.ca_pem:
                replace_file(Path(tls.files.ca), roots, 0o644)
            replace_certificate(tls.files, chain, profile.key_pem(self.key))
        except OSError as error:
            raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from None


def own_renewal(files: TlsFiles) -> OwnRenewal:
    """Begin to renew the certificate in *files*. Raises CertificateInvalid."""
    tls = TlsStore.load(files)
    key = profile.new_key()
    return OwnRenewal(tls, key, request_for(tls.identity, key), tls.cert_pem.decode())
