"""Records of chunks and the hash tables they lie in: open addressing, linear probing.

A record is 32 bytes; holders are slots of two bytes, the first SLOTS_INLINE of them in the record.
A place without a busy record is free.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

cdef enum:
    SLOTS_INLINE = 4
    # In a slot: the server's number; beside it the table's own two bits.
    NUMBER = 0x3FFF


cdef union Slots:
    uint16_t few[SLOTS_INLINE]
    uint16_t* many  # malloc'ed, while there are more


cdef struct Record:
    uint64_t chunk_id
    uint64_t version  # with `length` what most replicas are: as wanted, else as the first reported
    Slots slots  # who holds a replica, in the order of their reports
    uint32_t length
    uint16_t slot_count
    uint8_t replication  # 0: not wanted
    uint8_t level  # one more than the level, 0: none


cdef struct Segment:
    Record* records
    uint32_t capacity  # a power of two, or 0
    uint32_t used


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    """The finaliser of splitmix64: ids in sequence are spread over everything."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline bint is_busy(const Record* record) noexcept nogil:
    return record.slot_count != 0 or record.replication != 0 or record.level != 0


cdef inline uint16_t* slots_of(Record* record) noexcept nogil:
    if record.slot_count <= SLOTS_INLINE:
        return record.slots.few
    return record.slots.many


cdef inline Py_ssize_t slot_at(Record* record, Py_ssize_t server) noexcept nogil:
    """Where *server* stands in the record, -1 when it holds nothing."""
    cdef uint16_t* slots = slots_of(record)
    cdef Py_ssize_t at
    for at in range(record.slot_count):
        if slots[at] & NUMBER == server:
            return at
    return -1


cdef inline int append_slot(Record* record, uint16_t slot) except -1:
    """Arrays of more than SLOTS_INLINE have room for the next power of two."""
    cdef Py_ssize_t count = record.slot_count
    cdef uint16_t* many
    if count < SLOTS_INLINE:
        record.slots.few[count] = slot
    elif count == SLOTS_INLINE:
        many = <uint16_t*>PyMem_Malloc(2 * SLOTS_INLINE * sizeof(uint16_t))
        if many == NULL:
            raise MemoryError("no memory for the holders of a chunk")
        memcpy(many, record.slots.few, SLOTS_INLINE * sizeof(uint16_t))
        many[count] = slot
        record.slots.many = many
    else:
        if count & (count - 1) == 0:
            many = <uint16_t*>PyMem_Realloc(record.slots.many, 2 * count * sizeof(uint16_t))
            if many == NULL:
                raise MemoryError("no memory for the holders of a chunk")
            record.slots.many = many
        record.slots.many[count] = slot
    record.slot_count = <uint16_t>(count + 1)
    return 0


cdef inline void remove_slot(Record* record, Py_ssize_t at) noexcept:
    cdef uint16_t* slots = slots_of(record)
    cdef Py_ssize_t count = record.slot_count - 1
    memmove(slots + at, slots + at + 1, (count - at) * sizeof(uint16_t))
    if count == SLOTS_INLINE:
        memcpy(record.slots.few, slots, SLOTS_INLINE * sizeof(uint16_t))
        PyMem_Free(slots)
    record.slot_count = <uint16_t>count


cdef inline Record* first_free(Record* records, uint32_t capacity, uint64_t mix) noexcept nogil:
    cdef uint64_t at = mix & (capacity - 1)
    while is_busy(&records[at]):
        at = (at + 1) & (capacity - 1)
    return &records[at]


cdef inline bint resize(Segment* segment, uint32_t capacity) noexcept:
    """Whether there was memory for it; without, nothing has changed."""
    cdef Record* records = <Record*>PyMem_Calloc(capacity, sizeof(Record))
    cdef uint32_t at
    if records == NULL:
        return False
    for at in range(segment.capacity):
        if is_busy(&segment.records[at]):
            first_free(records, capacity, mixed(segment.records[at].chunk_id))[0] = (
                segment.records[at]
            )
    PyMem_Free(segment.records)
    segment.records = records
    segment.capacity = capacity
    return True


cdef inline void close_gap(Segment* segment, uint64_t gap) noexcept nogil:
    """Move up every record that a search would not find any more behind the empty *gap*."""
    cdef uint64_t mask = segment.capacity - 1
    cdef uint64_t at = gap
    cdef uint64_t home
    while True:
        at = (at + 1) & mask
        if not is_busy(&segment.records[at]):
            break
        home = mixed(segment.records[at].chunk_id) & mask
        if ((at - home) & mask) >= ((at - gap) & mask):
            segment.records[gap] = segment.records[at]
            gap = at
    memset(&segment.records[gap], 0, sizeof(Record))
