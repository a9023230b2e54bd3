"""Records of inodes in blocks of memory that never move, and what else the table allocates.

What can fail for want of memory raises MemoryError and changes nothing.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    KIND_FILE = 1
    KIND_DIRECTORY = 2
    NEAR_NAME_BYTES = 24  # longer names have memory of their own
    NAME_BYTES_MAX = 255
    BLOCK_SHIFT = 12
    BLOCK_RECORDS = 1 << BLOCK_SHIFT
    SEGMENTS = 1024  # of an index: each grows by itself, so no insert waits for a large one
    CHUNKS_PER_PAGE_ = 64
    INODES_PER_BLOCK_ = 8

# A chunk of a file.
cdef struct Chunk:
    uint64_t id
    uint64_t version
    uint32_t length
    uint32_t crc32c

# Chunks of a file that has more than one, once had, or is being loaded.
cdef struct ChunkArray:
    Chunk* items
    uint32_t capacity  # 0: the record holds the one chunk itself

# Slots of a directory's entries in the order of their names; see inode_order.
cdef struct Run:
    uint16_t count
    uint16_t capacity
    uint32_t slots[1]

cdef union Runs:
    Run* one  # while `run_capacity` is 0
    Run** many

# What only directories have.
cdef struct Directory:
    uint64_t files  # totals of everything below, at any depth
    uint64_t directories
    uint64_t bytes
    uint64_t space
    uint32_t child_count
    uint32_t run_count
    uint32_t run_capacity
    uint32_t pending  # while loading: subdirectories whose totals have not come yet
    Runs runs

cdef union Name:
    uint8_t near[NEAR_NAME_BYTES]
    uint8_t* far

cdef union Content:
    Chunk chunk
    ChunkArray chunks
    Directory* directory

# 128 bytes. `parent` is a slot: its own at the root, 0 when detached, the next free one when free.
cdef struct Record:
    uint64_t id  # 0: a free record
    int64_t mtime_ms
    int64_t atime_ms
    int64_t ctime_ms
    uint64_t size
    Content content
    Name name
    uint32_t parent
    uint32_t owner
    uint32_t group
    uint32_t chunk_bytes
    uint32_t crc32c
    uint32_t chunk_count
    uint32_t born
    uint32_t changed
    uint16_t mode
    uint8_t replication
    uint8_t flags
    uint8_t kind
    uint8_t name_size
    uint8_t has_array  # whether `content` is `chunks`

cdef struct Segment:
    uint32_t* words
    uint32_t capacity
    uint32_t count

# See inode_indexes. An entry is `width` words; the last is a slot, the first says where it lies.
cdef struct Index:
    Segment segments[SEGMENTS]

cdef struct Store:
    Record** blocks
    uint32_t block_count
    uint32_t block_capacity
    uint32_t free_slot
    uint64_t slots_used  # 1 + the highest slot ever given out
    uint32_t root  # a slot, 0: there is none
    uint64_t file_count
    uint64_t directory_count
    uint64_t chunk_count
    uint64_t memory_bytes
    uint64_t key_low  # of the hashes
    uint64_t key_high
    Index names  # tag, slot
    Index ids  # tag, slot
    Index chunks  # the hashed id's low and high half, slot


cdef inline void* take(Store* store, size_t size) except NULL:
    cdef void* taken = PyMem_Malloc(size)
    if taken == NULL:
        raise MemoryError(f"no memory for {size} bytes of inodes")
    store.memory_bytes += size
    return taken


cdef inline void* resize(Store* store, void* held, size_t old_size, size_t new_size) except NULL:
    cdef void* taken = PyMem_Realloc(held, new_size)
    if taken == NULL:
        raise MemoryError(f"no memory for {new_size} bytes of inodes")
    store.memory_bytes += new_size
    store.memory_bytes -= old_size
    return taken


cdef inline void give(Store* store, void* held, size_t size) noexcept:
    PyMem_Free(held)
    store.memory_bytes -= size


cdef inline Record* record_at(Store* store, uint32_t slot) noexcept nogil:
    return store.blocks[slot >> BLOCK_SHIFT] + (slot & (BLOCK_RECORDS - 1))


cdef inline int add_block(Store* store) except -1:
    cdef uint32_t capacity
    if store.block_count == store.block_capacity:
        capacity = 2 * store.block_capacity + 4
        store.blocks = <Record**>resize(
            store,
            store.blocks,
            store.block_capacity * sizeof(Record*),
            capacity * sizeof(Record*),
        )
        store.block_capacity = capacity
    if store.block_count == 1 << (32 - BLOCK_SHIFT):
        raise MemoryError("the table is full: 4,294,967,295 inodes")
    store.blocks[store.block_count] = <Record*>take(store, BLOCK_RECORDS * sizeof(Record))
    store.block_count += 1
    return 0


cdef inline uint32_t take_slot(Store* store) except 0:
    """A record of zeros; give it back with `give_slot`."""
    cdef uint32_t slot = store.free_slot
    if slot:
        store.free_slot = record_at(store, slot).parent
    else:
        if store.slots_used >> BLOCK_SHIFT == store.block_count:
            add_block(store)
            if store.slots_used == 0:  # slot 0 stands for none
                memset(store.blocks[0], 0, sizeof(Record))
                store.slots_used = 1
        slot = <uint32_t>store.slots_used
        store.slots_used += 1
    memset(record_at(store, slot), 0, sizeof(Record))
    return slot


cdef inline void give_slot(Store* store, uint32_t slot) noexcept:
    """Free the record; what it points to was freed before, but for its name."""
    cdef Record* record = record_at(store, slot)
    drop_name(store, record)
    record.id = 0
    record.kind = 0
    record.parent = store.free_slot
    store.free_slot = slot


cdef inline const uint8_t* name_of(const Record* record) noexcept nogil:
    if record.name_size > NEAR_NAME_BYTES:
        return record.name.far
    return &record.name.near[0]


cdef inline void drop_name(Store* store, Record* record) noexcept:
    if record.name_size > NEAR_NAME_BYTES:
        give(store, record.name.far, record.name_size)
    record.name_size = 0


cdef inline uint8_t* take_name(Store* store, size_t size) except? NULL:
    """Memory for a name of *size* bytes; NULL when the record itself has room for it."""
    return <uint8_t*>take(store, size) if size > NEAR_NAME_BYTES else NULL


cdef inline void give_name(Store* store, uint8_t* far, size_t size) noexcept:
    if far != NULL:
        give(store, far, size)


cdef inline void set_name(
    Store* store, Record* record, uint8_t* far, const uint8_t* name, size_t size
) noexcept:
    """Copy the name, to *far* of `take_name`; *name* may not be the record's own."""
    drop_name(store, record)
    if far != NULL:
        memcpy(far, name, size)
        record.name.far = far
    elif size:
        memcpy(record.name.near, name, size)
    record.name_size = <uint8_t>size


cdef inline int compare_names(
    const uint8_t* left, size_t left_size, const uint8_t* right, size_t right_size
) noexcept nogil:
    cdef int order = memcmp(left, right, min(left_size, right_size))
    if order != 0:
        return order
    return <int>(left_size > right_size) - <int>(left_size < right_size)


cdef inline bint is_plain_name(const uint8_t* name, size_t size) noexcept nogil:
    """Whether an inode may bear it, valid UTF-8 taken for granted."""
    cdef size_t at
    if size == 0 or size > NAME_BYTES_MAX:
        return False
    if name[0] == c"." and (size == 1 or (size == 2 and name[1] == c".")):
        return False
    for at in range(size):
        if name[at] == c"/" or name[at] == 0:
            return False
    return True


# ---- chunks of a file


cdef inline Chunk* chunks_of(Record* record) noexcept nogil:
    return record.content.chunks.items if record.has_array else &record.content.chunk


cdef inline int reserve_chunks(Store* store, Record* record, uint64_t count) except -1:
    """Room for *count* chunks: 1 is in the record, more grow by half."""
    cdef uint64_t capacity = record.content.chunks.capacity if record.has_array else 1
    cdef Chunk* items
    if count <= capacity:
        return 0
    if count > 0xFFFFFFFF:
        raise MemoryError(f"inode {record.id} cannot hold more chunks")
    if record.has_array:
        count = min(max(count, capacity + (capacity >> 1)), <uint64_t>0xFFFFFFFF)
        items = <Chunk*>resize(
            store,
            record.content.chunks.items,
            capacity * sizeof(Chunk),
            count * sizeof(Chunk),
        )
    else:
        items = <Chunk*>take(store, count * sizeof(Chunk))
        items[0] = record.content.chunk
        record.has_array = True
    record.content.chunks.items = items
    record.content.chunks.capacity = <uint32_t>count
    return 0


cdef inline void drop_chunks(Store* store, Record* record) noexcept:
    if record.has_array:
        give(
            store,
            record.content.chunks.items,
            record.content.chunks.capacity * sizeof(Chunk),
        )
        record.has_array = False
    record.chunk_count = 0
