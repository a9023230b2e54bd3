"""The entries of a directory in the order of their names: runs of at most 512 slots.

A full run is split in halves, but names that come in ascending order fill it and begin the next.
A run that shrinks to a quarter joins its neighbour where both fit half a run; empty runs go.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memmove

from pydfsnode._fast.inode_records cimport (
    Directory,
    Record,
    Run,
    Store,
    compare_names,
    give,
    name_of,
    record_at,
    resize,
    take,
)

cdef enum:
    RUN_CAPACITY_MIN = 4
    RUN_CAPACITY_SHIFT = 9
    RUN_CAPACITY_MAX = 1 << RUN_CAPACITY_SHIFT
    RUN_JOIN_AT = RUN_CAPACITY_MAX >> 2
    RUN_JOINED_MAX = RUN_CAPACITY_MAX >> 1

# A place between two entries.
cdef struct Place:
    uint32_t run
    uint32_t at


cdef inline Run** runs_of(Directory* directory) noexcept nogil:
    return directory.runs.many if directory.run_capacity else &directory.runs.one


cdef inline size_t run_bytes(uint32_t capacity) noexcept nogil:
    return 4 + <size_t>capacity * 4


cdef inline Run* new_run(Store* store, uint32_t capacity) except NULL:
    cdef Run* run = <Run*>take(store, run_bytes(capacity))
    run.count = 0
    run.capacity = <uint16_t>capacity
    return run


cdef inline Run* larger_run(Store* store, Run* run) except NULL:
    cdef uint32_t capacity = <uint32_t>run.capacity * 2
    run = <Run*>resize(store, run, run_bytes(run.capacity), run_bytes(capacity))
    run.capacity = <uint16_t>capacity
    return run


cdef inline int compare_entry(
    Store* store, uint32_t slot, const uint8_t* name, size_t size
) noexcept nogil:
    cdef Record* record = record_at(store, slot)
    return compare_names(name_of(record), record.name_size, name, size)


cdef inline Place place_of(
    Store* store, Directory* directory, const uint8_t* name, size_t size
) noexcept nogil:
    """Behind all entries whose names are less; `at` may be the length of the last run."""
    cdef Run** runs = runs_of(directory)
    cdef Run* run
    cdef Place place
    cdef uint32_t low = 0, high = directory.run_count, middle
    place.run = place.at = 0
    if high == 0:
        return place
    run = runs[high - 1]
    if compare_entry(store, run.slots[run.count - 1], name, size) < 0:  # in ascending order
        place.run = high - 1
        place.at = run.count
        return place
    while low < high:  # the first run whose last name is not less
        middle = low + ((high - low) >> 1)
        run = runs[middle]
        if compare_entry(store, run.slots[run.count - 1], name, size) < 0:
            low = middle + 1
        else:
            high = middle
    place.run = low
    run = runs[low]
    low = 0
    high = run.count
    while low < high:
        middle = low + ((high - low) >> 1)
        if compare_entry(store, run.slots[middle], name, size) < 0:
            low = middle + 1
        else:
            high = middle
    place.at = low
    return place


cdef inline int reserve_runs(Store* store, Directory* directory, uint32_t count) except -1:
    """Room for *count* pointers to runs."""
    cdef uint32_t capacity
    cdef Run** many
    if count <= max(directory.run_capacity, <uint32_t>1):
        return 0
    capacity = max(count, directory.run_capacity + (directory.run_capacity >> 1) + 4)
    if directory.run_capacity:
        many = <Run**>resize(
            store,
            directory.runs.many,
            directory.run_capacity * sizeof(Run*),
            capacity * sizeof(Run*),
        )
    else:
        many = <Run**>take(store, capacity * sizeof(Run*))
        many[0] = directory.runs.one
    directory.runs.many = many
    directory.run_capacity = capacity
    return 0


cdef inline int add_run(
    Store* store, Directory* directory, uint32_t at, uint32_t capacity
) except -1:
    """An empty run before the one at *at*."""
    cdef Run* run
    cdef Run** runs
    reserve_runs(store, directory, directory.run_count + 1)
    run = new_run(store, capacity)
    runs = runs_of(directory)
    memmove(runs + at + 1, runs + at, (directory.run_count - at) * sizeof(Run*))
    runs[at] = run
    directory.run_count += 1
    return 0


cdef inline void remove_run(Store* store, Directory* directory, uint32_t at) noexcept:
    cdef Run** runs = runs_of(directory)
    give(store, runs[at], run_bytes(runs[at].capacity))
    directory.run_count -= 1
    memmove(runs + at, runs + at + 1, (directory.run_count - at) * sizeof(Run*))
    if directory.run_count == 0 and directory.run_capacity:
        give(store, directory.runs.many, directory.run_capacity * sizeof(Run*))
        directory.run_capacity = 0


cdef inline int make_room(Store* store, Directory* directory, Place* place) except -1:
    """See that the run at *place* takes one more; *place* may move."""
    cdef Run** runs
    cdef Run* run
    cdef uint32_t half = RUN_CAPACITY_MAX >> 1
    if directory.run_count == 0:
        return add_run(store, directory, 0, RUN_CAPACITY_MIN)
    runs = runs_of(directory)
    run = runs[place.run]
    if run.count < run.capacity:
        return 0
    if run.capacity < RUN_CAPACITY_MAX:
        runs[place.run] = larger_run(store, run)
        return 0
    if place.at == RUN_CAPACITY_MAX:  # only at the very end
        add_run(store, directory, place.run + 1, RUN_CAPACITY_MIN * 4)
        place.run += 1
        place.at = 0
        return 0
    add_run(store, directory, place.run + 1, RUN_CAPACITY_MAX)
    runs = runs_of(directory)
    run = runs[place.run]
    memcpy(runs[place.run + 1].slots, run.slots + half, half * 4)
    runs[place.run + 1].count = run.count = <uint16_t>half
    if place.at > half:
        place.run += 1
        place.at -= half
    return 0


cdef inline int insert_in_order(
    Store* store, Directory* directory, uint32_t slot, const uint8_t* name, size_t size
) except -1:
    cdef Place place = place_of(store, directory, name, size)
    cdef Run* run
    make_room(store, directory, &place)
    run = runs_of(directory)[place.run]
    memmove(run.slots + place.at + 1, run.slots + place.at, (run.count - place.at) * 4)
    run.slots[place.at] = slot
    run.count += 1
    directory.child_count += 1
    return 0


cdef inline void join_runs(Store* store, Directory* directory, uint32_t at) noexcept:
    """Put the run behind *at* into the one at *at* if both are small."""
    cdef Run* left
    cdef Run* right
    if at + 1 >= directory.run_count:
        return
    left = runs_of(directory)[at]
    right = runs_of(directory)[at + 1]
    if left.count + right.count > min(<int>left.capacity, <int>RUN_JOINED_MAX):
        return
    memcpy(left.slots + left.count, right.slots, right.count * 4)
    left.count += right.count
    remove_run(store, directory, at + 1)


cdef inline void remove_from_order(Store* store, Directory* directory, Record* record) noexcept:
    cdef Place place = place_of(store, directory, name_of(record), record.name_size)
    cdef Run* run = runs_of(directory)[place.run]
    run.count -= 1
    memmove(run.slots + place.at, run.slots + place.at + 1, (run.count - place.at) * 4)
    directory.child_count -= 1
    if run.count == 0:
        remove_run(store, directory, place.run)
    elif run.count <= RUN_JOIN_AT and directory.run_count > 1:
        join_runs(store, directory, place.run)
        if place.run > 0:
            join_runs(store, directory, place.run - 1)


cdef inline bint step_over(Directory* directory, Place* place) noexcept nogil:
    """From the end of a run to the begin of the next; whether an entry is there."""
    if place.run >= directory.run_count:
        return False
    if place.at < runs_of(directory)[place.run].count:
        return True
    place.run += 1
    place.at = 0
    return place.run < directory.run_count


cdef inline void drop_order(Store* store, Directory* directory) noexcept:
    while directory.run_count:
        remove_run(store, directory, directory.run_count - 1)
