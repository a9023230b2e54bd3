"""Rows of inodes and of chunks: writing and reading their parts; the bytes are in inodes.pyx.

A `Reader` that meets the end or a number out of range is `bad` and gives zeros from then on.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pydfsnode._fast.inode_records cimport (
    CHUNKS_PER_PAGE_,
    KIND_FILE,
    Chunk,
    Record,
    chunks_of,
    name_of,
)
from pydfsnode._fast.protobuf_fields cimport put_varint

cdef enum:
    ROW_FORMAT = 1
    CHUNK_BYTES_MAX = 29
    FIXED_BYTES_MAX = 110  # of an inode without texts and chunks

cdef struct Reader:
    const uint8_t* p
    const uint8_t* end
    bint bad


# ---- writing: each returns where to go on


cdef inline uint8_t* put_zigzag(uint8_t* p, int64_t value) noexcept nogil:
    cdef uint64_t sign = 0 - (<uint64_t>value >> 63)
    return put_varint(p, (<uint64_t>value << 1) ^ sign)


cdef inline uint8_t* put_text(uint8_t* p, const uint8_t* text, size_t size) noexcept nogil:
    p = put_varint(p, size)
    memcpy(p, text, size)
    return p + size


cdef inline uint8_t* put_crc(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>value
    p[1] = <uint8_t>(value >> 8)
    p[2] = <uint8_t>(value >> 16)
    p[3] = <uint8_t>(value >> 24)
    return p + 4


cdef inline uint8_t* put_chunks(uint8_t* p, const Chunk* chunk, uint32_t count) noexcept nogil:
    while count:
        p = put_varint(p, chunk.id)
        p = put_varint(p, chunk.version)
        p = put_varint(p, chunk.length)
        p = put_crc(p, chunk.crc32c)
        chunk += 1
        count -= 1
    return p


cdef inline uint8_t* put_after_texts(uint8_t* p, Record* record) noexcept nogil:
    """All that comes after owner and group."""
    cdef uint32_t tail = record.chunk_count & (CHUNKS_PER_PAGE_ - 1)
    p = put_text(p, name_of(record), record.name_size)
    p = put_zigzag(p, record.mtime_ms)
    p = put_zigzag(p, record.atime_ms)
    p = put_zigzag(p, record.ctime_ms)
    p = put_varint(p, record.born)
    p = put_varint(p, record.changed)
    if record.kind != KIND_FILE:
        return p
    p[0] = record.replication
    p = put_varint(p + 1, record.chunk_bytes)
    p = put_varint(p, record.size)
    p = put_crc(p, record.crc32c)
    p = put_varint(p, record.chunk_count)
    return put_chunks(p, chunks_of(record) + (record.chunk_count - tail), tail)


# ---- reading


cdef inline uint8_t get_byte(Reader* reader) noexcept nogil:
    if reader.p == reader.end:
        reader.bad = True
        return 0
    reader.p += 1
    return (reader.p - 1)[0]


cdef inline uint64_t get_varint(Reader* reader) noexcept nogil:
    cdef uint64_t value = 0
    cdef uint8_t byte
    cdef int shift = 0
    while True:
        byte = get_byte(reader)
        if shift == 63 and byte > 1:
            reader.bad = True
            return 0
        value |= <uint64_t>(byte & 127) << shift
        if byte < 128:
            return value
        shift += 7


cdef inline uint32_t get_u32(Reader* reader, uint32_t limit) noexcept nogil:
    """At most *limit*."""
    cdef uint64_t value = get_varint(reader)
    if value > limit:
        reader.bad = True
        return 0
    return <uint32_t>value


cdef inline int64_t get_zigzag(Reader* reader) noexcept nogil:
    cdef uint64_t value = get_varint(reader)
    return <int64_t>((value >> 1) ^ (0 - (value & 1)))


cdef inline const uint8_t* get_bytes(Reader* reader, uint64_t size) noexcept nogil:
    """Where *size* bytes begin that are there; NULL: the reader is bad."""
    cdef const uint8_t* found = reader.p
    if size > <uint64_t>(reader.end - reader.p):
        reader.bad = True
        return NULL
    reader.p += size
    return found


cdef inline uint32_t get_crc(Reader* reader) noexcept nogil:
    cdef const uint8_t* p = get_bytes(reader, 4)
    if p == NULL:
        return 0
    return p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24


cdef inline void get_chunks(Reader* reader, Chunk* chunk, uint32_t count) noexcept nogil:
    while count and not reader.bad:
        chunk.id = get_varint(reader)
        chunk.version = get_varint(reader)
        chunk.length = get_u32(reader, 0xFFFFFFFF)
        chunk.crc32c = get_crc(reader)
        if chunk.id == 0:
            reader.bad = True
        chunk += 1
        count -= 1


cdef inline int open_row(Reader* reader, bytes row) except -1:
    """Begin behind the format's byte."""
    reader.p = <const uint8_t*>row
    reader.end = reader.p + len(row)
    reader.bad = False
    if get_byte(reader) != ROW_FORMAT:
        raise ValueError("its format is not 1: of a newer version?")
    return 0


cdef inline int check_utf8(const uint8_t* text, size_t size) except -1:
    """Raise UnicodeDecodeError, a ValueError, unless *text* is UTF-8."""
    cdef size_t at
    for at in range(size):
        if text[at] >= 128:
            PyUnicode_DecodeUTF8(<const char*>text, size, NULL)
            break
    return 0
