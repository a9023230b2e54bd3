"""Decoders of certificates, keys, requests for certificates, and joining."""

from __future__ import annotations

import asyncio
import base64
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pydfsnode import errors
from pydfsnode.config import TlsFiles
from pydfsnode.roles.joining import Joining
from pydfsnode.rpc.trust_calls import Signed
from pydfsnode.security import issuing, material, pem, pki, profile
from pydfsnode.security.identity import Identity, identity_of
from pydfsnode.security.tls import TlsStore, der_of
from tests.fuzz.decoder import Decoder, Mend, of_file, of_text, scratch

_INVALID = (errors.CertificateInvalid,)
CLUSTER = "0123456789abcdef"


@cache
def _issued() -> pki.IssuedFiles:
    directory = scratch() / "ca"
    pki.init_ca(directory, CLUSTER)
    return pki.issue(directory, directory, "master", "m1", ["m1.example", "10.0.0.1"])


def _tls_files() -> TlsFiles:
    made = _issued()
    return TlsFiles(str(made.ca), str(made.cert), str(made.key))


@cache
def node_tls() -> TlsStore:
    """Of a master."""
    return TlsStore.load(_tls_files())


def _issuing_parts() -> bytes:
    directory = _issued().ca.parent
    names = (pki.CA_CERT, pki.ISSUING_CERT, pki.ISSUING_KEY)
    return b"|".join((directory / name).read_bytes() for name in names)


def _issuing_ca(given: bytes) -> object:
    parts = given.decode("utf-8", "replace").split("|")
    return issuing.IssuingCa.from_pem(*[*parts, "", "", ""][:3])


def _armoured(kind: bytes) -> Mend:
    """PEM around what is DER: nearly every change of PEM itself only spoils its base64."""

    def mend(given: bytes) -> bytes:
        lines = base64.encodebytes(given).replace(b"\n", b"")
        body = b"\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
        return b"-----BEGIN " + kind + b"-----\n" + body + b"\n-----END " + kind + b"-----\n"

    return mend


_as_certificate = _armoured(b"CERTIFICATE")
_as_key = _armoured(b"PRIVATE KEY")


def _looked_at(path: Path) -> object:
    """Everything that is asked of a certificate's file."""
    found = pki.describe(path)
    leaf = pem.load_certificates(path, "certificate")[0]
    return found, identity_of([("URI", uri) for uri in pem.uris_of(leaf)])


def _material_with(which: str) -> Any:
    """What a node makes of its files when one of them is another."""

    def load(path: Path) -> object:
        good = _tls_files()
        files = {"ca": good.ca, "cert": good.cert, "key": good.key, which: str(path)}
        return material.read_material(TlsFiles(**files))

    return load


def _renewed(given: bytes) -> object:
    """What a master looks at in the certificate that is to be renewed."""
    chain = der_of(given)
    distrust = node_tls().distrust(chain)
    if distrust is not None:
        return distrust
    leaf = x509.load_der_x509_certificate(chain[0])
    return pem.hosts_of(leaf), pem.uris_of(leaf)


def _request() -> bytes:
    return issuing.request_for(Identity(CLUSTER, "chunkserver", "c9"), profile.new_key())


def _odd_requests() -> tuple[bytes, ...]:
    """Requests that are well formed and unusual: RSA, names of every kind, none at all."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    key = profile.new_key()
    names = x509.SubjectAlternativeName(
        [x509.DNSName("a.example"), x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")]
    )
    plain = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    der = serialization.Encoding.DER
    return (
        plain.sign(rsa_key, hashes.SHA256()).public_bytes(der),
        plain.add_extension(names, critical=True).sign(key, hashes.SHA256()).public_bytes(der),
    )


def _requested(given: bytes) -> object:
    uri = issuing.requested_uri(given)
    return uri, issuing.requested_key(given)


async def _ask(*_: object, **__: object) -> Any:
    return Signed("-", "-")


def _join(given: bytes) -> object:
    return asyncio.run(Joining(node_tls(), _ask).join(given))


def _join_body() -> bytes:
    request = base64.b64encode(_request()).decode()
    return msgspec.json.encode({"token": "t" * 40, "request": request})


def _der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )


def _key_der() -> bytes:
    key = serialization.load_pem_private_key(_issued().key.read_bytes(), None)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


CERTIFICATES = [
    Decoder(
        "identities",
        of_text(Identity.parse),
        b"spiffe://0123456789abcdef/master/m1",
        (errors.PeerUnauthenticated,),
    ),
    Decoder(
        "certificate files",
        of_file("odd.crt", _looked_at),
        _issued().cert.read_bytes(),
        (*_INVALID, errors.PeerUnauthenticated),
    ),
    Decoder(
        "certificates",
        lambda given: of_file("odd.crt", _looked_at)(_as_certificate(given)),
        _der(_issued().cert),
        (*_INVALID, errors.PeerUnauthenticated),
        seeds=(_der(_issued().ca),),
    ),
    Decoder(
        "private keys",
        lambda given: of_file("odd.key", pem.load_private_key)(_as_key(given)),
        _key_der(),
        _INVALID,
    ),
    *(
        Decoder(
            f"a node's {which}",
            of_file(f"odd-{which}", _material_with(which)),
            Path(getattr(_tls_files(), which)).read_bytes(),
            _INVALID,
        )
        for which in ("ca", "cert", "key")
    ),
    Decoder("chains of peers", _renewed, _issued().cert.read_bytes()),
    Decoder(
        "chains of peers, as DER",
        lambda given: str(node_tls().distrust([given])) and [given],
        _der(_issued().cert),
    ),
    Decoder("issuing CAs", _issuing_ca, _issuing_parts(), _INVALID),
    Decoder("requests to certify", _requested, _request(), _INVALID, seeds=_odd_requests()),
    Decoder("requests to join", _join, _join_body(), (errors.InvalidArgument,)),
]  # fmt: skip
