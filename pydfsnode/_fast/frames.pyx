"""ttrpc frames out of a stream of bytes, received into place, without a copy of large ones.

INV-FRAME-1 A large frame's payload is received into an object of its own; until the last byte has
come nobody but the view handed to the transport reaches that object, and that view is released
before the object is handed out.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memmove

from pydfsnode._fast.warm_buffers cimport WarmBuffer, is_warm_size, warm_buffer

cdef enum:
    HEAD_BYTES = 10
    KIND_MAX = 3  # 1 request, 2 response, 3 data
    FRAME_BYTES_LIMIT = 0x7FFFFFFF
    SMALL_BUFFER_BYTES = 256 * 1024
    SMALL_BUFFER_BYTES_MIN = 64
    # From this size on, a frame gets an object of its own at once.
    LARGE_FRAME_BYTES = 64 * 1024
    # Offered after a large frame: one TLS record, enough to learn the next head. More of a next
    # large frame would have to be copied out of the small buffer.
    PROBE_BYTES = 16 * 1024
    DATA = 3
    # Of a packet's payload (rpc/chunk_packets.py): what is behind it then begins on a page.
    PACKET_HEAD_BYTES = 16

FRAME_HEAD_BYTES = HEAD_BYTES


cdef inline void store_u32(uint8_t* p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t>(value >> 24)
    p[1] = <uint8_t>(value >> 16)
    p[2] = <uint8_t>(value >> 8)
    p[3] = <uint8_t>value


cdef inline uint32_t load_u32(const uint8_t* p) noexcept nogil:
    return (
        <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | <uint32_t>p[3]
    )


def frame_head(uint32_t size, uint32_t stream_id, uint8_t kind, uint8_t flags):
    """Return the 10 bytes before *size* bytes of payload.

    Big-endian: size u32 | stream id u32 | kind u8 | flags u8.

    Raises:
        OverflowError: a number does not fit its field.
    """
    cdef bytes head = PyBytes_FromStringAndSize(NULL, HEAD_BYTES)
    cdef uint8_t* p = <uint8_t*>PyBytes_AS_STRING(head)
    store_u32(p, size)
    store_u32(p + 4, stream_id)
    p[8] = kind
    p[9] = flags
    return head


# Without garbage collection hooks: gc.get_referents must not show a payload that is not full yet.
@cython.final
@cython.no_gc
cdef class _Window:
    """Lends writable memory to the transport; it and its owner live as long as a view does."""

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self.closed:
            raise BufferError("the view given by FrameReader.get_buffer is no longer valid")
        PyBuffer_FillInfo(buffer, self, self.start, self.size, 0, flags)


@cython.final
@cython.no_gc
cdef class _Memory:
    """The reader's own buffer, an object of its own because a view may outlive the reader."""

    def __cinit__(self, Py_ssize_t size):
        self.start = <uint8_t*>PyMem_Malloc(size)
        if self.start == NULL:
            raise MemoryError(f"no memory for a receive buffer of {size} bytes")

    def __dealloc__(self):
        PyMem_Free(self.start)


@cython.final
@cython.no_gc
cdef class _Filling:
    """A packet's buffer until its last byte has come; hides it from the collector's views too."""


@cython.final
cdef class FrameReader:
    """Cuts one connection's bytes into frames; made for asyncio.BufferedProtocol.

    Hand `get_buffer(...)` to the transport, then report what it wrote with `buffer_updated(n)`.
    Frames up to 64 KiB are cut from one reused buffer; a larger one is received in place.

    Args:
        frame_bytes_max: the largest payload accepted, in bytes.
        small_buffer_bytes: size of the reused buffer, at least 64.
    """

    def __init__(
        self, Py_ssize_t frame_bytes_max, Py_ssize_t small_buffer_bytes=SMALL_BUFFER_BYTES
    ):
        if frame_bytes_max < 0 or frame_bytes_max > FRAME_BYTES_LIMIT:
            raise ValueError(
                f"frame_bytes_max is {frame_bytes_max}, must be 0 to {FRAME_BYTES_LIMIT}"
            )
        if small_buffer_bytes < SMALL_BUFFER_BYTES_MIN:
            raise ValueError(
                f"small_buffer_bytes is {small_buffer_bytes}, at least {SMALL_BUFFER_BYTES_MIN}"
            )
        if self.memory is not None:
            raise TypeError("a FrameReader is initialised once")
        self.memory = _Memory(small_buffer_bytes)
        self.capacity = small_buffer_bytes
        self.large_bytes = min(LARGE_FRAME_BYTES, small_buffer_bytes - HEAD_BYTES)
        self.frame_bytes_max = frame_bytes_max

    def get_buffer(self, Py_ssize_t size_hint):
        """Return writable memory for the transport to receive into; *size_hint* is not used.

        The memoryview is valid until `buffer_updated`, which releases it. A view that was not
        filled is replaced by the next call. The transport must not keep slices of it.

        Raises:
            ValueError: a frame before was refused.
        """
        cdef _Window window = _Window.__new__(_Window)
        self.check_usable()
        self.release_view()
        if self.large_start != NULL:
            window.owner = self.packet.buffer if self.large is None else self.large
            window.start = self.large_start + self.large_filled
            window.size = self.large_total - self.large_filled
        else:
            self.move_to_front()
            window.owner = self.memory
            window.start = self.memory.start + self.end
            window.size = self.capacity - self.end
            if self.probing:
                window.size = min(window.size, PROBE_BYTES)
        self.window = window
        self.view = memoryview(window)
        self.offered = window.size
        return self.view

    def buffer_updated(self, Py_ssize_t size):
        """Take the *size* bytes that the transport wrote into the view; return the whole frames.

        Each frame is (stream_id, kind, flags, payload); the payload is a bytes object of its own,
        or of Data as large as a chunk's packet a read-only view of a warm buffer.

        Raises:
            ValueError: a frame is larger than frame_bytes_max or its kind is unknown: the stream
                cannot be read on, and every later call raises too; or *size* is more than was
                offered.
        """
        cdef list frames = []
        self.check_usable()
        if size < 0 or size > self.offered:
            raise ValueError(f"{size} bytes reported, {self.offered} were offered")
        self.release_view()
        if self.large_start != NULL:
            self.large_filled += size
            if self.large_filled == self.large_total:
                self.finish_large(frames)
        else:
            self.end += size
            if size:
                self.probing = False
            self.cut(frames)
        return frames

    def pending(self):
        """Return how many bytes of an incomplete frame are held, its head included."""
        if self.large_start != NULL:
            return HEAD_BYTES + self.large_filled
        return self.end - self.start

    cdef int check_usable(self) except -1:
        if self.memory is None:
            raise ValueError("the FrameReader was not initialised")
        if self.broken:
            raise ValueError("a frame before was refused; close the connection")
        return 0

    cdef int release_view(self) except -1:
        """Take the view back from the transport.

        A plain uvloop transport holds its buffer until `buffer_updated` has returned; it does not
        write through it again, and the window keeps the memory alive until then.
        """
        self.offered = 0
        if self.view is not None:
            self.window.closed = True
            self.window = None
            try:
                self.view.release()
            except BufferError:
                pass
            self.view = None
        return 0

    cdef void move_to_front(self) noexcept:
        """Give the incomplete frame, always smaller than the buffer, the whole buffer."""
        if self.start:
            if self.end > self.start:
                memmove(self.memory.start, self.memory.start + self.start, self.end - self.start)
            self.end -= self.start
            self.start = 0

    cdef int cut(self, list frames) except -1:
        """Move the whole frames out of the small buffer; begin a large one at its head."""
        cdef const uint8_t* p
        cdef Py_ssize_t size
        while self.large_start == NULL and self.end - self.start >= HEAD_BYTES:
            p = self.memory.start + self.start
            size = self.checked_size(p)
            if self.end - self.start - HEAD_BYTES >= size:
                frames.append((
                    load_u32(p + 4),
                    p[8],
                    p[9],
                    PyBytes_FromStringAndSize(<const char*>p + HEAD_BYTES, size),
                ))
                self.start += HEAD_BYTES + size
            elif size > self.large_bytes:
                self.begin_large(p, size)
            else:
                break
        return 0

    cdef Py_ssize_t checked_size(self, const uint8_t* p) except -1:
        cdef uint32_t size = load_u32(p)
        if size > <uint32_t>self.frame_bytes_max:
            self.broken = True
            raise ValueError(
                f"frame of {size} bytes on stream {load_u32(p + 4)}, at most {self.frame_bytes_max}"
            )
        if p[8] < 1 or p[8] > KIND_MAX:
            self.broken = True
            raise ValueError(f"frame of unknown type {p[8]} on stream {load_u32(p + 4)}")
        return size

    cdef int begin_large(self, const uint8_t* p, Py_ssize_t size) except -1:
        """What the small buffer still holds begins this frame; its rest is received in place."""
        cdef Py_ssize_t have = self.end - self.start - HEAD_BYTES
        if p[8] == DATA and is_warm_size(size, PACKET_HEAD_BYTES):
            self.packet = _Filling.__new__(_Filling)
            self.packet.buffer = warm_buffer(size, PACKET_HEAD_BYTES)
            self.large_start = self.packet.buffer.start
        else:
            self.large = PyBytes_FromStringAndSize(NULL, size)
            self.large_start = <uint8_t*>PyBytes_AS_STRING(self.large)
        memcpy(self.large_start, p + HEAD_BYTES, have)
        self.large_filled = have
        self.large_total = size
        self.large_stream_id = load_u32(p + 4)
        self.large_kind = p[8]
        self.large_flags = p[9]
        self.start = self.end = 0
        return 0

    cdef int finish_large(self, list frames) except -1:
        payload = self.large if self.packet is None else self.packet.buffer.frozen_view()
        frames.append((self.large_stream_id, self.large_kind, self.large_flags, payload))
        self.large = self.packet = None
        self.large_start = NULL
        self.probing = True
        return 0
