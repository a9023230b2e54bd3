"""Operations in entries, large ones compressed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import limits
from pydfsnode._fast import encode_entry
from pydfsnode.errors import CorruptionError
from pydfsnode.raft.types import KIND_COMPRESSED, KIND_CONFIGURATION, KIND_NOOP, KIND_OPERATION
from pydfsnode.runtime.entry_compression import COMPRESS_FROM_BYTES, pack, unpack


@given(st.binary(max_size=200), st.integers(0, 200))
def test_what_is_packed_comes_back(seed: bytes, times: int) -> None:
    payload = seed * times
    kind, packed = pack(payload)
    assert len(packed) <= len(payload)
    assert unpack(encode_entry(1, 1, kind, packed)) == payload


def test_small_ones_and_those_that_do_not_shrink_stay_as_they_are() -> None:
    small, noise = bytes(COMPRESS_FROM_BYTES - 1), os.urandom(4096)
    assert pack(small) == (KIND_OPERATION, small)
    assert pack(noise) == (KIND_OPERATION, noise)
    kind, packed = pack(bytes(4096))
    assert kind == KIND_COMPRESSED
    assert len(packed) < 100


@pytest.mark.parametrize("kind", [KIND_NOOP, KIND_CONFIGURATION])
def test_other_entries_hold_no_operation(kind: int) -> None:
    assert unpack(encode_entry(1, 1, kind, b"x")) is None


def test_a_damaged_one_is_named_not_guessed() -> None:
    with pytest.raises(CorruptionError, match="compressed log entry"):
        unpack(encode_entry(1, 1, KIND_COMPRESSED, b"no zstandard"))


def test_a_bomb_is_refused() -> None:
    _, packed = pack(bytes(2 * limits.ENTRY_BYTES_MAX))
    with pytest.raises(CorruptionError):
        unpack(encode_entry(1, 1, KIND_COMPRESSED, packed))
