"""Memory of a warm buffer."""

from libc.stdint cimport uint8_t

cdef enum:
    PAGE_BYTES = 4096
    # A packet of a chunk stream with its head, whose bytes then begin on a page.
    BLOCK_DATA_BYTES = 1024 * 1024
    # Below this a block would mostly be waste.
    WARM_BYTES_MIN = 512 * 1024


cdef class WarmBuffer:
    cdef uint8_t* block
    cdef uint8_t* start
    cdef Py_ssize_t size
    cdef bint frozen

cdef WarmBuffer warm_buffer(Py_ssize_t size, Py_ssize_t lead)
cdef bint is_warm_size(Py_ssize_t size, Py_ssize_t lead) noexcept
