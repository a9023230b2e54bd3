"""What a capability allows, and that nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.errors import CapabilityRefused, KeyUnavailable
from pydfsnode.security.capability import (
    CLOCKS_MS,
    DAY_MS,
    END_GRACE_MS,
    LIFE_MS,
    READING_OPEN,
    WRITING,
    Capability,
    Operation,
    day_mac,
    require,
    sign,
    verify,
)

KEY, NOW_MS = bytes(range(32)), 1_700_000_000_000
DAY = NOW_MS // DAY_MS
SAID = Capability(7, 3, WRITING, "alice", NOW_MS + LIFE_MS)
TOKEN = sign(SAID, day_mac(KEY, DAY), 1, DAY)


def key_of(epoch: int) -> bytes | None:
    return {1: KEY}.get(epoch)


def reason(error: pytest.ExceptionInfo[CapabilityRefused]) -> object:
    return error.value.fields["reason"]


def test_the_bytes_are_those_that_are_documented() -> None:
    assert TOKEN.hex() == (
        "010701000000db4c0000"  # format, operations, epoch, day
        "0700000000000000" "0300000000000000" "c08feecf8b010000"  # chunk, version, expires
        "616c696365"  # alice
        "b56d1b5929c18af11b264a5d20c71927"
    )  # fmt: skip


def test_it_says_what_was_signed() -> None:
    assert verify(TOKEN, key_of, NOW_MS) == SAID


@given(position=st.integers(0, 8 * len(TOKEN) - 1))
def test_no_bit_of_it_can_be_changed(position: int) -> None:
    changed = bytearray(TOKEN)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises((CapabilityRefused, KeyUnavailable)):
        verify(bytes(changed), key_of, NOW_MS)


@given(noise=st.binary(max_size=400), cut=st.integers(0, len(TOKEN) - 1))
def test_noise_and_pieces_are_refused(noise: bytes, cut: int) -> None:
    for token in (noise, TOKEN[:cut], TOKEN + noise or b""):
        if token != TOKEN:
            with pytest.raises((CapabilityRefused, KeyUnavailable)):
                verify(token, key_of, NOW_MS)


def test_a_key_of_another_epoch_or_day_makes_none() -> None:
    with pytest.raises(KeyUnavailable, match="epoch 2"):
        verify(sign(SAID, day_mac(KEY, DAY), 2, DAY), key_of, NOW_MS)
    with pytest.raises(CapabilityRefused) as forged:
        verify(sign(SAID, day_mac(KEY, DAY - 1), 1, DAY), key_of, NOW_MS)
    assert reason(forged) == "forged"
    for day in (DAY - 3, DAY + 2):
        with pytest.raises(CapabilityRefused) as old:
            verify(sign(SAID, day_mac(KEY, day), 1, day), key_of, NOW_MS)
        assert reason(old) == "old"


@pytest.mark.parametrize(
    ("chunk_id", "version", "operation", "later_ms", "why"),
    [
        (7, 3, Operation.WRITE, 0, None),
        (7, 3, Operation.READ, LIFE_MS + CLOCKS_MS, None),
        (7, 0, Operation.READ, 0, None),
        (8, 3, Operation.READ, 0, "chunk"),
        (7, 2, Operation.READ, 0, "version"),
        (7, 4, Operation.WRITE, 0, "version"),
        (7, 3, Operation.READ, LIFE_MS + CLOCKS_MS + 1, "expired"),
        (7, 3, Operation.WRITE, LIFE_MS + CLOCKS_MS + 1, "expired"),
        (7, 3, Operation.END, LIFE_MS + CLOCKS_MS + END_GRACE_MS, None),
        (7, 3, Operation.END, LIFE_MS + CLOCKS_MS + END_GRACE_MS + 1, "expired"),
    ],
)
def test_what_a_writer_may_do(
    chunk_id: int, version: int, operation: Operation, later_ms: int, why: str | None
) -> None:
    if why is None:
        require(SAID, chunk_id, version, operation, NOW_MS + later_ms)
        return
    with pytest.raises(CapabilityRefused) as error:
        require(SAID, chunk_id, version, operation, NOW_MS + later_ms)
    assert reason(error) == why


@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.END])
def test_a_reader_may_only_read(operation: Operation) -> None:
    reading = SAID._replace(operations=int(READING_OPEN))
    require(reading, 7, 99, Operation.READ, NOW_MS)
    with pytest.raises(CapabilityRefused) as error:
        require(reading, 7, 3, operation, NOW_MS)
    assert reason(error) == "operation"
