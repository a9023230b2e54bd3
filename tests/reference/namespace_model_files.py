"""The model's files: who writes them, what they hold, who takes them over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.reference.namespace_model_base import (
    READ,
    WRITE,
    Chunk,
    Node,
    User,
    checksum,
    refuse_unless,
)
from tests.reference.namespace_model_tree import INLINE_BYTES_MAX, SOFT_LEASE_MS, Trees

HARD_LEASE_MS = 600_000
CONCAT_SOURCES_MAX = 512
RECOVERING = 0
"""Who holds a file whose writer is gone."""
Word = tuple[int, int, bytes]
"""A writer's word on a chunk: id, version, and the bytes that it wrote."""


class Files(Trees):
    """Operations 3, 4, 5, 9, 10, 11, 20, 21, 22, 26, 37, 38 and 39."""

    # ---- the one writer

    def held(self, inode_id: int) -> list[Node]:
        """The chain to the file that the client writes."""
        chain = self.chain_of(inode_id)
        refuse_unless(chain and chain[-1].is_file, "LeaseExpired")
        refuse_unless(chain[-1].holder is not None, "LeaseExpired")
        refuse_unless(chain[-1].holder == self.client, "FileUnderConstruction")
        return chain

    def _check(self, file: Node, done: Word | None, abandon: int) -> bool:
        """Whether *done* finishes the open chunk; refuses what cannot be."""
        opened = file.open_chunk
        finished = {chunk.chunk_id: chunk for chunk in file.chunks}
        known = {*finished, *([opened[0]] if opened else [])}
        finishes = False
        if done is not None:
            refuse_unless(done[0] in known, "UnknownChunk")
            if done[0] in finished:
                refuse_unless(finished[done[0]] == Chunk(*done), "StaleChunkVersion")
            else:
                assert opened is not None
                refuse_unless(done[1] >= opened[1], "StaleChunkVersion")
                begun = len(file.chunks[-1].content) if file.replaces else 0
                refuse_unless(begun <= len(done[2]), "InvalidArgument")
                refuse_unless(0 < len(done[2]) <= file.chunk_bytes, "InvalidArgument")
                finishes = True
        if abandon:
            refuse_unless(abandon in known, "UnknownChunk")
            refuse_unless(abandon not in finished and not finishes, "InvalidArgument")
        refuse_unless(not opened or finishes or abandon, "InvalidArgument")
        return finishes

    def _settle(self, file: Node, done: Word | None, finishes: bool, abandon: int) -> None:
        if finishes:
            assert done is not None
            if file.replaces_inline:
                file.chunks.clear()
                file.replaces_inline = False
            if file.replaces:
                file.chunks.pop()
            file.chunks.append(Chunk(*done))
        if finishes or abandon:
            file.open_chunk = None
            file.replaces = False

    def close(self, file: Node) -> None:
        file.holder = file.open_chunk = None
        file.replaces_inline = file.reopened = file.replaces = False
        self.touch(file)

    def set_inline(self, file: Node, content: bytes) -> None:
        file.chunks = [Chunk(self.next_chunk, 0, content)] if content else []
        self.next_chunk += len(file.chunks)

    def allocate_chunk(
        self, user: User, inode_id: int, done: Word | None, abandon: int, targets: Sequence[str],
        continues: bool = False,
    ) -> tuple[Any, ...]:  # fmt: skip
        chain = self.held(inode_id)
        file = chain[-1]
        refuse_unless(1 <= len(set(targets)) == len(targets) <= 16, "InvalidArgument")
        finishes = self._check(file, done, abandon)
        written = len(done[2]) if done is not None and finishes else 0
        if finishes and file.replaces_inline:
            written -= len(file.content)
        if finishes and file.replaces:
            written -= len(file.chunks[-1].content)
        base = (0, 0, b"")
        if continues and done is None and file.chunks and not file.inline:
            last = file.chunks[-1]
            if len(last.content) < file.chunk_bytes:
                base = last.chunk_id, last.version, last.content
        more = file.chunk_bytes - len(base[2])
        self.require_quota(chain[:-1], 0, (written + more) * file.replication)
        self._settle(file, done, finishes, abandon)
        file.open_chunk = (self.next_chunk, 1)
        file.replaces = base[0] != 0
        self.next_chunk += 1
        return file.open_chunk[0], 1, tuple(targets), *base[:2], len(base[2]), checksum(base[2])

    def record_chunk(self, user: User, inode_id: int, done: Word) -> dict[str, Any]:
        file = self.held(inode_id)[-1]
        self._settle(file, done, self._check(file, done, 0), 0)
        self.touch(file)
        return self.view(file, self.path_of(inode_id))

    def resume_chunk(
        self, user: User, inode_id: int, chunk_id: int, targets: Sequence[str]
    ) -> tuple[Any, ...]:
        file = self.held(inode_id)[-1]
        refuse_unless(1 <= len(set(targets)) == len(targets) <= 16, "InvalidArgument")
        opened = file.open_chunk
        refuse_unless(opened is not None and opened[0] == chunk_id, "UnknownChunk")
        assert opened is not None
        file.open_chunk = (opened[0], opened[1] + 1)
        return *file.open_chunk, tuple(targets), 0, 0, 0, 0

    def complete(
        self, user: User, inode_id: int, done: Word | None, abandon: int
    ) -> dict[str, Any]:
        file = self.held(inode_id)[-1]
        self._settle(file, done, self._check(file, done, abandon), abandon)
        self.close(file)
        return self.view(file, self.path_of(inode_id))

    def complete_inline(self, user: User, inode_id: int, content: bytes) -> dict[str, Any]:
        chain = self.held(inode_id)
        file = chain[-1]
        refuse_unless(len(content) <= INLINE_BYTES_MAX, "InvalidArgument")
        self._check(file, None, 0)
        refuse_unless(not file.chunks or file.inline, "InvalidArgument")
        more = len(content) - len(file.content)
        self.require_quota(chain[:-1], 0, more * file.replication)
        self.set_inline(file, content)
        self.close(file)
        return self.view(file, self.path_of(inode_id))

    def abandon(self, user: User, inode_id: int) -> int:
        chain = self.held(inode_id)
        if chain[-1].reopened:
            self.close(chain[-1])
            return 0
        return self.drop(chain[-2], chain[-1])

    # ---- leases

    def renew_lease(self, user: User) -> None:
        """That the client is heard of is noted for every operation."""

    def _require_free(self, file: Node) -> None:
        if file.holder is not None:
            refuse_unless(file.holder != self.client, "FileUnderConstruction")
            silent = self.is_silent(file.holder, SOFT_LEASE_MS)
            refuse_unless(silent, "FileUnderConstruction")

    def recover_lease(self, user: User, path: str) -> dict[str, Any]:
        file = self.walk_file(path, user)[-1]
        self.require(file, user, WRITE)
        if not (user.is_super or user.name == file.owner or file.holder == self.client):
            self._require_free(file)
        self._close_or_recover(file)
        return self.view(file, path)

    def _recover(self, file: Node) -> None:
        if file.holder is not None:
            refuse_unless(not file.open_chunk, "FileUnderConstruction")
            self.close(file)

    def _close_or_recover(self, file: Node) -> None:
        if file.holder is None:
            return
        if not file.open_chunk:
            self.close(file)
        elif file.holder != RECOVERING:
            file.holder = RECOVERING
            file.open_chunk = (file.open_chunk[0], file.open_chunk[1] + 1)

    def expire_leases(self, user: User, inode_ids: Sequence[int], soft: bool = False) -> None:
        refuse_unless(user.is_super, "AccessDenied")
        limit_ms = SOFT_LEASE_MS if soft else HARD_LEASE_MS
        for inode_id in inode_ids:
            for file in self.chain_of(inode_id)[-1:]:
                if file.holder is not None and self.is_silent(file.holder, limit_ms):
                    self._close_or_recover(file)

    def finish_recovery(self, user: User, inode_id: int, found: Word | None) -> dict[str, Any]:
        refuse_unless(user.is_super, "AccessDenied")
        chain = self.chain_of(inode_id)
        refuse_unless(chain and chain[-1].is_file, "LeaseExpired")
        file = chain[-1]
        if file.holder is not None:
            refuse_unless(file.holder == RECOVERING, "LeaseExpired")
            abandon = file.open_chunk[0] if file.open_chunk and found is None else 0
            self._settle(file, found, self._check(file, found, abandon), abandon)
            self.close(file)
        return self.view(file, self.path_of(inode_id))

    # ---- content that is there

    def append(self, user: User, path: str) -> tuple[dict[str, Any], int]:
        file = self.walk_file(path, user)[-1]
        self.require(file, user, WRITE)
        self._require_free(file)
        self._recover(file)
        file.holder, file.replaces_inline = self.client, file.inline
        file.reopened = True
        return self.view(file, path), file.chunks[0].chunk_id if file.inline else 0

    def truncate(self, user: User, path: str, size: int, tail: Word | None) -> dict[str, Any]:
        file = self.walk_file(path, user)[-1]
        self.require(file, user, WRITE)
        held = file.holder == self.client
        if not held:
            self._require_free(file)
        refuse_unless(0 <= size <= len(file.content), "InvalidArgument")
        kept: list[Chunk] = []
        while file.chunks[len(kept) :] and size >= len(file.chunks[len(kept)].content):
            kept.append(file.chunks[len(kept)])
            size -= len(kept[-1].content)
        if size:
            apt = held and tail is not None and file.open_chunk and tail[0] == file.open_chunk[0]
            refuse_unless(not file.inline and apt and not file.replaces, "InvalidArgument")
            assert tail is not None
            refuse_unless(len(tail[2]) == size, "InvalidArgument")
        else:
            refuse_unless(tail is None, "InvalidArgument")
        finishes = held and self._check(file, tail, 0)
        if not held:
            self._recover(file)
        if len(kept) < len(file.chunks):
            file.chunks = kept
            self.touch(file)
        if held:
            self._settle(file, tail, finishes, 0)
            self.close(file)
        return self.view(file, path)

    def concat(self, user: User, target: str, sources: Sequence[str]) -> dict[str, Any]:
        chain = self.walk_file(target, user)
        file = chain[-1]
        self.require(file, user, WRITE)
        self._require_joinable(file)
        refuse_unless(1 <= len(sources) <= CONCAT_SOURCES_MAX, "InvalidArgument")
        joined: list[Node] = []
        for path in sources:
            *above, source = self.walk_file(path, user)
            refuse_unless(above[-1] is chain[-2], "InvalidArgument")
            self.require(source, user, READ)
            self.require_removable(above[-1], source, user)
            self._require_joinable(source)
            refuse_unless(source.chunk_bytes <= file.chunk_bytes, "InvalidArgument")
            joined.append(source)
        refuse_unless(len({id(each) for each in [file, *joined]}) > len(joined), "InvalidArgument")
        space = sum(len(s.content) * (file.replication - s.replication) for s in joined)
        self.require_quota(chain[:-1], 0, space)
        for source in joined:
            file.chunks += source.chunks
            source.chunks = []
            self.drop(chain[-2], source)
        self.touch(file)
        return self.view(file, target)

    def _require_joinable(self, file: Node) -> None:
        refuse_unless(not file.key, "NotSupported")
        refuse_unless(file.holder is None, "FileUnderConstruction")
        refuse_unless(not file.inline, "InvalidArgument")

    def locate(self, path: str, user: User) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
        return self.located(self.walk_file(path, user)[-1], path, user)

    def located(
        self, file: Node, path: str, user: User
    ) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
        self.require(file, user, READ)
        return self.view(file, path), [(c.chunk_id, c.version, len(c.content)) for c in file.chunks]
