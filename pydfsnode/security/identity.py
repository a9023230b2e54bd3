"""Who a peer is: the one URI in its certificate, `spiffe://<cluster id>/<role>/<name>`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydfsnode.errors import PeerUnauthenticated, UsageError

ROLES = ("master", "chunkserver", "gateway", "user", "admin")
SCHEME = "spiffe://"
_CLUSTER_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_SHOWN_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """A node, person or program of one cluster."""

    cluster_id: str
    role: str
    name: str

    @property
    def uri(self) -> str:
        """As it stands in the certificate."""
        return f"{SCHEME}{self.cluster_id}/{self.role}/{self.name}"

    def __str__(self) -> str:
        return self.uri

    @classmethod
    def parse(cls, uri: str) -> Identity:
        """The identity in *uri*.

        Raises:
            PeerUnauthenticated: *uri* has another form, an unknown role, or a forbidden character.
        """
        parts = uri.removeprefix(SCHEME).split("/") if uri.startswith(SCHEME) else []
        if len(parts) == 3:
            cluster_id, role, name = parts
            if is_cluster_id(cluster_id) and role in ROLES and is_name(name):
                return cls(cluster_id, role, name)
        raise PeerUnauthenticated(
            f"the certificate's URI {_shown(uri)} is not spiffe://CLUSTER/ROLE/NAME of a known "
            "role: issue one with 'pydfsnode certs issue'",
            found=_shown(uri),
        )


def identity_of(san: Sequence[tuple[str, str]]) -> Identity:
    """The identity among subject alternative names as `ssl`'s `getpeercert()` gives them.

    Only the URI counts: hosts in a certificate say where a peer may be reached, never who it is.

    Raises:
        PeerUnauthenticated: there is not exactly one URI, or it is none of ours.
    """
    uris = [value for kind, value in san if kind == "URI"]
    if len(uris) != 1:
        found = ", ".join(_shown(uri) for uri in uris[:4]) or "none"
        raise PeerUnauthenticated(
            f"the certificate must hold exactly one URI, it holds {len(uris)} ({found}): "
            "issue one with 'pydfsnode certs issue'",
            found=found,
        )
    return Identity.parse(uris[0])


def is_cluster_id(text: str) -> bool:
    """Whether *text* may name a cluster: a SPIFFE trust domain of at most 64 characters."""
    return _CLUSTER_ID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether *text* may name a node or user. It is a file name too, so "." and ".." are not."""
    return _NAME.fullmatch(text) is not None and text.strip(".") != ""


def checked_identity(cluster_id: str, role: str, name: str) -> Identity:
    """An identity from what a person typed.

    Raises:
        UsageError: naming the part that is not allowed and what is.
    """
    if not is_cluster_id(cluster_id):
        raise UsageError(
            f"cluster id {_shown(cluster_id)} is not allowed: use 1 to 64 of a-z, 0-9, '.', '_', "
            "'-', beginning with a letter or digit"
        )
    if role not in ROLES:
        raise UsageError(f"role {_shown(role)} is unknown: use one of {', '.join(ROLES)}")
    if not is_name(name):
        raise UsageError(
            f"name {_shown(name)} is not allowed: use 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'"
        )
    return Identity(cluster_id, role, name)


def _shown(text: str) -> str:
    """*text* quoted, escaped and cut: it comes from a peer and goes into a log."""
    return repr(text[:_SHOWN_CHARACTERS_MAX])
