"""Fleet.FileKeys: keys of files for chunkservers, which open and seal their chunks with them."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.sealing import key_of_chunk
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers

FILE_KEYS = "/pydfs.v1.Fleet/FileKeys"


class FileKeysService:
    """The handler. Only the leader answers: a follower may not know of a chunk yet."""

    def __init__(self, consensus: Consensus) -> None:
        self._consensus = consensus

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {FILE_KEYS: self.file_keys}

    async def file_keys(
        self, request: pb.FileKeysRequest, call: CallContext
    ) -> pb.FileKeysResponse:
        """The keys of those of the chunks whose files have one, for a chunkserver's memory.

        Raises:
            InvalidArgument: too many at once.
            NotLeader: another master leads.
        """
        if len(request.chunk_ids) > limits.FILE_KEYS_PER_ASK_MAX:
            raise InvalidArgument(
                f"{len(request.chunk_ids)} chunks at once: {limits.FILE_KEYS_PER_ASK_MAX} at most"
            )
        tree = (await self._consensus.read()).tree
        found = ((chunk_id, key_of_chunk(tree, chunk_id)) for chunk_id in request.chunk_ids)
        return pb.FileKeysResponse(
            keys=[pb.FileKey(chunk_id=chunk_id, key=key) for chunk_id, key in found if key]
        )
