"""The Fleet service: what chunkservers report, to every master; commands from the leader only."""

from __future__ import annotations

from dataclasses import fields

from pydfsnode.fleet.health import ChunkSealing, Load, Scrub
from pydfsnode.fleet.repair import Copy, Delete
from pydfsnode.meta.sealing import chunk_seal_choice
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.configuration import member_name
from pydfsnode.roles.master.capabilities import Capabilities
from pydfsnode.roles.master.fleet import Fleet, Heartbeat
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.security.capability import LONG_LIFE_MS, Operation

ORDERS_SEQ_MAX = 1 << 63
"""No answer had a higher number; one that a server makes up must leave room for the next."""
PROBLEM_CHARACTERS_MAX = 200


class FleetService:
    """Heartbeats and full reports. A report is believed only of the sender's own replicas."""

    def __init__(
        self, driver: RaftDriver, fleet: Fleet, namespace: Namespace, clock: Clock, *,
        seal_chunks: bool = False,
    ) -> None:  # fmt: skip
        """*seal_chunks*: chunks without a choice of their own are sealed at rest."""
        self._seal_chunks = seal_chunks
        self._driver = driver
        self._fleet = fleet
        self._namespace = namespace
        self._capabilities = Capabilities(namespace, clock.wall_ms)

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            "/pydfs.v1.Fleet/Heartbeat": self.heartbeat,
            "/pydfs.v1.Fleet/FullReport": self.full_report,
            "/pydfs.v1.Fleet/ChunkKeys": self.chunk_keys,
        }

    async def heartbeat(
        self, request: pb.HeartbeatRequest, call: CallContext
    ) -> pb.HeartbeatResponse:
        """Note that a chunkserver lives and what changed on it; the leader answers with work."""
        leads, term = self._driver.is_leader, self._driver.term
        answer = self._fleet.heartbeat(_heartbeat(request, call), term if leads else None)
        return pb.HeartbeatResponse(
            epoch=term,
            is_leader=leads,
            full_report_wanted=answer.full_wanted,
            commands=[self._command(order, call.identity.name) for order in answer.orders],
            masters=self._masters(),
            chunk_key_epoch=self._namespace.tree.administration.chunk_key_epoch,
            seal_chunks=leads and self._seal_chunks,
            oldest_chunk_key_epoch=self._namespace.tree.administration.oldest_chunk_key_epoch,
            orders_seq=answer.orders_seq,
        )

    async def full_report(
        self, request: pb.FullReportRequest, call: CallContext
    ) -> pb.FullReportResponse:
        """One page of everything that a chunkserver holds."""
        self._fleet.full_report(
            call.identity.name,
            request.incarnation,
            request.report_seq,
            [(r.chunk_id, r.version, r.length) for r in request.replicas],
            first=request.first,
            last=request.last,
        )
        return pb.FullReportResponse()

    async def chunk_keys(
        self, request: pb.ChunkKeysRequest, call: CallContext
    ) -> pb.ChunkKeysResponse:
        """Every key that chunks may be sealed with, for a chunkserver's memory."""
        keys = self._namespace.tree.administration.chunk_keys
        return pb.ChunkKeysResponse(
            keys=[pb.ChunkKey(epoch=epoch, key=keys[epoch]) for epoch in sorted(keys)]
        )

    def _masters(self) -> list[pb.Address]:
        """All members; none while a change may still be undone: a list is believed as a whole.

        Members without a recorded address were never learned, but are in every configuration file.
        """
        if not self._driver.configuration_committed:
            return []
        configuration = self._driver.configuration
        return [
            pb.Address(node_id=member_name(member), listen=configuration.addresses[member])
            for member in (*configuration.learners, *configuration.voters)
            if member in configuration.addresses
        ]

    def _command(self, order: Copy | Delete, server: str) -> pb.Command:
        if isinstance(order, Delete):
            return pb.Command(
                kind=pb.Command.DELETE, chunk_id=order.chunk_id, version=order.version
            )
        chunk = self._namespace.chunk(order.chunk_id)
        return pb.Command(
            kind=pb.Command.REPLICATE,
            chunk_id=order.chunk_id,
            version=order.version,
            length=order.length,
            crc32c=0 if chunk is None else chunk.crc32c,
            sources=[
                pb.Address(node_id=node_id, listen=self._fleet.listen_of(node_id))
                for node_id in order.sources
            ],
            seal=pb.SealChoice.ValueType(chunk_seal_choice(self._namespace.tree, order.chunk_id)),
            capability=self._capabilities.for_user(server, LONG_LIFE_MS)(
                order.chunk_id, order.version, Operation.READ
            ),
        )


def _heartbeat(request: pb.HeartbeatRequest, call: CallContext) -> Heartbeat:
    return Heartbeat(
        node_id=call.identity.name,
        listen=request.listen,
        rack=request.rack,
        used_bytes=request.used_bytes,
        free_bytes=request.free_bytes,
        chunks=request.chunk_count,
        streams=request.active_streams,
        incarnation=request.incarnation,
        report_seq=request.report_seq,
        epoch=request.epoch,
        added=[(r.chunk_id, r.version, r.length) for r in request.added],
        removed=list(request.removed),
        corrupt=list(request.corrupt),
        copied=[(d.chunk_id, d.ok) for d in request.done if d.kind == "replicate"],
        load=_load(request.load) if request.HasField("load") else None,
        orders_seq=(
            min(request.orders_seq, ORDERS_SEQ_MAX) if request.HasField("orders_seq") else None
        ),
    )


def _load(load: pb.ServerLoad) -> Load:
    return Load(
        queued=load.queued,
        write_p50_ms=load.write_p50_us / 1000,
        write_p99_ms=load.write_p99_us / 1000,
        read_p50_ms=load.read_p50_us / 1000,
        read_p99_ms=load.read_p99_us / 1000,
        disk_errors=load.disk_errors,
        disks=load.disks,
        failed_disks=load.failed_disks,
        scrub=_scrub(load.scrub) if load.HasField("scrub") else None,
        sealing=ChunkSealing(*(getattr(load.sealing, name) for name in ChunkSealing._fields)),
        audit_problem=load.audit_problem[:PROBLEM_CHARACTERS_MAX],
    )


def _scrub(scrub: pb.ScrubState) -> Scrub:
    return Scrub(**{each.name: getattr(scrub, each.name) for each in fields(Scrub)})
