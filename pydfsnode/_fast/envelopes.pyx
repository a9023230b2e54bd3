"""The ttrpc envelopes of unary calls between our own nodes, without a protobuf message for each.

The encoders write what protobuf would, byte for byte. The splitters know only that form (every
field at most once, in order, metadata in ASCII) and give None for any other, which the caller then
hands to protobuf: what a peer may send, and what is refused, is decided there alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pydfsnode._fast.protobuf_fields cimport put_varint, varint_size

cdef enum:
    FRAME_HEAD = 10
    REQUEST = 1
    RESPONSE = 2
    # A field's number and wire type: number << 3 | type, 2 bytes with a size, 0 a varint.
    FIRST = 0x0A
    SECOND = 0x12
    PAYLOAD = 0x1A
    TIMEOUT = 0x20
    METADATA = 0x2A
    TAG_BYTES = 16
    ID_KEY_BYTES = 16
    TRACE_KEY_BYTES = 11
    TRACE_BYTES = 55  # 00-<32 hex>-<16 hex>-01
    PAIRS_MAX = 8
    FRAME_BYTES_LIMIT = 0x7FFFFFFF

cdef const char* ID_KEY = b"pydfs-request-id"
cdef const char* TRACE_KEY = b"traceparent"
cdef const char* HEX = b"0123456789abcdef"


cdef inline void store_u32(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 24)
    p[1] = <uint8_t>(value >> 16)
    p[2] = <uint8_t>(value >> 8)
    p[3] = <uint8_t>value


cdef inline uint8_t* put_bytes(uint8_t* p, const char* data, Py_ssize_t size) noexcept nogil:
    memcpy(p, data, size)
    return p + size


cdef inline uint8_t* put_hex(uint8_t* p, uint64_t value, int digits) noexcept nogil:
    cdef int i
    for i in range(digits):
        p[i] = <uint8_t>HEX[(value >> (4 * (digits - 1 - i))) & 15]
    return p + digits


cdef inline int hex_digits(uint32_t value) noexcept nogil:
    cdef int digits = 1
    while value >= 16:
        value >>= 4
        digits += 1
    return digits


cdef inline const uint8_t* take_varint(
    const uint8_t* p, const uint8_t* end, uint64_t* value
) noexcept nogil:
    """The byte after the varint at *p*; NULL when it is cut, too long or not in its short form."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while p < end and shift < 63:
        byte = p[0]
        value[0] |= <uint64_t>(byte & 0x7F) << shift
        p += 1
        if byte < 0x80:
            return p if byte or not shift else NULL
        shift += 7
    return NULL


cdef inline const uint8_t* take_field(
    const uint8_t* p, const uint8_t* end, uint8_t tag, uint64_t* size
) noexcept nogil:
    """Where the content of the sized field *tag* at *p* begins; NULL when it is not there whole."""
    if p >= end or p[0] != tag:
        return NULL
    p = take_varint(p + 1, end, size)
    if p == NULL or size[0] > <uint64_t>(end - p):
        return NULL
    return p


cdef bint is_ascii(const uint8_t* p, uint64_t size) noexcept nogil:
    cdef uint64_t i
    cdef uint8_t seen = 0
    for i in range(size):
        seen |= p[i]
    return seen < 0x80


cdef const uint8_t* skip_text(const uint8_t* p, const uint8_t* end, uint8_t tag) noexcept nogil:
    """The byte after the ASCII field *tag* at *p*; NULL when that is not what is there."""
    cdef uint64_t size = 0
    p = take_field(p, end, tag, &size)
    if p == NULL or not is_ascii(p, size):
        return NULL
    return p + size


cdef const uint8_t* skip_pairs(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """*end* when metadata of the known form reaches up to it, else NULL."""
    cdef uint64_t size = 0
    cdef const uint8_t* pair_end
    cdef int count = 0
    while p < end:
        count += 1
        p = take_field(p, end, METADATA, &size)
        if p == NULL or count > PAIRS_MAX:
            return NULL
        pair_end = p + size
        p = skip_text(p, pair_end, FIRST)
        if p == NULL:
            return NULL
        p = skip_text(p, pair_end, SECOND)
        if p != pair_end:
            return NULL
    return p


def split_request(bytes envelope not None):
    """Return (head, payload, timeout_nano) of a Request, or None: ask protobuf.

    The head is the service and the method, encoded as a Request of nothing else.
    """
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(envelope)
    cdef const uint8_t* end = start + PyBytes_GET_SIZE(envelope)
    cdef const uint8_t* p = skip_text(start, end, FIRST)
    cdef const uint8_t* payload = NULL
    cdef uint64_t payload_size = 0, timeout_nano = 0
    cdef Py_ssize_t head_size
    if p == NULL:
        return None
    p = skip_text(p, end, SECOND)
    if p == NULL:
        return None
    head_size = p - start
    if p < end and p[0] == PAYLOAD:
        payload = take_field(p, end, PAYLOAD, &payload_size)
        if payload == NULL:
            return None
        p = payload + payload_size
    if p < end and p[0] == TIMEOUT:
        p = take_varint(p + 1, end, &timeout_nano)
        if p == NULL:
            return None
    if skip_pairs(p, end) != end:
        return None
    return (
        PyBytes_FromStringAndSize(<const char*>start, head_size),
        PyBytes_FromStringAndSize(<const char*>payload, payload_size) if payload_size else b"",
        timeout_nano,
    )


cdef uint8_t* put_head(uint8_t* p, Py_ssize_t size, uint32_t stream_id, uint8_t kind,
                       uint8_t flags) noexcept nogil:
    store_u32(p, <uint32_t>size)
    store_u32(p + 4, stream_id)
    p[8] = kind
    p[9] = flags
    return p + FRAME_HEAD


cdef inline int check_size(Py_ssize_t size) except -1:
    if size > FRAME_BYTES_LIMIT:
        raise ValueError(f"an envelope of {size} bytes does not fit a frame")
    return 0


def request_frame(
    uint32_t stream_id, uint8_t flags, bytes head not None, bytes payload not None,
    int64_t timeout_nano, bytes tag not None, bytes more not None,
):
    """Return the whole frame of a Request whose request id and traceparent are made here.

    Args:
        head: what a Request of service and method alone encodes to.
        timeout_nano: 0: none.
        tag: 16 hex digits, the same for all requests of a connection; with the stream id they
            make the request id <tag>-<id> and the trace 00-<tag><id>-<id>-01.
        more: further metadata, as a Request of them alone encodes.
    Raises:
        ValueError: *tag* has another size, *timeout_nano* is negative, a frame cannot hold it.
        OverflowError: a number does not fit its field.
    """
    cdef Py_ssize_t payload_size = PyBytes_GET_SIZE(payload)
    cdef int digits = hex_digits(stream_id)
    cdef int id_bytes = TAG_BYTES + 1 + digits
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head) + PyBytes_GET_SIZE(more)
    cdef bytes frame
    cdef uint8_t* p
    if PyBytes_GET_SIZE(tag) != TAG_BYTES or timeout_nano < 0:
        raise ValueError(f"tag {tag!r} or timeout {timeout_nano} is malformed")
    if payload_size:
        size += 1 + varint_size(payload_size) + payload_size
    if timeout_nano:
        size += 1 + varint_size(timeout_nano)
    size += 2 + 2 + ID_KEY_BYTES + 2 + id_bytes + 2 + 2 + TRACE_KEY_BYTES + 2 + TRACE_BYTES
    check_size(size)
    frame = PyBytes_FromStringAndSize(NULL, FRAME_HEAD + size)
    p = put_head(<uint8_t*>PyBytes_AS_STRING(frame), size, stream_id, REQUEST, flags)
    p = put_bytes(p, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    if payload_size:
        p[0] = PAYLOAD
        p = put_varint(p + 1, payload_size)
        p = put_bytes(p, PyBytes_AS_STRING(payload), payload_size)
    if timeout_nano:
        p[0] = TIMEOUT
        p = put_varint(p + 1, timeout_nano)
    p = put_pair(p, ID_KEY, ID_KEY_BYTES, id_bytes)
    p = put_bytes(p, PyBytes_AS_STRING(tag), TAG_BYTES)
    p[0] = c"-"
    p = put_hex(p + 1, stream_id, digits)
    p = put_pair(p, TRACE_KEY, TRACE_KEY_BYTES, TRACE_BYTES)
    p = put_bytes(p, b"00-", 3)
    p = put_bytes(p, PyBytes_AS_STRING(tag), TAG_BYTES)
    p = put_hex(p, stream_id, 16)
    p[0] = c"-"
    p = put_hex(p + 1, stream_id, 16)
    p = put_bytes(p, b"-01", 3)
    put_bytes(p, PyBytes_AS_STRING(more), PyBytes_GET_SIZE(more))
    return frame


cdef uint8_t* put_pair(uint8_t* p, const char* key, int key_bytes, int value_bytes) noexcept nogil:
    """A metadata pair up to where its value of *value_bytes* begins; all sizes are below 128."""
    p[0] = METADATA
    p[1] = <uint8_t>(4 + key_bytes + value_bytes)
    p[2] = FIRST
    p[3] = <uint8_t>key_bytes
    p = put_bytes(p + 4, key, key_bytes)
    p[0] = SECOND
    p[1] = <uint8_t>value_bytes
    return p + 2


def response_frame(uint32_t stream_id, bytes payload not None):
    """Return the whole frame of a Response that succeeded with *payload*.

    Raises:
        ValueError: a frame cannot hold it.
        OverflowError: *stream_id* does not fit its field.
    """
    cdef Py_ssize_t payload_size = PyBytes_GET_SIZE(payload)
    cdef Py_ssize_t size = 1 + varint_size(payload_size) + payload_size if payload_size else 0
    check_size(size)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, FRAME_HEAD + size)
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(frame)
    p = put_head(p, size, stream_id, RESPONSE, 0)
    if payload_size:
        p[0] = SECOND
        p = put_varint(p + 1, payload_size)
        put_bytes(p, PyBytes_AS_STRING(payload), payload_size)
    return frame


def split_response(bytes envelope not None):
    """Return the payload of a Response without a status, or None: ask protobuf."""
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(envelope)
    cdef const uint8_t* end = start + PyBytes_GET_SIZE(envelope)
    cdef const uint8_t* p
    cdef uint64_t size = 0
    if start == end:
        return b""
    p = take_field(start, end, SECOND, &size)
    if p == NULL or p + size != end:
        return None
    return PyBytes_FromStringAndSize(<const char*>p, size)
