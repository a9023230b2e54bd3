"""Writing files: creating, reopening, chunk by chunk, closing, and who may write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from pydfsnode import limits
from pydfsnode.errors import DomainError, InvalidArgument, LeaseExpired
from pydfsnode.meta import ops
from pydfsnode.meta.leases import is_soft_expired
from pydfsnode.meta.results import Appended, ChunkAllocated, Done, FileView, Removed
from pydfsnode.meta.sealing import wants_key
from pydfsnode.roles.master.allocation import Allocation
from pydfsnode.roles.master.capabilities import Capabilities
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.lease_recovery import LeaseRecovery
from pydfsnode.roles.master.own_operations import new_file_key
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.roles.master.service.conversions import (
    Encoded,
    answer,
    chunk_done,
    created_bytes,
    fill,
)
from pydfsnode.roles.master.service.quick import Encode, Quick, QuickChange, encoder
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.security.capability import LONG_LIFE_MS, WRITING, Operation

Addresses = Callable[[Iterable[str]], list[pb.Address]]
NewFile = tuple[int, int, int, int, str, str, int, int, int, bool, bool]
"""Head and fields of `ops.Create`."""


class FileDefaults(msgspec.Struct, frozen=True):
    """Of files whose creators do not say, and which contents the masters take.

    `inline_bytes_max`: the largest; 0: none. `inline_total_bytes_max`: of all together.
    """

    replication: int = 3
    chunk_bytes: int = limits.CHUNK_BYTES_DEFAULT
    inline_bytes_max: int = limits.INLINE_BYTES_MAX
    inline_total_bytes_max: int = 1024 * limits.MIB


class WritingHandlers:
    """See the module."""

    def __init__(
        self,
        admission: Admission,
        consensus: Consensus,
        allocation: Allocation,
        addresses: Addresses,
        defaults: FileDefaults,
        recovery: LeaseRecovery,
        capabilities: Capabilities,
    ) -> None:
        self._capabilities = capabilities
        self._recovery = recovery
        self._head = admission.head
        self._propose = admission.propose
        self._consensus = consensus
        self._allocation = allocation
        self._addresses = addresses
        self._defaults = defaults

    def handlers(self) -> Handlers:
        """Name of the method to handler."""
        return {
            "Create": self.create,
            "Append": self.append,
            "AllocateChunk": self.allocate_chunk,
            "RecordChunk": self.record_chunk,
            "ResumeChunk": self.resume_chunk,
            "Complete": self.complete,
            "CompleteInline": self.complete_inline,
            "Abandon": self.abandon,
            "Truncate": self.truncate,
            "RenewLease": self.renew_lease,
            "RecoverLease": self.recover_lease,
        }

    def quick(self) -> Quick:
        """See `Quick`."""
        return Quick({"Create": QuickChange(self._quick_create(), FileView, self._created)})

    def _quick_create(self) -> Encode:
        fields = [
            (2, "text", 0),
            (3, "u32", self._defaults.replication),
            (4, "u64", self._defaults.chunk_bytes),
            (5, "u32", 0),
            (6, "flag", 0),
            (7, "flag", 0),
        ]
        encode_opened = encoder(ops.Create, *fields)
        encode_stored = encoder(ops.CreateInline, *fields, (8, "bytes", 0))

        def encode(request: bytes, at_ms: int, user: str) -> tuple[int, bytes] | None:
            if self._consensus.namespace.tree.file_keys.keyed_directories:
                return None  # it may need a key: the handler sees to that
            stored = encode_stored(request, at_ms, user)
            if stored is None:
                return encode_opened(request, at_ms, user)
            # A request that fits has a content that fits; of others the handler sees the content.
            return stored if self._takes(len(request)) else None

        return encode

    async def create(self, request: pb.CreateRequest, call: CallContext) -> pb.CreateResponse:
        """Create a file that the caller then writes, or with its content at once."""
        fields = (
            *self._head(request.op, call),
            request.path,
            request.replication or self._defaults.replication,
            request.chunk_bytes or self._defaults.chunk_bytes,
            request.mode,
            request.overwrite,
            request.create_parents,
        )
        content = None
        if request.HasField("content") and self._takes(len(request.content)):
            content = request.content
        elif request.allocate:
            return await self._create_chunked(fields, call)
        created = self._created(await self._propose(self._new_file(fields, content), FileView))
        return cast(pb.CreateResponse, Encoded(pb.CreateResponse, created))

    def _new_file(
        self, fields: NewFile, content: bytes | None = None, targets: tuple[str, ...] = ()
    ) -> ops.Create | ops.CreateInline | ops.CreateChunked | ops.CreateKeyed:
        if wants_key(self._consensus.namespace.tree, fields[5]):
            return ops.CreateKeyed(*fields, new_file_key(), targets, content)
        if content is not None:
            return ops.CreateInline(*fields, content)
        return ops.CreateChunked(*fields, targets) if targets else ops.Create(*fields)

    def _created(self, view: FileView) -> bytes:
        return created_bytes(view, self._consensus.leader_hint)

    async def _create_chunked(self, fields: NewFile, call: CallContext) -> pb.CreateResponse:
        """Create a file whose writer has bytes for a chunk already, and begin that chunk.

        When nobody can take it there is only the file: its writer then asks for the chunk, and
        hears why.
        """
        self._consensus.require_leader()
        await self._capabilities.have_key(self._consensus)
        *_, replication, chunk_bytes, _, _, _ = fields
        targets = self._allocation.choose_first(replication, chunk_bytes, call.peer)
        view = await self._propose(self._new_file(fields, None, targets), FileView)
        response = pb.CreateResponse(leader_hint=self._consensus.leader_hint)
        fill(response.status, view)
        opened = self._consensus.namespace.tree.open_files.get(view.inode_id)
        # The first answer to this request may have been lost, and found servers or found none.
        if opened is not None and opened.holder == fields[0] and opened.chunk_id:
            begun = ChunkAllocated(opened.chunk_id, opened.version, opened.targets)
            response.chunk.CopyFrom(self._allocated(view.inode_id, begun, call))
        return response

    def _takes(self, size: int) -> bool:
        """Whether the masters keep a content of *size* bytes; an empty one costs nothing."""
        defaults = self._defaults
        if size > defaults.inline_bytes_max:
            return False
        total_bytes = self._consensus.namespace.tree.inline.total_bytes
        return size == 0 or total_bytes + size <= defaults.inline_total_bytes_max

    async def append(self, request: pb.AppendRequest, call: CallContext) -> pb.AppendResponse:
        """Reopen a file for the caller, with its content when that lies here."""
        op = ops.Append(*self._head(request.op, call), request.path)
        await self._take_from_silent(op)
        result = await self._propose(op, Appended)
        response = pb.AppendResponse(leader_hint=self._consensus.leader_hint)
        fill(response.status, result.view)
        if result.content_id:
            response.inline_content = self._reopened_content(result)
        return response

    def _reopened_content(self, reopened: Appended) -> bytes:
        inode_id = reopened.view.inode_id
        table = self._consensus.namespace.tree.table
        if table.holder_of(reopened.content_id) != inode_id:
            raise LeaseExpired(
                f"{reopened.view.path} was deleted or replaced as soon as it was reopened",
                inode_id=inode_id,
            )
        return self._consensus.read_inline(reopened.content_id)

    async def allocate_chunk(
        self, request: pb.AllocateChunkRequest, call: CallContext
    ) -> pb.AllocateChunkResponse:
        """Choose a pipeline and record the chunk."""
        await self._capabilities.have_key(self._consensus)
        targets = await self._allocation.choose(
            request.inode_id, list(request.exclude), call.peer, continues=request.continues
        )
        op = ops.AllocateChunk(
            *self._head(request.op, call),
            request.inode_id,
            chunk_done(request, "previous"),
            request.abandon_chunk_id,
            targets,
            request.continues,
        )
        result = await self._propose(op, ChunkAllocated)
        answer = self._allocated(request.inode_id, result, call)
        if result.base_id:
            base = answer.base
            base.chunk_id, base.version = result.base_id, result.base_version
            base.length, base.crc32c = result.base_length, result.base_crc32c
            base.replicas.extend(self._addresses(self._allocation.holders(result.base_id)))
            grant = self._capabilities.for_user(call.identity.name, LONG_LIFE_MS)
            base.capability = grant(base.chunk_id, base.version, Operation.READ)
        return answer

    def _allocated(
        self, inode_id: int, result: ChunkAllocated, call: CallContext
    ) -> pb.AllocateChunkResponse:
        grant = self._capabilities.for_user(call.identity.name)
        return pb.AllocateChunkResponse(
            chunk_id=result.chunk_id,
            version=result.version,
            epoch=self._consensus.term,
            targets=self._addresses(result.targets),
            leader_hint=self._consensus.leader_hint,
            seal=pb.SealChoice.ValueType(self._allocation.seal_choice(inode_id)),
            capability=grant(result.chunk_id, result.version, WRITING),
            chunk_bytes=self._allocation.chunk_bytes(inode_id),
        )

    async def resume_chunk(
        self, request: pb.ResumeChunkRequest, call: CallContext
    ) -> pb.AllocateChunkResponse:
        """The open chunk goes on with the servers that are left, and maybe others."""
        head = self._head(request.op, call)
        targets = await self._allocation.resume(
            request.inode_id, list(request.survivors), list(request.exclude),
            request.replacements, call.peer,
        )  # fmt: skip
        op = ops.ResumeChunk(*head, request.inode_id, request.chunk_id, targets)
        return self._allocated(request.inode_id, await self._propose(op, ChunkAllocated), call)

    async def record_chunk(
        self, request: pb.RecordChunkRequest, call: CallContext
    ) -> pb.RecordChunkResponse:
        """The finished last chunk counts; the file stays open."""
        last = chunk_done(request, "last")
        if last is None:
            raise InvalidArgument("RecordChunk names the chunk that was finished")
        op = ops.RecordChunk(*self._head(request.op, call), request.inode_id, last)
        return answer(pb.RecordChunkResponse, await self._propose(op, FileView))

    async def complete(self, request: pb.CompleteRequest, call: CallContext) -> pb.CompleteResponse:
        """Close a file."""
        op = ops.Complete(
            *self._head(request.op, call),
            request.inode_id,
            chunk_done(request, "last"),
            request.abandon_chunk_id,
        )
        return answer(pb.CompleteResponse, await self._propose(op, FileView))

    async def complete_inline(
        self, request: pb.CompleteInlineRequest, call: CallContext
    ) -> pb.CompleteInlineResponse:
        """Close a file whose whole content the masters keep; it stays open when they do not."""
        head = self._head(request.op, call)
        if not self._takes(len(request.content)):
            view = await self._held(request.inode_id, request.op.client_id)
            return answer(pb.CompleteInlineResponse, view)
        op = ops.CompleteInline(*head, request.inode_id, request.content)
        return answer(pb.CompleteInlineResponse, await self._propose(op, FileView))

    async def _held(self, inode_id: int, client_id: int) -> FileView:
        """The file *inode_id* as *client_id* holds it. Raises LeaseExpired: it does not."""
        tree = (await self._consensus.read()).tree
        opened, file = tree.open_files.get(inode_id), tree.table.get(inode_id)
        if opened is None or file is None or opened.holder != client_id:
            raise LeaseExpired(f"file {inode_id} is not being written here", inode_id=inode_id)
        return tree.view(file, tree.table.path(file))

    async def abandon(self, request: pb.AbandonRequest, call: CallContext) -> pb.AbandonResponse:
        """Give up a file that was never closed."""
        await self._propose(ops.Abandon(*self._head(request.op, call), request.inode_id), Removed)
        return pb.AbandonResponse()

    async def truncate(self, request: pb.TruncateRequest, call: CallContext) -> pb.TruncateResponse:
        """Cut the end off a file."""
        head, tail = self._head(request.op, call), chunk_done(request, "tail")
        op = ops.Truncate(*head, request.path, request.size, tail)
        await self._take_from_silent(op)
        return answer(pb.TruncateResponse, await self._propose(op, FileView))

    async def renew_lease(
        self, request: pb.RenewLeaseRequest, call: CallContext
    ) -> pb.RenewLeaseResponse:
        """The caller's client is alive, and goes on writing."""
        await self._propose(ops.RenewLease(*self._head(request.op, call)), Done)
        return pb.RenewLeaseResponse()

    async def recover_lease(
        self, request: pb.RecoverLeaseRequest, call: CallContext
    ) -> pb.RecoverLeaseResponse:
        """Close a file whose writer is gone."""
        op = ops.RecoverLease(*self._head(request.op, call), request.path)
        view = await self._propose(op, FileView)
        if view.under_construction:
            view = await self._recovery.finish(view.inode_id)
        return answer(pb.RecoverLeaseResponse, view)

    async def _take_from_silent(self, op: ops.Append | ops.Truncate) -> None:
        """Before a file is taken over: find out what its silent writer left of its open chunk.

        Whether there is such a file is the operation's to say; here it is only looked for.
        """
        tree = self._consensus.namespace.tree
        try:
            file = tree.walk_file(op.path, tree.caller(op.user))
        except DomainError:
            return
        opened = tree.holder(file)
        if opened is None or not opened.chunk_id or opened.holder == op.client_id:
            return
        if is_soft_expired(tree, opened):
            await self._recovery.take(file.inode_id)
