"""The compiled entry codec equals the struct one, and refuses every damaged input."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode import _fast as fast
from tests.reference import crc32c as reference_crc
from tests.reference import entries as reference

U64 = st.integers(0, 2**64 - 1)
ENTRY = st.tuples(U64, U64, st.sampled_from(reference.KINDS), st.binary(max_size=80))
SAMPLES = [(1, 1, 0, b""), (2, 1, 2, b"voters"), (2**64 - 1, 2**63, 1, b"\xff" * 40)]


def encoded(samples: list[tuple[int, int, int, bytes]]) -> bytes:
    return b"".join(fast.encode_entry(*sample) for sample in samples)


def test_the_bytes_of_an_entry_never_change() -> None:
    """A golden vector: logs on disk are read by later versions."""
    assert fast.encode_entry(5, 2, 1, b"abc").hex() == (
        "b965a652030000000500000000000000020000000000000001000000616263"
    )
    assert fast.ENTRY_HEAD_BYTES == 28 == reference.HEAD.size


@given(sample=ENTRY)
def test_encoding_agrees_and_reads_back(sample: tuple[int, int, int, bytes]) -> None:
    entry = fast.encode_entry(*sample)
    assert entry == reference.encode_entry(*sample)
    index, term, kind, payload = sample
    assert fast.scan_entries(entry) == [(index, term, kind, entry)]
    assert fast.entry_kind(entry) == kind
    assert fast.entry_payload(entry) == payload


@given(samples=st.lists(ENTRY, max_size=6))
def test_scanning_a_run_agrees(samples: list[tuple[int, int, int, bytes]]) -> None:
    data = encoded(samples)
    assert fast.scan_entries(data) == reference.scan_entries(data)
    assert fast.scan_entries(bytearray(data)) == fast.scan_entries(memoryview(data))
    assert [fast.entry_payload(found[3]) for found in fast.scan_entries(data)] == [
        sample[3] for sample in samples
    ]


def test_every_torn_prefix_is_refused_unless_it_ends_between_entries() -> None:
    data = encoded(SAMPLES)
    ends = {len(encoded(SAMPLES[:count])) for count in range(len(SAMPLES) + 1)}
    for size in range(len(data) + 1):
        if size in ends:
            assert len(fast.scan_entries(data[:size])) == sorted(ends).index(size)
        else:
            last_start = max(end for end in ends if end < size)
            with pytest.raises(ValueError, match=f"offset {last_start} is cut"):
                fast.scan_entries(data[:size])


def test_every_flipped_bit_is_refused_and_its_entry_named() -> None:
    first, data = encoded(SAMPLES[:1]), encoded(SAMPLES[:2])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        start = 0 if bit // 8 < len(first) else len(first)
        with pytest.raises(ValueError, match=f"offset {start} "):
            fast.scan_entries(damaged)


@given(data=st.binary(max_size=100))
def test_random_bytes_are_refused_as_by_the_reference(data: bytes) -> None:
    if not data:
        assert fast.scan_entries(data) == []
        return
    with pytest.raises(ValueError):
        reference.scan_entries(data)
    with pytest.raises(ValueError):
        fast.scan_entries(data)


@given(garbage=st.binary(min_size=1, max_size=60))
def test_bytes_after_the_last_entry_are_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=f"offset {len(encoded(SAMPLES))} "):
        fast.scan_entries(encoded(SAMPLES) + garbage)


@pytest.mark.parametrize(
    ("at", "value"), [(24, 4), (24, 255), (25, 1), (26, 1), (27, 0x80)], ids=str
)
def test_unknown_kinds_and_flags_are_refused_even_with_a_sound_checksum(
    at: int, value: int
) -> None:
    entry = bytearray(fast.encode_entry(9, 9, 1, b"op"))
    entry[at] = value
    entry[:4] = reference_crc.crc32c(bytes(entry[4:])).to_bytes(4, "little")
    with pytest.raises(ValueError, match="newer version"):
        fast.scan_entries(entry)
    with pytest.raises(ValueError):
        reference.scan_entries(bytes(entry))


def test_a_large_entry_is_encoded_and_scanned() -> None:
    payload = bytes(range(256)) * 400
    entry = fast.encode_entry(7, 3, 1, memoryview(payload))
    assert fast.scan_entries(entry + entry) == [(7, 3, 1, entry)] * 2
    assert entry == reference.encode_entry(7, 3, 1, payload)


@pytest.mark.parametrize("kind", [-1, 4, 256])
def test_an_unknown_kind_is_not_encoded(kind: int) -> None:
    with pytest.raises(ValueError, match="kind"):
        fast.encode_entry(1, 1, kind, b"")


@pytest.mark.parametrize(("index", "term"), [(-1, 1), (1, -1), (2**64, 1), (1, 2**64)])
def test_numbers_beyond_their_field_are_not_encoded(index: int, term: int) -> None:
    with pytest.raises(OverflowError):
        fast.encode_entry(index, term, 1, b"")


@pytest.mark.parametrize("size", [0, 27, 29, 30, 32, 60])
def test_views_of_an_entry_refuse_another_size_than_its_head_says(size: int) -> None:
    data = (fast.encode_entry(1, 1, 1, b"abc") * 2)[:size]
    with pytest.raises(ValueError, match=f"entry of {size} bytes"):
        fast.entry_payload(data)
    with pytest.raises(ValueError, match=f"entry of {size} bytes"):
        fast.entry_kind(data)


def test_a_buffer_is_free_again_after_every_call_even_a_refused_one() -> None:
    data = bytearray(fast.encode_entry(1, 1, 1, b"abc"))
    fast.scan_entries(data)
    fast.entry_kind(data)
    fast.entry_payload(data)
    data.append(0)
    with pytest.raises(ValueError):
        fast.scan_entries(data)
    data.clear()  # BufferError while an export is held


@given(
    entries=st.lists(st.binary(max_size=20), max_size=200),
    start=st.integers(0, 210),
    stop=st.integers(-5, 210),
    bytes_max=st.integers(-1, 300),
)
def test_assembling_agrees_for_lists_and_deques(
    entries: list[bytes], start: int, stop: int, bytes_max: int
) -> None:
    expected = reference.assemble_entries(entries, start, stop, bytes_max)
    assert fast.assemble_entries(entries, start, stop, bytes_max) == expected
    assert fast.assemble_entries(deque(entries), start, stop, bytes_max) == expected


def test_assembling_takes_the_first_whatever_its_size_and_stops_at_the_bound() -> None:
    entries = [b"a" * 5, b"b" * 3, b"c" * 2, b"d"]
    assert fast.assemble_entries(entries, 0, 4, 0) == (entries[0], 1)
    assert fast.assemble_entries(entries, 0, 4, 8) == (b"aaaaabbb", 2)
    assert fast.assemble_entries(entries, 0, 4, 9) == (b"aaaaabbb", 2)  # no gap: c would not fit
    assert fast.assemble_entries(entries, 1, 3, 99) == (b"bbbcc", 2)
    assert fast.assemble_entries(entries, 2, 2, 99) == (b"", 0)
    assert fast.assemble_entries([], 0, 9, 99) == (b"", 0)


@pytest.mark.parametrize("entries", [[b"a", None], [b"a", "b"], deque([b"a", bytearray(1)]), {}])
def test_assembling_refuses_what_is_not_bytes_in_a_sequence(entries: Sequence[bytes]) -> None:
    with pytest.raises(TypeError):
        fast.assemble_entries(entries, 0, 2, 99)


def test_assembling_refuses_a_negative_start() -> None:
    with pytest.raises(ValueError, match="negative"):
        fast.assemble_entries([b"a"], -1, 1, 99)
