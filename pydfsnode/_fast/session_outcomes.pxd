"""The outcomes of one session by seq: open addressing, where the place of a seq is its low bits.

Seqs of a client follow each other, so that nearly always each lies at its own place and the table
is a ring. Others lie at the next free place (`displaced`), as in any table with linear probing.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    CAPACITY_MIN = 4


cdef struct Kept:
    uint64_t index
    uint64_t at_ms
    uint64_t floor
    PyObject* outcome  # owned
    bint is_new  # never drained


cdef struct Outcomes:
    uint64_t* seqs  # 0: free
    Kept* kept  # behind `seqs` in the same allocation
    uint32_t capacity  # a power of two, or 0
    uint32_t count
    uint32_t displaced  # of them lie elsewhere than at their own place


cdef inline uint32_t free_place(const uint64_t* seqs, uint32_t mask, uint64_t seq) noexcept nogil:
    cdef uint32_t at = <uint32_t>seq & mask
    while seqs[at]:
        at = (at + 1) & mask
    return at


cdef inline Py_ssize_t place_of(const Outcomes* outcomes, uint64_t seq) noexcept nogil:
    """Where *seq*, which is not 0, lies; -1: nowhere."""
    cdef uint32_t mask = outcomes.capacity - 1
    cdef uint32_t at = <uint32_t>seq & mask
    if outcomes.count == 0:
        return -1
    if outcomes.seqs[at] == seq:
        return at
    if outcomes.displaced == 0:
        return -1
    while outcomes.seqs[at]:
        if outcomes.seqs[at] == seq:
            return at
        at = (at + 1) & mask
    return -1


cdef inline bint resize(Outcomes* outcomes, uint32_t capacity) noexcept:
    """False: no memory, and nothing changed."""
    cdef uint64_t* seqs = <uint64_t*>PyMem_Calloc(capacity, sizeof(uint64_t) + sizeof(Kept))
    cdef Kept* kept = <Kept*>(seqs + capacity)
    cdef uint32_t before, at, displaced = 0
    if seqs == NULL:
        return False
    for before in range(outcomes.capacity):
        if outcomes.seqs[before]:
            at = free_place(seqs, capacity - 1, outcomes.seqs[before])
            displaced += at != <uint32_t>outcomes.seqs[before] & (capacity - 1)
            seqs[at] = outcomes.seqs[before]
            kept[at] = outcomes.kept[before]
    PyMem_Free(outcomes.seqs)
    outcomes.seqs = seqs
    outcomes.kept = kept
    outcomes.capacity = capacity
    outcomes.displaced = displaced
    return True


cdef inline bint make_room(Outcomes* outcomes) noexcept:
    """Room for one more; False: no memory."""
    if 4 * <uint64_t>(outcomes.count + 1) <= 3 * <uint64_t>outcomes.capacity:
        return True
    return resize(outcomes, max(<uint32_t>CAPACITY_MIN, 2 * outcomes.capacity))


cdef inline Kept* insert(Outcomes* outcomes, uint64_t seq) noexcept nogil:
    """The place of *seq*, which is new, after `make_room`."""
    cdef uint32_t mask = outcomes.capacity - 1
    cdef uint32_t at = free_place(outcomes.seqs, mask, seq)
    outcomes.displaced += at != <uint32_t>seq & mask
    outcomes.seqs[at] = seq
    outcomes.count += 1
    return &outcomes.kept[at]


cdef inline void close_gap(Outcomes* outcomes, uint32_t gap) noexcept nogil:
    """Free the place *gap*: those behind that were pushed over it move up."""
    cdef uint32_t mask = outcomes.capacity - 1
    cdef uint32_t at = gap, own
    outcomes.displaced -= gap != <uint32_t>outcomes.seqs[gap] & mask
    while outcomes.displaced:
        at = (at + 1) & mask
        if outcomes.seqs[at] == 0:
            break
        own = <uint32_t>outcomes.seqs[at] & mask
        if ((at - own) & mask) >= ((at - gap) & mask):
            outcomes.seqs[gap] = outcomes.seqs[at]
            outcomes.kept[gap] = outcomes.kept[at]
            outcomes.displaced -= gap == own
            gap = at
    outcomes.seqs[gap] = 0


cdef inline void remove(Outcomes* outcomes, Py_ssize_t place) noexcept:
    """The outcome at *place* goes, the reference to it is the caller's. Others may have moved."""
    close_gap(outcomes, <uint32_t>place)
    outcomes.count -= 1
    if outcomes.capacity > CAPACITY_MIN and 8 * <uint64_t>outcomes.count < outcomes.capacity:
        resize(outcomes, outcomes.capacity // 2)


cdef inline uint64_t lowest(const Outcomes* outcomes, uint64_t floor) noexcept nogil:
    """The lowest seq, 0: there is none. None is below *floor*, and most likely it is soon above."""
    cdef uint64_t seq, found = 0
    cdef uint32_t at
    for seq in range(max(floor, <uint64_t>1), floor + outcomes.count + 1):
        if place_of(outcomes, seq) >= 0:
            return seq
    for at in range(outcomes.capacity):
        if outcomes.seqs[at] and (found == 0 or outcomes.seqs[at] < found):
            found = outcomes.seqs[at]
    return found


cdef inline uint64_t highest(const Outcomes* outcomes) noexcept nogil:
    """The highest seq, 0: there is none."""
    cdef uint64_t found = 0
    cdef uint32_t at
    for at in range(outcomes.capacity):
        found = max(found, outcomes.seqs[at])
    return found
