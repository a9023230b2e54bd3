"""CRC-32C of bytes, of blocks, and of joined parts; thin wrappers over crc32c_kernel.c."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "crc32c_kernel.h" nogil:
    void crc32c_setup()
    uint32_t crc32c_extend(uint32_t value, const uint8_t* data, size_t size)
    uint32_t crc32c_joined(uint32_t first, uint32_t second, uint64_t second_size)
    const char* crc32c_kernel_name()
    int crc32c_force(int number)

# Below this, giving the GIL away and taking it back costs more than the checksum.
cdef enum:
    GIL_RELEASE_BYTES = 32 * 1024

crc32c_setup()


cdef uint32_t extend_freely(uint32_t value, const uint8_t* data, size_t size) noexcept:
    """The CRC continued from *value*; the GIL, held by the caller, is released where it pays."""
    if size < GIL_RELEASE_BYTES:
        return crc32c_extend(value, data, size)
    with nogil:
        value = crc32c_extend(value, data, size)
    return value


def crc32c(data, uint32_t value=0):
    """Return the CRC-32C of *data* (contiguous bytes), continued from *value*.

    crc32c(b, crc32c(a)) == crc32c(a + b). The GIL is released from 32 KiB up.

    Raises:
        OverflowError: *value* is not an unsigned 32-bit number.
        TypeError, BufferError: *data* is not bytes-like, or not contiguous.
    Source: RFC 3720 appendix B.4; checked against tests/reference/crc32c.py.
    """
    cdef Py_buffer view
    # A Py_buffer, not a typed memoryview: that costs three times the checksum of a small record.
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    value = extend_freely(value, <const uint8_t*>view.buf, <size_t>view.len)
    PyBuffer_Release(&view)
    return value


cdef uint32_t join_freely(uint32_t first, uint32_t second, uint64_t second_size) noexcept:
    """`crc32c_combine` for sibling modules."""
    return crc32c_joined(first, second, second_size)


def crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size):
    """Return crc32c(a + b) from crc32c(a), crc32c(b) and the size of b in bytes.

    Raises:
        OverflowError: a CRC is not an unsigned 32-bit number, or the size not one of 64.
    Source: x^(8 * size) mod P by squaring, as zlib's crc32_combine.
    """
    return crc32c_joined(first, second, second_size)


cdef inline void store_u32(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>value
    p[1] = <uint8_t>(value >> 8)
    p[2] = <uint8_t>(value >> 16)
    p[3] = <uint8_t>(value >> 24)


cdef inline uint32_t load_u32(const uint8_t* p) noexcept nogil:
    return (
        <uint32_t>p[0] | <uint32_t>p[1] << 8 | <uint32_t>p[2] << 16 | <uint32_t>p[3] << 24
    )


cdef void sum_blocks(
    const uint8_t* p, size_t size, size_t block_size, uint8_t* sums
) noexcept nogil:
    cdef size_t take
    while size:
        take = min(size, block_size)
        store_u32(sums, crc32c_extend(0, p, take))
        p += take
        size -= take
        sums += 4


cdef Py_ssize_t first_bad_block(
    const uint8_t* p, size_t size, size_t block_size, const uint8_t* sums
) noexcept nogil:
    cdef size_t take
    cdef Py_ssize_t index = 0
    while size:
        take = min(size, block_size)
        if crc32c_extend(0, p, take) != load_u32(sums + 4 * index):
            return index
        p += take
        size -= take
        index += 1
    return -1


cdef Py_ssize_t count_blocks(Py_ssize_t size, Py_ssize_t block_size) except -1:
    if block_size < 1:
        raise ValueError(f"block_size is {block_size}, must be at least 1")
    return size // block_size + (1 if size % block_size else 0)


def block_checksums(data, Py_ssize_t block_size):
    """Return the CRC-32C of each *block_size* bytes of *data*: u32 little-endian, in a row.

    The last block may be short; no data gives no checksums. The GIL is released from 32 KiB up.

    Raises:
        ValueError: *block_size* is less than 1.
        TypeError, BufferError: *data* is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view
    cdef bytes sums
    cdef uint8_t* out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        sums = PyBytes_FromStringAndSize(NULL, 4 * count_blocks(view.len, block_size))
        out = <uint8_t*>PyBytes_AS_STRING(sums)
        if view.len < GIL_RELEASE_BYTES:
            sum_blocks(<const uint8_t*>view.buf, view.len, block_size, out)
        else:
            with nogil:
                sum_blocks(<const uint8_t*>view.buf, view.len, block_size, out)
    finally:
        PyBuffer_Release(&view)
    return sums


cdef Py_ssize_t verify(Py_buffer* view, Py_buffer* sums, Py_ssize_t block_size) except -2:
    cdef Py_ssize_t blocks = count_blocks(view.len, block_size), bad
    if sums.len != 4 * blocks:
        raise ValueError(f"{sums.len} bytes of checksums for {blocks} blocks, must be {4 * blocks}")
    if view.len < GIL_RELEASE_BYTES:
        return first_bad_block(
            <const uint8_t*>view.buf, view.len, block_size, <const uint8_t*>sums.buf
        )
    with nogil:
        bad = first_bad_block(
            <const uint8_t*>view.buf, view.len, block_size, <const uint8_t*>sums.buf
        )
    return bad


def verify_blocks(data, checksums, Py_ssize_t block_size):
    """Return the index of the first block of *data* that does not match *checksums*, or -1.

    *checksums* is what `block_checksums` returned. The GIL is released from 32 KiB up.

    Raises:
        ValueError: *block_size* is less than 1, or *checksums* is not 4 bytes for each block.
        TypeError, BufferError: an argument is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view, sums
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        PyObject_GetBuffer(checksums, &sums, PyBUF_SIMPLE)
        try:
            return verify(&view, &sums, block_size)
        finally:
            PyBuffer_Release(&sums)
    finally:
        PyBuffer_Release(&view)


def hardware():
    """Return the kernel in use: avx512+vpclmul, sse4.2+pclmul, sse4.2, armv8 or portable."""
    return crc32c_kernel_name().decode("ascii")


def kernels():
    """Return the names of the kernels that this processor has, the fastest last; for tests."""
    before = hardware()
    names = []
    while crc32c_force(len(names)):
        names.append(hardware())
    crc32c_force(names.index(before))
    return names


def force_kernel(str name):
    """Use the kernel of this name in this process; for tests.

    Raises:
        ValueError: this processor has none of that name.
    """
    crc32c_force(kernels().index(name))
