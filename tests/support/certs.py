"""Makes a CA and certificates for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydfsnode.config import TlsFiles
from pydfsnode.security import pki

CLUSTER_ID = "testcluster"


def make_cluster_certs(
    directory: Path,
    names: Mapping[str, str],
    hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    cluster_id: str = CLUSTER_ID,
) -> dict[str, TlsFiles]:
    """Files by name for `names` (name -> role), all in *directory*, made in a few milliseconds.

    Called again on the same directory with other names it issues from the same CA.
    """
    if not (directory / pki.CA_CERT).exists():
        pki.init_ca(directory, cluster_id)
    made = {}
    for name, role in names.items():
        files = pki.issue(directory, directory, role, name, hosts, days=2)
        made[name] = TlsFiles(ca=str(files.ca), cert=str(files.cert), key=str(files.key))
    return made
