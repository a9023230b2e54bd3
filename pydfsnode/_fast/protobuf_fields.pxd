"""Fields of protobuf messages in memory: written, and taken one by one; varints for others too."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    # Wire types.
    VARINT = 0
    FIXED64 = 1
    SIZED = 2
    FIXED32 = 5
    # Of a size and a tag together: two varints.
    HEAD_BYTES_MAX = 20


cdef struct Field:
    uint64_t number
    int kind
    uint64_t value  # of a varint; of a sized field its size
    const uint8_t* content  # of a sized field


cdef inline int varint_size(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline uint8_t* put_varint(uint8_t* p, uint64_t value) noexcept nogil:
    while value >= 0x80:
        p[0] = <uint8_t>(value | 0x80)
        value >>= 7
        p += 1
    p[0] = <uint8_t>value
    return p + 1


cdef inline uint8_t* put_number(uint8_t* p, int field, uint64_t value) noexcept nogil:
    """Zeros are left out, as protobuf does."""
    if value:
        p = put_varint(p, <uint64_t>field << 3)
        p = put_varint(p, value)
    return p


cdef inline uint8_t* put_sized(
    uint8_t* p, int field, const char* content, Py_ssize_t size
) noexcept nogil:
    p = put_varint(p, (<uint64_t>field << 3) | SIZED)
    p = put_varint(p, <uint64_t>size)
    memcpy(p, content, size)
    return p + size


cdef inline const uint8_t* take_varint(
    const uint8_t* p, const uint8_t* end, uint64_t* value
) noexcept nogil:
    """The byte after the varint at *p*; NULL when it is cut or has more than 64 bits."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while p < end and shift < 70:
        byte = p[0]
        if shift == 63 and byte > 1:
            return NULL
        value[0] |= <uint64_t>(byte & 0x7F) << shift
        p += 1
        if byte < 0x80:
            return p
        shift += 7
    return NULL


cdef inline const uint8_t* take_field(
    const uint8_t* p, const uint8_t* end, Field* field
) noexcept nogil:
    """The byte after the field at *p*; NULL when it is cut, or of a kind that nobody writes now."""
    cdef uint64_t tag = 0
    p = take_varint(p, end, &tag)
    if p == NULL or tag >> 32:
        return NULL
    field.number = tag >> 3
    field.kind = tag & 7
    if field.number == 0:
        return NULL
    if field.kind == VARINT:
        return take_varint(p, end, &field.value)
    if field.kind == SIZED:
        p = take_varint(p, end, &field.value)
        if p == NULL or field.value > <uint64_t>(end - p):
            return NULL
        field.content = p
        return p + field.value
    if field.kind == FIXED64:
        return p + 8 if end - p >= 8 else NULL
    if field.kind == FIXED32:
        return p + 4 if end - p >= 4 else NULL
    return NULL
