"""Directories, links and totals over the records of a `Store`; nothing here is recursive."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from pydfsnode._fast.inode_indexes cimport (
    CHUNK_WIDTH,
    ID_WIDTH,
    NAME_WIDTH,
    id_hash,
    insert_entry,
    name_hash,
    remove_entry,
    reserve_entry,
    slot_of_name,
)
from pydfsnode._fast.inode_order cimport drop_order, insert_in_order, remove_from_order
from pydfsnode._fast.inode_records cimport (
    KIND_DIRECTORY,
    KIND_FILE,
    Chunk,
    Directory,
    Record,
    Store,
    chunks_of,
    drop_chunks,
    give,
    give_name,
    give_slot,
    name_of,
    record_at,
    set_name,
    take,
    take_name,
    take_slot,
)

# What an inode adds to the totals of the directories above it; arithmetic modulo 2**64.
cdef struct Totals:
    uint64_t files
    uint64_t directories
    uint64_t bytes
    uint64_t space


cdef inline Totals totals_of(const Record* record) noexcept nogil:
    cdef Totals totals
    if record.kind == KIND_FILE:
        totals.files = 1
        totals.directories = 0
        totals.bytes = record.size
        totals.space = record.size * record.replication
    else:
        totals.files = record.content.directory.files
        totals.directories = record.content.directory.directories + 1
        totals.bytes = record.content.directory.bytes
        totals.space = record.content.directory.space
    return totals


cdef inline void add_totals(Directory* directory, const Totals* totals) noexcept nogil:
    directory.files += totals.files
    directory.directories += totals.directories
    directory.bytes += totals.bytes
    directory.space += totals.space


cdef inline uint32_t above(Store* store, uint32_t slot) noexcept nogil:
    """The slot of the parent; 0 at the root and at a detached inode."""
    return 0 if slot == store.root else record_at(store, slot).parent


cdef inline void add_above(Store* store, uint32_t slot, Totals totals) noexcept nogil:
    """Add to the directory at *slot* and to all above it."""
    while slot:
        add_totals(record_at(store, slot).content.directory, &totals)
        slot = above(store, slot)


cdef inline void subtract_above(Store* store, uint32_t slot, Totals totals) noexcept nogil:
    totals.files = 0 - totals.files
    totals.directories = 0 - totals.directories
    totals.bytes = 0 - totals.bytes
    totals.space = 0 - totals.space
    add_above(store, slot, totals)


cdef inline void resize_file(
    Store* store, Record* record, uint64_t size, uint8_t replication
) noexcept nogil:
    """Set both and carry the differences upwards; *record* is linked or detached."""
    cdef Totals totals
    totals.files = totals.directories = 0
    totals.bytes = size - record.size
    totals.space = size * replication - record.size * record.replication
    record.size = size
    record.replication = replication
    add_above(store, record.parent, totals)


cdef inline uint32_t top_of(Store* store, uint32_t slot) noexcept nogil:
    cdef uint32_t higher = above(store, slot)
    while higher:
        slot = higher
        higher = above(store, slot)
    return slot


cdef inline bint lies_within(Store* store, uint32_t slot, uint32_t top) noexcept nogil:
    while slot:
        if slot == top:
            return True
        slot = above(store, slot)
    return False


cdef inline Directory* new_directory(Store* store) except NULL:
    cdef Directory* directory = <Directory*>take(store, sizeof(Directory))
    memset(directory, 0, sizeof(Directory))
    return directory


cdef inline void free_record(Store* store, uint32_t slot) noexcept:
    """Give everything back that the record holds, and the record; it is in no index."""
    cdef Record* record = record_at(store, slot)
    if record.kind == KIND_DIRECTORY:
        drop_order(store, record.content.directory)
        give(store, record.content.directory, sizeof(Directory))
    else:
        drop_chunks(store, record)
    give_slot(store, slot)


cdef inline uint32_t new_record(Store* store, uint64_t inode_id, uint8_t kind) except 0:
    """A record in the index of ids, linked nowhere, without a name. The id is new."""
    cdef uint64_t hash_ = id_hash(store, inode_id)
    cdef uint32_t slot
    cdef Record* record
    cdef Directory* directory = NULL
    reserve_entry(store, &store.ids, ID_WIDTH, hash_)
    slot = take_slot(store)
    if kind == KIND_DIRECTORY:
        try:
            directory = new_directory(store)
        except MemoryError:
            give_slot(store, slot)
            raise
    record = record_at(store, slot)
    record.id = inode_id
    record.kind = kind
    if kind == KIND_DIRECTORY:
        record.content.directory = directory
        store.directory_count += 1
    else:
        store.file_count += 1
    insert_entry(&store.ids, ID_WIDTH, hash_, slot)
    return slot


cdef inline void discard_record(Store* store, uint32_t slot) noexcept:
    """Of a detached inode without children."""
    cdef Record* record = record_at(store, slot)
    cdef Chunk* chunks = chunks_of(record)
    cdef uint32_t at
    if record.kind == KIND_DIRECTORY:
        store.directory_count -= 1
    else:
        store.file_count -= 1
        store.chunk_count -= record.chunk_count
        for at in range(record.chunk_count):
            remove_entry(&store.chunks, CHUNK_WIDTH, id_hash(store, chunks[at].id), slot)
    remove_entry(&store.ids, ID_WIDTH, id_hash(store, record.id), slot)
    free_record(store, slot)


cdef inline int link_record(
    Store* store, uint32_t parent, uint32_t slot, const uint8_t* name, size_t size
) except -1:
    """Enter a detached inode into a directory; the name is free there."""
    cdef Record* record = record_at(store, slot)
    cdef uint64_t hash_ = name_hash(store, parent, name, size)
    cdef uint8_t* far
    reserve_entry(store, &store.names, NAME_WIDTH, hash_)
    far = take_name(store, size)
    try:
        insert_in_order(store, record_at(store, parent).content.directory, slot, name, size)
    except MemoryError:
        give_name(store, far, size)
        raise
    set_name(store, record, far, name, size)
    insert_entry(&store.names, NAME_WIDTH, hash_, slot)
    record.parent = parent
    add_above(store, parent, totals_of(record))
    return 0


cdef inline void unlink_record(Store* store, uint32_t slot) noexcept:
    cdef Record* record = record_at(store, slot)
    cdef uint32_t parent = record.parent
    cdef uint64_t hash_ = name_hash(store, parent, name_of(record), record.name_size)
    remove_from_order(store, record_at(store, parent).content.directory, record)
    remove_entry(&store.names, NAME_WIDTH, hash_, slot)
    subtract_above(store, parent, totals_of(record))
    record.parent = 0


cdef inline uint32_t child_of(
    Store* store, uint32_t parent, const uint8_t* name, size_t size
) noexcept nogil:
    return slot_of_name(store, parent, name, size, name_hash(store, parent, name, size))
