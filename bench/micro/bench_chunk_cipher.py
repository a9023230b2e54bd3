"""The blocks of a packet sealed and opened, beside a streaming `Cipher` made for each block."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode.limits import BLOCK_BYTES, KIB, PACKET_BYTES
from pydfsnode.security.chunk_cipher import SALT_BYTES, TAG_BYTES, ChunkCipher, SealHead, key_id

KEY = bytes(range(32))
SIZES = [4 * KIB, BLOCK_BYTES, PACKET_BYTES]
PACKET = random.Random(1).randbytes(PACKET_BYTES)
CIPHER = ChunkCipher(SealHead(1, key_id(KEY), bytes(SALT_BYTES)), 1, KEY)
BOUND = bytes(34)


@pytest.mark.parametrize("size", SIZES)
def test_seal(benchmark: BenchmarkFixture, size: int) -> None:
    benchmark.group = f"seal {size} bytes"
    plain, into = memoryview(PACKET)[:size], memoryview(bytearray(size + TAG_BYTES))
    benchmark(CIPHER.seal_blocks, 0, plain, into)


@pytest.mark.parametrize("size", SIZES)
def test_seal_streaming(benchmark: BenchmarkFixture, size: int) -> None:
    benchmark.group = f"seal {size} bytes"
    plain, into, key = memoryview(PACKET)[:size], memoryview(bytearray(size)), AES(KEY)

    def seal() -> None:
        for start in range(0, size, BLOCK_BYTES):
            sealer = Cipher(key, GCM(start.to_bytes(12, "little"))).encryptor()
            sealer.authenticate_additional_data(BOUND)
            stop = start + BLOCK_BYTES
            sealer.update_into(plain[start:stop], into[start:stop])
            sealer.finalize()

    benchmark(seal)


@pytest.mark.parametrize("size", SIZES)
def test_open(benchmark: BenchmarkFixture, size: int) -> None:
    """From memory that is read only, so that each round finds the same: every block is copied."""
    benchmark.group = f"open {size} bytes"
    sealed, into = memoryview(bytearray(size + TAG_BYTES)), memoryview(bytearray(size))
    seals = CIPHER.seal_blocks(0, memoryview(PACKET)[:size], sealed)
    benchmark(CIPHER.open_blocks, 0, sealed[:size].toreadonly(), seals, into)


@pytest.mark.parametrize("size", SIZES)
def test_open_in_place(benchmark: BenchmarkFixture, size: int) -> None:
    """What is overwritten is copied anew for each round, as if it were read."""
    benchmark.group = f"open {size} bytes"
    sealed, into = memoryview(bytearray(size + TAG_BYTES)), memoryview(bytearray(size))
    seals = CIPHER.seal_blocks(0, memoryview(PACKET)[:size], sealed)
    kept, found = bytes(sealed[:size]), memoryview(bytearray(size))

    def read_and_open() -> None:
        found[:] = kept
        CIPHER.open_blocks(0, found, seals, into)

    benchmark(read_and_open)
