"""W3C Trace Context: the `traceparent` that every request carries, parsed and made.

No randomness here: whoever starts a trace or a span passes the random bytes in.
Source: https://www.w3.org/TR/trace-context/ (version 00).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
SAMPLED = 0x01
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span: the trace it belongs to, its own id (lower-case hex) and the flags."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def child(self, random: bytes) -> TraceContext:
        """A span below this one; `random` holds at least 8 bytes (an all-zero id is avoided)."""
        return TraceContext(self.trace_id, _hex_id(random, SPAN_ID_BYTES), self.flags)


def start_trace(random: bytes, flags: int = SAMPLED) -> TraceContext:
    """The first span of a new trace; `random` holds at least 24 bytes."""
    return TraceContext(
        _hex_id(random[:TRACE_ID_BYTES], TRACE_ID_BYTES),
        _hex_id(random[TRACE_ID_BYTES:], SPAN_ID_BYTES),
        flags,
    )


def parse_traceparent(text: str) -> TraceContext | None:
    """The context in a `traceparent` value, or None when it is absent or malformed.

    A malformed value is ignored, as the standard asks: tracing never fails a request. A later
    version is read as version 00; version ff and all-zero ids are invalid.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16))


def continue_or_start(text: str, random: bytes) -> TraceContext:
    """A child of the context in *text*, or a new trace when there is none; `random`: 24 bytes."""
    parent = parse_traceparent(text)
    if parent is None:
        return start_trace(random)
    return parent.child(random[TRACE_ID_BYTES:])


def _hex_id(random: bytes, size: int) -> str:
    chosen = random[:size]
    if len(chosen) < size:
        raise ValueError(f"{size} random bytes are needed, {len(chosen)} were given")
    return chosen.hex() if any(chosen) else f"{1:0{size * 2}x}"
