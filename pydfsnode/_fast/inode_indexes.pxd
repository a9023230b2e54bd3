"""Where an inode lies, by id, by parent and name, and by chunk: open addressing in 1024 segments.

A segment is an array of entries, at most 4/5 full, that lie in the order of their tags as far as
there is room (linear probing). Removal moves entries back, so that no marks of the dead pile up.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pydfsnode._fast.inode_records cimport (
    SEGMENTS,
    Index,
    Record,
    Segment,
    Store,
    give,
    name_of,
    record_at,
    take,
)

cdef enum:
    NAME_WIDTH = 2
    ID_WIDTH = 2
    CHUNK_WIDTH = 3
    SEGMENT_CAPACITY_MIN = 5

# ---- hashes


cdef inline uint64_t rotated(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline void sip_round(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rotated(v[1], 13) ^ v[0]
    v[3] = rotated(v[3], 16) ^ v[2]
    v[0] = rotated(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rotated(v[1], 17) ^ v[2]
    v[3] = rotated(v[3], 21) ^ v[0]
    v[2] = rotated(v[2], 32)


cdef inline uint64_t name_hash(
    const Store* store, uint32_t parent, const uint8_t* name, size_t size
) noexcept nogil:
    """SipHash-1-3 of the parent's slot and the name: names come from users."""
    cdef uint64_t v[4]
    cdef uint64_t word = parent
    cdef size_t left = size
    v[0] = store.key_low ^ <uint64_t>0x736F6D6570736575
    v[1] = store.key_high ^ <uint64_t>0x646F72616E646F6D
    v[2] = store.key_low ^ <uint64_t>0x6C7967656E657261
    v[3] = store.key_high ^ <uint64_t>0x7465646279746573
    v[3] ^= word
    sip_round(v)
    v[0] ^= word
    while left >= 8:
        memcpy(&word, name, 8)
        v[3] ^= word
        sip_round(v)
        v[0] ^= word
        name += 8
        left -= 8
    word = 0
    memcpy(&word, name, left)
    word |= <uint64_t>(size + 8) << 56
    v[3] ^= word
    sip_round(v)
    v[0] ^= word
    v[2] ^= 0xFF
    sip_round(v)
    sip_round(v)
    sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef inline uint64_t id_hash(const Store* store, uint64_t number) noexcept nogil:
    """A permutation of 64 bits (the finish of MurmurHash3): equal hashes are equal ids."""
    number ^= store.key_low
    number = (number ^ (number >> 33)) * <uint64_t>0xFF51AFD7ED558CCD
    number = (number ^ (number >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53
    return number ^ (number >> 33)


# ---- segments


cdef inline Segment* segment_of(Index* index, uint64_t hash_) noexcept nogil:
    return &index.segments[hash_ >> 54]


cdef inline uint32_t home(uint32_t tag, uint32_t capacity) noexcept nogil:
    """Where an entry would lie in an empty segment; ascending with the tag."""
    return <uint32_t>((<uint64_t>tag * capacity) >> 32)


cdef inline uint32_t following(uint32_t at, uint32_t capacity) noexcept nogil:
    at += 1
    return 0 if at == capacity else at


cdef inline void put_entry(
    Segment* segment, uint32_t width, uint64_t hash_, uint32_t slot
) noexcept nogil:
    """Into a segment that has room; the caller knows that it is not there."""
    cdef uint32_t at = home(<uint32_t>hash_, segment.capacity)
    cdef uint32_t* words
    while segment.words[at * width + width - 1]:
        at = following(at, segment.capacity)
    words = segment.words + at * width
    words[0] = <uint32_t>hash_
    if width == 3:
        words[1] = <uint32_t>(hash_ >> 32)
    words[width - 1] = slot
    segment.count += 1


cdef inline int enlarge(
    Store* store, Segment* segment, uint32_t width, uint32_t capacity
) except -1:
    cdef Segment larger
    cdef uint32_t at
    cdef uint32_t* words
    larger.capacity = capacity
    larger.count = 0
    larger.words = <uint32_t*>take(store, <size_t>capacity * width * 4)
    memset(larger.words, 0, <size_t>capacity * width * 4)
    for at in range(segment.capacity):
        words = segment.words + at * width
        if words[width - 1]:
            put_entry(
                &larger, width, words[0] | <uint64_t>words[1] << 32, words[width - 1]
            )
    if segment.words != NULL:
        give(store, segment.words, <size_t>segment.capacity * width * 4)
    segment[0] = larger
    return 0


cdef inline int reserve_entry(
    Store* store, Index* index, uint32_t width, uint64_t hash_
) except -1:
    """Room for one more in the segment of *hash_*."""
    cdef Segment* segment = segment_of(index, hash_)
    if (<uint64_t>segment.count + 1) * 5 <= <uint64_t>segment.capacity * 4:
        return 0
    return enlarge(
        store,
        segment,
        width,
        max(<uint32_t>SEGMENT_CAPACITY_MIN, segment.capacity + (segment.capacity >> 2) + 1),
    )


cdef inline int reserve_many(Store* store, Index* index, uint32_t width, uint64_t count) except -1:
    """Room for about *count* in an empty index; a segment may still grow."""
    cdef uint64_t capacity = count // <uint64_t>SEGMENTS
    cdef int at
    capacity += (capacity >> 1) - (capacity >> 3) + SEGMENT_CAPACITY_MIN  # 73 % full
    for at in range(SEGMENTS):
        enlarge(store, &index.segments[at], width, <uint32_t>capacity)
    return 0


cdef inline void insert_entry(
    Index* index, uint32_t width, uint64_t hash_, uint32_t slot
) noexcept nogil:
    """After `reserve_entry`."""
    put_entry(segment_of(index, hash_), width, hash_, slot)


cdef inline void remove_entry(
    Index* index, uint32_t width, uint64_t hash_, uint32_t slot
) noexcept nogil:
    """Remove the entry, which is there."""
    cdef Segment* segment = segment_of(index, hash_)
    cdef uint32_t* words = segment.words
    cdef uint32_t capacity = segment.capacity
    cdef uint32_t hole = home(<uint32_t>hash_, capacity)
    cdef uint32_t at, wanted
    while not (
        words[hole * width] == <uint32_t>hash_
        and words[hole * width + width - 1] == slot
        and (width == 2 or words[hole * width + 1] == <uint32_t>(hash_ >> 32))
    ):
        hole = following(hole, capacity)
    at = following(hole, capacity)
    while words[at * width + width - 1]:
        wanted = home(words[at * width], capacity)
        # It may move back into the hole unless its home lies behind it.
        if distance(wanted, at, capacity) >= distance(hole, at, capacity):
            memcpy(words + hole * width, words + at * width, width * 4)
            hole = at
        at = following(at, capacity)
    memset(words + hole * width, 0, width * 4)
    segment.count -= 1


cdef inline uint32_t distance(uint32_t start, uint32_t stop, uint32_t capacity) noexcept nogil:
    return stop - start if stop >= start else stop + capacity - start


cdef inline void drop_index(Store* store, Index* index, uint32_t width) noexcept:
    cdef int at
    for at in range(SEGMENTS):
        if index.segments[at].words != NULL:
            give(
                store,
                index.segments[at].words,
                <size_t>index.segments[at].capacity * width * 4,
            )


# ---- looking up: a slot, or 0


cdef inline uint32_t slot_of_name(
    Store* store, uint32_t parent, const uint8_t* name, size_t size, uint64_t hash_
) noexcept nogil:
    cdef Segment* segment = segment_of(&store.names, hash_)
    cdef uint32_t at, slot
    cdef Record* record
    if segment.capacity == 0:
        return 0
    at = home(<uint32_t>hash_, segment.capacity)
    while True:
        slot = segment.words[at * NAME_WIDTH + 1]
        if slot == 0:
            return 0
        if segment.words[at * NAME_WIDTH] == <uint32_t>hash_:
            record = record_at(store, slot)
            if (
                record.parent == parent
                and record.name_size == size
                and memcmp(name_of(record), name, size) == 0
            ):
                return slot
        at = following(at, segment.capacity)


cdef inline uint32_t slot_of_id(Store* store, uint64_t inode_id) noexcept nogil:
    cdef uint64_t hash_ = id_hash(store, inode_id)
    cdef Segment* segment = segment_of(&store.ids, hash_)
    cdef uint32_t at, slot
    if segment.capacity == 0:
        return 0
    at = home(<uint32_t>hash_, segment.capacity)
    while True:
        slot = segment.words[at * ID_WIDTH + 1]
        if slot == 0:
            return 0
        if (
            segment.words[at * ID_WIDTH] == <uint32_t>hash_
            and record_at(store, slot).id == inode_id
        ):
            return slot
        at = following(at, segment.capacity)


cdef inline uint32_t slot_of_chunk(Store* store, uint64_t chunk_id) noexcept nogil:
    cdef uint64_t hash_ = id_hash(store, chunk_id)
    cdef Segment* segment = segment_of(&store.chunks, hash_)
    cdef uint32_t* words
    cdef uint32_t at
    if segment.capacity == 0:
        return 0
    at = home(<uint32_t>hash_, segment.capacity)
    while True:
        words = segment.words + at * CHUNK_WIDTH
        if words[2] == 0:
            return 0
        if words[0] == <uint32_t>hash_ and words[1] == <uint32_t>(hash_ >> 32):
            return words[2]
        at = following(at, segment.capacity)
