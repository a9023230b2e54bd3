"""A file that lists the certificates of a whole cluster, issued at once (`certs init --plan`)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pydfsnode.config import load_toml
from pydfsnode.errors import UsageError
from pydfsnode.security import pki
from pydfsnode.security.identity import checked_identity


class PlannedCertificates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Certificates of one role."""

    role: str
    names: list[str]
    hosts: list[str] | None = None
    """Where these listen; None: the plan's hosts."""


class CertificatePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: `certs/development.toml` is one."""

    certificates: list[PlannedCertificates]
    cluster_id: str | None = None
    hosts: list[str] = []
    days: int = pki.LEAF_DAYS


def load_plan(path: Path) -> CertificatePlan:
    """Read and check *path*.

    Raises:
        ConfigError: it is missing or not such a file.
        UsageError: a role or name is not allowed, or a name stands in it twice.
    """
    plan = load_toml(path, CertificatePlan)
    seen: set[str] = set()
    for group in plan.certificates:
        for name in group.names:
            checked_identity(plan.cluster_id or "any", group.role, name)
            if name in seen:
                raise UsageError(
                    f"{path}: '{name}' stands in it twice: each name gets its own files"
                )
            seen.add(name)
    return plan


def carry_out(plan: CertificatePlan, directory: Path) -> tuple[str, list[pki.IssuedFiles]]:
    """Make the CA and all certificates of *plan* in *directory*; returns the cluster id and files.

    Raises:
        UsageError, ConfigError: as `pki.init_ca` and `pki.issue`.
    """
    cluster_id = pki.init_ca(directory, plan.cluster_id)
    issued = []
    for group in plan.certificates:
        hosts = plan.hosts if group.hosts is None else group.hosts
        for name in group.names:
            issued.append(pki.issue(directory, directory, group.role, name, hosts, plan.days))
    return cluster_id, issued
