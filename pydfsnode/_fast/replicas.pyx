"""The table of replicas: chunk -> what is wanted of it and which servers hold it, 32 bytes each.

Records lie in 1024 hash tables, each with linear probing and each doubling by itself: growth stops
nobody. A record goes when nothing is known of its chunk any more; those behind it move up, so that
there are no tombstones. Servers are small numbers. A holder costs two bytes; only a replica of
another version or length than its record's stands in a dictionary beside.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from pydfsnode._fast.replica_segments cimport (
    NUMBER,
    SLOTS_INLINE,
    Record,
    Segment,
    append_slot,
    close_gap,
    first_free,
    is_busy,
    mixed,
    remove_slot,
    resize,
    slot_at,
    slots_of,
)

cdef enum:
    SERVERS_LIMIT = 1 << 14
    # In a slot, beside the server's NUMBER:
    MARK = 0x4000  # equal to the server's `mark`: listed
    OWN = 0x8000  # its version and length are in `own`
    SEGMENT_SHIFT = 64 - 10
    CAPACITY_MIN = 8
    LEVEL_LIMIT = 254
    LENGTH_LIMIT = 0xFFFFFFFF

REPLICA_SEGMENTS = SEGMENTS


@cython.final
cdef class ReplicaTable:
    """See the module. Servers are numbers from `add_server`; nothing of a chunk is known at first.

    Chunk ids and versions are unsigned 64-bit integers; lengths of what is wanted are 32-bit.
    """

    def __cinit__(self):
        self.own = {}

    def __dealloc__(self):
        cdef Segment* segment
        cdef Py_ssize_t number
        cdef uint32_t at
        for number in range(SEGMENTS):
            segment = &self.segments[number]
            for at in range(segment.capacity):
                if segment.records[at].slot_count > SLOTS_INLINE:
                    PyMem_Free(segment.records[at].slots.many)
            PyMem_Free(segment.records)
        PyMem_Free(self.servers)

    # ---- servers

    def add_server(self):
        """Return the number of one more server, not live: 0, 1, 2, …

        Raises:
            OverflowError: there are 16,384 already.
        """
        cdef Py_ssize_t capacity = max(16, 2 * self.server_capacity)
        cdef Server* servers
        if self.server_count == SERVERS_LIMIT:
            raise OverflowError(f"the table of replicas knows {SERVERS_LIMIT} servers, no more fit")
        if self.server_count == self.server_capacity:
            servers = <Server*>PyMem_Realloc(self.servers, capacity * sizeof(Server))
            if servers == NULL:
                raise MemoryError(f"no memory for {capacity} servers")
            self.servers = servers
            self.server_capacity = capacity
        memset(&self.servers[self.server_count], 0, sizeof(Server))
        self.server_count += 1
        return self.server_count - 1

    def set_live(self, Py_ssize_t server, bint is_live):
        """Whether the replicas on *server* are in `tally` and `standing`."""
        self.check_server(server)
        self.servers[server].live = is_live

    def held_count(self, Py_ssize_t server):
        """Return how many chunks *server* holds."""
        self.check_server(server)
        return self.servers[server].held

    # ---- what is wanted

    def want(self, uint64_t chunk_id, uint64_t version, uint32_t length, uint8_t replication):
        """*chunk_id* is wanted so, whatever was wanted before.

        Raises:
            ValueError: *replication* is 0.
        """
        cdef Record* record
        if replication == 0:
            raise ValueError(f"chunk {chunk_id} cannot be wanted 0 times")
        record = self.find(chunk_id)
        if record == NULL:
            record = self.new_record(chunk_id, version, length)
        else:
            self.change_reference(record, version, length)
        record.replication = replication

    def forget(self, uint64_t chunk_id):
        """*chunk_id* is not wanted any more; who holds it stays known."""
        cdef Record* record = self.find(chunk_id)
        if record != NULL:
            record.replication = 0
            self.vacate_if_idle(record)

    def wanted(self, uint64_t chunk_id):
        """Return (version, length, replication), None when *chunk_id* is not wanted."""
        cdef Record* record = self.find(chunk_id)
        if record == NULL or record.replication == 0:
            return None
        return record.version, record.length, record.replication

    # ---- what is held

    def add(self, uint64_t chunk_id, Py_ssize_t server, uint64_t version, uint64_t length):
        """*server* holds this and has listed it; return whether that differs from before."""
        cdef Record* record
        cdef Py_ssize_t at
        self.check_server(server)
        record = self.find(chunk_id)
        at = -1 if record == NULL else slot_at(record, server)
        if at < 0:
            self.add_holder(chunk_id, server, version, length)
            return True
        self.mark_listed(slots_of(record) + at)
        return self.change_replica(record, at, version, length)

    def remove(self, uint64_t chunk_id, Py_ssize_t server):
        """*server* does not hold *chunk_id*; return whether it did."""
        cdef Record* record
        cdef Py_ssize_t at
        cdef uint16_t slot
        self.check_server(server)
        record = self.find(chunk_id)
        at = -1 if record == NULL else slot_at(record, server)
        if at < 0:
            return False
        slot = slots_of(record)[at]
        if slot & OWN:
            del self.own[chunk_id, server]
        if slot & MARK == self.servers[server].mark:
            self.servers[server].listed -= 1
        self.servers[server].held -= 1
        remove_slot(record, at)
        self.vacate_if_idle(record)
        return True

    def replica(self, uint64_t chunk_id, Py_ssize_t server):
        """Return (version, length) of what *server* holds, None when it holds nothing."""
        cdef Record* record
        cdef Py_ssize_t at
        self.check_server(server)
        record = self.find(chunk_id)
        at = -1 if record == NULL else slot_at(record, server)
        if at < 0:
            return None
        if slots_of(record)[at] & OWN:
            return self.own[chunk_id, server]
        return record.version, record.length

    def holders(self, uint64_t chunk_id):
        """Return the servers that hold *chunk_id*, live or not, the first reported first."""
        cdef Record* record = self.find(chunk_id)
        cdef Py_ssize_t at
        if record == NULL:
            return []
        return [slots_of(record)[at] & NUMBER for at in range(record.slot_count)]

    def standing(self, uint64_t chunk_id):
        """Return (live servers whose replica is as wanted, live servers with another one)."""
        cdef Record* record = self.find(chunk_id)
        cdef list as_wanted = []
        cdef list others = []
        cdef uint16_t slot
        cdef Py_ssize_t at
        if record != NULL and record.replication != 0:
            for at in range(record.slot_count):
                slot = slots_of(record)[at]
                if self.servers[slot & NUMBER].live:
                    (others if slot & OWN else as_wanted).append(slot & NUMBER)
        return as_wanted, others

    def tally(self, uint64_t chunk_id):
        """Return (replication, the two counts of `standing`), None when it is not wanted."""
        cdef Record* record = self.find(chunk_id)
        cdef Py_ssize_t as_wanted = 0
        cdef Py_ssize_t others = 0
        cdef Py_ssize_t at
        cdef uint16_t slot
        if record == NULL or record.replication == 0:
            return None
        for at in range(record.slot_count):
            slot = slots_of(record)[at]
            if self.servers[slot & NUMBER].live:
                if slot & OWN:
                    others += 1
                else:
                    as_wanted += 1
        return record.replication, as_wanted, others

    # ---- levels, for the queues

    def level(self, uint64_t chunk_id):
        """Return what `set_level` set, -1 at first."""
        cdef Record* record = self.find(chunk_id)
        return -1 if record == NULL else record.level - 1

    def set_level(self, uint64_t chunk_id, Py_ssize_t level):
        """Remember *level*, 0 to 254, or -1 for none; return the one before.

        Raises:
            KeyError: a level for a chunk of which nothing else is known.
        """
        cdef Record* record = self.find(chunk_id)
        cdef Py_ssize_t before
        if level < -1 or level > LEVEL_LIMIT:
            raise ValueError(f"level {level} of chunk {chunk_id}, must be -1 to {LEVEL_LIMIT}")
        if record == NULL:
            if level == -1:
                return -1
            raise KeyError(chunk_id)
        before = record.level - 1
        record.level = <uint8_t>(level + 1)
        self.vacate_if_idle(record)
        return before

    def at_level(self, Py_ssize_t level, Py_ssize_t count):
        """Return up to *count* chunks at *level*, 0 or more; walks the table."""
        cdef list found = []
        cdef Segment* segment
        cdef Py_ssize_t number
        cdef uint32_t at
        if level < 0:
            raise ValueError(f"level {level}: chunks without one are not found by it")
        for number in range(SEGMENTS):
            segment = &self.segments[number]
            for at in range(segment.capacity):
                if len(found) >= count:
                    return found
                if segment.records[at].level == level + 1:
                    found.append(segment.records[at].chunk_id)
        return found

    # ---- everything on a server

    def held_in(self, Py_ssize_t number, list servers):
        """Return the chunks in segment *number* that one of *servers* holds.

        A chunk is always in the same one of the REPLICA_SEGMENTS segments.
        """
        cdef list found = []
        cdef Segment* segment
        cdef Record* record
        cdef Py_ssize_t server, at
        cdef uint32_t place
        if number < 0 or number >= SEGMENTS:
            raise IndexError(f"segment {number}, there are {SEGMENTS}")
        for server in servers:
            self.check_server(server)
        for server in servers:
            self.servers[server].asked_for = True
        segment = &self.segments[number]
        for place in range(segment.capacity):
            record = &segment.records[place]
            for at in range(record.slot_count):
                if self.servers[slots_of(record)[at] & NUMBER].asked_for:
                    found.append(record.chunk_id)
                    break
        for server in servers:
            self.servers[server].asked_for = False
        return found

    def begin_listing(self, Py_ssize_t server):
        """*server* begins to list all it holds: until it is added again, nothing counts as listed.

        Costs nothing after a listing that was completed, else one walk through the table.
        """
        cdef Server* state
        cdef Segment* segment
        cdef Record* record
        cdef Py_ssize_t number, at
        cdef uint32_t place
        self.check_server(server)
        state = &self.servers[server]
        if state.listed != state.held:  # slots with both marks: make them equal first
            for number in range(SEGMENTS):
                segment = &self.segments[number]
                for place in range(segment.capacity):
                    record = &segment.records[place]
                    at = slot_at(record, server)
                    if at >= 0:
                        self.mark_listed(slots_of(record) + at)
        state.mark ^= MARK
        state.listed = 0

    def unlisted(self, Py_ssize_t server):
        """Return the chunks that *server* holds and has not added since `begin_listing`."""
        cdef list found = []
        cdef Segment* segment
        cdef Record* record
        cdef Py_ssize_t number, at
        cdef uint32_t place
        self.check_server(server)
        if self.servers[server].listed == self.servers[server].held:
            return found
        for number in range(SEGMENTS):
            segment = &self.segments[number]
            for place in range(segment.capacity):
                record = &segment.records[place]
                at = slot_at(record, server)
                if at >= 0 and slots_of(record)[at] & MARK != self.servers[server].mark:
                    found.append(record.chunk_id)
        return found

    # ---- size

    def __len__(self):
        cdef Py_ssize_t number
        return sum([self.segments[number].used for number in range(SEGMENTS)])

    def memory_bytes(self):
        """Return the bytes of the table itself, without long lists of holders and `own`."""
        cdef Py_ssize_t number
        return sizeof(Server) * self.server_capacity + sizeof(Record) * sum(
            [self.segments[number].capacity for number in range(SEGMENTS)]
        )

    # ---- records

    cdef int check_server(self, Py_ssize_t server) except -1:
        if server < 0 or server >= self.server_count:
            raise IndexError(f"server {server}, there are {self.server_count}")
        return 0

    cdef Segment* segment_of(self, uint64_t chunk_id) noexcept:
        return &self.segments[mixed(chunk_id) >> SEGMENT_SHIFT]

    cdef Record* find(self, uint64_t chunk_id) noexcept:
        cdef Segment* segment = self.segment_of(chunk_id)
        cdef uint64_t mask = <uint64_t>segment.capacity - 1
        cdef uint64_t at = mixed(chunk_id) & mask
        if segment.used == 0:
            return NULL
        while is_busy(&segment.records[at]):
            if segment.records[at].chunk_id == chunk_id:
                return &segment.records[at]
            at = (at + 1) & mask
        return NULL

    cdef Record* new_record(self, uint64_t chunk_id, uint64_t version, uint32_t length) except NULL:
        """Made busy by the caller, before anything can fail. Other records may have moved."""
        cdef Segment* segment = self.segment_of(chunk_id)
        cdef uint32_t capacity = max(<uint32_t>CAPACITY_MIN, 2 * segment.capacity)
        cdef Record* record
        if 4 * <uint64_t>(segment.used + 1) > 3 * <uint64_t>segment.capacity:
            if not resize(segment, capacity):
                raise MemoryError(f"no memory for {capacity} records of chunks")
        record = first_free(segment.records, segment.capacity, mixed(chunk_id))
        record.chunk_id = chunk_id
        record.version = version
        record.length = length
        segment.used += 1
        return record

    cdef void vacate_if_idle(self, Record* record) noexcept:
        """Nothing is known of a chunk: its record goes, others move. A segment of 1/8 is halved."""
        cdef Segment* segment
        if is_busy(record):
            return
        segment = self.segment_of(record.chunk_id)
        close_gap(segment, record - segment.records)
        segment.used -= 1
        if segment.capacity > CAPACITY_MIN and 8 * <uint64_t>segment.used < segment.capacity:
            resize(segment, segment.capacity // 2)

    cdef int change_reference(self, Record* record, uint64_t version, uint32_t length) except -1:
        """Replicas stay what they are: those as the record was get their own, and the reverse."""
        cdef uint16_t* slots = slots_of(record)
        cdef Py_ssize_t at
        if record.version == version and record.length == length:
            return 0
        for at in range(record.slot_count):
            if not slots[at] & OWN:
                self.own[record.chunk_id, slots[at] & NUMBER] = (record.version, record.length)
        for at in range(record.slot_count):
            if self.own[record.chunk_id, slots[at] & NUMBER] == (version, length):
                del self.own[record.chunk_id, slots[at] & NUMBER]
                slots[at] &= ~OWN
            else:
                slots[at] |= OWN
        record.version = version
        record.length = length
        return 0

    cdef int add_holder(
        self, uint64_t chunk_id, Py_ssize_t server, uint64_t version, uint64_t length
    ) except -1:
        """The first replica of a chunk that is not wanted is what its record says."""
        cdef Record* record = self.find(chunk_id)
        cdef Server* state = &self.servers[server]
        cdef bint is_own
        if record == NULL:
            is_own = length > LENGTH_LIMIT
        else:
            is_own = version != record.version or length != record.length
        if is_own:
            self.own[chunk_id, server] = (version, length)
        if record == NULL:
            record = self.new_record(chunk_id, version, 0 if is_own else <uint32_t>length)
        append_slot(record, <uint16_t>(server | state.mark | (OWN if is_own else 0)))
        state.held += 1
        state.listed += 1
        return 0

    cdef bint change_replica(
        self, Record* record, Py_ssize_t at, uint64_t version, uint64_t length
    ) except -1:
        """Return whether the replica in the slot *at* was another one."""
        cdef uint16_t* slot = slots_of(record) + at
        cdef tuple key = (record.chunk_id, slot[0] & NUMBER)
        if version == record.version and length == record.length:
            if not slot[0] & OWN:
                return False
            del self.own[key]
            slot[0] &= ~OWN
            return True
        if slot[0] & OWN and self.own[key] == (version, length):
            return False
        self.own[key] = (version, length)
        slot[0] |= OWN
        return True

    cdef void mark_listed(self, uint16_t* slot) noexcept:
        cdef Server* state = &self.servers[slot[0] & NUMBER]
        if slot[0] & MARK != state.mark:
            slot[0] ^= MARK
            state.listed += 1
