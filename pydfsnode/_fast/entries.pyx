"""The encoded log entry: built once at admission, then carried by log, leader and followers as is.

Little-endian: crc32c u32 (of all bytes after it) | payload_size u32 | index u64 | term u64 |
kind u8 | flags u8 (0) | reserved u16 (0) | payload.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.sequence cimport PySequence_GetItem, PySequence_Size
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pydfsnode._fast.crc32c cimport extend_freely

cdef enum:
    HEAD_BYTES = 28
    KIND_MAX = 3  # 0 noop, 1 operation, 2 configuration, 3 compressed operation
    PAYLOAD_BYTES_MAX = 0x7FFFFFFF

ENTRY_HEAD_BYTES = HEAD_BYTES


cdef inline void store(uint8_t* p, uint64_t value, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        p[i] = <uint8_t>(value >> (8 * i))


cdef inline uint64_t load(const uint8_t* p, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value |= <uint64_t>p[i] << (8 * i)
    return value


cdef bytes encode(uint64_t index, uint64_t term, int kind, Py_buffer* payload):
    if payload.len > PAYLOAD_BYTES_MAX:
        raise ValueError(f"entry payload of {payload.len} bytes, at most {PAYLOAD_BYTES_MAX}")
    cdef bytes entry = PyBytes_FromStringAndSize(NULL, HEAD_BYTES + payload.len)
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(entry)
    store(p + 4, <uint64_t>payload.len, 4)
    store(p + 8, index, 8)
    store(p + 16, term, 8)
    store(p + 24, <uint64_t>kind, 4)  # flags and reserved are 0
    memcpy(p + HEAD_BYTES, payload.buf, payload.len)
    store(p, extend_freely(0, p + 4, HEAD_BYTES - 4 + payload.len), 4)
    return entry


def encode_entry(uint64_t index, uint64_t term, int kind, payload):
    """Return the encoded entry with its checksum.

    Args:
        index, term: unsigned 64-bit.
        kind: 0 noop, 1 operation, 2 configuration.
        payload: contiguous bytes, less than 2 GiB.
    Raises:
        ValueError: *kind* is unknown or the payload is too large.
        OverflowError: *index* or *term* does not fit.
        TypeError, BufferError: *payload* is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view
    if kind < 0 or kind > KIND_MAX:
        raise ValueError(f"entry kind is {kind}, must be 0 to {KIND_MAX}")
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        return encode(index, term, kind, &view)
    finally:
        PyBuffer_Release(&view)


cdef int check_size(Py_buffer* entry) except -1:
    """Raise unless the view holds exactly one entry; its checksum is not looked at."""
    if entry.len < HEAD_BYTES:
        raise ValueError(f"entry of {entry.len} bytes, its head alone has {HEAD_BYTES}")
    cdef uint64_t expected = HEAD_BYTES + load(<const uint8_t*>entry.buf + 4, 4)
    if expected != <uint64_t>entry.len:
        raise ValueError(f"entry of {entry.len} bytes, its head says {expected}")
    return 0


def entry_kind(entry):
    """Return the kind of one entry that `scan_entries` or `encode_entry` gave.

    Its checksum is not verified again.

    Raises:
        ValueError: *entry* is not of the size that its head says.
        TypeError, BufferError: *entry* is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(entry, &view, PyBUF_SIMPLE)
    try:
        check_size(&view)
        return (<const uint8_t*>view.buf)[24]
    finally:
        PyBuffer_Release(&view)


def entry_payload(entry):
    """Return a copy of the payload of one entry that `scan_entries` or `encode_entry` gave.

    Its checksum is not verified again.

    Raises:
        ValueError: *entry* is not of the size that its head says.
        TypeError, BufferError: *entry* is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(entry, &view, PyBUF_SIMPLE)
    try:
        check_size(&view)
        return PyBytes_FromStringAndSize(<const char*>view.buf + HEAD_BYTES, view.len - HEAD_BYTES)
    finally:
        PyBuffer_Release(&view)


cdef Py_ssize_t checked_size(const uint8_t* p, Py_ssize_t left, Py_ssize_t offset) except -1:
    """The size of the whole, sound entry at *p*; *offset* is for the message."""
    if left < HEAD_BYTES:
        raise ValueError(f"entry at offset {offset} is cut: {left} bytes of its head")
    cdef Py_ssize_t size = HEAD_BYTES + <Py_ssize_t>load(p + 4, 4)
    if size > left:
        raise ValueError(f"entry at offset {offset} is cut: {left} bytes of {size}")
    if extend_freely(0, p + 4, size - 4) != <uint32_t>load(p, 4):
        raise ValueError(f"entry at offset {offset} does not match its checksum")
    if p[24] > KIND_MAX or load(p + 25, 3) != 0:
        raise ValueError(
            f"entry at offset {offset} has kind {p[24]} and flags {p[25]}: of a newer version?"
        )
    return size


cdef list scan(const uint8_t* p, Py_ssize_t left):
    cdef Py_ssize_t offset = 0, size
    cdef list found = []
    while left:
        size = checked_size(p, left, offset)
        found.append((
            load(p + 8, 8),
            load(p + 16, 8),
            p[24],
            PyBytes_FromStringAndSize(<const char*>p, size),
        ))
        p += size
        offset += size
        left -= size
    return found


def scan_entries(data):
    """Return (index, term, kind, encoded entry) of each entry in *data*, verified, in order.

    Raises:
        ValueError: an entry is cut, does not match its checksum, has an unknown kind or flags,
            or bytes remain after the last; the message names the offset.
        TypeError, BufferError: *data* is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return scan(<const uint8_t*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef list taken(object entries, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t bytes_max,
                Py_ssize_t* total):
    """The entries that fit, at least one where there is one; *total* is the sum of their sizes."""
    cdef list chosen = []
    cdef bytes entry
    cdef Py_ssize_t position, size
    total[0] = 0
    for position in range(start, stop):
        # An index into a deque costs a step for each 64 items from its nearer end: the tail that
        # an append takes is cheap, unlike an iterator, which would begin at the left end.
        entry = PySequence_GetItem(entries, position)
        if entry is None:
            raise TypeError(f"entry {position} is None, must be bytes")
        size = PyBytes_GET_SIZE(entry)
        if chosen and size > bytes_max - total[0]:
            break
        total[0] += size
        chosen.append(entry)
    return chosen


def assemble_entries(entries, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t bytes_max):
    """Return entries[start:stop] joined, as many as *bytes_max* allows, and how many those are.

    The first is taken whatever its size; *stop* may lie beyond the end.

    Args:
        entries: a list or collections.deque of bytes.
    Raises:
        ValueError: *start* is negative.
        TypeError: *entries* is not a sequence, or one of those looked at is not bytes.
    """
    cdef Py_ssize_t total = 0
    cdef bytes entry, joined
    cdef char* p
    if start < 0:
        raise ValueError(f"start is {start}, must not be negative")
    cdef list chosen = taken(
        entries, start, min(stop, PySequence_Size(entries)), bytes_max, &total
    )
    if len(chosen) == 1:
        return chosen[0], 1
    joined = PyBytes_FromStringAndSize(NULL, total)
    p = PyBytes_AS_STRING(joined)
    for entry in chosen:
        memcpy(p, PyBytes_AS_STRING(entry), PyBytes_GET_SIZE(entry))
        p += PyBytes_GET_SIZE(entry)
    return joined, len(chosen)
