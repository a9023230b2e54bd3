"""Compiled kernels on bytes; the only import path to them. Never a silent fallback."""

from __future__ import annotations

# import-linter does not see compiled modules: `from pydfsnode._fast.crc32c import x` counts as an
# import of pydfsnode itself. Hence whole modules here, and the names bound below.
try:
    from pydfsnode._fast import client_answers as _client_answers
    from pydfsnode._fast import client_requests as _client_requests
    from pydfsnode._fast import crc32c as _crc32c
    from pydfsnode._fast import entries as _entries
    from pydfsnode._fast import envelopes as _envelopes
    from pydfsnode._fast import frames as _frames
    from pydfsnode._fast import inodes as _inodes
    from pydfsnode._fast import replicas as _replicas
    from pydfsnode._fast import requests as _requests
    from pydfsnode._fast import sessions as _sessions
    from pydfsnode._fast import statuses as _statuses
    from pydfsnode._fast import warm_buffers as _warm_buffers
except ImportError as error:  # pragma: no cover - a broken installation
    raise ImportError(
        f"pydfsnode's compiled parts are missing ({error}); build them with "
        "'make build', or 'pip install .' in the source directory"
    ) from error

ClientAnswers = _client_answers.ClientAnswers
split_batch = _client_answers.split_batch

client_requests = _client_requests
"""A function for each method, named like it."""

block_checksums = _crc32c.block_checksums
crc32c = _crc32c.crc32c
crc32c_combine = _crc32c.crc32c_combine
force_kernel = _crc32c.force_kernel
hardware = _crc32c.hardware
kernels = _crc32c.kernels
verify_blocks = _crc32c.verify_blocks

ENTRY_HEAD_BYTES = _entries.ENTRY_HEAD_BYTES
assemble_entries = _entries.assemble_entries
encode_entry = _entries.encode_entry
entry_kind = _entries.entry_kind
entry_payload = _entries.entry_payload
scan_entries = _entries.scan_entries

request_frame = _envelopes.request_frame
response_frame = _envelopes.response_frame
split_request = _envelopes.split_request
split_response = _envelopes.split_response

FRAME_HEAD_BYTES = _frames.FRAME_HEAD_BYTES
FrameReader = _frames.FrameReader
frame_head = _frames.frame_head

CHUNKS_PER_PAGE = _inodes.CHUNKS_PER_PAGE
INODES_PER_BLOCK = _inodes.INODES_PER_BLOCK
Inode = _inodes.Inode
InodeTable = _inodes.InodeTable

REPLICA_SEGMENTS = _replicas.REPLICA_SEGMENTS
ReplicaTable = _replicas.ReplicaTable

OpCoder = _requests.OpCoder
batch_response = _requests.batch_response
only_text = _requests.only_text

ActiveSessions = _sessions.ActiveSessions

Statuses = _statuses.Statuses
messages_in_field_1 = _statuses.messages_in_field_1

WarmBuffer = _warm_buffers.WarmBuffer
is_page_aligned = _warm_buffers.is_page_aligned
kept_blocks = _warm_buffers.kept_blocks

__all__ = [
    "CHUNKS_PER_PAGE",
    "ENTRY_HEAD_BYTES",
    "FRAME_HEAD_BYTES",
    "INODES_PER_BLOCK",
    "REPLICA_SEGMENTS",
    "ActiveSessions",
    "ClientAnswers",
    "FrameReader",
    "Inode",
    "InodeTable",
    "OpCoder",
    "ReplicaTable",
    "Statuses",
    "WarmBuffer",
    "assemble_entries",
    "batch_response",
    "block_checksums",
    "client_requests",
    "crc32c",
    "crc32c_combine",
    "encode_entry",
    "entry_kind",
    "entry_payload",
    "force_kernel",
    "frame_head",
    "hardware",
    "is_page_aligned",
    "kept_blocks",
    "kernels",
    "messages_in_field_1",
    "only_text",
    "request_frame",
    "response_frame",
    "scan_entries",
    "split_batch",
    "split_request",
    "split_response",
    "verify_blocks",
]
