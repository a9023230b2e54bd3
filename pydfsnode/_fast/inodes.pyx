"""The inode table: records of 128 bytes, three indexes, and the order of names in directories.

The parts are inline in inode_records (memory), inode_indexes (where an inode lies), inode_order
(names in order),
inode_tree (links and totals), inode_rows (bytes) and inode_loading; the handle, what is asked of
all chunks of a file and what carries rows in and out are in inode_handle.pxi, inode_chunks.pxi and
inode_table_rows.pxi.

The row of an inode; numbers are varints (little-endian base 128, at most 64 bits) where no size is
given, and a text is its size in bytes and its UTF-8:
    kind u8 (1 file, 2 directory) | inode id | parent id (0: detached, its own: the root) |
    flags u8 | mode | owner text | group text | name text | mtime, atime, ctime: zigzag |
    born | changed
and of a file also
    replication u8 | chunk_bytes | size | crc32c u32 little-endian | chunk count |
    the last chunk count % 64 chunks
A chunk: id | version | length | crc32c u32 little-endian.
A block: format u8 (1), the inodes that it has by ascending id. A page: format u8 (1), 64 chunks.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove

from pydfsnode._fast.crc32c cimport join_freely
from pydfsnode._fast.inode_indexes cimport *
from pydfsnode._fast.inode_loading cimport *
from pydfsnode._fast.inode_order cimport *
from pydfsnode._fast.inode_records cimport *
from pydfsnode._fast.inode_rows cimport *
from pydfsnode._fast.inode_tree cimport *

cdef enum:
    PATH_BYTES_MAX = 4096
    MODE_MAX = 0o7777
    ALL_MAY_PASS = 0o111
    HAS_ACL = 1
    READY = 0
    LOADING = 1
    BROKEN = 2  # a load failed

CHUNKS_PER_PAGE = CHUNKS_PER_PAGE_
INODES_PER_BLOCK = INODES_PER_BLOCK_


cdef int check_mode(uint32_t mode) except -1:
    if mode > MODE_MAX:
        raise ValueError(f"mode {mode:o}, at most {MODE_MAX:o}")
    return 0


cdef int check_replication(uint8_t replication) except -1:
    if replication == 0:
        raise ValueError("replication 0, at least 1")
    return 0


cdef tuple chunk_tuple(const Chunk* chunk):
    return chunk.id, chunk.version, chunk.length, chunk.crc32c


include "inode_chunks.pxi"
include "inode_handle.pxi"
include "inode_looking.pxi"
include "inode_making.pxi"
include "inode_table_rows.pxi"


@cython.final
@cython.no_gc
cdef class InodeTable:
    """All inodes by id, by parent and name, and in order; which file holds a chunk.

    A new table is empty: begin with `add_root`, or load all rows and `finish_load`.

    Args:
        seed: of the hashes, 64 bits.
    """

    def __cinit__(self, *_, **__):
        self.store.memory_bytes = sizeof(Store)
        self.texts = []
        self.raw_texts = []
        self.text_numbers = {}
        self.pages = {}

    def __init__(self, uint64_t seed=0):
        if self.store.slots_used:
            raise TypeError("an InodeTable is initialised once")
        self.store.key_low = seed
        self.store.key_high = seed * <uint64_t>0x9E3779B97F4A7C15 + 1

    def __dealloc__(self):
        cdef Store* store = &self.store
        cdef uint64_t slot
        cdef uint32_t block
        for slot in range(1, store.slots_used):
            if record_at(store, <uint32_t>slot).id:
                free_record(store, <uint32_t>slot)
        for block in range(store.block_count):
            PyMem_Free(store.blocks[block])
        PyMem_Free(store.blocks)
        PyMem_Free(self.parents)
        drop_index(store, &store.names, NAME_WIDTH)
        drop_index(store, &store.ids, ID_WIDTH)
        drop_index(store, &store.chunks, CHUNK_WIDTH)

    def __len__(self):
        return self.store.file_count + self.store.directory_count

    @property
    def file_count(self):
        return self.store.file_count

    @property
    def directory_count(self):
        return self.store.directory_count

    @property
    def chunk_count(self):
        return self.store.chunk_count

    @property
    def memory_bytes(self):
        """What the table has taken for records, names, indexes, orders and chunks."""
        return self.store.memory_bytes

    cdef int check_ready(self) except -1:
        if self.phase != READY:
            raise RuntimeError("the inode table is not loaded, finish_load has not succeeded")
        return 0

    cdef uint32_t own(self, Inode inode) except 0:
        """The slot of the table's own, living inode."""
        if inode.table is not self:
            raise ValueError(f"inode {inode.id} is of another table")
        inode.record()
        return inode.slot

    cdef Record* own_file(self, Inode inode) except NULL:
        self.own(inode)
        return inode.file_record()

    cdef Inode handle(self, uint32_t slot):
        cdef Inode inode = Inode.__new__(Inode)
        inode.table = self
        inode.slot = slot
        inode.held = record_at(&self.store, slot)
        inode.id = inode.held.id
        return inode

    cdef uint32_t intern(self, str text) except? 0:
        cdef object number = self.text_numbers.get(text)
        if number is not None:
            return number
        self.raw_texts.append(text.encode())
        try:
            self.texts.append(text)
            self.text_numbers[text] = len(self.texts) - 1
        except MemoryError:
            del self.raw_texts[len(self.text_numbers):], self.texts[len(self.text_numbers):]
            raise
        return <uint32_t>len(self.texts) - 1

    # ---- looking

    def get(self, uint64_t inode_id):
        """Return the inode, or None."""
        self.check_ready()
        cdef uint32_t slot = slot_of_id(&self.store, inode_id)
        return self.handle(slot) if slot else None

    def child(self, Inode directory not None, str name not None):
        """Return the entry *name* of *directory*, or None, also when that is a file."""
        cdef uint32_t slot = self.own(directory)
        cdef Py_ssize_t size
        cdef const char* raw
        try:
            raw = PyUnicode_AsUTF8AndSize(name, &size)
        except UnicodeEncodeError:
            return None
        slot = child_of(&self.store, slot, <const uint8_t*>raw, size)
        return self.handle(slot) if slot else None

    def parent(self, Inode inode not None):
        """Return the directory that *inode* is linked in: of the root itself, None if detached."""
        self.own(inode)
        return self.handle(inode.held.parent) if inode.held.parent else None

    def find(self, str path not None, may_pass=None):
        """Return the deepest existing inode of *path* and how many names at its end are missing.

        A file with missing names is in the way. None: the path is not absolute, has an empty part,
        '.', '..', NUL, a lone surrogate, a name over 255 bytes or more than 4096 bytes of UTF-8.

        Args:
            may_pass: called for each directory in which a name is looked up, unless its mode has
                all of 0o111 and its flags lack 1 (HAS_ACL); what it raises is passed on.
        """
        return find_inode(self, path, may_pass)

    def path(self, Inode inode not None):
        """Return the path from the root, or from the detached top as if that were the root."""
        return path_of(self, self.own(inode))

    def is_attached(self, Inode inode not None):
        """Return whether the chain of parents ends at the root."""
        return top_of(&self.store, self.own(inode)) == self.store.root

    def is_within(self, Inode inode not None, Inode top not None):
        """Return whether *inode* is *top* or lies below it."""
        cdef uint32_t slot = self.own(inode)
        return lies_within(&self.store, slot, self.own(top))

    def page(self, Inode directory not None, str after not None, Py_ssize_t count):
        """Return up to *count* entries in order, from the first whose name is behind *after*."""
        return page_of(self, self.own(directory), after, count)

    def first_child(self, Inode directory not None):
        """Return the first entry in order, or None."""
        cdef Record* record = record_at(&self.store, self.own(directory))
        if record.kind == KIND_FILE or record.content.directory.child_count == 0:
            return None
        return self.handle(runs_of(record.content.directory)[0].slots[0])

    def inode_ids(self):
        """Return all ids, ascending; O(n log n)."""
        self.check_ready()
        return ids_of(&self.store)

    def chunk_ids(self):
        """Return the ids of all chunks, ascending; O(n log n)."""
        self.check_ready()
        return chunk_ids_of(&self.store)

    # ---- the tree

    def add_root(self, uint64_t inode_id, uint32_t mode, str owner not None, str group not None):
        """Make the root of an empty tree, with times of 0.

        Raises:
            ValueError: there is a root, or the id or the mode cannot be.
        """
        cdef uint32_t slot
        self.check_ready()
        if self.store.root:
            raise ValueError("the inode table has a root")
        slot = new_inode(self, inode_id, KIND_DIRECTORY, mode, owner, group)
        record_at(&self.store, slot).parent = self.store.root = slot
        return self.handle(slot)

    def add_directory(
        self, Inode parent not None, str name not None, uint64_t inode_id, uint32_t mode,
        str owner not None, str group not None, int64_t now_ms, uint32_t born,
    ):
        """Make a directory in *parent* with all times *now_ms*.

        Raises:
            KeyError: the name is taken.
            ValueError: the name, id or mode cannot be, or *parent* is a file.
        """
        return self.handle(add_inode(
            self, self.own(parent), name, inode_id, KIND_DIRECTORY, mode, owner, group, now_ms, born
        ))

    def add_file(
        self, Inode parent not None, str name not None, uint64_t inode_id, uint32_t mode,
        str owner not None, str group not None, int64_t now_ms, uint32_t born,
        uint8_t replication, uint32_t chunk_bytes,
    ):
        """Make an empty file in *parent* with all times *now_ms*.

        Raises:
            KeyError: the name is taken.
            ValueError: the name, id, mode or replication cannot be, or *parent* is a file.
        """
        check_replication(replication)
        cdef uint32_t slot = add_inode(
            self, self.own(parent), name, inode_id, KIND_FILE, mode, owner, group, now_ms, born
        )
        cdef Record* record = record_at(&self.store, slot)
        record.replication = replication
        record.chunk_bytes = chunk_bytes
        return self.handle(slot)

    def unlink(self, Inode inode not None):
        """Take *inode* with all below it out of its directory; it keeps its name.

        Raises:
            ValueError: it is the root or detached.
        """
        cdef uint32_t slot = self.own(inode)
        if above(&self.store, slot) == 0:
            raise ValueError(f"inode {inode.id} is the root or detached")
        unlink_record(&self.store, slot)

    def link(self, Inode parent not None, Inode inode not None, str name not None):
        """Enter a detached inode into *parent* as *name*.

        Raises:
            KeyError: the name is taken.
            ValueError: the name cannot be, *inode* is linked, *parent* is a file or lies within it.
        """
        cdef uint32_t slot = self.own(inode)
        cdef uint32_t above_slot = self.own(parent)
        if inode.held.parent:
            raise ValueError(f"inode {inode.id} is not detached")
        if lies_within(&self.store, above_slot, slot):
            raise ValueError(f"inode {inode.id} cannot be linked below itself")
        link_free(self, above_slot, slot, name)

    def discard(self, Inode inode not None):
        """Forget a detached inode without children, and its chunks.

        Raises:
            ValueError: it is linked or has children.
        """
        cdef uint32_t slot = self.own(inode)
        if inode.held.parent or (
            inode.held.kind == KIND_DIRECTORY and inode.held.content.directory.child_count
        ):
            raise ValueError(f"inode {inode.id} is linked or has children")
        discard_record(&self.store, slot)

    # ---- content of files

    def append_chunk(
        self, Inode file not None, uint64_t chunk_id, uint64_t version, uint32_t length,
        uint32_t crc32c,
    ):
        """Put a chunk of *length* bytes at the end; the file's crc32c stays as it is.

        Raises:
            KeyError: the chunk is known already.
            ValueError: the id is 0, or *file* is a directory.
        """
        cdef Store* store = &self.store
        cdef Record* record = self.own_file(file)
        cdef uint64_t hash_ = id_hash(store, chunk_id)
        cdef Chunk* chunk
        if chunk_id == 0:
            raise ValueError("a chunk cannot have the id 0")
        if slot_of_chunk(store, chunk_id):
            raise KeyError(chunk_id)
        reserve_entry(store, &store.chunks, CHUNK_WIDTH, hash_)
        reserve_chunks(store, record, <uint64_t>record.chunk_count + 1)
        chunk = chunks_of(record) + record.chunk_count
        chunk.id = chunk_id
        chunk.version = version
        chunk.length = length
        chunk.crc32c = crc32c
        record.chunk_count += 1
        store.chunk_count += 1
        insert_entry(&store.chunks, CHUNK_WIDTH, hash_, file.slot)
        resize_file(store, record, record.size + length, record.replication)

    def pop_chunk(self, Inode file not None):
        """Take the last chunk off and return its (id, version, length, crc32c).

        Raises:
            IndexError: there is none.
            ValueError: *file* is a directory.
        """
        return pop_chunks_of(self, self.own_file(file), file.slot, 1)[0]

    def pop_chunks(self, Inode file not None, uint32_t count):
        """Take the last *count* chunks off and return them, the last one first.

        Raises as `pop_chunk`: IndexError when there are fewer.
        """
        return pop_chunks_of(self, self.own_file(file), file.slot, count)

    def chunks_beyond(self, Inode file not None, uint64_t size):
        """Return how many chunks have bytes behind the first *size* ones of *file*, and where the
        first of them begins: the file's size when there is none.

        Raises ValueError of a directory.
        """
        return chunks_beyond_of(self.own_file(file), size)

    def joined_crc32c(self, Inode file not None):
        """Return the crc32c of the chunks together. Raises ValueError of a directory."""
        return joined_crc32c_of(self.own_file(file))

    def chunk(self, Inode file not None, Py_ssize_t position):
        """Return (id, version, length, crc32c). Raises IndexError; ValueError of a directory."""
        cdef Record* record = self.own_file(file)
        if position < 0 or position >= record.chunk_count:
            raise IndexError(f"inode {file.id} has no chunk {position}")
        return chunk_tuple(chunks_of(record) + position)

    def chunks(self, Inode file not None):
        """Return (id, version, length, crc32c) of each. Raises ValueError of a directory."""
        cdef Record* record = self.own_file(file)
        cdef list found = []
        while <uint32_t>len(found) < record.chunk_count:
            found.append(chunk_tuple(chunks_of(record) + <uint32_t>len(found)))
        return found

    def flagged(self, uint8_t flags):
        """Return the ids of the inodes that have one of *flags*, ascending. O(inodes)."""
        self.check_ready()
        return flagged_ids(&self.store, flags)

    def holder_of(self, uint64_t chunk_id):
        """Return the id of the inode that holds the chunk; 0: none does."""
        self.check_ready()
        cdef uint32_t slot = slot_of_chunk(&self.store, chunk_id)
        return record_at(&self.store, slot).id if slot else 0

    def set_replication(self, Inode file not None, uint8_t replication):
        """Set how many replicas are wanted. Raises ValueError for 0 or of a directory."""
        cdef Record* record = self.own_file(file)
        check_replication(replication)
        resize_file(&self.store, record, record.size, replication)

    # ---- rows

    def encode(self, uint64_t inode_id):
        """Return the bytes of one inode as in its row; b"": there is none."""
        self.check_ready()
        cdef uint32_t slot = slot_of_id(&self.store, inode_id)
        return encode_inodes(self, &slot, 1, False) if slot else b""

    def encode_block(self, uint64_t block):
        """Return the row of the inodes with *block* = id // 8; None: there is none."""
        cdef uint32_t slots[INODES_PER_BLOCK_]
        cdef uint32_t count = 0, slot, at
        cdef uint64_t first = block * INODES_PER_BLOCK_
        self.check_ready()
        if block >> 61:
            return None
        for at in range(<uint32_t>INODES_PER_BLOCK_):
            slot = slot_of_id(&self.store, first + at)
            if slot:
                slots[count] = slot
                count += 1
        return encode_inodes(self, slots, count, True) if count else None

    def encode_page(self, uint64_t inode_id, uint64_t page):
        """Return the row of a full page of 64 chunks; None: the file has no such page."""
        self.check_ready()
        cdef uint32_t slot = slot_of_id(&self.store, inode_id)
        cdef Record* record = record_at(&self.store, slot) if slot else NULL
        if record == NULL or page >= record.chunk_count // CHUNKS_PER_PAGE_:
            return None
        return encode_chunks(chunks_of(record) + page * CHUNKS_PER_PAGE_)

    def encode_span(self, uint64_t first, uint32_t count, uint32_t pages, uint64_t turn):
        """Return the bytes of the inodes with first <= id < first + count, as in their rows.

        Each file's last chunks are followed by up to *pages* of its full pages, the next ones with
        each *turn*.
        """
        self.check_ready()
        return encode_inode_span(self, first, count, pages, turn)

    def load_block(self, uint64_t block, bytes row not None):
        """Take the inodes of one row into a table that has none but loaded ones.

        Raises:
            ValueError: the row cannot be; the table is of no use any more.
            RuntimeError: the table was in use, or a load failed before.
        """
        begin_load(self)
        load_inodes(self, block, row)
        self.phase = LOADING

    def load_page(self, uint64_t inode_id, uint64_t page, bytes row not None):
        """Take a page of 64 chunks, before or after its inode. Raises as `load_block`."""
        cdef Chunk chunks[CHUNKS_PER_PAGE_]
        begin_load(self)
        decode_page(row, chunks)
        if (inode_id, page) in self.pages:
            raise ValueError(f"inode {inode_id}: page {page} comes twice")
        self.pages[inode_id, page] = row
        self.phase = LOADING

    def finish_load(self, uint64_t root_id, uint64_t next_inode_id, uint64_t next_chunk_id):
        """Link everything and return the ids of detached inodes, ascending.

        Raises:
            ValueError: "inode N ...": the root is missing or is none, a parent is missing or a
                file, a name or chunk is there twice, a page is missing or too many, an id is not
                below its next one, a size is not that of the chunks, or parents form a cycle.
            RuntimeError: as `load_block`.
        """
        begin_load(self)
        finish(self, root_id, next_inode_id, next_chunk_id)
        self.phase = READY
        return sorted([
            record_at(&self.store, <uint32_t>slot).id
            for slot in range(1, self.store.slots_used)
            if record_at(&self.store, <uint32_t>slot).parent == 0
        ])
