"""Only whole parts that were not read lately are a first touch."""

from __future__ import annotations

from pydfsnode.limits import PACKET_BYTES
from pydfsnode.storage.first_touch import FirstTouch


def test_the_second_read_of_a_part_is_not_the_first() -> None:
    touched = FirstTouch()
    assert touched.is_first(1, 1, 0, PACKET_BYTES)
    assert not touched.is_first(1, 1, 0, PACKET_BYTES)
    assert touched.is_first(1, 1, PACKET_BYTES, PACKET_BYTES)
    assert touched.is_first(1, 2, 0, PACKET_BYTES)
    assert touched.is_first(2, 1, 0, PACKET_BYTES)


def test_small_and_unaligned_reads_never_are() -> None:
    touched = FirstTouch()
    assert not touched.is_first(1, 1, 0, PACKET_BYTES - 1)
    assert not touched.is_first(1, 1, 1, PACKET_BYTES)


def test_the_part_not_read_for_longest_is_forgotten_first() -> None:
    touched = FirstTouch(parts_max=2)
    touched.is_first(1, 1, 0, PACKET_BYTES)
    touched.is_first(2, 1, 0, PACKET_BYTES)
    assert not touched.is_first(1, 1, 0, PACKET_BYTES)
    touched.is_first(3, 1, 0, PACKET_BYTES)
    assert not touched.is_first(1, 1, 0, PACKET_BYTES)
    assert touched.is_first(2, 1, 0, PACKET_BYTES)
