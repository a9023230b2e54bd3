"""The CRC-32C kernel for sibling modules; importing this module sets it up."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef uint32_t extend_freely(uint32_t value, const uint8_t* data, size_t size) noexcept
cdef uint32_t join_freely(uint32_t first, uint32_t second, uint64_t second_size) noexcept
