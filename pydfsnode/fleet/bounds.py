"""The fleet's own bounds and delays."""

from __future__ import annotations

from pydfsnode import limits

SERVERS_MAX = 4096  # limits.py candidate
"""Chunkservers that are known, dead ones included."""
EXPECT_MS = 30_000
"""How long the servers that wrote a chunk count as holding it before they reported it."""
ORPHAN_MS = 60_000
"""How long a replica of no known chunk is kept: to make data less durable takes patience."""
WARM_UP_MS = 15_000
"""After a start, servers get this long to report before anything is repaired or deleted."""
COPY_ORDERS_MAX = 64
"""Copies that a chunkserver may have before it, running or waiting, to take and to give each: it
must not run dry between two heartbeats, and small chunks are copied in milliseconds."""
COPY_ORDER_BYTES_MAX = 512 * limits.MIB
"""Bytes of those copies beyond the COPIES_PER_CHUNKSERVER_MAX that run at once."""
COPY_TIMEOUT_MS = 120_000
"""A copy not reported by then may be ordered elsewhere."""
FAILED_COPY_MS = 30_000
"""A target that failed to copy a chunk is not asked again for that chunk within this time."""
DELETE_TIMEOUT_MS = 60_000
"""A deletion not reported by then is ordered again."""
DELETES_PER_CHUNKSERVER_MAX = 256
"""Deletions ordered and not yet reported, of one server."""
SCAN_CHUNKS_MAX = 512
"""Chunks that one plan looks at in each of its queues."""
THOROUGH_LOOKS_MAX = 32
"""Of one plan: looks at all servers, where a few random ones cannot take a copy."""
MOVES_MAX = 128
"""Copies under way that only spread replicas better."""
MISPLACED_MAX = 10_000
"""Chunks remembered that could be spread better; the search goes on when these are moved."""
MISPLACED_SCAN_CHUNKS = 512
"""Chunks that one plan looks at to find such, give or take a segment."""
LATER_CHANGES_MAX = 100_000
"""Changes remembered while the pages of one full report come in; past it, it starts again."""
