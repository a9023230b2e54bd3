"""Memory for packets that is used again, page-aligned, as soon as nobody refers to it.

A fresh megabyte costs the kernel 256 page faults and as many pages to clear: about as much as
checking its CRC-32C three times. Who holds a view holds the memory; there is nothing to give back.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uintptr_t
from libc.stdlib cimport free

cdef extern from "stdlib.h" nogil:
    void* aligned_alloc(size_t alignment, size_t size)

cdef enum:
    # Kept for the next: what a connection's window and a reader's lead have in use.
    KEPT_MAX = 32
    # Room before the page that the bytes behind a head begin on.
    BLOCK_BYTES = PAGE_BYTES + BLOCK_DATA_BYTES

# Changed with the GIL held, which is not let go of in between.
cdef uint8_t* kept[KEPT_MAX]
cdef Py_ssize_t kept_count = 0


cdef uint8_t* take_block() except NULL:
    global kept_count
    cdef void* block
    if kept_count:
        kept_count -= 1
        return kept[kept_count]
    block = aligned_alloc(PAGE_BYTES, BLOCK_BYTES)
    if block == NULL:
        raise MemoryError(f"no memory for a buffer of {BLOCK_BYTES} bytes")
    return <uint8_t*>block


cdef void give_block(uint8_t* block) noexcept:
    global kept_count
    if kept_count < KEPT_MAX:
        kept[kept_count] = block
        kept_count += 1
    else:
        free(block)


# It refers to no other object, so the collector has nothing to look for in it.
@cython.final
@cython.no_gc
cdef class WarmBuffer:
    """*size* bytes that hold whatever was there before; use it through a memoryview.

    Args:
        size: at most a packet of a chunk stream behind *lead* bytes.
        lead: the byte after so many is the first of a page, for direct reads and writes.

    Raises:
        ValueError: no block is so large.
    """

    def __init__(self, Py_ssize_t size, Py_ssize_t lead=0):
        if lead < 0 or lead > PAGE_BYTES or size < lead or size - lead > BLOCK_DATA_BYTES:
            raise ValueError(
                f"{size} bytes with a page after {lead}: at most {BLOCK_DATA_BYTES} behind it"
            )
        if self.block == NULL:  # else it is called a second time
            self.block = take_block()
        self.start = self.block + PAGE_BYTES - lead
        self.size = size

    def __dealloc__(self):
        if self.block != NULL:
            give_block(self.block)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.start, self.size, self.frozen, flags)

    def frozen_view(self):
        """Return a view of the bytes, which no view taken from now on may change."""
        self.frozen = True
        return memoryview(self)


cdef bint is_warm_size(Py_ssize_t size, Py_ssize_t lead) noexcept:
    """Whether *size* bytes fit a block and use most of it."""
    return size >= WARM_BYTES_MIN and size - lead <= BLOCK_DATA_BYTES


cdef WarmBuffer warm_buffer(Py_ssize_t size, Py_ssize_t lead):
    """A buffer for sibling modules."""
    return WarmBuffer(size, lead)


def is_page_aligned(data):
    """Return whether *data* (contiguous bytes) begins on a page and is whole pages.

    Raises:
        TypeError, BufferError: *data* is not bytes-like, or not contiguous.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    aligned = <uintptr_t>view.buf % PAGE_BYTES == 0 and view.len % PAGE_BYTES == 0
    PyBuffer_Release(&view)
    return aligned


def kept_blocks():
    """Return how many blocks wait for their next use."""
    return kept_count
