"""Checkpoints of audit trails on the wire, and how a master hands its own to the leader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.audit.checkpoint import Checkpoint

RECORD = "/pydfs.v1.Security/RecordAuditCheckpoint"
RECORD_MS = 3_000

Ask = Callable[..., Awaitable[Any]]
"""(path, request, *, timeout_ms): asks the leading master; raises PydfsError."""


async def record_checkpoint(ask: Ask, checkpoint: Checkpoint) -> None:
    """Have all masters keep *checkpoint*. Raises PydfsError."""
    request = pb.RecordAuditCheckpointRequest(checkpoint=to_message(checkpoint))
    await ask(RECORD, request, timeout_ms=RECORD_MS)


def to_message(checkpoint: Checkpoint) -> pb.AuditCheckpoint:
    """As it goes over the wire."""
    return pb.AuditCheckpoint(
        node=checkpoint.node, trail=checkpoint.trail, seq=checkpoint.seq,
        sha256=checkpoint.sha256, at_ms=checkpoint.at_ms, signature=checkpoint.signature,
        chain_pem=checkpoint.chain_pem,
    )  # fmt: skip


def from_message(message: Any) -> Checkpoint:
    """As it came over the wire."""
    return Checkpoint(
        message.node, message.trail, message.seq, message.sha256, message.at_ms,
        message.signature, message.chain_pem,
    )  # fmt: skip
