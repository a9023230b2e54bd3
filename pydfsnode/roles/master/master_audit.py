"""A master's audit trail: that of any node, and what befalls a master."""

from __future__ import annotations

from pydfsnode.roles.audit.node_audit import NodeAudit
from pydfsnode.roles.base import Node
from pydfsnode.roles.master.auditing import Auditing
from pydfsnode.rpc.audit_calls import Ask
from pydfsnode.runtime.raft_driver import RaftDriver


class MasterAudit(NodeAudit[Auditing]):
    """See `NodeAudit`."""

    def __init__(self, node: Node) -> None:
        reads, monotonic_ms = node.config.audit.reads, node.clock.monotonic_ms
        super().__init__(node, lambda trail: Auditing(trail, reads, monotonic_ms))

    def begin(self, driver: RaftDriver, ask: Ask) -> None:
        """Before the first role or member changes: record what befalls this master, and sign."""
        driver.on_role_change(self.auditing.role_changed)
        driver.on_configuration(self.auditing.members_changed)
        self.sign(ask)
