"""What the one writer of a file may do with it: checks shared by allocate, complete and abandon."""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import (
    FileUnderConstruction,
    InvalidArgument,
    LeaseExpired,
    StaleChunkVersion,
    UnknownChunk,
)
from pydfsnode.meta.inodes import IS_OPEN, Chunk, ChunkDone
from pydfsnode.meta.tree import Tree

_VERSION_MAX = 2**63 - 1
_CRC_MAX = 2**32 - 1


def held_file(tree: Tree, inode_id: int, client_id: int) -> Inode:
    """The file *inode_id*, being written by *client_id*.

    Raises:
        LeaseExpired: it is gone, replaced or closed.
        FileUnderConstruction: another client writes it.
    """
    file = tree.table.get(inode_id)
    if file is None or not file.is_file or not tree.table.is_attached(file):
        raise LeaseExpired(
            f"no file {inode_id}: it was deleted or replaced while it was written",
            inode_id=inode_id,
        )
    opened = tree.open_files.get(inode_id) if file.flags & IS_OPEN else None
    if opened is None:
        raise LeaseExpired(f"file {inode_id} is already closed", inode_id=inode_id)
    if opened.holder != client_id:
        raise FileUnderConstruction(
            f"file {inode_id} is being written by another client", inode_id=inode_id
        )
    return file


def last_chunk(tree: Tree, file: Inode) -> tuple[int, int, int, int]:
    """(id, version, length, crc32c) of the last finished chunk of *file*, which has one."""
    return tree.table.chunk(file, file.chunk_count - 1)


class LastChunk:
    """How an operation leaves the open last chunk: checked when made, done by `settle`."""

    __slots__ = ("_drop", "_file", "_finish", "_tree")

    def __init__(self, tree: Tree, file: Inode, done: ChunkDone | None, abandoned: int) -> None:
        """
        Args:
            done: the chunk just finished, or the last finished one again; None: none.
            abandoned: id of the open chunk of which nothing was acknowledged; 0: none.

        Raises:
            UnknownChunk, StaleChunkVersion: `done` or `abandoned` is not what the file holds.
            InvalidArgument: a length or checksum that cannot be; a chunk would stay open.
        """
        self._tree, self._file = tree, file
        opened = tree.open_files.rows[file.inode_id]
        open_chunk = tree.chunk(opened.chunk_id) if opened.chunk_id else None
        self._finish = None if done is None else self._to_finish(done, open_chunk)
        self._drop = abandoned != 0
        if abandoned:
            self._check_abandoned(abandoned, open_chunk)
        elif open_chunk is not None and self._finish is None:
            raise InvalidArgument(
                f"chunk {open_chunk.chunk_id} is still open: report it finished or abandon it",
                chunk_id=open_chunk.chunk_id,
            )

    @property
    def grows_by(self) -> int:
        """Bytes that the file has more once this is settled."""
        if self._finish is None:
            return 0
        opened = self._tree.open_files.rows[self._file.inode_id]
        if opened.replaces_inline:
            return self._finish.length - self._file.size
        if opened.replaces:
            return self._finish.length - last_chunk(self._tree, self._file)[2]
        return self._finish.length

    def settle(self) -> None:
        """Record the finished chunk, drop the abandoned one."""
        if self._finish is not None:
            done = self._finish
            self._tree.finish_chunk(self._file, done.version, done.length, done.crc32c)
        if self._drop:
            self._tree.drop_open_chunk(self._file)

    def _to_finish(self, done: ChunkDone, open_chunk: Chunk | None) -> ChunkDone | None:
        chunk = self._chunk_of_file(done.chunk_id)
        if chunk.done:
            if done != ChunkDone(chunk.chunk_id, chunk.version, chunk.length, chunk.crc32c):
                raise StaleChunkVersion(
                    f"chunk {chunk.chunk_id} is already recorded with version {chunk.version}, "
                    f"length {chunk.length}, crc32c {chunk.crc32c:08x}",
                    chunk_id=chunk.chunk_id, version=chunk.version,
                )  # fmt: skip
            return None
        # A seal after a broken pipeline raises the version: a higher one is the writer's to say.
        if done.version < chunk.version:
            raise StaleChunkVersion(
                f"chunk {chunk.chunk_id} has version {chunk.version}, reported was {done.version}",
                chunk_id=chunk.chunk_id, version=chunk.version,
            )  # fmt: skip
        begun_bytes = self._begun_bytes()
        if done.length < begun_bytes:
            raise InvalidArgument(
                f"chunk {chunk.chunk_id} begins with {begun_bytes} bytes of the one before and "
                f"cannot have {done.length}", chunk_id=chunk.chunk_id, length=done.length,
            )  # fmt: skip
        if not 0 < done.length <= self._file.chunk_bytes:
            raise InvalidArgument(
                f"chunk {chunk.chunk_id} cannot have {done.length} bytes: "
                f"1 to {self._file.chunk_bytes}, and an empty one is abandoned",
                chunk_id=chunk.chunk_id, length=done.length,
            )  # fmt: skip
        if done.version > _VERSION_MAX or not 0 <= done.crc32c <= _CRC_MAX:
            raise InvalidArgument(
                f"chunk {chunk.chunk_id}: version {done.version} or crc32c {done.crc32c} "
                "is out of range", chunk_id=chunk.chunk_id,
            )  # fmt: skip
        return done

    def _begun_bytes(self) -> int:
        """With how many bytes of the last finished chunk the open one begins."""
        opened = self._tree.open_files.rows[self._file.inode_id]
        return last_chunk(self._tree, self._file)[2] if opened.replaces else 0

    def _check_abandoned(self, abandoned: int, open_chunk: Chunk | None) -> None:
        chunk = self._chunk_of_file(abandoned)
        if chunk.done or self._finish is not None:
            raise InvalidArgument(
                f"chunk {abandoned} is finished and part of the file; it cannot be abandoned",
                chunk_id=abandoned,
            )

    def _chunk_of_file(self, chunk_id: int) -> Chunk:
        chunk = self._tree.chunk(chunk_id)
        if chunk is None or chunk.inode_id != self._file.inode_id:
            raise UnknownChunk(
                f"chunk {chunk_id} is not part of file {self._file.inode_id}", chunk_id=chunk_id
            )
        return chunk
