"""The launcher's own decompressor and SHA-256, called by ctypes and compared with Python's."""

from __future__ import annotations

import ctypes
import hashlib
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import STUB, compile_c

GUARD = b"\xa5" * 64


class Native:
    """stub/inflate.c and stub/sha256.c as a shared library."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.inflate_raw.restype = ctypes.c_long
        self._library.inflate_raw.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t,
        ]  # fmt: skip
        self._library.sha256.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]

    def inflate(self, packed: bytes, room: int) -> bytes | None:
        """The plain bytes, None when refused; fails when a byte past the room was written."""
        out = bytearray(room) + GUARD
        area = (ctypes.c_char * len(out)).from_buffer(out)
        size = self._library.inflate_raw(packed, len(packed), ctypes.addressof(area), room)
        assert out[room:] == GUARD
        return None if size < 0 else bytes(out[:size])

    def sha256(self, content: bytes) -> bytes:
        digest = ctypes.create_string_buffer(32)
        self._library.sha256(content, len(content), digest)
        return digest.raw


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    out = tmp_path_factory.mktemp("native") / "native.so"
    sources = [str(STUB / "inflate.c"), str(STUB / "sha256.c")]
    flags = ["-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    return Native(compile_c(out, *flags, *sources))


def deflated(plain: bytes, level: int, strategy: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return compressor.compress(plain) + compressor.flush()


STRATEGIES = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_inflates_what_zlib_deflates(native: Native, level: int, strategy: int) -> None:
    rng = random.Random(level * 10 + strategy)
    skewed = bytes(min(255, int(rng.expovariate(0.05))) for _ in range(60_000))
    for plain in (
        b"",
        b"a",
        b"a" * 70_000,
        rng.randbytes(70_000),
        skewed,
        STUB.joinpath("inflate.c").read_bytes(),
    ):
        assert native.inflate(deflated(plain, level, strategy), len(plain)) == plain


def test_long_codes_take_the_slow_walk_and_agree(native: Native) -> None:
    fibonacci = [1, 1]
    while sum(fibonacci) < 60_000:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    plain = b"".join(bytes([i]) * count for i, count in enumerate(fibonacci))
    plain = bytes(random.Random(1).sample(plain, len(plain)))
    packed = deflated(plain, 9, zlib.Z_HUFFMAN_ONLY)  # code lengths grow to 15 bits
    assert native.inflate(packed, len(plain)) == plain


@settings(max_examples=150, deadline=None)
@given(plain=st.binary(max_size=4000), level=st.integers(0, 9), repeat=st.integers(1, 40))
def test_any_bytes_survive(native: Native, plain: bytes, level: int, repeat: int) -> None:
    assert native.inflate(deflated(plain * repeat, level, 0), len(plain) * repeat) == plain * repeat


def test_too_little_room_or_a_cut_is_refused(native: Native) -> None:
    plain = STUB.joinpath("inflate.c").read_bytes()
    packed = deflated(plain, 9, 0)
    assert native.inflate(packed, len(plain) - 1) is None
    for keep in range(0, len(packed), 7):
        assert native.inflate(packed[:keep], len(plain)) is None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_flipped_bits_never_write_outside(native: Native, data: st.DataObject) -> None:
    plain = STUB.joinpath("cache.c").read_bytes()
    damaged = bytearray(deflated(plain, 9, 0))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    native.inflate(bytes(damaged), len(plain))  # the guard and the sanitizer are the assertions


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003])
def test_sha256_agrees_with_hashlib(native: Native, size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert native.sha256(content) == hashlib.sha256(content).digest()
