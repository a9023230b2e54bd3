"""A node's audit trail put together: opened first, told of everything, closed last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from pydfsnode.roles.audit.checkpointing import Checkpointing
from pydfsnode.roles.audit.recording import Recording
from pydfsnode.roles.audit.trail_watch import TrailWatch
from pydfsnode.roles.base import Node
from pydfsnode.rpc.audit_calls import Ask
from pydfsnode.security.audit.file_writer import Rotation
from pydfsnode.security.audit.trail import Trail, TrailSettings, open_trail

R = TypeVar("R", bound=Recording)


class NodeAudit(Generic[R]):
    """`auditing` records; see there.

    Args of the constructor:
        make: makes what records from the trail.
    Raises (the constructor):
        ConfigError, CorruptionError: no trail can be kept there; see `open_trail`.
    """

    def __init__(self, node: Node, make: Callable[[Trail], R]) -> None:
        config, policy = node.config, node.config.audit
        settings = TrailSettings(
            config.audit_dir(),
            policy.format,
            policy.fail_closed,
            policy.sync_interval_ms / 1000,
            Rotation(policy.rotate_bytes, policy.rotate_hours * 3600),
        )
        self._node = node
        loop = asyncio.get_running_loop()
        self._trail = open_trail(
            config.node_id,
            settings,
            loop.call_later,
            node.clock.wall_ms,
            lambda: node.clock.monotonic_ms() / 1000,
        )
        self.auditing = auditing = make(self._trail)
        # From here on: listeners may refuse somebody before the role has begun.
        node.denials.listener = auditing.denied

        def trust_changed() -> None:
            serial = f"{node.tls.leaf.serial_number:x}"
            loop.call_soon_threadsafe(auditing.certificate_changed, serial)

        node.tls.on_change(trust_changed)

    @property
    def problem(self) -> str:
        """Why nothing is recorded at the moment, "" when it is."""
        return self._trail.problem

    def sign(self, ask: Ask) -> None:
        """From now on sign the trail now and then; *ask* is how the leading master is asked."""
        node, policy = self._node, self._node.config.audit
        checkpointing = Checkpointing(
            self._trail, node.tls, ask, node.clock, policy.checkpoint_records,
            policy.checkpoint_seconds,
        )  # fmt: skip
        node.supervisor.spawn("audit checkpoints", checkpointing.run())
        node.supervisor.spawn("audit watch", TrailWatch(lambda: self.problem).run())

    def stop(self) -> None:
        """Record what waits, and the end."""
        self.auditing.finish()
        self._trail.stop()
