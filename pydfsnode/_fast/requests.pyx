"""Requests of the Namespace service: from their bytes to those of log entries, no objects between.

Only the form that is asked for all the time is known here: each field at most once, in its short
form, and no other field. Everything else is None: then protobuf says what it is, or refuses it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from pydfsnode._fast.protobuf_fields cimport varint_size

cdef enum:
    NUMBERS = 16  # of the fields whose tag is one byte
    FIELDS_MAX = 9  # a short array of msgpack has 15 elements: a tag, a head of 5, and these
    HEAD_BYTES_MAX = 2 + 4 * 9 + 5  # tag, four numbers, the head of a text
    FIELD_BYTES_MAX = 9  # a number, or the head of a text
    U32_MAX = 0xFFFFFFFF
    VARINT = 0  # wire types of protobuf
    SIZED = 2
    OP = 0x0A  # tag of field 1 in each request for a change: its OpId
    CLIENT_ID = 0x09  # the tags in it
    SEQ = 0x10
    FIRST_UNACKED = 0x18

cdef enum:
    TEXT
    U32
    U64
    FLAG
    BYTES

_KINDS = {"text": TEXT, "u32": U32, "u64": U64, "flag": FLAG, "bytes": BYTES}


# ---- protobuf

cdef inline const uint8_t* take_varint(
    const uint8_t* p, const uint8_t* end, uint64_t* value
) noexcept nogil:
    """The byte after the varint at *p*; NULL when it is cut, or has 10 bytes or more."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while p < end and shift < 63:
        byte = p[0]
        value[0] |= <uint64_t>(byte & 0x7F) << shift
        p += 1
        if byte < 0x80:
            return p
        shift += 7
    return NULL


cdef inline const uint8_t* take_size(
    const uint8_t* p, const uint8_t* end, uint64_t* size
) noexcept nogil:
    """Where the content of a sized field begins; NULL when it is not there whole."""
    p = take_varint(p, end, size)
    if p == NULL or size[0] > <uint64_t>(end - p):
        return NULL
    return p


cdef bint is_text(const uint8_t* p, uint64_t size):
    cdef uint64_t i
    cdef uint8_t seen = 0
    for i in range(size):
        seen |= p[i]
    if seen < 0x80:
        return True
    try:
        PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
    except UnicodeDecodeError:
        return False
    return True


cdef bint take_op(const uint8_t* p, const uint8_t* end, uint64_t* op) noexcept nogil:
    """Whether an OpId is all there is: client id, seq and first_unacked, the last perhaps 0."""
    cdef uint8_t tag
    op[0] = op[1] = op[2] = 0
    while p < end:
        tag = p[0]
        p += 1
        if tag == CLIENT_ID and op[0] == 0 and end - p >= 8:
            memcpy(&op[0], p, 8)
            p += 8
        elif tag == SEQ and op[1] == 0:
            p = take_varint(p, end, &op[1])
        elif tag == FIRST_UNACKED and op[2] == 0:
            p = take_varint(p, end, &op[2])
        else:
            return False
        if p == NULL:
            return False
    return op[0] != 0 and op[1] != 0


# ---- msgpack

cdef inline uint8_t* put_big(uint8_t* p, uint8_t head, uint64_t value, int size) noexcept nogil:
    cdef int i
    p[0] = head
    for i in range(size):
        p[size - i] = <uint8_t>(value >> (8 * i))
    return p + size + 1


cdef inline uint8_t* put_number(uint8_t* p, uint64_t value) noexcept nogil:
    if value < 0x80:
        p[0] = <uint8_t>value
        return p + 1
    if value < 0x100:
        return put_big(p, 0xCC, value, 1)
    if value < 0x10000:
        return put_big(p, 0xCD, value, 2)
    if value <= U32_MAX:
        return put_big(p, 0xCE, value, 4)
    return put_big(p, 0xCF, value, 8)


cdef inline uint8_t* put_sized(
    uint8_t* p, uint8_t head, const void* content, uint64_t size
) noexcept nogil:
    """*content* behind its size, whose form of one byte is *head*."""
    if size < 0x100:
        p = put_big(p, head, size, 1)
    elif size < 0x10000:
        p = put_big(p, head + 1, size, 2)
    else:
        p = put_big(p, head + 2, size, 4)
    if size:
        memcpy(p, content, size)
    return p + size


cdef inline uint8_t* put_text(uint8_t* p, const void* text, uint64_t size) noexcept nogil:
    if size < 32:
        p[0] = <uint8_t>(0xA0 | size)
        if size:  # of a field that was not sent *text* is NULL, which memcpy must not be given
            memcpy(p + 1, text, size)
        return p + 1 + size
    return put_sized(p, 0xD9, text, size)


cdef class OpCoder:
    """The payloads of one kind of operation, from the requests for it; made once.

    Args of the constructor:
        tag: the operation's in the log.
        fields: for each of its fields, in order, the field of the request: number, kind and, for
            numbers, what 0 stands for. Kinds: text, u32, u64, flag; bytes, which must be there.
    Raises:
        ValueError, KeyError: such an operation has another form.
    """

    def __init__(self, int tag, fields not None):
        if not 0 <= tag < 0x80 or len(fields) > FIELDS_MAX:
            raise ValueError(f"an operation of tag {tag} with {len(fields)} fields is not known")
        self.tag = tag
        self.count = len(fields)
        memset(self.slots, 0xFF, sizeof(self.slots))
        for slot, (number, kind, default) in enumerate(fields):
            if not 1 < number < NUMBERS:
                raise ValueError(f"field {number} is not known")
            self.slots[number] = slot
            self.kinds[slot] = _KINDS[kind]
            self.defaults[slot] = default

    def encode(self, bytes request not None, int64_t at_ms, str user not None):
        """Return (client id, payload) for *request*, None: ask protobuf.

        Args:
            at_ms, user: as in the head of every operation.
        """
        cdef uint64_t op[3]
        cdef uint64_t numbers[FIELDS_MAX]
        cdef const uint8_t* contents[FIELDS_MAX]
        cdef uint8_t stack[512]
        cdef bytes large = None
        cdef uint8_t* begin = stack
        cdef uint8_t* p
        cdef Py_ssize_t user_size, needed
        cdef const char* user_text = PyUnicode_AsUTF8AndSize(user, &user_size)
        if at_ms < 0 or not self.take(request, op, numbers, contents):
            return None
        needed = PyBytes_GET_SIZE(request) + user_size + HEAD_BYTES_MAX
        needed += self.count * FIELD_BYTES_MAX
        if needed > <Py_ssize_t>sizeof(stack):
            large = PyBytes_FromStringAndSize(NULL, needed)
            begin = <uint8_t*>PyBytes_AS_STRING(large)
        begin[0] = <uint8_t>(0x90 | (6 + self.count))
        begin[1] = <uint8_t>self.tag
        p = put_number(begin + 2, op[0])
        p = put_number(p, op[1])
        p = put_number(p, op[2])
        p = put_number(p, <uint64_t>at_ms)
        p = put_text(p, user_text, user_size)
        p = self.put_fields(p, numbers, contents)
        return op[0], PyBytes_FromStringAndSize(<const char*>begin, p - begin)

    cdef bint take(
        self, bytes request, uint64_t* op, uint64_t* numbers, const uint8_t** contents
    ):
        """Whether *request* is of the known form; then the rest is what it says."""
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(request)
        cdef const uint8_t* end = p + PyBytes_GET_SIZE(request)
        cdef uint64_t size = 0
        cdef int slot, seen = 0
        cdef uint8_t tag
        op[0] = 0
        memset(numbers, 0, FIELDS_MAX * sizeof(uint64_t))
        memset(contents, 0, FIELDS_MAX * sizeof(uint8_t*))
        while p < end:
            tag = p[0]
            p += 1
            if tag == OP:
                p = take_size(p, end, &size)
                if op[0] or p == NULL or not take_op(p, p + size, op):
                    return False
                p += size
                continue
            slot = self.slots[tag >> 3] if tag < 0x80 else -1
            if slot < 0 or seen & (1 << slot):
                return False
            seen |= 1 << slot
            p = self.take_field(p, end, slot, tag & 7, numbers, contents)
            if p == NULL:
                return False
        for slot in range(self.count):
            if self.kinds[slot] == BYTES and not seen & (1 << slot):
                return False
        return op[0] != 0

    cdef const uint8_t* take_field(
        self, const uint8_t* p, const uint8_t* end, int slot, int wire_type, uint64_t* numbers,
        const uint8_t** contents,
    ):
        cdef int kind = self.kinds[slot]
        if kind == TEXT or kind == BYTES:
            if wire_type != SIZED:
                return NULL
            p = take_size(p, end, &numbers[slot])
            if p == NULL or kind == TEXT and not is_text(p, numbers[slot]):
                return NULL
            contents[slot] = p
            return p + numbers[slot]
        if wire_type != VARINT:
            return NULL
        p = take_varint(p, end, &numbers[slot])
        if kind == U32 and numbers[slot] > U32_MAX or kind == FLAG and numbers[slot] > 1:
            return NULL
        return p

    cdef uint8_t* put_fields(
        self, uint8_t* p, const uint64_t* numbers, const uint8_t** contents
    ) noexcept:
        cdef int slot, kind
        for slot in range(self.count):
            kind = self.kinds[slot]
            if kind == TEXT:
                p = put_text(p, contents[slot], numbers[slot])
            elif kind == BYTES:
                p = put_sized(p, 0xC4, contents[slot], numbers[slot])
            elif kind == FLAG:
                p[0] = 0xC3 if numbers[slot] else 0xC2
                p += 1
            else:
                p = put_number(p, numbers[slot] or self.defaults[slot])
        return p


def only_text(bytes request not None):
    """Return the text in field 1 of a message that has nothing else, None: ask protobuf."""
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(request)
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(request)
    cdef uint64_t size = 0
    if p == end:
        return ""
    if p[0] != 0x0A:
        return None
    p = take_size(p + 1, end, &size)
    if p == NULL or p + size != end:
        return None
    try:
        return PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
    except UnicodeDecodeError:
        return None


cdef inline Py_ssize_t field_size(Py_ssize_t size) noexcept nogil:
    """Of the field with a content of *size*; one that is empty is left out."""
    return 1 + varint_size(size) + size if size else 0


cdef inline uint8_t* put_head(uint8_t* p, uint8_t tag, uint64_t size) noexcept nogil:
    p[0] = tag
    p += 1
    while size >= 0x80:
        p[0] = <uint8_t>(size | 0x80)
        p += 1
        size >>= 7
    p[0] = <uint8_t>size
    return p + 1


def batch_response(list responses not None, dict errors not None):
    """Return the BatchResponse with *responses*, encoded; where one is None, *errors* has it.

    Args:
        errors: position to an encoded ErrorInfo.
    Raises:
        KeyError: an answer is missing.
    """
    cdef list answers = []
    cdef bytes answer, response
    cdef Py_ssize_t size = 0, inner, at
    cdef uint8_t* p
    for at, found in enumerate(responses):
        answer = errors[at] if found is None else found
        inner = field_size(PyBytes_GET_SIZE(answer))
        size += 1 + varint_size(inner) + inner
        answers.append(answer)
    response = PyBytes_FromStringAndSize(NULL, size)
    p = <uint8_t*>PyBytes_AS_STRING(response)
    for at, found in enumerate(responses):
        answer = answers[at]
        inner = PyBytes_GET_SIZE(answer)
        p = put_head(p, 0x0A, field_size(inner))
        if inner:
            p = put_head(p, 0x12 if found is None else 0x0A, inner)
            memcpy(p, PyBytes_AS_STRING(answer), inner)
            p += inner
    return response
