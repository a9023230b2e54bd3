"""The fields of the coder of operations."""

from libc.stdint cimport int8_t, uint8_t, uint64_t

cdef class OpCoder:
    cdef int tag, count
    cdef int8_t slots[16]  # by the number of the request's field; -1: unknown
    cdef int kinds[9]
    cdef uint64_t defaults[9]

    cdef bint take(
        self, bytes request, uint64_t* op, uint64_t* numbers, const uint8_t** contents
    )
    cdef const uint8_t* take_field(
        self, const uint8_t* p, const uint8_t* end, int slot, int wire_type, uint64_t* numbers,
        const uint8_t** contents,
    )
    cdef uint8_t* put_fields(
        self, uint8_t* p, const uint64_t* numbers, const uint8_t** contents
    ) noexcept
