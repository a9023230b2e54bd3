"""Hostile bytes: a decoder refuses with its own error, or returns; nothing else, ever.

`make fuzz MINUTES=10` divides that time among the decoders; without it each has one round.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS, FRAME_BYTES_MAX, Decoder, feed

ROUND_EXAMPLES = 300
MINUTES = float(os.environ.get("PYDFSNODE_FUZZ_MINUTES") or 0)
SECONDS_EACH = 60 * MINUTES / (len(DECODERS) + 1)


def in_rounds(check: Callable[[st.DataObject], None]) -> None:
    """Run *check* with new examples until this decoder's share of the time is over."""
    until = time.monotonic() + SECONDS_EACH
    number = 0
    while number == 0 or time.monotonic() < until:
        one_round = settings(
            max_examples=ROUND_EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(seed(number)(given(st.data())(check)))
        one_round()
        number += 1


def spoiled(data: st.DataObject, sample: bytes) -> bytes:
    """The sample with some of: flipped bits, overwritten numbers, a cut, pieces put in or twice."""
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(st.binary(max_size=2 * len(sample) + 16))
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        match data.draw(st.sampled_from(["flip", "number", "cut", "insert", "repeat"])):
            case "flip" if at < len(changed):
                changed[at] ^= 1 << data.draw(st.integers(0, 7))
            case "number":
                size = data.draw(st.sampled_from([1, 2, 4, 8]))
                edge = data.draw(st.sampled_from([0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1]))
                order = data.draw(st.sampled_from(["little", "big"]))
                changed[at : at + size] = edge.to_bytes(size, order)
            case "cut":
                del changed[at:]
            case "insert":
                changed[at:at] = data.draw(st.binary(max_size=40))
            case "repeat":
                changed[at:at] = changed[at : at + data.draw(st.integers(1, 64))]
    return bytes(changed)


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_the_sample_is_accepted(decoder: Decoder) -> None:
    assert decoder.decode(decoder.sample) is not None


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_spoiled_bytes_are_refused_with_the_decoders_own_error(decoder: Decoder) -> None:
    def check(data: st.DataObject) -> None:
        given_bytes = spoiled(data, decoder.sample)
        try:
            decoder.decode(given_bytes)
        except decoder.refusals:
            return

    in_rounds(check)


def test_frames_do_not_depend_on_how_their_bytes_arrive() -> None:
    (sample,) = [decoder.sample for decoder in DECODERS if decoder.name == "frames"]
    whole = sample * (FRAME_BYTES_MAX // len(sample))
    expected = feed([whole])

    def check(data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=30)))
        edges = [0, *cuts, len(whole)]
        pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]
        assert feed(pieces) == expected

    in_rounds(check)
