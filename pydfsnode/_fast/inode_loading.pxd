"""The end of a load: all records are there, nothing is linked yet but ids.

Entries are collected for each directory and sorted once; totals go from the leaves upwards. What
fails leaves a table that can only be thrown away.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pydfsnode._fast.inode_indexes cimport (
    CHUNK_WIDTH,
    NAME_WIDTH,
    id_hash,
    insert_entry,
    name_hash,
    reserve_entry,
    reserve_many,
    slot_of_chunk,
    slot_of_id,
)
from pydfsnode._fast.inode_order cimport (
    RUN_CAPACITY_MAX,
    RUN_CAPACITY_MIN,
    RUN_CAPACITY_SHIFT,
    new_run,
    reserve_runs,
    runs_of,
)
from pydfsnode._fast.inode_records cimport (
    KIND_DIRECTORY,
    KIND_FILE,
    Chunk,
    Directory,
    Record,
    Run,
    Store,
    chunks_of,
    compare_names,
    give,
    name_of,
    record_at,
    take,
)
from pydfsnode._fast.inode_tree cimport Totals, above, add_totals, totals_of

# An entry to be sorted: *key* is what follows the prefix that all names of the directory share.
cdef struct Keyed:
    uint64_t key
    uint32_t slot


cdef inline int link_parents(Store* store, const uint64_t* parents) except -1:
    """Set `parent`; count the children of each directory and those that are directories."""
    cdef uint64_t slot, known_id = 0
    cdef uint32_t parent = 0
    cdef Record* record
    cdef Directory* directory
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if slot == store.root:
            record.parent = store.root
            continue
        if parents[slot] == 0:
            continue
        if parents[slot] != known_id:
            known_id = parents[slot]
            parent = slot_of_id(store, known_id)
            if parent == 0:
                raise ValueError(f"inode {record.id}: its parent {known_id} is missing")
            if record_at(store, parent).kind != KIND_DIRECTORY:
                raise ValueError(f"inode {record.id}: its parent {known_id} is a file")
        record.parent = parent
        directory = record_at(store, parent).content.directory
        directory.child_count += 1
        if record.kind == KIND_DIRECTORY:
            directory.pending += 1
    return 0


cdef inline bint is_entry(Store* store, uint64_t slot) noexcept nogil:
    return slot != store.root and record_at(store, <uint32_t>slot).parent != 0


cdef inline int index_names(Store* store) except -1:
    cdef uint64_t slot, hash_
    cdef Record* record
    reserve_many(store, &store.names, NAME_WIDTH, store.slots_used)
    for slot in range(1, store.slots_used):
        if is_entry(store, slot):
            record = record_at(store, <uint32_t>slot)
            hash_ = name_hash(store, record.parent, name_of(record), record.name_size)
            reserve_entry(store, &store.names, NAME_WIDTH, hash_)
            insert_entry(&store.names, NAME_WIDTH, hash_, <uint32_t>slot)
    return 0


cdef inline int index_chunks(Store* store, uint64_t next_chunk_id) except -1:
    cdef uint64_t slot, hash_, size
    cdef uint32_t at
    cdef Record* record
    cdef Chunk* chunks
    for slot in range(1, store.slots_used):
        store.chunk_count += record_at(store, <uint32_t>slot).chunk_count
    reserve_many(store, &store.chunks, CHUNK_WIDTH, store.chunk_count)
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if record.kind != KIND_FILE:
            continue
        chunks = chunks_of(record)
        size = 0
        for at in range(record.chunk_count):
            size += chunks[at].length
            if chunks[at].id >= next_chunk_id:
                raise ValueError(f"inode {record.id}: chunk {chunks[at].id} is not given out yet")
            if slot_of_chunk(store, chunks[at].id):
                raise ValueError(f"inode {record.id}: chunk {chunks[at].id} is held twice")
            hash_ = id_hash(store, chunks[at].id)
            reserve_entry(store, &store.chunks, CHUNK_WIDTH, hash_)
            insert_entry(&store.chunks, CHUNK_WIDTH, hash_, <uint32_t>slot)
        if size != record.size:
            raise ValueError(f"inode {record.id}: its size {record.size}, of its chunks {size}")
    return 0


# ---- the order of names


cdef inline size_t shared_prefix(Store* store, const Keyed* entries, size_t count) noexcept nogil:
    """How many bytes all the names have in common at their begin."""
    cdef Record* record = record_at(store, entries[0].slot)
    cdef const uint8_t* first = name_of(record)
    cdef const uint8_t* name
    cdef size_t shared = record.name_size, entry, at
    for entry in range(1, count):
        record = record_at(store, entries[entry].slot)
        name = name_of(record)
        shared = min(shared, <size_t>record.name_size)
        at = 0
        while at < shared and name[at] == first[at]:
            at += 1
        shared = at
    return shared


cdef inline uint64_t key_of(const Record* record, size_t skip) noexcept nogil:
    """Eight bytes of the name as a number of the same order; names hold no NUL."""
    cdef const uint8_t* name = name_of(record)
    cdef uint64_t key = 0
    cdef size_t at
    for at in range(skip, skip + 8):
        key = key << 8 | (name[at] if at < record.name_size else 0)
    return key


cdef inline int compare_keyed(
    Store* store, const Keyed* left, const Keyed* right
) noexcept nogil:
    cdef Record* first
    cdef Record* second
    if left.key != right.key:
        return -1 if left.key < right.key else 1
    first = record_at(store, left.slot)
    second = record_at(store, right.slot)
    return compare_names(
        name_of(first), first.name_size, name_of(second), second.name_size
    )


cdef inline void merge(
    Store* store, const Keyed* source, Keyed* target, size_t start, size_t middle, size_t stop
) noexcept nogil:
    cdef size_t left = start, right = middle, at
    for at in range(start, stop):
        if right == stop or (
            left < middle and compare_keyed(store, source + left, source + right) <= 0
        ):
            target[at] = source[left]
            left += 1
        else:
            target[at] = source[right]
            right += 1


cdef inline Keyed* sort(
    Store* store, Keyed* entries, Keyed* room, size_t count
) noexcept nogil:
    """Sort by name with as much room again; returns which of the two has the result."""
    cdef size_t width = 1, start, middle, stop
    cdef Keyed* swapped
    while width < count:
        start = 0
        while start < count:
            middle = min(start + width, count)
            stop = min(middle + width, count)
            merge(store, entries, room, start, middle, stop)
            start = stop
        swapped = entries
        entries = room
        room = swapped
        width *= 2
    return entries


cdef inline Keyed* in_order(Store* store, Keyed* entries, size_t count) except NULL:
    """Sort *count* entries, behind which there is as much room, and see that no name is twice."""
    cdef size_t shared = shared_prefix(store, entries, count), at
    cdef bint ascending = True
    cdef int order
    for at in range(count):
        entries[at].key = key_of(record_at(store, entries[at].slot), shared)
        if ascending and at and compare_keyed(store, entries + at - 1, entries + at) > 0:
            ascending = False
    if not ascending:
        entries = sort(store, entries, entries + count, count)
    for at in range(1, count):
        order = compare_keyed(store, entries + at - 1, entries + at)
        if order == 0:
            raise ValueError(
                f"inode {record_at(store, entries[at].slot).id}: its name is that of "
                f"inode {record_at(store, entries[at - 1].slot).id} in the same directory"
            )
    return entries


cdef inline int fill_runs(
    Store* store, Directory* directory, const Keyed* entries, uint32_t count
) except -1:
    cdef uint32_t size, capacity, at
    cdef Run* run
    reserve_runs(store, directory, (count + RUN_CAPACITY_MAX - 1) >> RUN_CAPACITY_SHIFT)
    while count:
        size = min(count, <uint32_t>RUN_CAPACITY_MAX)
        capacity = RUN_CAPACITY_MIN
        while capacity < size:
            capacity *= 2
        run = new_run(store, capacity)
        for at in range(size):
            run.slots[at] = entries[at].slot
        run.count = <uint16_t>size
        runs_of(directory)[directory.run_count] = run
        directory.run_count += 1
        entries += size
        count -= size
    return 0


cdef inline int order_names(Store* store, uint64_t* positions) except -1:
    """Order the entries of every directory; *positions* is room for a number a slot."""
    cdef uint64_t slot, total = 0, largest = 0, entry
    cdef uint32_t count
    cdef size_t children_bytes, keyed_bytes
    cdef uint32_t* children
    cdef Keyed* keyed = NULL
    cdef Record* record
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if record.kind == KIND_DIRECTORY:
            positions[slot] = total
            count = record.content.directory.child_count
            total += count
            largest = max(largest, <uint64_t>count)
    children_bytes = (total + 1) * sizeof(uint32_t)
    keyed_bytes = (2 * largest + 1) * sizeof(Keyed)
    children = <uint32_t*>take(store, children_bytes)
    try:
        keyed = <Keyed*>take(store, keyed_bytes)
        for slot in range(1, store.slots_used):
            if is_entry(store, slot):
                record = record_at(store, <uint32_t>slot)
                children[positions[record.parent]] = <uint32_t>slot
                positions[record.parent] += 1
        for slot in range(1, store.slots_used):
            record = record_at(store, <uint32_t>slot)
            if record.kind != KIND_DIRECTORY or record.content.directory.child_count == 0:
                continue
            count = record.content.directory.child_count
            for entry in range(count):
                keyed[entry].slot = children[positions[slot] - count + entry]
            fill_runs(store, record.content.directory, in_order(store, keyed, count), count)
    finally:
        give(store, children, children_bytes)
        if keyed != NULL:
            give(store, keyed, keyed_bytes)
    return 0


# ---- totals


cdef inline int sum_totals(Store* store) except -1:
    """Carry totals upwards, each directory after those below it. Raises on a cycle of parents."""
    cdef size_t stack_bytes = (store.directory_count + 1) * sizeof(uint32_t)
    cdef uint32_t* stack = <uint32_t*>take(store, stack_bytes)
    cdef uint64_t slot, waiting = 0, done = 0
    cdef uint32_t parent
    cdef Record* record
    cdef Directory* directory
    cdef Totals totals
    for slot in range(1, store.slots_used):
        record = record_at(store, <uint32_t>slot)
        if record.kind == KIND_FILE:
            if record.parent:
                totals = totals_of(record)
                add_totals(record_at(store, record.parent).content.directory, &totals)
        elif record.content.directory.pending == 0:
            stack[waiting] = <uint32_t>slot
            waiting += 1
    while waiting:
        waiting -= 1
        slot = stack[waiting]
        done += 1
        parent = above(store, <uint32_t>slot)
        if parent:
            directory = record_at(store, parent).content.directory
            totals = totals_of(record_at(store, <uint32_t>slot))
            add_totals(directory, &totals)
            directory.pending -= 1
            if directory.pending == 0:
                stack[waiting] = parent
                waiting += 1
    give(store, stack, stack_bytes)
    if done == store.directory_count:
        return 0
    slot = 1
    while record_at(store, <uint32_t>slot).kind != KIND_DIRECTORY or (
        record_at(store, <uint32_t>slot).content.directory.pending == 0
    ):
        slot += 1
    raise ValueError(f"inode {record_at(store, <uint32_t>slot).id}: its parents form a cycle")
