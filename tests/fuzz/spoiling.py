"""Spoils good bytes in the ways that disks, hurried code and enemies do."""

from __future__ import annotations

import random
import time

from tests.fuzz.decoder import Decoder

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
NESTING = (b"[", b"{", b"(", b"\x91", b"\x81", b"\x0a\x80\x01")
"""What begins something within something, in the formats that we read."""
CPU_S_MAX = 2.0
"""More than any decoder needs for a few hundred KiB, whatever is in them."""


def spoil(draw: random.Random, sample: bytes, others: bytes = b"") -> bytes:
    """*sample* with up to four changes; *others* are bytes to put in."""
    if draw.random() < 0.05:
        return draw.randbytes(draw.randrange(2 * len(sample) + 16))
    changed = bytearray(sample)
    for _ in range(draw.randint(1, 4)):
        draw.choice(_WAYS)(draw, changed, others or sample)
    return bytes(changed)


def check(decoder: Decoder, given: bytes) -> None:
    """Run *decoder*; what it must not raise, and what takes too long, is raised.

    Raises:
        AssertionError: with the bytes, to be kept in tests/fuzz/crashes.
    """
    began = time.process_time()
    try:
        decoder.run(given)
    except Exception as error:
        raise AssertionError(f"{decoder.name} raised {error!r} for {shown(given)}") from error
    took_s = time.process_time() - began
    assert took_s < CPU_S_MAX, f"{decoder.name} took {took_s:.1f} s for {shown(given)}"


def shown(given: bytes) -> str:
    """*given* for a message, to be pasted into a test."""
    return repr(given) if len(given) < 2000 else f"{given[:200]!r}... ({len(given)} bytes)"


def _flip(draw: random.Random, changed: bytearray, _: bytes) -> None:
    if changed:
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)


def _number(draw: random.Random, changed: bytearray, _: bytes) -> None:
    at, size = draw.randint(0, len(changed)), draw.choice((1, 2, 4, 8))
    whole = draw.choice((0, 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, draw.choice(NUMBERS)))
    encoded = (whole % 2 ** (8 * size)).to_bytes(size, "little")
    changed[at : at + size] = encoded if draw.random() < 0.5 else encoded[::-1]


def _cut(draw: random.Random, changed: bytearray, _: bytes) -> None:
    del changed[draw.randint(0, len(changed)) :]


def _leave_out(draw: random.Random, changed: bytearray, _: bytes) -> None:
    at = draw.randint(0, len(changed))
    del changed[at : at + draw.randint(1, 16)]


def _insert(draw: random.Random, changed: bytearray, others: bytes) -> None:
    at, start = draw.randint(0, len(changed)), draw.randint(0, len(others))
    piece = others[start : start + draw.randint(1, 40)]
    changed[at:at] = piece if draw.random() < 0.5 else draw.randbytes(draw.randint(1, 40))


def _repeat(draw: random.Random, changed: bytearray, _: bytes) -> None:
    at = draw.randint(0, len(changed))
    changed[at:at] = changed[at : at + draw.randint(1, 64)] * draw.choice((1, 1, 1, 100))


def _digits(draw: random.Random, changed: bytearray, _: bytes) -> None:
    """Numbers in text that are no numbers everywhere."""
    places = [at for at, byte in enumerate(changed) if 0x30 <= byte <= 0x39]
    at = draw.choice(places) if places else draw.randint(0, len(changed))
    odd = draw.choice((b"-", b"--1", "²".encode(), "٣".encode(), b"9" * 5000, b"1e999", b"nan"))
    changed[at : at + 1] = odd


def _nest(draw: random.Random, changed: bytearray, _: bytes) -> None:
    at = draw.choice((0, draw.randint(0, len(changed))))
    changed[at:at] = draw.choice(NESTING) * draw.choice((50, 3_000, 100_000))


_WAYS = (
    *(_flip, _number, _cut, _leave_out, _insert, _repeat) * 3,
    _digits,
    _nest,
)
