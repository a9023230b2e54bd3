"""The tree of files and directories, and the few ways to change it that keep all parts consistent.

Operations check first and change afterwards, through the methods here only; each notes what it
touched, for the state table, the digest, the table of replicas and the snapshots of directories.
What it looks like to a caller - paths, permissions, errors - is in `looking`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from pydfsnode._fast import (
    CHUNKS_PER_PAGE,
    INODES_PER_BLOCK,
    Inode,
    InodeTable,
    crc32c,
    crc32c_combine,
)
from pydfsnode.errors import InvariantViolation
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta.administration import Administration
from pydfsnode.meta.allowance import Allowance
from pydfsnode.meta.audit_marks import AuditMarks
from pydfsnode.meta.caller import SUPERGROUP, SUPERUSER
from pydfsnode.meta.file_keys import FileKeys, seals_by_file
from pydfsnode.meta.history import History
from pydfsnode.meta.id_spans import IdSpans
from pydfsnode.meta.inline import InlineContents
from pydfsnode.meta.inodes import (
    HAS_EXTRAS,
    INLINE,
    IS_INLINE,
    IS_OPEN,
    RECOVERING,
    Chunk,
    Doomed,
    Extras,
    OpenFile,
)
from pydfsnode.meta.looking import Looking
from pydfsnode.meta.results import WantedChunk
from pydfsnode.meta.tables import AnyTable, Table
from pydfsnode.meta.touched import Touched
from pydfsnode.meta.trust import Trust

ROOT_MODE = 0o755
RECLAIMED_AT_ONCE_MAX = 256
"""Larger trees are detached at once and dropped bit by bit."""

TABLE_OPEN = 20
TABLE_EXTRAS = 21
TABLE_DOOMED = 22


class Tree(Looking):
    """See the module.

    `clock_ms` is the largest time stamp seen: it never goes back. `freed` and `wanted` collect
    until they are drained. `last_heard_ms(client_id)` is the log time of a client's last operation.
    """

    def __init__(self) -> None:
        self.table = InodeTable()
        self.table.add_root(ROOT_INODE_ID, ROOT_MODE, SUPERUSER, SUPERGROUP)
        self.spans = IdSpans((ROOT_INODE_ID,))
        self.open_files: Table[OpenFile] = Table(TABLE_OPEN, OpenFile)
        self.extras: Table[Extras] = Table(TABLE_EXTRAS, Extras)
        self.doomed: Table[Doomed] = Table(TABLE_DOOMED, Doomed)
        self.file_keys = FileKeys()
        self.inline = InlineContents()
        self.touched = Touched()
        self.history = History(self)
        self.administration = Administration()
        self.trust = Trust()
        self.audit_marks = AuditMarks()
        self.open_chunks: dict[int, int] = {}
        self.next_inode_id = ROOT_INODE_ID + 1
        self.next_chunk_id = 1
        self.clock_ms = 0
        self.quota_count = 0
        self._callers = {}
        self.freed: list[int] = []
        self.wanted: dict[int, WantedChunk] = {}
        self.last_heard_ms: Callable[[int], int | None] = _never_heard
        self.touched.inode(ROOT_INODE_ID)

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """Every table of rare rows."""
        decided = (*self.administration.tables, *self.trust.tables, *self.audit_marks.tables)
        rest = (*decided, *self.file_keys.tables)
        return (*self.tables_by_inode, *self.history.tables, *rest)

    @property
    def tables_by_inode(self) -> tuple[AnyTable, ...]:
        """Those of them whose keys are ids of inodes."""
        return (self.open_files, self.extras, self.doomed, self.file_keys.keys)

    # ---- entries

    def add_directory(self, parent: Inode, name: str, mode: int, owner: str) -> Inode:
        """Make the directory *name* in *parent*, which has no such entry; it inherits the group."""
        self.modified(parent)
        inode_id = self.next_inode_id
        self.next_inode_id = inode_id + 1
        made = self.table.add_directory(
            parent, name, inode_id, mode, owner, parent.group, self.clock_ms, self.history.sequence
        )
        self.spans.add(inode_id)
        self._added(parent, inode_id)
        return made

    def add_file(
        self, parent: Inode, name: str, mode: int, owner: str, replication: int, chunk_bytes: int
    ) -> Inode:
        """Make the empty closed file *name* in *parent*, which has no such entry."""
        self.modified(parent)
        inode_id = self.next_inode_id
        self.next_inode_id = inode_id + 1
        made = self.table.add_file(
            parent, name, inode_id, mode, owner, parent.group, self.clock_ms,
            self.history.sequence, replication, chunk_bytes,
        )  # fmt: skip
        self.spans.add(inode_id)
        self._added(parent, inode_id)
        return made

    def _added(self, parent: Inode, inode_id: int) -> None:
        parent.mtime_ms = parent.ctime_ms = self.clock_ms
        self.touched.inode(inode_id)

    def link(self, parent: Inode, inode: Inode, name: str) -> None:
        """Enter the detached *inode* as *name* into *parent*, which has no such entry."""
        self.modified(parent)
        self.table.link(parent, inode, name)
        inode.born = self.history.sequence
        self._added(parent, inode.inode_id)

    def unlink(self, inode: Inode) -> None:
        """Take *inode* out of its parent; with all that is in it, it stays, linked nowhere."""
        parent = self.table.parent(inode)
        assert parent is not None
        if self.history.sequence:
            self.history.leaving(parent, inode)
        self.modified(parent)
        self.table.unlink(inode)
        parent.mtime_ms = parent.ctime_ms = self.clock_ms
        self.touched.inode(inode.inode_id)

    def remove(self, top: Inode) -> int:
        """Delete *top* with all that is in it; returns how many inodes that are.

        A large tree leaves its place at once and becomes doomed: `reclaim` drops it.
        """
        count = 1 + top.files_below + top.directories_below if top.is_directory else 1
        self.unlink(top)
        if count > RECLAIMED_AT_ONCE_MAX or not self._reclaim_below(top, Allowance(count)):
            self.doom(top)
        return count

    def doom(self, top: Inode) -> None:
        """The detached *top* and what is in it are nobody's any more."""
        self.doomed.put(top.inode_id, Doomed(self.clock_ms))

    def reclaim(self, count: int) -> int:
        """Drop up to *count* inodes of doomed trees, what lies deepest first; returns how many.

        What deleted snapshots leave comes after them, as part of *count*. Files of many chunks are
        dropped a part at a time, of which only the last one counts.
        """
        allowance = Allowance(count)
        for inode_id in sorted(self.doomed.rows):
            top = self.table.get(inode_id)
            assert top is not None
            if self._reclaim_below(top, allowance):
                self.doomed.drop(inode_id)
            if allowance.is_used_up:
                break
        self.history.purge(allowance)
        return count - allowance.inodes

    def _reclaim_below(self, top: Inode, allowance: Allowance) -> bool:
        """Drop the detached tree *top*, itself last; whether *allowance* reached so far."""
        table, at = self.table, top
        while not allowance.is_used_up:
            below = table.first_child(at) if at.is_directory else None
            if below is not None:
                at = below
                continue
            if at.chunk_count > allowance.chunks:
                self.modified(at)
                self._release_chunks(at, allowance.chunks)
                allowance.chunks = 0
                break
            above = None if at == top else table.parent(at)
            if above is not None:
                if self.history.sequence:
                    self.history.leaving(above, at)
                    self.modified(above)
                table.unlink(at)
                self.touched.inode(at.inode_id)
            allowance.inodes -= 1
            allowance.chunks -= at.chunk_count
            self._discard(at)
            if above is None:
                return True
            at = above
        return False

    def _discard(self, inode: Inode) -> None:
        """Forget the detached *inode*, which has no entries, and free what it holds."""
        inode_id, flags = inode.inode_id, inode.flags
        if self.history.sequence:
            self.history.discarded(inode)
        if inode.is_file:
            if flags & IS_OPEN:
                self.drop_open_chunk(inode)
                self.open_files.drop(inode_id)
            self._release_chunks(inode, inode.chunk_count)
            self.forget_key(inode_id)
        if flags & HAS_EXTRAS:
            self.set_extras(inode, None)
        self.touched.inode(inode_id)
        self.table.discard(inode)
        self.spans.drop(inode_id)

    def forget_key(self, inode_id: int) -> None:
        """A file is gone, or what a snapshot saw of it: if both are, its key goes too."""
        if self.file_keys.keys.rows and not self.history.index.sees(inode_id):
            self.file_keys.drop(inode_id, self.clock_ms)

    # ---- attributes

    def modified(self, inode: Inode) -> None:
        """Call before an attribute or the content of *inode* changes: snapshots keep the old."""
        if self.history.sequence:
            self.history.changing(inode)
        inode_id = inode.inode_id
        touched = self.touched  # as `Touched.inode`, without the call: three times an operation
        touched.blocks[inode_id // INODES_PER_BLOCK] = touched.inodes[inode_id] = None

    def set_replication(self, file: Inode, replication: int) -> None:
        """From now on *file* wants *replication* replicas of each chunk."""
        self.modified(file)
        self.table.set_replication(file, replication)
        kept, wanted = self.history.replication_of, self.wanted
        for chunk_id, version, length, _ in self.table.chunks(file):
            if version != INLINE:
                most = max(replication, kept(chunk_id))
                wanted[chunk_id] = WantedChunk(chunk_id, version, length, most)

    def set_extras(self, inode: Inode, extras: Extras | None) -> None:
        """Replace what *inode* has beside its record; None: nothing any more.

        The flag HAS_ACL is the caller's to set.
        """
        before = self.extras.get(inode.inode_id)
        had = before is not None and (before.names_max or before.bytes_max)
        has = extras is not None and (extras.names_max or extras.bytes_max)
        self.quota_count += bool(has) - bool(had)
        if inode.is_directory:
            self.file_keys.keyed_directories += seals_by_file(extras) - seals_by_file(before)
        if extras is None or extras == Extras():
            self.extras.drop(inode.inode_id)
            inode.flags &= ~HAS_EXTRAS
        else:
            self.extras.put(inode.inode_id, extras)
            inode.flags |= HAS_EXTRAS
        self.touched.inode(inode.inode_id)

    # ---- content

    def open(
        self, file: Inode, holder: int, *, replaces_inline: bool = False, reopened: bool = False
    ) -> None:
        """*holder*, a client id, writes the closed *file* from now on."""
        file.flags |= IS_OPEN
        opened = OpenFile(holder, replaces_inline=replaces_inline, reopened=reopened)
        self.open_files.put(file.inode_id, opened)
        self.touched.inode(file.inode_id)

    def close(self, file: Inode) -> None:
        """Nobody writes *file* any more; its open chunk, if there is one, is dropped."""
        self.drop_open_chunk(file)
        self.open_files.drop(file.inode_id)
        self.modified(file)
        file.flags &= ~IS_OPEN
        file.mtime_ms = file.ctime_ms = self.clock_ms

    def holder(self, file: Inode) -> OpenFile | None:
        """Who writes *file*; None: nobody."""
        return self.open_files.get(file.inode_id) if file.flags & IS_OPEN else None

    def chunk(self, chunk_id: int) -> Chunk | None:
        """The chunk, finished or open; None when no file holds it."""
        table = self.table
        inode_id = self.open_chunks.get(chunk_id, 0)
        if inode_id:
            opened = self.open_files.rows[inode_id]
            return Chunk(chunk_id, inode_id, opened.version, 0, 0, False, opened.targets)
        inode_id = table.holder_of(chunk_id)
        file = table.get(inode_id) if inode_id else None
        if file is None:
            return None
        for found, version, length, crc in table.chunks(file):
            if found == chunk_id:
                return Chunk(chunk_id, inode_id, version, length, crc, True)
        raise InvariantViolation(f"file {inode_id} does not hold its chunk {chunk_id}")

    def inode_of_chunk(self, chunk_id: int) -> int:
        """The id of the file that holds the chunk, or held it for a snapshot; 0: there is none."""
        inode_id: int = self.open_chunks.get(chunk_id, 0) or self.table.holder_of(chunk_id)
        return inode_id or self.history.index.past_inode_of(chunk_id)

    def add_chunk(self, file: Inode, targets: tuple[str, ...], replaces: int = 0) -> Chunk:
        """Begin a chunk behind the others of the open *file*, which writes none now.

        *replaces*: id of its last chunk, in whose place this one comes; 0: none.
        """
        chunk_id, inode_id = self.next_chunk_id, file.inode_id
        self.next_chunk_id = chunk_id + 1
        opened = self._opened(file)
        self.open_chunks[chunk_id] = inode_id
        self.open_files.put(
            inode_id,
            replace(opened, chunk_id=chunk_id, version=1, targets=targets, replaces=replaces),
        )
        return Chunk(chunk_id, inode_id, 1, 0, 0, False, targets)

    def finish_chunk(self, file: Inode, version: int, length: int, crc32c: int) -> None:
        """The open chunk of *file* is complete."""
        inode_id, opened = file.inode_id, self._opened(file)
        if opened.replaces_inline or opened.replaces:
            self.pop_chunks(file, 1)
        self.append_chunk(file, opened.chunk_id, version, length, crc32c)
        del self.open_chunks[opened.chunk_id]
        self.open_files.put(
            inode_id,
            replace(opened, chunk_id=0, version=0, targets=(), replaces_inline=False, replaces=0),
        )
        self.wanted[opened.chunk_id] = WantedChunk(
            opened.chunk_id, version, length, file.replication, opened.targets
        )

    def drop_open_chunk(self, file: Inode) -> None:
        """Forget the open chunk of *file*, of which nothing counts; maybe there is none."""
        opened = self._opened(file)
        if opened.chunk_id:
            del self.open_chunks[opened.chunk_id]
            self.freed.append(opened.chunk_id)
            self.open_files.put(
                file.inode_id, replace(opened, chunk_id=0, version=0, targets=(), replaces=0)
            )

    def resume_chunk(self, file: Inode, targets: tuple[str, ...]) -> Chunk:
        """The open chunk of *file* goes on as its next version on *targets*."""
        opened = self._opened(file)
        version = opened.version + 1
        self.open_files.put(file.inode_id, replace(opened, version=version, targets=targets))
        return Chunk(opened.chunk_id, file.inode_id, version, 0, 0, False, targets)

    def begin_recovery(self, file: Inode) -> None:
        """Take *file* from its writer, whose open chunk is to be found and ended by the masters.

        The next version is theirs: who writes an older one is refused from then on (INV-FENCE).
        """
        opened = self._opened(file)
        if opened.holder != RECOVERING:
            self.open_files.put(
                file.inode_id, replace(opened, holder=RECOVERING, version=opened.version + 1)
            )

    def append_chunk(
        self, file: Inode, chunk_id: int, version: int, length: int, crc32c: int
    ) -> None:
        """Put a finished chunk behind the others."""
        self.modified(file)
        self.table.append_chunk(file, chunk_id, version, length, crc32c)
        file.crc32c = crc32c_combine(file.crc32c, crc32c, length)
        self._page_touched(file, file.chunk_count - 1)

    def pop_chunks(self, file: Inode, count: int) -> None:
        """Drop the last *count* finished chunks of *file*; what a snapshot needs of them stays."""
        self.modified(file)
        self._release_chunks(file, count)
        file.crc32c = self.table.joined_crc32c(file)

    def _release_chunks(self, file: Inode, count: int) -> None:
        popped = self._take_off_chunks(file, count)
        if file.flags & IS_INLINE:
            for chunk_id, version, length, _ in popped:
                file.flags &= ~IS_INLINE
                self.release_chunk(chunk_id, version, length)
            return
        chunk_ids = [chunk[0] for chunk in popped]
        if self.history.keeps_any(chunk_ids):
            self._release_kept(popped, file.replication)
            return
        self.freed += chunk_ids  # at once: there may be many
        if self.wanted:
            for chunk_id in chunk_ids:
                self.wanted.pop(chunk_id, None)

    def _release_kept(self, chunks: list[tuple[int, int, int, int]], replication: int) -> None:
        """A file that wanted *replication* replicas does not hold *chunks* any more."""
        for chunk_id, version, length, _ in chunks:
            if self.history.replication_of(chunk_id) < replication:
                self.release_chunk(chunk_id, version, length)

    def take_chunks(self, file: Inode, source: Inode) -> None:
        """Move all chunks of *source* behind those of *file*."""
        self.modified(source)
        self.modified(file)
        begin, table = file.chunk_count, self.table
        file.crc32c = crc32c_combine(file.crc32c, source.crc32c, source.size)
        source.crc32c = 0
        moved = self._take_off_chunks(source, source.chunk_count)[::-1]
        for chunk_id, version, length, crc in moved:
            table.append_chunk(file, chunk_id, version, length, crc)
        for page in range(begin // CHUNKS_PER_PAGE, file.chunk_count // CHUNKS_PER_PAGE):
            self.touched.page(file.inode_id, page)
        if source.replication != file.replication:
            for chunk_id, version, length, _ in moved:
                self.want_chunk(chunk_id, version, length)

    def _take_off_chunks(self, file: Inode, count: int) -> list[tuple[int, int, int, int]]:
        """The last *count* chunks of *file*, the last one first, which it has no more."""
        pages = file.chunk_count // CHUNKS_PER_PAGE
        popped = self.table.pop_chunks(file, count)
        for page in range(file.chunk_count // CHUNKS_PER_PAGE, pages):
            self.touched.page(file.inode_id, page)
        return popped

    def set_inline(self, file: Inode, content: bytes) -> None:
        """*content* becomes the whole content of *file*, which has no chunk but an inline one."""
        if file.flags & IS_INLINE:
            self.pop_chunks(file, 1)
        if content:
            content_id = self.next_chunk_id
            self.next_chunk_id = content_id + 1
            self.inline.put(content_id, content)
            self.append_chunk(file, content_id, INLINE, len(content), crc32c(content))
            file.flags |= IS_INLINE

    def _page_touched(self, file: Inode, position: int) -> None:
        if position % CHUNKS_PER_PAGE == CHUNKS_PER_PAGE - 1:
            self.touched.page(file.inode_id, position // CHUNKS_PER_PAGE)

    def release_chunk(self, chunk_id: int, version: int, length: int) -> None:
        """One that held this chunk, a file or a snapshot, holds it no more."""
        if not self.replication_of(chunk_id):
            self.free_chunk(chunk_id, version, length)
        elif version != INLINE:
            self.want_chunk(chunk_id, version, length)

    def want_chunk(self, chunk_id: int, version: int, length: int) -> None:
        """Tell how many replicas are wanted of a chunk that is held, as that may have changed."""
        replication = self.replication_of(chunk_id)
        self.wanted[chunk_id] = WantedChunk(chunk_id, version, length, replication)

    def replication_of(self, chunk_id: int) -> int:
        """The most replicas that the file or a snapshot wants of the chunk; 0: none holds it."""
        kept = self.history.replication_of(chunk_id)
        inode_id = self.table.holder_of(chunk_id)
        file = self.table.get(inode_id) if inode_id else None
        return kept if file is None else max(kept, file.replication)

    def free_chunk(self, chunk_id: int, version: int, length: int) -> None:
        """Nothing needs the bytes of this chunk any more."""
        if version == INLINE:
            self.inline.drop(chunk_id, length)
            return
        self.wanted.pop(chunk_id, None)
        self.freed.append(chunk_id)

    def _opened(self, file: Inode) -> OpenFile:
        opened = self.open_files.get(file.inode_id)
        if opened is None:
            raise InvariantViolation(f"file {file.inode_id} is not open")
        return opened


def _never_heard(_client_id: int) -> int | None:
    return None
