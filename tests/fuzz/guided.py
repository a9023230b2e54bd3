"""Spoils bytes where that reaches new code: libFuzzer by way of atheris, for all decoders at once.

    python -m tests.fuzz.guided --seconds 60 --corpus DIR --found DIR

An input is two bytes that name a decoder and the bytes for it. What a decoder must not raise is
written to the directory of what was found, one input for each place in the code, and the run goes
on; whoever started it looks there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import traceback
import zlib
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["pydfsnode"]):
    from pydfsnode.obs import log
    from tests.fuzz.decoder import Decoder
    from tests.fuzz.decoders import DECODERS
    from tests.fuzz.spoiling import check, spoil

NAME_BYTES = 2
INPUT_BYTES_MAX = 1 << 16
MEGABYTES_MAX = 3072
HANG_S = 300


def name_of(decoder: Decoder) -> bytes:
    """What an input for *decoder* begins with: stays the same when others come and go."""
    return zlib.crc32(decoder.name.encode()).to_bytes(4, "big")[:NAME_BYTES]


BY_NAME = {name_of(decoder): decoder for decoder in DECODERS}
assert len(BY_NAME) == len(DECODERS), "two decoders have one name: rename the newer one"


class Guided:
    """What libFuzzer calls."""

    def __init__(self, found: Path) -> None:
        self._found = found
        self._places: set[str] = set()

    def one(self, given: bytes) -> None:
        """Run one input."""
        decoder = BY_NAME.get(given[:NAME_BYTES])
        if decoder is None:
            return
        try:
            check(decoder, given[NAME_BYTES:])
        except AssertionError as error:
            self._keep(decoder, given[NAME_BYTES:], error)

    def mutate(self, given: bytes, size_max: int, seed: int) -> bytes:
        """Another input for the same decoder: libFuzzer's change, or one of ours, mended."""
        draw = random.Random(seed)
        decoder = BY_NAME.get(given[:NAME_BYTES])
        if decoder is None:
            decoder = draw.choice(DECODERS)
            given = name_of(decoder) + decoder.sample
        body = given[NAME_BYTES:]
        if draw.random() < 0.5:
            body = spoil(draw, body, draw.choice((decoder.sample, *decoder.seeds)))
        else:
            body = atheris.Mutate(body, max(len(body), 64))
        if decoder.mend is not None and draw.random() < 0.8:
            body = decoder.mend(body)
        return name_of(decoder) + body[: size_max - NAME_BYTES]

    def _keep(self, decoder: Decoder, given: bytes, error: AssertionError) -> None:
        cause = error.__cause__
        frames = traceback.extract_tb(cause.__traceback__) if cause is not None else []
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "slow"
        place = f"{decoder.name} {type(cause).__name__} {where}"
        if place in self._places:
            return
        self._places.add(place)
        directory = self._found / decoder.directory
        directory.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(given).hexdigest()[:12]
        (directory / name).write_bytes(given)
        print(f"FOUND {directory / name}: {type(cause).__name__} at {where}: {str(cause)[:200]}")


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--found", type=Path, required=True)
    asked = parser.parse_args()
    asked.corpus.mkdir(parents=True, exist_ok=True)
    for decoder in DECODERS:
        for number, sample in enumerate((decoder.sample, *decoder.seeds)):
            name = name_of(decoder)
            (asked.corpus / f"sample-{name.hex()}-{number}").write_bytes(name + sample)
    log.configure("error", "fuzz", "master", Path(os.devnull))
    guided = Guided(asked.found)
    options = [
        f"-max_total_time={asked.seconds}", f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={HANG_S}", f"-report_slow_units={HANG_S}",
        f"-rss_limit_mb={MEGABYTES_MAX}", "-len_control=0", "-print_final_stats=1",
        f"-artifact_prefix={asked.found}/",
    ]  # fmt: skip
    atheris.Setup(["guided", *options, str(asked.corpus)], guided.one, custom_mutator=guided.mutate)
    asked.found.mkdir(parents=True, exist_ok=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
