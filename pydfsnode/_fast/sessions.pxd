"""The fields of the table of active sessions."""

from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from pydfsnode._fast.session_outcomes cimport Outcomes


cdef struct Change:
    uint64_t client_id
    uint64_t seq
    bint is_new  # nothing is written when the row is gone again


cdef class Session:
    cdef Outcomes outcomes
    cdef uint64_t client_id, floor, at_ms, last_index
    cdef PyObject* older  # neighbours in the order of use; the table's dict owns them
    cdef PyObject* newer


cdef class ActiveSessions:
    cdef dict sessions  # client id -> Session
    cdef readonly dict dormant
    cdef PyObject* oldest
    cdef PyObject* newest
    cdef object make_row
    cdef readonly Py_ssize_t outcome_count
    cdef Py_ssize_t outcomes_max, session_outcomes_max
    cdef public uint64_t forgotten_count
    cdef public uint64_t nobody_idle_ms
    cdef Change* changes
    cdef Py_ssize_t change_count, change_capacity, gone_count
    cdef bint may_repeat

    cdef Session find(self, object client_id)
    cdef Session new_session(self, uint64_t client_id)
    cdef void unlink(self, Session session) noexcept
    cdef void link(self, Session session) noexcept
    cdef int put(
        self, Session session, uint64_t seq, uint64_t index, uint64_t at_ms, uint64_t floor,
        object outcome, bint is_new
    ) except -1
    cdef int drop(self, Session session, uint64_t seq) except -1
    cdef int drop_below(self, Session session, uint64_t first, uint64_t floor) except -1
    cdef int change(self, uint64_t client_id, uint64_t seq, bint is_new) except -1
    cdef bint is_undrained(self, const Change* change)
    cdef int make_room_for_change(self) except -1
    cdef object row_at(self, Session session, Py_ssize_t place)
