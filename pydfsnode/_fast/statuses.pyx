"""FileStatus messages of dfs.proto as bytes, straight from what they tell.

The same bytes as protobuf's own serialization: fields in the order of their numbers, zeros left
out. Answers to stat, list and every change carry them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pydfsnode._fast.protobuf_fields cimport put_number, put_varint

cdef enum:
    FILE = 1
    DIRECTORY = 2
    NUMBERS_BYTES_MAX = 128  # all numbers, the checksum and the heads of the strings
    CHECKSUM_BYTES = 15  # "crc32c:xxxxxxxx"

cdef const char* HEX = "0123456789abcdef"
cdef const char* CHECKSUM_HEAD = "crc32c:"


cdef inline uint8_t* put_text(
    uint8_t* p, int field, const char* text, Py_ssize_t size
) noexcept nogil:
    if size:
        p = put_varint(p, (<uint64_t>field << 3) | 2)
        p = put_varint(p, <uint64_t>size)
        memcpy(p, text, size)
        p += size
    return p


cdef uint8_t* put_checksum(uint8_t* p, uint32_t crc32c) noexcept nogil:
    cdef char text[CHECKSUM_BYTES]
    cdef int i
    memcpy(text, CHECKSUM_HEAD, 7)
    for i in range(8):
        text[7 + i] = HEX[(crc32c >> (28 - 4 * i)) & 15]
    return put_text(p, 13, text, CHECKSUM_BYTES)


cdef class Statuses:
    """Encodes one kind of answer; made once.

    Args of the constructor:
        is_open, has_acl, is_inline: the bits of `Inode.flags` that say so.
    """

    def __init__(self, int is_open, int has_acl, int is_inline):
        self.is_open = is_open
        self.has_acl = has_acl
        self.is_inline = is_inline

    def of_inode(self, inode, str path):
        """Return the FileStatus of *inode*, a handle of an InodeTable, which lies at *path*.

        Raises:
            UnicodeEncodeError: *path* is not valid Unicode.
        """
        cdef int flags = inode.flags
        if inode.is_file:
            return encode(
                path, FILE, inode.size, inode.replication, inode.owner, inode.group, inode.mode,
                inode.mtime_ms, inode.inode_id, inode.chunk_bytes, flags & self.is_open, 0,
                inode.crc32c, inode.ctime_ms, inode.atime_ms, flags & self.has_acl,
                flags & self.is_inline,
            )
        return encode(
            path, DIRECTORY, 0, 0, inode.owner, inode.group, inode.mode, inode.mtime_ms,
            inode.inode_id, 0, True, inode.child_count, 0, inode.ctime_ms, inode.atime_ms,
            flags & self.has_acl, False,
        )

    def of_view(self, view):
        """Return the FileStatus of *view*, a meta.results.FileView."""
        cdef str checksum = view.checksum
        cdef bint is_file = view.type == "file"
        return encode(
            view.path, FILE if is_file else DIRECTORY, view.size, view.replication, view.owner,
            view.group, view.mode, view.mtime_ms, view.inode_id, view.chunk_bytes,
            not checksum, view.child_count, int(checksum[7:], 16) if checksum else 0,
            view.ctime_ms, view.atime_ms, view.has_acl, view.inline,
        )


cdef bytes encode(
    str path, int kind, uint64_t size, uint32_t replication, str owner, str group, uint32_t mode,
    int64_t mtime_ms, uint64_t inode_id, uint64_t chunk_bytes, bint is_open, uint32_t child_count,
    uint32_t crc32c, int64_t ctime_ms, int64_t atime_ms, bint has_acl, bint is_inline,
):
    """`is_open` of a directory is ignored but for its checksum, which it has none of."""
    cdef Py_ssize_t path_size, owner_size, group_size
    cdef const char* path_text = PyUnicode_AsUTF8AndSize(path, &path_size)
    cdef const char* owner_text = PyUnicode_AsUTF8AndSize(owner, &owner_size)
    cdef const char* group_text = PyUnicode_AsUTF8AndSize(group, &group_size)
    cdef uint8_t stack[512]
    cdef bytes large = None
    cdef uint8_t* begin = stack
    cdef Py_ssize_t needed = path_size + owner_size + group_size + NUMBERS_BYTES_MAX
    if needed > <Py_ssize_t>sizeof(stack):
        large = PyBytes_FromStringAndSize(NULL, needed)
        begin = <uint8_t*>PyBytes_AS_STRING(large)
    cdef uint8_t* p = begin
    p = put_text(p, 1, path_text, path_size)
    p = put_number(p, 2, kind)
    p = put_number(p, 3, size)
    p = put_number(p, 4, replication)
    p = put_text(p, 5, owner_text, owner_size)
    p = put_text(p, 6, group_text, group_size)
    p = put_number(p, 7, mode)
    p = put_number(p, 8, <uint64_t>mtime_ms)
    p = put_number(p, 9, inode_id)
    p = put_number(p, 10, chunk_bytes)
    if kind == FILE and is_open:
        p = put_number(p, 11, 1)
    p = put_number(p, 12, child_count)
    if not is_open:
        p = put_checksum(p, crc32c)
    p = put_number(p, 14, <uint64_t>ctime_ms)
    p = put_number(p, 15, <uint64_t>atime_ms)
    p = put_number(p, 16, has_acl != 0)
    p = put_number(p, 17, is_inline != 0)
    return PyBytes_FromStringAndSize(<char*>begin, p - begin)


def messages_in_field_1(list messages not None, bint more=False):
    """Return a message whose repeated field 1 holds *messages*, encoded, and field 2 *more*.

    StatResponse and the answers to changes have one status there, ListResponse all entries.
    """
    cdef Py_ssize_t size = 2
    cdef bytes message
    for message in messages:
        size += PyBytes_GET_SIZE(message) + 11
    cdef bytes answer = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* begin = <uint8_t*>PyBytes_AS_STRING(answer)
    cdef uint8_t* p = begin
    for message in messages:
        p = put_varint(p, (1 << 3) | 2)
        p = put_varint(p, <uint64_t>PyBytes_GET_SIZE(message))
        memcpy(p, PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
        p += PyBytes_GET_SIZE(message)
    p = put_number(p, 2, more)
    return answer[: p - begin]
