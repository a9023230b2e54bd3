"""The envelope kernels for sibling modules."""

from libc.stdint cimport uint8_t, uint64_t

cdef bint is_ascii(const uint8_t* p, uint64_t size) noexcept nogil
