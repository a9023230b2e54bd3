"""A new node gets its certificate: it makes its own key, and shows a token that works once.

It trusts nobody yet but has the pin of the CA: it takes the roots from a master without looking at
who that is, keeps those that fit the pin, and only then, over a connection that leads to such a
root and to a master, tells the token.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from pydfsnode.config import TlsFiles, split_address
from pydfsnode.errors import (
    AccessDenied,
    CertificateInvalid,
    ConfigError,
    PeerUnauthenticated,
    Unavailable,
)
from pydfsnode.security import pem, profile
from pydfsnode.security.files import replace_file, write_new
from pydfsnode.security.identity import Identity, identity_of
from pydfsnode.security.issuing import PIN_PREFIX, pin_of, request_for
from pydfsnode.security.tls import expect_peer, peer_identity

TIMEOUT_S = 15.0
ANSWER_BYTES_MAX = 256 * 1024


def join(address: str, token: str, pin: str, role: str, name: str, files: TlsFiles) -> Identity:
    """Get a certificate for *name* of *role* and write it, its key and the roots to *files*.

    Args:
        address: "host:port" of a master's HTTPS listener.
        token: as `certs token` printed it.
        pin: "sha256:HEX" of the CA's public key, printed beside it.
    Returns:
        Who this node is now.
    Raises:
        Unavailable: the master does not answer, or there is no leader.
        PeerUnauthenticated: what answers is not under the CA of that pin.
        AccessDenied: the token. CertificateInvalid: the answer. ConfigError: a file.
    """
    root = _pinned_root(address, pin)
    cluster_id = _cluster_id(root)
    identity = Identity(cluster_id, role, name)
    key = profile.new_key()
    body = {"token": token, "request": base64.b64encode(request_for(identity, key)).decode()}
    answer = _ask(address, _trusting(root), "POST", "/join", msgspec.json.encode(body), cluster_id)
    try:
        told = msgspec.json.decode(answer, type=dict[str, str])
        chain, roots = told["chain"].encode(), told["roots"].encode()
        leaf = pem.certificates_in(chain)[0]
    except (msgspec.MsgspecError, KeyError, *pem.UNREADABLE):
        raise CertificateInvalid(f"{address}: the answer holds no certificate") from None
    found = identity_of([("URI", uri) for uri in pem.uris_of(leaf)])
    if found != identity or leaf.public_key() != key.public_key():
        raise CertificateInvalid(
            f"the token is for {found.role} '{found.name}', this node is {role} '{name}': set "
            "role and node_id, or make a token for it with 'pydfsnode certs token'"
        )
    _write(files, roots, chain, profile.key_pem(key))
    return identity


def _pinned_root(address: str, pin: str) -> x509.Certificate:
    if not pin.startswith(PIN_PREFIX) or len(pin) != len(PIN_PREFIX) + 64:
        raise ConfigError(f"--ca-hash {pin[:80]!r} is not sha256: and 64 hexadecimal digits")
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.minimum_version = ssl.TLSVersion.TLSv1_3
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE  # what is fetched is compared with the pin
    content = _ask(address, anybody, "GET", "/ca", b"", None)
    try:
        roots = pem.certificates_in(content)
    except pem.UNREADABLE:
        raise PeerUnauthenticated(f"{address}: tells no CA: it is no master") from None
    for root in roots:
        if pin_of(root) == pin.lower():
            return root
    raise PeerUnauthenticated(
        f"{address}: no CA that it tells has the pin {pin}: it is another cluster's master, or "
        "somebody is in between; compare with what 'pydfsnode certs token' printed"
    )


def _trusting(root: x509.Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the URI tells who answers
    context.load_verify_locations(cadata=profile.cert_pem(root).decode())
    return context


def _ask(
    address: str, context: ssl.SSLContext, method: str, path: str, body: bytes,
    cluster_id: str | None,
) -> bytes:  # fmt: skip
    """The body of a good answer; with *cluster_id* only a master of it is asked."""
    host, port = split_address(address)
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.connect()
        if cluster_id is not None:
            socket: Any = connection.sock
            expect_peer(peer_identity(socket, cluster_id), "master")
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read(ANSWER_BYTES_MAX)
    except ssl.SSLError as error:
        raise PeerUnauthenticated(f"{address}: TLS failed: {error.reason or error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{address}: cannot be asked: {error or type(error).__name__}") from None
    finally:
        connection.close()
    if response.status == 200:
        return content
    text = content.decode("utf-8", "replace").strip()[:300]
    if response.status == 403:
        raise AccessDenied(f"{address}: {text}")
    raise Unavailable(f"{address}: {text}")


def _cluster_id(root: x509.Certificate) -> str:
    uris = pem.uris_of(root)
    return uris[0].removeprefix("spiffe://") if len(uris) == 1 else ""


def _write(files: TlsFiles, roots: bytes, chain: bytes, key: bytes) -> None:
    try:
        for name in (files.ca, files.cert, files.key):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_new(Path(files.key), key, 0o600)
        replace_file(Path(files.ca), roots, 0o644)
        replace_file(Path(files.cert), chain, 0o644)
    except FileExistsError:
        raise ConfigError(f"{files.key} exists and is not overwritten: move it away") from None
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from None
