"""Hostile bytes: a decoder refuses with its own error, or returns; nothing else, ever.

`make fuzz MINUTES=10` divides that time among the decoders; without it each has one round.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.decoder import Decoder
from tests.fuzz.decoders import DECODERS
from tests.fuzz.network import FRAME_BYTES_MAX, feed
from tests.fuzz.spoiling import check, spoil

CRASHES = Path(__file__).parent / "crashes"
ROUND_EXAMPLES = 200
MINUTES = float(os.environ.get("PYDFSNODE_FUZZ_MINUTES") or 0)
SECONDS_EACH = 60 * MINUTES / (len(DECODERS) + 1)


def in_rounds(once: Callable[[random.Random], None], seed: str) -> None:
    """Call *once* again and again until this decoder's share of the time is over."""
    until = time.monotonic() + SECONDS_EACH
    for number in itertools.count():
        draw = random.Random(f"{seed} {number}")
        for _ in range(ROUND_EXAMPLES):
            once(draw)
        if time.monotonic() >= until:
            return


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_the_sample_is_accepted(decoder: Decoder) -> None:
    assert decoder.decode(decoder.sample) is not None
    for seed in decoder.seeds:
        decoder.run(seed)
    assert decoder.mend is None or decoder.mend(decoder.sample) == decoder.sample


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_spoiled_bytes_are_refused_with_the_decoders_own_error(decoder: Decoder) -> None:
    samples = (decoder.sample, *decoder.seeds)

    def once(draw: random.Random) -> None:
        given = spoil(draw, draw.choice(samples), draw.choice(samples))
        if decoder.mend is not None and draw.random() < 0.8:
            given = decoder.mend(given)
        check(decoder, given)

    in_rounds(once, decoder.name)


@pytest.mark.parametrize("kept", sorted(CRASHES.glob("*/*")), ids=lambda kept: kept.parent.name)
def test_what_once_passed_the_checks_does_not_again(kept: Path) -> None:
    """Each file lies in its decoder's directory."""
    (decoder,) = [decoder for decoder in DECODERS if decoder.directory == kept.parent.name]
    check(decoder, kept.read_bytes())


def test_frames_do_not_depend_on_how_their_bytes_arrive() -> None:
    (sample,) = [decoder.sample for decoder in DECODERS if decoder.name == "frames"]
    whole = sample * (FRAME_BYTES_MAX // len(sample))
    expected = feed([whole])

    def once(draw: random.Random) -> None:
        cuts = sorted(draw.sample(range(len(whole) + 1), draw.randint(0, 30)))
        edges = [0, *cuts, len(whole)]
        assert feed([whole[start:end] for start, end in itertools.pairwise(edges)]) == expected

    in_rounds(once, "frames in pieces")
