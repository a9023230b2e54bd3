"""The requests that clients send most, as bytes, without a protobuf message for each.

The same bytes as protobuf's own serialization. A change is encoded in two parts: `operation` is
field 1 of every change, the functions by the name of their method give the fields behind it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pydfsnode._fast.protobuf_fields cimport (
    HEAD_BYTES_MAX,
    put_number,
    put_sized,
    put_varint,
    varint_size,
)

cdef enum:
    STACK_BYTES = 2048
    OPERATION_BYTES_MAX = 34
    NUMBERS_BYTES_MAX = 64


cdef struct Text:
    const char* content
    Py_ssize_t size


cdef inline Text text_of(str text) except *:
    cdef Text found
    found.content = PyUnicode_AsUTF8AndSize(text, &found.size)
    return found


cdef inline uint8_t* put_text(uint8_t* p, int field, Text text) noexcept nogil:
    return put_sized(p, field, text.content, text.size) if text.size else p




cdef bytes finished(bytes large, uint8_t* begin, uint8_t* end):
    if large is None:
        return PyBytes_FromStringAndSize(<char*>begin, end - begin)
    return large[: end - begin]


cdef inline bytes room_for(Py_ssize_t needed, uint8_t* stack, uint8_t** begin):
    """Where a message of up to *needed* bytes is written: the stack, or the bytes returned."""
    cdef bytes large = None
    begin[0] = stack
    if needed > STACK_BYTES:
        large = PyBytes_FromStringAndSize(NULL, needed)
        begin[0] = <uint8_t*>PyBytes_AS_STRING(large)
    return large


def operation(uint64_t client_id, uint64_t seq, uint64_t first_unacked):
    """Return field 1 of a change: its OpId."""
    cdef uint8_t buffer[OPERATION_BYTES_MAX]
    cdef uint8_t* p = buffer + 2
    cdef int i
    if client_id:
        p[0] = (1 << 3) | 1
        for i in range(8):  # fixed64 is little-endian
            p[1 + i] = <uint8_t>(client_id >> (8 * i))
        p += 9
    p = put_number(p, 2, seq)
    p = put_number(p, 3, first_unacked)
    buffer[0] = (1 << 3) | 2
    buffer[1] = <uint8_t>(p - buffer - 2)
    return PyBytes_FromStringAndSize(<char*>buffer, p - buffer)


def mkdirs(str path not None, uint32_t mode):
    """Return the fields of a MkdirsRequest but its op.

    Raises:
        UnicodeEncodeError, OverflowError: here and below: a value does not fit its field.
    """
    cdef uint8_t stack[STACK_BYTES]
    cdef uint8_t* begin
    cdef Text name = text_of(path)
    cdef bytes large = room_for(name.size + NUMBERS_BYTES_MAX, stack, &begin)
    cdef uint8_t* p = put_text(begin, 2, name)
    return finished(large, begin, put_number(p, 3, mode))


def create(
    str path not None, uint32_t replication, uint64_t chunk_bytes, uint32_t mode, bint overwrite,
    bint create_parents, bytes content,
):
    """Return the fields of a CreateRequest but its op; content None: none, which b"" is not."""
    cdef uint8_t stack[STACK_BYTES]
    cdef uint8_t* begin
    cdef Text name = text_of(path)
    cdef Py_ssize_t content_size = PyBytes_GET_SIZE(content) if content is not None else 0
    cdef bytes large = room_for(name.size + content_size + NUMBERS_BYTES_MAX, stack, &begin)
    cdef uint8_t* p = put_text(begin, 2, name)
    p = put_number(p, 3, replication)
    p = put_number(p, 4, chunk_bytes)
    p = put_number(p, 5, mode)
    p = put_number(p, 6, overwrite)
    p = put_number(p, 7, create_parents)
    if content is not None:
        p = put_sized(p, 8, PyBytes_AS_STRING(content), content_size)
    return finished(large, begin, p)


def delete(str path not None, bint recursive):
    """Return the fields of a DeleteRequest but its op."""
    cdef uint8_t stack[STACK_BYTES]
    cdef uint8_t* begin
    cdef Text name = text_of(path)
    cdef bytes large = room_for(name.size + NUMBERS_BYTES_MAX, stack, &begin)
    cdef uint8_t* p = put_text(begin, 2, name)
    return finished(large, begin, put_number(p, 3, recursive))


def rename(str source not None, str destination not None, bint overwrite):
    """Return the fields of a RenameRequest but its op."""
    cdef uint8_t stack[STACK_BYTES]
    cdef uint8_t* begin
    cdef Text old = text_of(source)
    cdef Text new = text_of(destination)
    cdef bytes large = room_for(old.size + new.size + NUMBERS_BYTES_MAX, stack, &begin)
    cdef uint8_t* p = put_text(begin, 2, old)
    p = put_text(p, 3, new)
    return finished(large, begin, put_number(p, 4, overwrite))


def look(str path not None, bytes read not None):
    """Return a StatRequest or LocateRequest; *read* is field 15, encoded, or b""."""
    cdef uint8_t stack[STACK_BYTES]
    cdef uint8_t* begin
    cdef Text name = text_of(path)
    cdef Py_ssize_t needed = name.size + PyBytes_GET_SIZE(read) + NUMBERS_BYTES_MAX
    cdef bytes large = room_for(needed, stack, &begin)
    cdef uint8_t* p = put_text(begin, 1, name)
    memcpy(p, PyBytes_AS_STRING(read), PyBytes_GET_SIZE(read))
    return finished(large, begin, p + PyBytes_GET_SIZE(read))


def list_page(str path not None, str start_after not None, uint32_t limit, bytes read not None):
    """Return a ListRequest; *read* as of `look`."""
    cdef uint8_t stack[STACK_BYTES]
    cdef uint8_t* begin
    cdef Text name = text_of(path)
    cdef Text after = text_of(start_after)
    cdef Py_ssize_t needed = name.size + after.size + PyBytes_GET_SIZE(read) + NUMBERS_BYTES_MAX
    cdef bytes large = room_for(needed, stack, &begin)
    cdef uint8_t* p = put_text(begin, 1, name)
    p = put_text(p, 2, after)
    p = put_number(p, 3, limit)
    memcpy(p, PyBytes_AS_STRING(read), PyBytes_GET_SIZE(read))
    return finished(large, begin, p + PyBytes_GET_SIZE(read))


def batch(list heads not None, list requests not None, Py_ssize_t first, Py_ssize_t last):
    """Return a BatchRequest of the calls [first, last).

    Args:
        heads: for each call a BatchItem of its method alone, encoded.
        requests: for each call its request, encoded.
    Raises:
        ValueError: the lists have other lengths than that.
    """
    cdef Py_ssize_t size = 0, item_size, request_size, i
    cdef bytes head, request, message
    cdef uint8_t* p
    if not 0 <= first <= last <= len(heads) or len(heads) != len(requests):
        raise ValueError(f"calls {first}..{last} of {len(heads)} heads, {len(requests)} requests")
    for i in range(first, last):
        head, request = heads[i], requests[i]
        size += PyBytes_GET_SIZE(head) + PyBytes_GET_SIZE(request) + 2 * HEAD_BYTES_MAX
    message = PyBytes_FromStringAndSize(NULL, size)
    p = <uint8_t*>PyBytes_AS_STRING(message)
    for i in range(first, last):
        head, request = heads[i], requests[i]
        request_size = PyBytes_GET_SIZE(request)
        item_size = PyBytes_GET_SIZE(head)
        if request_size:
            item_size += 1 + varint_size(request_size) + request_size
        p = put_varint(p, (1 << 3) | 2)
        p = put_varint(p, item_size)
        memcpy(p, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
        p += PyBytes_GET_SIZE(head)
        if request_size:
            p = put_sized(p, 2, PyBytes_AS_STRING(request), request_size)
    return message[: p - <uint8_t*>PyBytes_AS_STRING(message)]
