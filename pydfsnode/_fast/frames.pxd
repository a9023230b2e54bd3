"""The fields of the frame reader."""

from libc.stdint cimport uint8_t, uint32_t

from pydfsnode._fast.warm_buffers cimport WarmBuffer


cdef class _Window:
    cdef object owner  # keeps the memory at `start` alive
    cdef bint closed
    cdef uint8_t* start
    cdef Py_ssize_t size


cdef class _Memory:
    cdef uint8_t* start


cdef class _Filling:
    cdef WarmBuffer buffer


cdef class FrameReader:
    cdef _Memory memory
    cdef Py_ssize_t capacity
    cdef Py_ssize_t start, end  # the unread bytes in memory
    cdef Py_ssize_t frame_bytes_max, large_bytes
    cdef _Window window
    cdef object view  # what the transport has, None when it has nothing
    cdef Py_ssize_t offered  # size of that view
    cdef bint probing, broken
    cdef bytes large  # payload of the large frame being received, None when there is none
    cdef _Filling packet  # or this
    cdef uint8_t* large_start  # of either; NULL when there is none
    cdef Py_ssize_t large_filled, large_total
    cdef uint32_t large_stream_id
    cdef uint8_t large_kind, large_flags

    cdef int check_usable(self) except -1
    cdef int release_view(self) except -1
    cdef void move_to_front(self) noexcept
    cdef int cut(self, list frames) except -1
    cdef Py_ssize_t checked_size(self, const uint8_t* p) except -1
    cdef int begin_large(self, const uint8_t* p, Py_ssize_t size) except -1
    cdef int finish_large(self, list frames) except -1
