"""A master's audit trail put together: opened first, told of everything, closed last."""

from __future__ import annotations

import asyncio

from pydfsnode.roles.base import Node
from pydfsnode.roles.master.audit_checkpointing import Checkpointing
from pydfsnode.roles.master.auditing import Auditing
from pydfsnode.rpc.audit_calls import Ask
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.security.audit.file_writer import Rotation
from pydfsnode.security.audit.trail import TrailSettings, open_trail


class MasterAudit:
    """`auditing` records; see there.

    Raises (the constructor):
        ConfigError, CorruptionError: no trail can be kept there; see `open_trail`.
    """

    def __init__(self, node: Node) -> None:
        config, policy = node.config, node.config.audit
        settings = TrailSettings(
            config.audit_dir(),
            policy.format,
            policy.fail_closed,
            policy.sync_interval_ms / 1000,
            Rotation(policy.rotate_bytes, policy.rotate_hours * 3600),
        )
        self._node = node
        self._trail = open_trail(
            config.node_id,
            settings,
            asyncio.get_running_loop().call_later,
            node.clock.wall_ms,
            lambda: node.clock.monotonic_ms() / 1000,
        )
        self.auditing = Auditing(self._trail, policy.reads, node.clock.monotonic_ms)

    @property
    def problem(self) -> str:
        """Why nothing is recorded at the moment, "" when it is."""
        return self._trail.problem

    def begin(self, driver: RaftDriver, ask: Ask) -> None:
        """Before the first role or member changes: record what befalls this master, and sign."""
        node, policy, auditing = self._node, self._node.config.audit, self.auditing
        node.denials.listener = auditing.denied
        loop = asyncio.get_running_loop()

        def trust_changed() -> None:
            serial = f"{node.tls.leaf.serial_number:x}"
            loop.call_soon_threadsafe(auditing.certificate_changed, serial)

        node.tls.on_change(trust_changed)
        driver.on_role_change(auditing.role_changed)
        driver.on_configuration(auditing.members_changed)
        checkpointing = Checkpointing(
            self._trail, node.tls, ask, node.clock, policy.checkpoint_records,
            policy.checkpoint_seconds,
        )  # fmt: skip
        node.supervisor.spawn("audit checkpoints", checkpointing.run())

    def stop(self) -> None:
        """Record what waits, and the end."""
        self.auditing.finish()
        self._trail.stop()
