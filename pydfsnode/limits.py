"""Every bound of every queue, window, message and table (INV-BOUND). Units are in the names."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# ---- wire
FRAME_BYTES_MAX = 4 * MIB
"""Largest data part of one ttrpc frame (the published limit)."""
MESSAGE_BYTES_MAX = 4 * MIB
STREAM_WINDOW_BYTES = 8 * MIB
"""Unacknowledged Data bytes that a peer may have outstanding in one stream."""
STREAMS_PER_CONNECTION_MAX = 4096
CONNECTIONS_MAX = 4096
CONNECTIONS_PER_PEER_MAX = 1024  # of one identity, on one listener
HANDSHAKE_MS_MAX = 10_000
HANDSHAKES_PER_HOST_MAX = 256  # at once; the oldest ends first
FRAME_MS_MAX = 60_000  # from its first byte to its last
CONNECTION_IDLE_MS = 300_000
WRITE_BUFFER_BYTES_HIGH = 4 * MIB
METADATA_PAIRS_MAX = 32
DEADLINE_MS_MAX = 600_000

# ---- raft
ENTRY_BYTES_MAX = 3 * MIB
"""Largest encoded log entry; below MESSAGE_BYTES_MAX with room for the message's head."""
APPEND_BYTES_MAX = 1 * MIB
APPEND_ENTRIES_MAX = 4096
INFLIGHT_APPENDS_MAX = 64
INFLIGHT_BYTES_MAX = 16 * MIB
UNCOMMITTED_BYTES_MAX = 64 * MIB
UNCOMMITTED_ENTRIES_MAX = 65_536
LOG_CACHE_BYTES_MAX = 64 * MIB
"""Encoded entries kept in memory for followers; older ones are read from the log."""
LOG_READ_BYTES_MAX = 128 * KIB
"""Read from disk at once for a follower that is behind the cache: a few ms of the loop's time."""
PENDING_READS_MAX = 65_536
RAFT_QUEUE_MESSAGES_MAX = 4096
APPLY_BATCH_ENTRIES_MAX = 1024

# ---- namespace
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4096
LIST_ENTRIES_MAX = 1000
SESSIONS_MAX = 100_000
SESSION_OUTCOMES_MAX = 4096
SESSION_IDLE_MS = 3_600_000
SESSION_IDLE_MS_MIN = 600_000
"""A session may be evicted for room only after this much idle time (longer than any deadline)."""
REPLICATION_MAX = 16
CHUNKS_PER_FILE_MAX = 65_536
INLINE_BYTES_MAX = 4 * KIB
"""Largest content of a file that is stored with its inode."""
XATTRS_MAX = 32
"""Extended attributes of one inode."""
XATTR_BYTES_MAX = 16 * KIB
"""Names and values of one inode's extended attributes."""
ACL_ENTRIES_MAX = 32
"""Entries of one access or default ACL, as in HDFS."""
CONCAT_SOURCES_MAX = 512
SNAPSHOTS_MAX = 65_536
"""Of one directory."""

# ---- audit
AUDIT_QUEUE_RECORDS_MAX = 65_536
"""Records that wait to be written, some hundred bytes each."""

# ---- chunks
BLOCK_BYTES = 64 * KIB
"""Checksum unit inside a chunk file."""
PACKET_BYTES = 1 * MIB
"""Data bytes in one packet of a chunk stream."""
CHUNK_BYTES_DEFAULT = 64 * MIB
CHUNK_BYTES_MAX = 64 * MIB
CHUNK_BYTES_MIN = 1 * MIB
DISKS_MAX = 64
"""Data directories of a chunkserver."""
COMMANDS_PER_HEARTBEAT_MAX = 256
COPIES_PER_CHUNKSERVER_MAX = 8
WRITE_STREAMS_MAX = 256
READ_STREAMS_MAX = 512
FILE_KEYS_MAX = 65_536
"""Keys of files, by chunk, in a chunkserver's memory."""
FILE_KEYS_PER_ASK_MAX = 1024

# ---- client
READ_AHEAD_BYTES_DEFAULT = 16 * MIB
"""Of one reader of a file: in flight or waiting to be consumed."""
READ_AHEAD_BYTES_MIN, READ_AHEAD_BYTES_MAX = MIB, 1024 * MIB
BATCH_ITEMS_MAX = 128
"""Calls in one message of the Namespace service."""
CLIENT_SESSION_INFLIGHT_MAX = 1024
CLIENT_COPY_FILES_MAX = 16


def check_relations() -> None:
    """Raise ValueError unless the relations that the code relies on hold."""
    relations = {
        "an entry fits in a frame": ENTRY_BYTES_MAX < FRAME_BYTES_MAX,
        "an append fits in a frame": APPEND_BYTES_MAX <= ENTRY_BYTES_MAX,
        "a packet and its head fit in a frame": PACKET_BYTES + 16 <= FRAME_BYTES_MAX,
        "a stream's window holds the largest frame": STREAM_WINDOW_BYTES >= FRAME_BYTES_MAX,
        "packets are whole blocks": PACKET_BYTES % BLOCK_BYTES == 0,
        "sessions outlive deadlines": SESSION_IDLE_MS_MIN >= DEADLINE_MS_MAX,
        "a client's operations fit its session": CLIENT_SESSION_INFLIGHT_MAX < SESSION_OUTCOMES_MAX,
    }
    broken = [name for name, holds in relations.items() if not holds]
    if broken:
        raise ValueError(f"limits contradict each other: {'; '.join(broken)}")


check_relations()
