"""The fields of the table of replicas."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from pydfsnode._fast.replica_segments cimport Record, Segment

cdef enum:
    SEGMENTS = 1024


cdef struct Server:
    Py_ssize_t held, listed
    uint16_t mark  # MARK or 0: what a slot has that is listed
    bint live, asked_for


cdef class ReplicaTable:
    cdef Segment segments[SEGMENTS]
    cdef Server* servers
    cdef Py_ssize_t server_count, server_capacity
    cdef dict own  # (chunk id, server) -> (version, length) of replicas that differ from the record

    cdef int check_server(self, Py_ssize_t server) except -1
    cdef Segment* segment_of(self, uint64_t chunk_id) noexcept
    cdef Record* find(self, uint64_t chunk_id) noexcept
    cdef Record* new_record(self, uint64_t chunk_id, uint64_t version, uint32_t length) except NULL
    cdef void vacate_if_idle(self, Record* record) noexcept
    cdef int change_reference(self, Record* record, uint64_t version, uint32_t length) except -1
    cdef int add_holder(
        self, uint64_t chunk_id, Py_ssize_t server, uint64_t version, uint64_t length
    ) except -1
    cdef bint change_replica(
        self, Record* record, Py_ssize_t at, uint64_t version, uint64_t length
    ) except -1
    cdef void mark_listed(self, uint16_t* slot) noexcept
