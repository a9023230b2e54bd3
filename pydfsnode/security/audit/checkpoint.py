"""A checkpoint as a value: what a node says of its trail, and its signature under that."""

from __future__ import annotations

import msgspec


class Checkpoint(msgspec.Struct, frozen=True):
    """Record `seq` of the trail of `node`, an identity, had the hash `sha256` at `at_ms`.

    `signature` is hexadecimal; `chain_pem` holds the node's certificate and what leads to the root.
    """

    node: str
    trail: str
    seq: int
    sha256: str
    at_ms: int
    signature: str
    chain_pem: str

    def signed(self) -> bytes:
        """What the signature is of."""
        return signed_text(self.node, self.trail, self.seq, self.sha256, self.at_ms)


def signed_text(node: str, trail: str, seq: int, digest: str, at_ms: int) -> bytes:
    """What a node signs of these fields."""
    return f"pydfsnode audit checkpoint 1\n{node}\n{trail}\n{seq}\n{digest}\n{at_ms}\n".encode()
