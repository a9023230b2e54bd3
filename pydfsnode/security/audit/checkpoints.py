"""Checkpoints: a node signs how far its trail has come; everybody can check that with the CA."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from pydfsnode.errors import PeerUnauthenticated
from pydfsnode.security import pem
from pydfsnode.security.audit.checkpoint import Checkpoint, signed_text
from pydfsnode.security.audit.trail import Position
from pydfsnode.security.identity import Identity, identity_of

_HASH = ec.ECDSA(hashes.SHA256())


def make_checkpoint(
    node: Identity, position: Position, at_ms: int, key_pem: bytes, chain_pem: bytes
) -> Checkpoint:
    """Sign *position* with the node's key."""
    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    fields = node.uri, position.trail, position.seq, position.sha256, at_ms
    signature = key.sign(signed_text(*fields), _HASH).hex()
    return Checkpoint(*fields, signature, chain_pem.decode("ascii"))


def fault_of(checkpoint: Checkpoint, roots: Sequence[x509.Certificate] | None) -> str:
    """Why *checkpoint* proves nothing, "" when it does.

    Args:
        roots: the CAs that are believed; None: whose certificate it is does not matter.
    """
    try:
        leaf, *between = x509.load_pem_x509_certificates(checkpoint.chain_pem.encode())
        key = leaf.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return "its certificate has a key of another kind"
        key.verify(bytes.fromhex(checkpoint.signature), checkpoint.signed(), _HASH)
        identity = identity_of([("URI", uri) for uri in pem.uris_of(leaf)])
        if identity.uri != checkpoint.node:
            return f"its certificate is that of {identity}"
        if roots is not None:
            at = datetime.fromtimestamp(checkpoint.at_ms / 1000, UTC)
            builder = PolicyBuilder().store(Store(list(roots))).time(at)
            builder.build_client_verifier().verify(leaf, between)
    except InvalidSignature:
        return "its signature does not fit"
    except VerificationError as error:
        return f"its certificate leads to no CA that is believed ({error})"
    except PeerUnauthenticated as error:
        return error.message
    except (*pem.UNREADABLE, OverflowError, OSError) as error:  # a time that no calendar knows
        return f"its certificate or signature cannot be read ({error})"
    return ""
