"""CRC-32C as its definition reads: the remainder of a long division, one bit after another."""

from __future__ import annotations

POLYNOMIAL = 0x82F63B78  # of RFC 3720, least significant bit first


def crc32c(data: bytes, value: int = 0) -> int:
    register = value ^ 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            carry = register & 1
            register >>= 1
            if carry:
                register ^= POLYNOMIAL
    return register ^ 0xFFFFFFFF


def crc32c_combine(first: int, second: int, second_size: int) -> int:
    """Zeros in place of the second part move the first part's register to the end."""
    register = first
    for _ in range(8 * second_size):
        carry = register & 1
        register >>= 1
        if carry:
            register ^= POLYNOMIAL
    return register ^ second


def block_checksums(data: bytes, block_size: int) -> bytes:
    blocks = [data[at : at + block_size] for at in range(0, len(data), block_size)]
    return b"".join(crc32c(block).to_bytes(4, "little") for block in blocks)


def verify_blocks(data: bytes, checksums: bytes, block_size: int) -> int:
    expected = block_checksums(data, block_size)
    if len(checksums) != len(expected):
        raise ValueError("a checksum too many or too few")
    for at in range(0, len(expected), 4):
        if checksums[at : at + 4] != expected[at : at + 4]:
            return at // 4
    return -1
