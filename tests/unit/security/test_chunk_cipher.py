"""Blocks are sealed and opened as OpenSSL's streaming interface does it, in buffers of any kind."""

from __future__ import annotations

import random
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from hypothesis import given, settings
from hypothesis import strategies as st

from pydfsnode.errors import SealBroken
from pydfsnode.limits import BLOCK_BYTES
from pydfsnode.security import chunk_cipher
from pydfsnode.security.chunk_cipher import (
    SEAL_BYTES,
    TAG_BYTES,
    ChunkCipher,
    SealHead,
    chunk_key,
    key_id,
)

KEY, SALT, CHUNK_ID = bytes(range(32)), bytes(range(16)), 7
HEAD = SealHead(1, key_id(KEY), SALT)
WAYS = sorted({False, chunk_cipher.IN_PLACE})
"""Both, unless this cryptography knows one alone."""
RANDOM = random.Random(1).randbytes(4 * BLOCK_BYTES)
SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(-20, 20).map(lambda more: BLOCK_BYTES + more),
    st.integers(-20, 20).map(lambda more: 3 * BLOCK_BYTES + more),
)


@contextmanager
def in_place(wanted: bool) -> Iterator[None]:
    """As with a cryptography from 47 on, or before."""
    with mock.patch.object(chunk_cipher, "IN_PLACE", wanted):
        yield


def cipher() -> ChunkCipher:
    return ChunkCipher(HEAD, CHUNK_ID, KEY)


def sealed_by(way: bool, first: int, plain: bytes, room: int) -> tuple[bytes, bytes]:
    """The bytes and their seals."""
    into = bytearray(len(plain) + room)
    with in_place(way), memoryview(plain) as source, memoryview(into) as view:
        seals = cipher().seal_blocks(first, source, view)
    return bytes(into[: len(plain)]), seals


def opened_by(
    way: bool, first: int, sealed: bytes | bytearray, seals: bytes, opener: ChunkCipher
) -> bytes | int:
    """The bytes, or the number of a bad block."""
    into = bytearray(len(sealed))
    with in_place(way), memoryview(sealed) as source, memoryview(into) as view:
        bad = opener.open_blocks(first, source, seals, view)
    return bytes(into) if bad is None else bad


def sealed_by_openssl(first: int, plain: bytes) -> tuple[bytes, bytes]:
    """What FORMAT-chunks.md says, by the interface that takes a message in pieces."""
    key, sealed, seals = AES(chunk_key(KEY, SALT, CHUNK_ID)), b"", b""
    for count, start in enumerate(range(0, len(plain), BLOCK_BYTES)):
        number = struct.pack("<I", count + 1)
        sealer = Cipher(key, GCM(number + bytes(8))).encryptor()
        bound = struct.pack("<18sQQ", b"pydfsnode block 1\0", CHUNK_ID, first + count)
        sealer.authenticate_additional_data(bound)
        sealed += sealer.update(plain[start : start + BLOCK_BYTES]) + sealer.finalize()
        seals += number + sealer.tag
    return sealed, seals


@given(
    SIZES, st.integers(0, 1 << 40), st.sampled_from(WAYS), st.sampled_from([0, 5, TAG_BYTES, 100])
)
@settings(max_examples=60, deadline=None)
def test_blocks_are_sealed_as_the_format_says(size: int, first: int, way: bool, room: int) -> None:
    plain = RANDOM[:size]
    assert sealed_by(way, first, plain, room) == sealed_by_openssl(first, plain)


@given(SIZES, st.integers(0, 1 << 40), st.sampled_from(WAYS), st.sampled_from([bytes, bytearray]))
@settings(max_examples=60, deadline=None)
def test_what_openssl_sealed_is_opened(
    size: int, first: int, way: bool, kind: type[bytes] | type[bytearray]
) -> None:
    plain = RANDOM[:size]
    sealed, seals = sealed_by_openssl(first, plain)
    assert opened_by(way, first, kind(sealed), seals, cipher()) == plain


@given(SIZES.filter(bool), st.data(), st.sampled_from(WAYS), st.sampled_from([bytes, bytearray]))
@settings(max_examples=60, deadline=None)
def test_a_changed_bit_is_found_in_its_block(
    size: int, data: st.DataObject, way: bool, kind: type[bytes] | type[bytearray]
) -> None:
    sealed, seals = sealed_by_openssl(3, RANDOM[:size])
    spoilt = bytearray(sealed + seals)
    at = data.draw(st.integers(0, len(spoilt) - 1))
    spoilt[at] ^= 1 << data.draw(st.integers(0, 7))
    found = opened_by(way, 3, kind(spoilt[:size]), bytes(spoilt[size:]), cipher())
    assert found == 3 + (at // BLOCK_BYTES if at < size else (at - size) // SEAL_BYTES)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_blocks_open_only_in_their_place(way: bool, kind: type[bytes] | type[bytearray]) -> None:
    plain = RANDOM[: 2 * BLOCK_BYTES]
    sealed, seals = sealed_by_openssl(0, plain)
    halves = sealed[:BLOCK_BYTES], sealed[BLOCK_BYTES:]
    tags = seals[:SEAL_BYTES], seals[SEAL_BYTES:]
    wrong = [
        (1, sealed, seals, cipher()),  # of other blocks
        (0, halves[1] + halves[0], tags[1] + tags[0], cipher()),  # in another order
        (0, halves[0] + halves[1][:-1], seals, cipher()),  # cut
        (0, sealed, seals, ChunkCipher(HEAD, CHUNK_ID + 1, KEY)),
        (0, sealed, seals, ChunkCipher(HEAD._replace(salt=bytes(16)), CHUNK_ID, KEY)),
        (0, sealed, seals, ChunkCipher(HEAD, CHUNK_ID, KEY, bytes(32))),
    ]
    for first, what, with_seals, opener in wrong:
        assert isinstance(opened_by(way, first, kind(what), with_seals, opener), int)
    assert opened_by(way, 0, kind(sealed), seals, cipher()) == plain


def test_numbers_go_on_and_no_two_sealings_are_alike() -> None:
    sealer = cipher()
    plain, into = memoryview(bytes(BLOCK_BYTES + 1)), memoryview(bytearray(BLOCK_BYTES + 1))
    first = sealer.seal_blocks(0, plain, into), bytes(into)
    second = sealer.seal_blocks(0, plain, into), bytes(into)
    sums = sealer.seal_sums(b"bound", b"sums")
    numbers = [seals[at : at + 4] for seals, _ in (first, second) for at in (0, SEAL_BYTES)]
    assert [*numbers, sums[:4]] == [struct.pack("<I", number) for number in range(1, 6)]
    assert first[1][:BLOCK_BYTES] != second[1][:BLOCK_BYTES]
    with (
        mock.patch.object(sealer, "_numbers", iter([1 << 32])),
        pytest.raises(Exception, match="too often"),
    ):
        sealer.seal_blocks(0, plain, into)


def test_sums_open_with_what_they_are_bound_to() -> None:
    sealed = cipher().seal_sums(b"bound", b"sums")
    assert len(sealed) == SEAL_BYTES + 4
    assert cipher().open_sums(b"bound", sealed) == b"sums"
    for bound, what in ((b"other", sealed), (b"bound", sealed[:-1]), (b"bound", sealed[:12])):
        with pytest.raises(SealBroken):
            cipher().open_sums(bound, what)


def test_several_threads_open_with_one_cipher() -> None:
    sealed, seals = sealed_by_openssl(0, RANDOM)
    opener, found = cipher(), list[bytes]()

    def open_often() -> None:
        for _ in range(20):
            into = bytearray(len(sealed))
            opener.open_blocks(0, memoryview(bytearray(sealed)), seals, memoryview(into))
            found.append(bytes(into))

    threads = [threading.Thread(target=open_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [RANDOM] * 80


def test_a_key_is_in_no_representation() -> None:
    key = chunk_key(KEY, SALT, CHUNK_ID)
    for secret in (KEY, key):
        assert secret.hex() not in repr(cipher())
        assert repr(secret) not in repr(vars(cipher()))
