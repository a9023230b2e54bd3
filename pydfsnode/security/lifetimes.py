"""When the certificates that a process shows and believes begin and end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

LEAF, ISSUING, ROOT = "leaf", "issuing", "root"
KINDS = LEAF, ISSUING, ROOT


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Of one certificate, in seconds since 1970-01-01 UTC."""

    begins_s: float
    ends_s: float

    @property
    def length_s(self) -> float:
        """From its beginning to its end."""
        return self.ends_s - self.begins_s

    def left_s(self, now_s: float) -> float:
        """Until its end; below 0: it has ended."""
        return self.ends_s - now_s


def lifetimes_of(
    leaf: x509.Certificate,
    issuing: Iterable[x509.Certificate],
    roots: Iterable[x509.Certificate],
) -> dict[str, Lifetime]:
    """By kind (of `KINDS`), of several of a kind the one that ends first; none for a kind: no row.

    Args:
        issuing: what stands between the leaf and a root.
    """
    from pydfsnode.security.profile import signed_at

    found = {LEAF: Lifetime(signed_at(leaf).timestamp(), leaf.not_valid_after_utc.timestamp())}
    for kind, certificates in ((ISSUING, issuing), (ROOT, roots)):
        lifetimes = [
            Lifetime(c.not_valid_before_utc.timestamp(), c.not_valid_after_utc.timestamp())
            for c in certificates
        ]
        if lifetimes:
            found[kind] = min(lifetimes, key=lambda lifetime: lifetime.ends_s)
    return found
