"""Compiled kernels on bytes; the only import path to them. Never a silent fallback."""

from __future__ import annotations

try:
    from pydfsnode._fast.crc32c import (
        block_checksums,
        crc32c,
        crc32c_combine,
        force_portable,
        hardware,
        verify_blocks,
    )
    from pydfsnode._fast.entries import (
        ENTRY_HEAD_BYTES,
        encode_entry,
        entry_kind,
        entry_payload,
        scan_entries,
    )
    from pydfsnode._fast.frames import FRAME_HEAD_BYTES, FrameReader, frame_head
except ImportError as error:  # pragma: no cover - a broken installation
    raise ImportError(
        f"pydfsnode's compiled parts are missing ({error}); build them with "
        "'make build', or 'pip install .' in the source directory"
    ) from error

__all__ = [
    "ENTRY_HEAD_BYTES",
    "FRAME_HEAD_BYTES",
    "FrameReader",
    "block_checksums",
    "crc32c",
    "crc32c_combine",
    "encode_entry",
    "entry_kind",
    "entry_payload",
    "force_portable",
    "frame_head",
    "hardware",
    "scan_entries",
    "verify_blocks",
]
