"""The answers that clients get most, from bytes straight to the values they return.

Fields that this version does not know are passed over. For anything else that our own nodes do not
send the readers give None, and the caller asks protobuf: what is malformed is decided there alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from pydfsnode._fast.protobuf_fields cimport Field, SIZED, VARINT, take_field

cdef enum:
    DIRECTORY = 2
    STATUS_FIELDS = 18  # the numbers of FileStatus, and 0
    CHUNK_FIELDS = 8  # of ChunkLocation
    LABEL_FIELDS = 5  # of Freshness
    ANSWER_FIELDS = 3  # of BatchAnswer
    STATUS_TEXTS = (1 << 1) | (1 << 5) | (1 << 6) | (1 << 13)
    CHUNK_SIZED = (1 << 6) | (1 << 7)
    REPLICAS = 6
    CONTENT = 7
    FRESHNESS = 15
    OPEN_CHUNK = 3


class Unusual(Exception):
    """A message that only protobuf may judge."""


cdef int take_known(Field* message, Field* known, int count, uint32_t sized) except -1:
    """Fill *known* with the fields of *message* by number, the last of each; *sized* has a bit for
    each number whose field is no varint."""
    if message.kind != SIZED:
        raise Unusual
    cdef const uint8_t* p = message.content
    cdef const uint8_t* end = p + message.value
    cdef Field field
    memset(known, 0, count * sizeof(Field))
    while p < end:
        p = take_field(p, end, &field)
        if p == NULL:
            raise Unusual
        if field.number < <uint64_t>count:
            if field.kind != (SIZED if (sized >> field.number) & 1 else VARINT):
                raise Unusual
            known[field.number] = field
    return 0


cdef inline int keep_one(Field* field, uint64_t number, Field* kept) except -1:
    """Keep the message that is field *number*; one that comes twice would have to be merged."""
    if field.number == number:
        if field.kind != SIZED or kept.content != NULL:
            raise Unusual
        kept[0] = field[0]
    return 0


cdef inline str text(Field* field):
    if not field.value:
        return ""
    return PyUnicode_DecodeUTF8(<const char*>field.content, field.value, NULL)


cdef inline bint says(Field* field, str known) except *:
    """Whether the text in *field* is *known*."""
    cdef Py_ssize_t size
    cdef const char* content = PyUnicode_AsUTF8AndSize(known, &size)
    return field.value == <uint64_t>size and memcmp(field.content, content, size) == 0


cdef class ClientAnswers:
    """Reads answers; made once.

    Args of the constructor:
        status_class, chunk_class, freshness_class: of what is returned; called with the fields of
            client.model's classes of that name, in their order.
        file_type, directory_type: what a status says of its type.
    """

    def __init__(
        self, status_class, chunk_class, freshness_class, str file_type not None,
        str directory_type not None,
    ):
        self.status_class = status_class
        self.chunk_class = chunk_class
        self.freshness_class = freshness_class
        self.file_type = file_type
        self.directory_type = directory_type
        self.owner = self.group = ""

    def status(self, bytes answer not None):
        """Return the status in field 1 of *answer*, labelled with its field 15; None: ask protobuf.

        So answer Stat and all changes that have a status.
        """
        try:
            return self.read_status(answer)
        except (Unusual, UnicodeDecodeError):
            return None

    def page(self, bytes answer not None):
        """Return (statuses, whether more follow, label) of a ListResponse; None: ask protobuf."""
        try:
            return self.read_page(answer)
        except (Unusual, UnicodeDecodeError):
            return None

    def located(self, bytes answer not None):
        """Return (status, chunks) of a LocateResponse; None: ask protobuf.

        Only of files whose chunks have no replicas: those that the masters keep themselves; and
        that nobody writes.
        """
        try:
            return self.read_located(answer)
        except (Unusual, UnicodeDecodeError):
            return None

    cdef object read_status(self, bytes answer):
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(answer)
        cdef const uint8_t* end = p + PyBytes_GET_SIZE(answer)
        cdef Field field, found, label
        found.content = label.content = NULL
        while p < end:
            p = take_field(p, end, &field)
            if p == NULL:
                raise Unusual
            keep_one(&field, 1, &found)
            keep_one(&field, FRESHNESS, &label)
        if found.content == NULL:
            raise Unusual
        return self.one_status(&found, self.label_of(&label))

    cdef tuple read_page(self, bytes answer):
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(answer)
        cdef const uint8_t* begin = p
        cdef const uint8_t* end = p + PyBytes_GET_SIZE(answer)
        cdef Field field, label
        cdef bint more = False
        cdef list statuses = []
        label.content = NULL
        while p < end:  # the label first: it stands last, and goes into each status
            p = take_field(p, end, &field)
            if p == NULL or (field.number == 2 and field.kind != VARINT):
                raise Unusual
            keep_one(&field, FRESHNESS, &label)
            if field.number == 2:
                more = field.value != 0
        freshness = self.label_of(&label)
        p = begin
        while p < end:
            p = take_field(p, end, &field)
            if field.number == 1:
                statuses.append(self.one_status(&field, freshness))
        return statuses, more, freshness

    cdef tuple read_located(self, bytes answer):
        cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(answer)
        cdef const uint8_t* end = p + PyBytes_GET_SIZE(answer)
        cdef Field field, found, label
        cdef list chunks = []
        found.content = label.content = NULL
        while p < end:
            p = take_field(p, end, &field)
            if p == NULL:
                raise Unusual
            keep_one(&field, 1, &found)
            keep_one(&field, FRESHNESS, &label)
            if field.number == OPEN_CHUNK:
                raise Unusual
            if field.number == 2:
                chunks.append(self.one_chunk(&field))
        if found.content == NULL:
            raise Unusual
        return self.one_status(&found, self.label_of(&label)), tuple(chunks)

    cdef object one_status(self, Field* message, object freshness):
        cdef Field known[STATUS_FIELDS]
        take_known(message, known, STATUS_FIELDS, STATUS_TEXTS)
        if known[5].value and not says(&known[5], self.owner):  # most statuses have the same
            self.owner = text(&known[5])
        if known[6].value and not says(&known[6], self.group):
            self.group = text(&known[6])
        return self.status_class(
            text(&known[1]),
            self.directory_type if <uint32_t>known[2].value == DIRECTORY else self.file_type,
            known[3].value,
            <uint32_t>known[4].value,
            self.owner if known[5].value else "",
            self.group if known[6].value else "",
            <uint32_t>known[7].value,
            <int64_t>known[8].value,
            text(&known[13]),
            known[9].value,
            known[10].value,
            known[11].value != 0,
            <uint32_t>known[12].value,
            <int64_t>known[14].value,
            <int64_t>known[15].value,
            known[16].value != 0,
            known[17].value != 0,
            freshness,
        )

    cdef object one_chunk(self, Field* message):
        cdef Field known[CHUNK_FIELDS]
        take_known(message, known, CHUNK_FIELDS, CHUNK_SIZED)
        if known[REPLICAS].content != NULL:
            raise Unusual
        return self.chunk_class(
            known[1].value, known[2].value, known[3].value, known[4].value,
            <uint32_t>known[5].value, (), content(&known[CONTENT]),
        )

    cdef object label_of(self, Field* message):
        cdef Field known[LABEL_FIELDS]
        if message.content == NULL:
            return None
        take_known(message, known, LABEL_FIELDS, (1 << 3) | (1 << 4))
        return self.freshness_class(
            known[1].value != 0,
            <int64_t>((known[2].value >> 1) ^ -(known[2].value & 1)),
            text(&known[3]),
            text(&known[4]),
        )


cdef inline bytes content(Field* field):
    if not field.value:
        return b""
    return PyBytes_FromStringAndSize(<const char*>field.content, field.value)


def split_batch(bytes response not None):
    """Return (responses, errors) of a BatchResponse; None: ask protobuf.

    `responses` has for each call its response, encoded; `errors` the encoded error of those that
    failed, by position.
    """
    try:
        return read_batch(response)
    except Unusual:
        return None


cdef tuple read_batch(bytes response):
    cdef const uint8_t* p = <const uint8_t*>PyBytes_AS_STRING(response)
    cdef const uint8_t* end = p + PyBytes_GET_SIZE(response)
    cdef Field field
    cdef Field known[ANSWER_FIELDS]
    cdef list responses = []
    cdef dict errors = {}
    while p < end:
        p = take_field(p, end, &field)
        if p == NULL:
            raise Unusual
        if field.number == 1:
            take_known(&field, known, ANSWER_FIELDS, (1 << 1) | (1 << 2))
            if known[2].value:
                errors[len(responses)] = content(&known[2])
            responses.append(content(&known[1]))
    return responses, errors
