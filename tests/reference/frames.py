"""Reading ttrpc frames from a stream: keep all bytes, cut whole frames off the front."""

from __future__ import annotations

import struct

HEAD = struct.Struct(">IIBB")  # payload size, stream id, kind, flags
KINDS = (1, 2, 3)  # request, response, data

Frame = tuple[int, int, int, bytes]


def frame_head(size: int, stream_id: int, kind: int, flags: int) -> bytes:
    return HEAD.pack(size, stream_id, kind, flags)


class FrameReader:
    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.held = b""

    def feed(self, received: bytes) -> list[Frame]:
        """The frames that *received* completes; ValueError at the first head not allowed."""
        self.held += received
        frames = []
        while len(self.held) >= HEAD.size:
            size, stream_id, kind, flags = HEAD.unpack_from(self.held)
            if size > self.frame_bytes_max or kind not in KINDS:
                raise ValueError(f"frame of {size} bytes, kind {kind}")
            if len(self.held) < HEAD.size + size:
                break
            frames.append((stream_id, kind, flags, self.held[HEAD.size : HEAD.size + size]))
            self.held = self.held[HEAD.size + size :]
        return frames
